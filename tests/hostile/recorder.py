"""Whoever hears everything that others send, and repeats it.  Programs, for any machine.

    python recorder.py record FILE                      every IP packet with something in it, that goes by here
    python recorder.py replay FILE HOST COUNT FILE      each datagram and each first flight again, from here, to HOST;
                                                        and TLS of our own by each name that was heard

What is recorded is lines of JSON: protocol, source, destination, payload; what came back, too.  A first flight is what
the end that dialled says before the other one says anything.  Repeated things are sent as they were, and with a bit
changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
import socket
import ssl
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ALL = 0x0003  # ETH_P_ALL
TCP, UDP = 6, 17
GROUP = "239.192.152.143"
_NAME = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{40}(?![0-9a-fA-F])")
_AT_A_TIME = 50
_PATIENCE = 0.3  # seconds to wait for an answer


def record(file: str) -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL)) as tap,
        Path(file).open("w", buffering=1) as out,
    ):
        print("under way", flush=True)
        while True:
            packet, (device, *_) = tap.recvfrom(65_536)
            if device != "lo" and (read := parse(packet)) is not None:
                out.write(json.dumps(read) + "\n")


def parse(packet: bytes) -> dict[str, Any] | None:
    if packet[0] >> 4 == 4:
        size, protocol, addresses = (packet[0] & 15) * 4, packet[9], (packet[12:16], packet[16:20])
        packet = packet[: struct.unpack(">H", packet[2:4])[0]]
        family = socket.AF_INET
    elif packet[0] >> 4 == 6:
        size, protocol, addresses, family = 40, packet[6], (packet[8:24], packet[24:40]), socket.AF_INET6
    else:
        return None
    rest = packet[size:]
    if protocol == UDP and len(rest) > 8:
        payload, sequence = rest[8:], 0
    elif protocol == TCP and len(rest) >= 20:
        payload, sequence = rest[(rest[12] >> 4) * 4 :], struct.unpack(">I", rest[4:8])[0]
    else:
        return None
    if not payload:
        return None
    ports = struct.unpack(">HH", rest[:4])
    ends = [[socket.inet_ntop(family, address), port] for address, port in zip(addresses, ports, strict=True)]
    name = "UDP" if protocol == UDP else "TCP"
    return {"protocol": name, "from": ends[0], "to": ends[1], "sequence": sequence, "payload": payload.hex()}


def replayable(file: str) -> tuple[list[tuple[int, bytes]], list[bytes]]:
    """(port, payload) of each datagram, and each first flight."""
    datagrams: dict[tuple[int, bytes], None] = {}
    flows: dict[tuple[Any, ...], list[bytes]] = {}
    answered = set()
    for line in Path(file).read_text().splitlines():
        seen = json.loads(line)
        payload = bytes.fromhex(seen["payload"])
        if seen["protocol"] == "UDP":
            datagrams[seen["to"][1], payload] = None
            continue
        one, other = (*seen["from"], *seen["to"]), (*seen["to"], *seen["from"])
        if other in flows:
            answered.add(other)
        elif one not in answered:
            pieces = flows.setdefault(one, [])
            if payload not in pieces:  # sent once more, or seen twice on its way
                pieces.append(payload)
    return list(datagrams), [b"".join(pieces) for pieces in flows.values()]


def changed(payload: bytes) -> bytes:
    at = random.randrange(len(payload) * 8)
    return payload[: at // 8] + bytes([payload[at // 8] ^ 1 << at % 8]) + payload[at // 8 + 1 :]


async def replay(file: str, host: str, count: str, output: str) -> None:
    datagrams, flights = replayable(file)
    assert datagrams, "nothing was said on the LAN"
    assert flights, "nobody was dialled"
    heard: list[bytes] = []
    sent = 0
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind(("", 6771))
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4s", socket.inet_aton(GROUP), bytes(4)))
    ear.setblocking(False)
    listening = asyncio.get_running_loop().create_task(listen(ear, heard))
    print("under way", flush=True)
    for batch in batches(datagrams, flights, int(count)):
        answers = await asyncio.gather(*(once(host, port, payload) for port, payload in batch))
        heard += itertools.chain.from_iterable(answers)
        sent += len(batch)
    names = {match.decode().lower() for _, data in datagrams for match in _NAME.findall(data)}
    names |= {match.decode().lower() for data in flights for match in _NAME.findall(data)}
    for name in names:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            heard += await asyncio.to_thread(certificate, host, name, version)
    listening.cancel()
    ear.close()
    with Path(output).open("w") as out:
        out.writelines(json.dumps(data.hex()) + "\n" for data in heard)
    report = {"names": len(names), "sent": sent, "answers": len(heard), "bytes": sum(map(len, heard))}
    print(json.dumps(report | {"datagrams": len(datagrams), "flights": len(flights)}))


def batches(
    datagrams: list[tuple[int, bytes]], flights: list[bytes], count: int
) -> Iterator[list[tuple[int | None, bytes]]]:
    recorded: list[tuple[int | None, bytes]] = [*datagrams, *((None, flight) for flight in flights)]
    for start in range(0, count, _AT_A_TIME):
        batch = []
        for number in range(start, min(start + _AT_A_TIME, count)):
            port, payload = recorded[number % len(recorded)]
            batch.append((port, payload if number // len(recorded) % 2 == 0 else changed(payload)))
        yield batch


async def once(host: str, port: int | None, payload: bytes) -> list[bytes]:
    """What comes back for a datagram, or (no port) for a first flight."""
    loop = asyncio.get_running_loop()
    heard: list[bytes] = []
    kind = socket.SOCK_STREAM if port is None else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as raw, contextlib.suppress(OSError, TimeoutError):
        raw.setblocking(False)
        async with asyncio.timeout(_PATIENCE if port else 5):
            if port is None:
                await loop.sock_connect(raw, (host, 7008))
                await loop.sock_sendall(raw, payload)
            else:
                for there in (host, GROUP):
                    with contextlib.suppress(OSError):
                        raw.sendto(payload, (there, port))
            async with asyncio.timeout(_PATIENCE):
                while data := await loop.sock_recv(raw, 65_536):
                    heard.append(data)
    return [b"".join(heard)] if port is None and heard else heard


def certificate(host: str, name: str, version: ssl.TLSVersion) -> list[bytes]:
    """What a host shows to who repeats a name in a handshake of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["hardline/2"])
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, 7008), 5) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        return [tls.getpeercert(True) or b""]
    return []


async def listen(ear: socket.socket, heard: list[bytes]) -> None:
    while True:
        heard.append(await asyncio.get_running_loop().sock_recv(ear, 65_536))


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(sys.argv[2])
    else:
        asyncio.run(replay(*sys.argv[2:]))
