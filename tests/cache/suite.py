"""The public suite "cache-tests" (cache-tests.fyi) against a caching proxy.

    node suite.mjs: the suite's client ─▶ what is tested ─▶ the suite's server (node)

    python -m tests.cache.suite             through a proxy over a plain HTTP server
    python -m tests.cache.suite --max-age 0 --tunnel     through two daemons

It is fetched by npm once, into the user's cache directory.  The package is older than the suite on GitHub:
suite_cases.mjs makes the newest cases of its own.

What is published of other caches counts neither the cases for browsers nor those about `CDN-Cache-Control`: that leaves
150 required ones and 98 optimal.  `counts` counts so, too; `measure` is for whoever wants nothing but the numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from platformdirs import user_cache_path

from hardline.cache.caching.origin import Origin
from hardline.cache.caching.proxy import CachingProxy
from hardline.cache.kept.store import Store
from hardline.settings.local import LocalService
from tests.support.alone import fetching
from tests.support.node import Node
from tests.support.waiting import wait_until

PACKAGE = "http-cache-tests@0.4.5"
_RUNNER = Path(__file__).with_name("suite.mjs")
_ORIGIN = Path(__file__).with_name("suite_origin.mjs")


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the suite: `kind` is required, optimal or check; `said` is why it did not pass.

    `cdn`: it is about `CDN-Cache-Control`, which the published results leave out.
    """

    id: str
    kind: str
    cdn: bool
    passed: bool
    said: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cases passed, of how many: as the published results of other caches are counted."""

    required: int
    required_of: int
    optimal: int
    optimal_of: int


def installed() -> Path | None:
    """The package's directory, fetched if it is not there; None when it cannot be fetched."""
    place = user_cache_path("hardline-tests") / PACKAGE.replace("@", "-")
    package = place / "node_modules" / "http-cache-tests"
    quietly = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    with fetching(place):
        if (package / "package.json").exists():
            return package
        command = ["npm", "install", *quietly, "--prefix", place, PACKAGE]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False)
    return None if done.returncode else package


@contextlib.contextmanager
def suite_server(package: Path) -> Iterator[int]:
    """The suite's origin on a port of 127.0.0.1."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    with subprocess.Popen(
        ["node", _ORIGIN, package, str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            wait_until(lambda: _listens(port), "the suite's server listens")
            yield port
        finally:
            server.kill()


def run(package: Path, base: str) -> list[Case]:
    """Run every case against `base`, such as http://127.0.0.1:8080."""
    command = ["node", "--no-warnings", _RUNNER, package, base]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True, stdin=subprocess.DEVNULL)
    return [Case(**case) for case in json.loads(done.stdout.splitlines()[-1])]


def passed(cases: Sequence[Case], kind: str) -> int:
    """How many cases of a kind passed."""
    return sum(case.passed for case in cases if case.kind == kind)


def failed(cases: Sequence[Case], kind: str) -> dict[str, str]:
    """Those that did not, and why."""
    return {case.id: case.said for case in cases if case.kind == kind and not case.passed}


def counts(cases: Sequence[Case]) -> Counts:
    """What came out, as the published results are counted."""
    counted = [case for case in cases if not case.cdn]
    required, optimal = ([case for case in counted if case.kind == kind] for kind in ("required", "optimal"))
    return Counts(passed(required, "required"), len(required), passed(optimal, "optimal"), len(optimal))


def measure(directory: Path) -> Counts | None:
    """The suite through two daemons, in about a minute; None where it cannot be fetched.  `directory` is theirs, empty.

    Nothing is fresh that does not say so, as the suite wants it: it calls that its default caching off.
    """
    package = installed()
    return None if package is None else counts(through_a_tunnel(package, directory, 0.0))


@contextlib.asynccontextmanager
async def plain_proxy(root: Path, origin: int, max_age: float) -> AsyncIterator[int]:
    """A caching proxy on a port of 127.0.0.1."""
    store = Store(root, max_size=1 << 28, clock=time.time)
    await store.open()
    proxy = CachingProxy(store, Origin(LocalService("tcp", "127.0.0.1", origin)), max_age=max_age)
    server = web.Server(proxy.respond, handler_cancellation=True, access_log=None, auto_decompress=False)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await server.shutdown(1.0)
        await proxy.aclose()
        await store.aclose()


def through_a_plain_proxy(package: Path, max_age: float) -> list[Case]:
    """The suite, with nothing but the proxy in between."""

    async def main(root: Path, origin: int) -> list[Case]:
        async with plain_proxy(root, origin, max_age) as port:
            return await asyncio.to_thread(run, package, f"http://127.0.0.1:{port}")

    with tempfile.TemporaryDirectory() as root, suite_server(package) as origin:
        return asyncio.run(main(Path(root), origin))


def through_a_tunnel(package: Path, directory: Path, max_age: float) -> list[Case]:
    """The suite, through the proxy of a hosting daemon and the door of a visiting one."""
    with suite_server(package) as origin, Node(directory / "host") as host, Node(directory / "visitor") as visitor:
        cache = f"[Cache]\ndirectory = site\nmaxAge = {max_age:.0f}\n"
        host.write("site", f"[Service]\nservice = 127.0.0.1\nport = {origin}\n{cache}")
        return run(package, visitor.url_of(host.label("site")).rstrip("/"))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-age", type=float, default=7 * 86_400.0)
    parser.add_argument("--tunnel", action="store_true")
    options = parser.parse_args()
    package = installed()
    if package is None:
        parser.exit(1, "the suite cannot be fetched\n")
    if options.tunnel:
        with tempfile.TemporaryDirectory() as directory:
            cases = through_a_tunnel(package, Path(directory), options.max_age)
    else:
        cases = through_a_plain_proxy(package, options.max_age)
    for kind in ("required", "optimal", "check"):
        for name, said in failed(cases, kind).items():
            print(f"{kind:8}  {name}: {said}")
    for kind in ("required", "optimal", "check"):
        print(f"{kind:8}  {passed(cases, kind)} of {sum(case.kind == kind for case in cases)}")
    published = counts(cases)
    print(f"as published: required {published.required} of {published.required_of}, ", end="")
    print(f"optimal {published.optimal} of {published.optimal_of}")


if __name__ == "__main__":
    main()
