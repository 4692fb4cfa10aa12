"""For `--faults`: direct paths that are lost, come back, or are looked for in another network.

    visitors, and a neighbour that hosts ── rb ──┐                    ┌── ra ── a host that is punched for
                                                 ├── internet, relay ─┤
                            one moves here ──────┘                    └── ra, a port is open ── a host

Each visitor visits all three hosts, whose paths are lost at the same moment; a session is in use all the time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from daemons import Broken
from faults_lab import P2P, Scene, Visitor, at_once, cut, forwards, is_reached, until
from load import median
from measures import Row
from relay_nodes import Quiet

from tests.upnp.home import Box

_VISITORS = 3  # the last one moves
_BEST = {"punched": "PUNCHED", "direct": "DIRECT", "lan": "LAN"}  # of the path to each host
_BACK_WITHIN = 240.0
_EVERY = 0.2  # seconds between two looks, or two requests
_GONE = (25.0, 8.0, 40.0)  # seconds for which paths are lost at least, in turn: at first it is looked for them often
_A_ROUND = 12.0  # seconds that the tries of one take

ROWS = (
    Row("lost", "path lost: the next request by the relay, median of all", "s", "less", "figure", 5.0),
    *(Row(f"lost_{one}", f"  {kind}: the slowest", "s", "less", "figure", 5.0) for one, kind in _BEST.items()),
    Row("back_lan", "healed: back to LAN, the slowest", "s", "less", "figure", 90.0),
    Row("back_direct", "  back to direct, the slowest", "s", "less", "figure", 90.0),
    Row("back_punched", "  punched again, the slowest", "s", "less"),
    Row("late", "    later than status said, the slowest", "s", "less", "figure", _A_ROUND),
    Row("moved", "in another network: a page by any path, the slowest", "s", "less", "figure", 5.0),
    Row("moved_punched", "  a path of its own again, the slowest", "s", "less", "figure", 10.0),
)
# Row → what it is made of, in all rounds.
OF_ALL_ROUNDS = {
    key: (key, max)
    for key in (*(f"{what}_{one}" for what in ("lost", "back") for one in _BEST), "late", "moved", "moved_punched")
}


class Paths:
    """The daemons; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self._scene = scene = Scene(place, stack)
        self._lab = lab = scene.lab
        scene.relay("relay", lab.p, "11.22.33.10")
        open_to_all, self._neighbour = lab.machine("d", lab.ra), lab.machine("n", lab.rb)
        forwards(lab.ra, open_to_all)
        self._hosts: dict[str, Quiet] = {
            "punched": scene.host("punched", lab.a),
            "direct": scene.host("direct", open_to_all, f"[Node]\npublic = {lab.ra.wan}:{P2P}\n"),
            "lan": scene.host("lan", self._neighbour),
        }
        self._labels = {name: host.label("site") for name, host in self._hosts.items()}
        self._boxes: list[Box] = [lab.b, *(lab.machine(f"v{number}", lab.rb) for number in range(1, _VISITORS))]
        self._visitors = [scene.visitor(f"visitor{number}", box) for number, box in enumerate(self._boxes)]

    def measure(self, number: int) -> dict[str, float]:
        """One round: each path of each visitor once."""
        with contextlib.ExitStack() as stack:
            for visitor in self._visitors:  # one whose second path ends soon has no third one for some time
                stack.enter_context(visitor)
            pairs = [(visitor, name) for visitor in self._visitors for name in _BEST]
            at_once(lambda pair: self._goes_directly(*pair), pairs)
            *stay, moving = self._visitors
            with self._cut():
                began = time.perf_counter()
                seen = {**self._lost(pairs), **self._moves(moving)}
                time.sleep(max(0.0, _GONE[number % len(_GONE)] - (time.perf_counter() - began)))
            seen |= self._back([(visitor, name) for visitor in stay for name in _BEST])
        self._lab.plug(self._boxes[-1], self._lab.rb)
        until(lambda: all(is_reached(host) for host in self._hosts.values()), "all hosts are reached")
        return seen

    def _goes_directly(self, visitor: Visitor, name: str) -> None:
        def it_does() -> bool:
            visitor.visit(self._labels[name])
            return visitor.goes_by(self._labels[name]) == _BEST[name]

        until(it_does, f"{name} is visited by {_BEST[name]}", 60.0, _EVERY)

    @contextlib.contextmanager
    def _cut(self) -> Iterator[None]:
        """All of these paths, by whatever address."""
        theirs = ", ".join(box.run(["cat", "/sys/class/net/eth0/address"]).strip() for box in self._boxes)
        cut(self._lab, self._lab.ra, [self._lab.rb])
        self._neighbour.run(
            ["nft", "-f", "-"],
            'table netdev cut { chain in { type filter hook ingress device "eth0" priority 0; '
            f"ether saddr {{ {theirs} }} drop; }}; }}\n",
        )
        try:
            yield
        finally:
            self._lab.unmute()
            self._neighbour.run(["nft", "delete", "table", "netdev", "cut"])

    def _lost(self, pairs: list[tuple[Visitor, str]]) -> dict[str, float]:
        def one(pair: tuple[Visitor, str]) -> tuple[str, float]:
            visitor, name = pair
            return name, visitor.served_again(self._labels[name], _BEST[name])[0]

        took = at_once(one, pairs)
        slowest = {f"lost_{name}": max(seconds for of, seconds in took if of == name) for name in _BEST}
        return {"lost": median([seconds for _, seconds in took]), **slowest}

    def _moves(self, visitor: Visitor) -> dict[str, float]:
        """Its machine is plugged in elsewhere, where what was lost is not."""
        assert isinstance(visitor.at, Box)
        label = self._labels["punched"]
        self._lab.plug(visitor.at)
        began = time.perf_counter()
        served, _ = visitor.served_again(label, "nothing")
        self._until(visitor, label, "PUNCHED")
        return {"moved": served, "moved_punched": time.perf_counter() - began}

    def _back(self, pairs: list[tuple[Visitor, str]]) -> dict[str, float]:
        began = time.perf_counter()

        def one(pair: tuple[Visitor, str]) -> tuple[str, float, float]:
            visitor, name = pair
            told = self._until(visitor, self._labels[name], _BEST[name])
            now = time.perf_counter()
            return name, now - began, max(0.0, now - told)

        took = at_once(one, pairs)
        back = {f"back_{name}": max(seconds for of, seconds, _ in took if of == name) for name in _BEST}
        return back | {"late": max(late for of, _, late in took if of == "punched")}

    def _until(self, visitor: Visitor, label: str, kind: str) -> float:
        """Ask again and again until new streams go that way; when status said last that it would be tried."""
        told, limit = time.perf_counter(), time.perf_counter() + _BACK_WITHIN
        while (now := time.perf_counter()) < limit:
            visitor.served_again(label, "nothing")
            if visitor.goes_by(label) == kind:
                return told
            looks = [one["next_look_s"] for one in visitor.sessions(label) if one.get("next_look_s")]
            told = now + min(looks) if looks else told
            time.sleep(_EVERY)
        raise Broken(f"not visited by {kind} within {_BACK_WITHIN:g} s, but by {visitor.goes_by(label)}")
