"""For `--faults`: what runs in a laboratory, and visits whose path is known.

visitors ── rb ── 30 ms ──┐
                          ├── internet ── relays          the laboratory is tests/punch/lab.py
hosts ───── ra ── 20 ms ──┘
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import lab
from daemons import Broken
from load import Door, first_byte
from origin import Origin
from relay_nodes import Quiet

from tests.punch.lab import Lab, Router
from tests.reach.world import settings
from tests.support.node import free_port
from tests.upnp.home import Box

P2P = 7008
AGAIN = 0.02  # seconds until who was refused asks again
_PATIENCE = 300.0  # seconds: more is no figure any more
_ORIGINS_BYTES = 20_000_000
Given = TypeVar("Given")
Value = TypeVar("Value")


class Scene:
    """A laboratory with what is started in it; it ends with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._place, self._stack = place, stack
        self.lab = stack.enter_context(Lab())
        self._use: list[str] = []

    def relay(self, name: str, box: Box, address: str) -> Quiet:
        """A relay for everybody that is started later."""
        made = self._run(name, box, "[Relay]\nenabled = yes\nallow = *\n")
        self._use.append(made.line(f"{address}:{P2P}"))
        return made

    def host(self, name: str, box: Box, more: str = "") -> Quiet:
        """One that all relays have reached, with a service of its own, "site"."""
        with lab.inside(box.namespace):
            origin = Origin(self._place / f"{name}-origin", _ORIGINS_BYTES)
        self._stack.callback(origin.stop)
        made = self._run(name, box, f"[Relay]\nuse = {', '.join(self._use)}\n{more}")
        made.share("site", origin.files_port)
        until(lambda: is_reached(made), f"{name} was reached by all relays")
        return made

    def visitor(self, name: str, box: Box, more: str = "") -> Visitor:
        """One that is not started; `more` begins in [Relay]."""
        said = settings(dht=False, more=f"[Relay]\nuse = {', '.join(self._use)}\n{more}")
        made = Visitor(self._place / name, at=box, settings=said)
        made.localport, made.p2pport = free_port(), free_port()
        return made

    def _run(self, name: str, box: Box, more: str) -> Quiet:
        return self._stack.enter_context(Quiet(self._place / name, at=box, settings=settings(dht=False, more=more)))


class Visitor(Quiet):
    """One of whom it is known by which path he visits."""

    def door(self, label: str) -> Door:
        """Where a program of his machine asks for it."""
        return Door(self.localport, f"{label}.localhost:{self.localport}")

    def visit(self, label: str) -> float:
        """Seconds to the first byte of a page that came whole.  Raises Broken, OSError where none did."""
        assert isinstance(self.at, Box)
        with lab.inside(self.at.namespace):
            return first_byte(self.door(label))

    def served_again(self, label: str, without: str) -> tuple[float, int]:
        """Seconds until a page came by another path than that (a kind, or an endpoint), and how many requests failed
        before."""
        began, failed = time.perf_counter(), 0
        while True:
            try:
                self.visit(label)
            except (Broken, OSError) as failure:
                failed += 1
                if time.perf_counter() - began > _PATIENCE:
                    raise Broken(f"not served after {_PATIENCE:g} s: {failure}") from None
                time.sleep(AGAIN)
                continue
            took = time.perf_counter() - began
            visit = self.last(label)
            if without in (visit["kind"], visit["endpoint"]):
                raise Broken(f"served by {without}, which is cut")
            return took, failed

    def last(self, label: str) -> dict[str, Any]:
        """What status says of the last visit."""
        found: dict[str, Any] = [visit for visit in self.says()["visits"] if visit["label"] == label][-1]
        return found

    def sessions(self, label: str) -> list[dict[str, Any]]:
        """Those to a service which take new streams."""
        return [
            one
            for one in self.says()["sessions"]
            if one["role"] == "visiting" and one["label"] == label and not one["draining"]
        ]

    def goes_by(self, label: str) -> str:
        """The kind of path that new streams take: a better one is not good before what it replaces takes none; "" where
        there is no session."""
        kinds = {one["kind"] for one in self.sessions(label)}
        return next((kind for kind in ("RELAYED", "PUNCHED", "DIRECT", "LAN") if kind in kinds), "")


def until(condition: Callable[[], Value], what: str, limit: float = _PATIENCE, every: float = 0.05) -> float:
    """Seconds until it is true."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > limit:
            raise Broken(f"not within {limit:g} s: {what}")
        time.sleep(every)
    return time.perf_counter() - began


def is_reached(host: Quiet) -> bool:
    """Every relay that it uses has reached it by all of its names: its service's, a rolling one and a handle."""
    used = host.says()["relays"]["used"]
    return bool(used) and all(one["state"] == "registered" and one["tested"] >= 3 for one in used)


def cut(scene: Lab, one: Box, others: Iterable[Box]) -> None:
    """Nothing goes between them any more, and nobody is told."""
    for other in others:
        scene.mute(one, other)
        scene.mute(other, one)


def forwards(router: Router, box: Box) -> None:
    """The router's owner has opened the port of a machine."""
    to = f"{router.inside}{router.machines[box]}:{P2P}"
    router.run(
        ["nft", "-f", "-"],
        "add table ip opened; add chain ip opened in { type nat hook prerouting priority dstnat - 5; }\n"
        f"add rule ip opened in iifname wan tcp dport {P2P} dnat to {to}",
    )


def at_once(work: Callable[[Given], Value], given: Iterable[Given]) -> list[Value]:
    """What each gave, all of them at the same time; raises what one raised."""
    done: list[Value] = []
    wrong: list[Exception] = []

    def one(what: Given) -> None:
        try:
            done.append(work(what))
        except (Broken, OSError, AssertionError, LookupError) as failure:
            wrong.append(failure)

    threads = [threading.Thread(target=one, args=(what,)) for what in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise Broken(str(wrong[0])[:500])
    return done


class Asking(threading.Thread):
    """Somebody who asks for a page, one request after the other, until the end of the block."""

    def __init__(self, visitor: Visitor, label: str, every: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._visitor, self._label, self._every = visitor, label, every
        self._over = threading.Event()
        self.asked = 0
        self.failures: list[str] = []

    def run(self) -> None:
        """Ask."""
        while not self._over.wait(self._every):
            self.asked += 1
            try:
                self._visitor.visit(self._label)
            except (Broken, OSError) as failure:
                self.failures.append(str(failure) or type(failure).__name__)
                time.sleep(AGAIN)

    @contextlib.contextmanager
    def meanwhile(self) -> Iterator[Asking]:
        """The block."""
        self.start()
        try:
            yield self
        finally:
            self._over.set()
            self.join()
