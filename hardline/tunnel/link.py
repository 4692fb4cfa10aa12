"""One label as seen from here: nobody there, being dialled, or reached by one path or several.

    Link ─┬─ Path   new streams go by the best kind, then to the host that has least to do
          ├─ Path   full: not now
          └─ Path   drains: no new ones, and it ends with its last

A host that restarts, a changed password or a better path leave downloads behind that go on: their path is in the same
table as all others until it ends, so that status shows it, a change of network reaches it and the end of the process
waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hardline import log
from hardline.errors import ConnectionLost, HardlineError
from hardline.identity import Label
from hardline.outcome import Outcome
from hardline.routes import Endpoint, PathKind, Via
from hardline.session.session import Session, SessionLimits
from hardline.tunnel.attempts import Route
from hardline.tunnel.originals import Greeted

_MOST_OWN = 64  # ways that one host has named


@dataclass(eq=False, slots=True)
class Path:
    """A session and the way it took.

    `title`, `instance` and `own`, the ways on which it is reached, too, are the host's words, empty before its hello;
    `remembered`: they are those that the memory has of it.
    `invite` is the secret that was shown there.  `turn` is when a stream took it last, in the count of its Link.  A
    `spare` one is beside another to the same host (bundle.py).
    """

    label: Label
    session: Session
    route: Route
    title: str = ""
    instance: str = ""
    own: frozenset[Endpoint | Via] = frozenset()
    remembered: bool = False
    invite: str = field(default="", repr=False)
    turn: int = 0
    spare: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)  # it may be over, or of no more use
    hello: Outcome = field(default_factory=Outcome)  # settled when the host has said it, or will not
    punched: Outcome = field(default_factory=Outcome)  # of one by a relay: settled when the try for it is over
    punching: str = ""  # why nothing came of that, for people
    was_tried: bool = True  # or there was no room for it
    slowest: float = 0.0  # seconds that its round trip may have, as long as it is to be better than others; 0 for any

    def greeted(self, title: str, instance: str, own: Iterable[Endpoint | Via] = ()) -> None:
        """The host's hello came."""
        took = asyncio.get_running_loop().time() - self.session.opened_at
        self.title, self.instance, self.own = title, instance, frozenset(own)
        self.route = replace(self.route, steps=replace(self.route.steps, hello=took))
        self.hello.settle()

    def heard(self, title: str | None, also: Iterable[Endpoint | Via]) -> None:
        """The host said of itself what it had not said before: its title, None for the same, and where it is reached,
        `also`: where it was before nobody else is."""
        if title is not None:
            self.title = title
        if named := frozenset(also):
            self.own = self.own | named if len(self.own) < _MOST_OWN else named


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What holds for the paths of one label; `keepwarm` in seconds, None for always."""

    session: SessionLimits
    keepwarm: float | None
    bundle: int


Dial = asyncio.Task[Path | Greeted]

IN_USE = 60.0  # seconds after the last stream that a link counts as used
SPARE_WARM = 30.0  # seconds after its last stream that a spare session is kept


class Link:
    """The paths to the host of `label`, and the dial for one more; one that nobody uses for a while ends.

    `is_kept`: somebody dials by himself (warmlink.py), and `down` then says why there is no path, None where a visit
    may look for one.  `news` is set whenever a path came, is over, or takes no new streams.
    """

    def __init__(self, label: Label, limits: LinkLimits) -> None:
        self.label, self.limits = label, limits
        self.paths: list[Path] = []
        self.dialling: Dial | None = None
        self.is_kept = False
        self.down: HardlineError | None = None
        self.news = asyncio.Event()
        self._turns = 0

    @property
    def is_over(self) -> bool:
        """There is nothing here to keep."""
        return not self.paths and self.dialling is None and not self.is_kept

    def best(self) -> Path | None:
        """The path that a new stream takes.

        One whose host has not said hello yet may still turn out to be none: it waits behind those that have, and one
        that owes an answer behind those that do not.  Of several hosts that have as much to do it is each one's turn.
        """
        usable = [path for path in self.paths if path.session.usable]
        if len(usable) < 2:
            return usable[0] if usable else None
        load: Counter[str] = Counter()
        turn: Counter[str] = Counter()
        for path in self.paths:
            load[path.instance] += path.session.open_streams
            turn[path.instance] = max(turn[path.instance], path.turn)
        bundled = any(path.spare for path in usable)

        def rank(path: Path) -> tuple[object, ...]:
            session, instance, kind = path.session, path.instance, path.route.candidate.kind
            # Several sessions that are no bundle: the first, so that the others can end.
            streams = session.open_streams if bundled else 0
            return not session.greeted, session.owes, kind, load[instance], turn[instance], streams

        return min(usable, key=rank)

    def took(self, path: Path) -> None:
        """A new stream takes `path`."""
        self._turns += 1
        path.turn = self._turns

    def has_as_good(self, path: Path) -> bool:
        """Another path of as good a kind is in use: what worked there need not be forgotten for this one."""
        kind = path.route.candidate.kind
        others = (one for one in self.paths if one is not path and one.session.usable and one.session.greeted)
        return any(one.route.candidate.kind <= kind for one in others)

    def is_used(self, now: float) -> bool:
        """Streams are open, or were a moment ago, or it is kept for those to come; `now` by the loop."""
        return self.is_kept or any(
            path.session.open_streams or now - path.session.last_used < IN_USE for path in self.paths
        )

    def goes_by_relay(self) -> bool:
        """What is opened now does."""
        best = self.best()
        return best is not None and best.route.candidate.kind is PathKind.RELAYED

    def add(self, path: Path) -> None:
        """There is one more."""
        self.paths.append(path)
        self.news.set()
        path.session.on_idle = lambda: self._has_news(path)
        path.session.closed.add_done_callback(lambda _: self._is_closed(path))

    def _is_spare(self, path: Path) -> bool:
        return path.spare and any(not one.spare and one.instance == path.instance for one in self.paths)

    def _is_closed(self, path: Path) -> None:
        path.hello.settle(path.session.failure or ConnectionLost("it ended before the host's hello"))
        path.punched.settle()
        self._has_news(path)

    def _has_news(self, path: Path) -> None:
        path.news.set()
        self.news.set()

    def _cold_at(self, path: Path, now: float) -> float | None:
        """When `path` is over if no new stream takes it; None for never."""
        keepwarm = self.limits.keepwarm
        if self._is_spare(path):
            keepwarm = SPARE_WARM if keepwarm is None else min(keepwarm, SPARE_WARM)
        used = now if path.session.open_streams else path.session.last_used
        return None if keepwarm is None else used + keepwarm

    async def keep(self, path: Path) -> None:
        """Have `path` among the others until it is over."""
        session, loop = path.session, asyncio.get_running_loop()
        while not session.closed.done():
            path.news.clear()
            cold_at = self._cold_at(path, loop.time())
            if session.draining and not session.open_streams:
                await session.aclose(ConnectionLost("it took no new streams, and its last one ended"))
            elif cold_at is not None and cold_at <= loop.time():
                await session.aclose(ConnectionLost("not used for a while"))
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(cold_at):
                        await path.news.wait()
        self.paths.remove(path)
        self.news.set()
        reason = session.failure.message if isinstance(session.failure, HardlineError) else "closed"
        log.event("session.ended", service=self.label.key_hash.short, reason=reason)
