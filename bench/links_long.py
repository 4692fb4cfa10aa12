"""For `--links`: 10 MB over 150 ms and 30 Mbit/s, as a share of those: the first of a session, the next, after a pause.

    client ── visitor ══ host                as the kernel sends, and with another congestion control
    client ───────────── service             plain TCP, on a connection that is kept

TCP begins slowly: with a first window of ten packets nobody has the first 10 MB at more than 0.76, and what becomes of
the window in a pause is the congestion control's to say (docs/decisions/0016-long-links.md).
"""

from __future__ import annotations

import contextlib
import http.client
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import lab
from daemons import Broken
from links_way import Link, Way, settings
from load import median
from measures import Row
from origin import TINY, Origin
from relay_nodes import Quiet

from hardline.transport.socketoptions import why_not

_ROUND_TRIP, _MEGABITS, _MUCH = 0.15, 30, 10_000_000
_MB, _LINK = _MUCH // 10**6, f"{1e3 * _ROUND_TRIP:g} ms and {_MEGABITS} Mbit/s"
_PAUSE, _PAUSES = 10.0, 3  # seconds; times

ROWS = (
    Row("again", f"{_MB} MB over {_LINK}: of the link", "×", "more", "figure", 0.8),
    Row("paused", f"  {_MB} MB after a pause of {_PAUSE:g} s", "×", "more", "figure", 0.8),
    Row("begun", f"  the first {_MB} MB of a session", "×", "more", "figure", 0.8),
    Row("paused_byte", "  first byte of those after a pause", "ms", "less"),
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Seconds, connecting included."""

    first_byte: float
    total: float


class Client:
    """One whose connection is kept: made for its first request, in whatever namespace that is made."""

    def __init__(self, address: tuple[str, int], origin: Origin) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=60)
        self._held = {"/tiny": TINY, "/bulk": origin.bulk.read_bytes()}
        self.ended = 0.0  # when the last answer was whole

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str) -> Fetched:
        """One of the service's files, which arrives whole."""
        began = time.perf_counter()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        first_byte = time.perf_counter() - began
        body = answer.read()
        self.ended = time.perf_counter()
        if answer.status != 200 or body != self._held[path]:
            raise Broken(f"answered {answer.status} and {len(body)} bytes, which are not those of {path}")
        return Fetched(first_byte, self.ended - began)


class Long:
    """Two hosts of one service, which send in two ways; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self._place, self._way = place, Way(place, stack, _ROUND_TRIP, _MUCH, _MEGABITS)
        own = self._way.host.run(["sysctl", "-n", "net.ipv4.tcp_congestion_control"]).strip()
        print(f"much at once: the kernel sends by {own}", flush=True)
        self._hosts = {"hardline": ""}
        with lab.inside(self._way.host.namespace):
            if other := next((one for one in ("cubic", "bbr") if one != own and not why_not(one)), ""):
                self._hosts[other] = f"[Session]\ncongestion = {other}\n"
        self._labels = dict[int, str]()
        for number, (name, more) in enumerate(self._hosts.items()):
            host = Quiet(place / name, at=self._way.host, settings=settings(more=more))
            host.p2pport, host.localport = 7008 + 10 * number, 7009 + 10 * number
            stack.enter_context(host).share("site", self._way.origin.files_port)
            self._labels[host.p2pport] = host.label("site")

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round, of a visitor that is started for it."""
        seen: dict[str, dict[str, float]] = {name: {} for name in (*self._hosts, "TCP")}
        visitor = Quiet(self._place / f"visitor{number}", at=self._way.visitor, settings=settings(self._labels))
        with visitor, contextlib.ExitStack() as stack, lab.inside(self._way.visitor.namespace):
            links = [Link(visitor, number) for number in range(len(self._hosts))]
            for link in links:
                link.comes_to("up")
            addresses = [*(link.address for link in links), self._way.address]
            clients = {
                name: stack.enter_context(Client(address, self._way.origin))
                for name, address in zip(seen, addresses, strict=True)
            }
            for name, client in clients.items():
                client.get("/tiny")  # plain TCP has its handshake behind it, too
                time.sleep(1.0)
                seen[name] = {key: _share(client.get("/bulk").total) for key in ("begun", "again")}
            paused: dict[str, list[Fetched]] = {name: [] for name in clients}
            for _ in range(_PAUSES):
                for name, client in clients.items():
                    time.sleep(max(0.0, client.ended + _PAUSE - time.perf_counter()))
                    paused[name].append(client.get("/bulk"))
        for name, fetched in paused.items():
            seen[name]["paused"] = median([_share(one.total) for one in fetched])
            seen[name]["paused_byte"] = 1e3 * median([one.first_byte for one in fetched])
        return seen


def _share(seconds: float) -> float:
    return 8 * _MUCH / 1e6 / _MEGABITS / seconds
