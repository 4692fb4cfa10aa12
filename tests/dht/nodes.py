"""OpenDHT nodes in a process of their own: `python -m tests.dht.nodes --count 5 --bootstrap 127.0.0.1:4222`.

Prints their endpoints as JSON, then answers a line of JSON with a line of JSON:

    {"do": "settle", "least": 5}              looks random keys up until each node has so many good nodes
    {"do": "put", "key": …, "values": [hex]}  stores values, each by the next node
    {"do": "get", "key": …}                   the values that are there, as hex
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from typing import Any

import opendht

from hardline.dht.lines import good_nodes

Runner = Any


def started(bootstrap: str) -> Runner:
    runner = opendht.DhtRunner()
    runner.run(ipv4="127.0.0.1", port=0, config=opendht.DhtConfig())
    if bootstrap:
        runner.bootstrap(*bootstrap.rsplit(":", 1))
    return runner


def wait_for(begin: Any, limit: float = 100.0) -> bool:
    """Run an operation of the library to its end."""
    ended = threading.Event()
    result: list[bool] = []

    def done(ok: bool, nodes: Any) -> None:
        result.append(ok)
        ended.set()

    begin(done)
    return ended.wait(limit) and result[0]


def values_at(runner: Runner, key: Any) -> list[bytes]:
    found: list[bytes] = []

    def got(value: Any) -> bool:
        found.append(bytes(value.data))
        return True

    wait_for(lambda done: runner.get(key, got, done))
    time.sleep(0.15)  # see hardline.dht.child: never ask for the table while a callback is on its way out
    return found


def settle(runners: list[Runner], least: int) -> int:
    """Until every node knows others: what an hour of lookups does to a table."""
    deadline = time.monotonic() + 100
    fewest = 0
    while time.monotonic() < deadline:
        for runner in runners:
            values_at(runner, opendht.InfoHash.getRandom())
        fewest = min(len(good_nodes(runner.getRoutingTablesLog(socket.AF_INET))) for runner in runners)
        if fewest >= least:
            break
    return fewest


def answer(runners: list[Runner], request: dict[str, Any]) -> object:
    match request["do"]:
        case "settle":
            return settle(runners, int(request["least"]))
        case "put":
            key = opendht.InfoHash(request["key"].encode())
            ended = threading.Semaphore(0)
            stored: list[bool] = []

            def done(ok: bool, nodes: Any) -> None:
                stored.append(ok)
                ended.release()

            for number, text in enumerate(request["values"]):
                runners[number % len(runners)].put(key, opendht.Value(bytes.fromhex(text)), done)
            for _ in request["values"]:
                ended.acquire(timeout=100)
            return sum(stored)
        case "get":
            return [value.hex() for value in values_at(runners[0], opendht.InfoHash(request["key"].encode()))]
    raise ValueError(request["do"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--bootstrap", default="")
    arguments = parser.parse_args()
    runners: list[Runner] = []
    for _ in range(arguments.count):
        at = arguments.bootstrap or (f"127.0.0.1:{runners[0].getBound().getPort()}" if runners else "")
        runners.append(started(at))
    print(json.dumps([f"127.0.0.1:{runner.getBound().getPort()}" for runner in runners]), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(runners, json.loads(line))), flush=True)
    sys.stdout.flush()
    os._exit(0)  # shutting nodes down can hang


if __name__ == "__main__":
    main()
