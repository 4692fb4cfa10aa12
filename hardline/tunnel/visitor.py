"""The visitor's side: from a label to a pipe into the service behind it.

    visit(label) ─▶ Link: a path? ──yes──▶ open a stream
                        └──no──▶ dial once for all who wait ─▶ hello ─▶ keep the session warm

A dial that failed is remembered for a few seconds and answered at once, while a new one runs in the background.
Source: docs/PROTOCOL.md, sections 3 to 5 and 7.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hardline.errors import (
    AccessRefused,
    ConnectionLost,
    HardlineError,
    LimitReached,
    PasswordRefused,
    PeerError,
    ServiceFailed,
    afresh,
)
from hardline.identity import KeyHash, Label
from hardline.proof import VISITOR, Prover
from hardline.routes import Candidate, Endpoint, NoRoute, PathKind, Via, parse_wan_hosts
from hardline.session import hello
from hardline.session.news import News
from hardline.session.session import Session, SessionLimits
from hardline.session.status import StatusReader
from hardline.session.stream import Stream
from hardline.session.watch import RELAYED_PATIENCE
from hardline.showable import clean_title
from hardline.tasks import TaskSet
from hardline.transport.sources import Source, source_of
from hardline.tunnel import hearnews
from hardline.tunnel.absence import Absences
from hardline.tunnel.attempts import Route
from hardline.tunnel.bundles import Bundles
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.hearnews import REMEMBERED_AFTER, TAKEN_BACK, NewsReader
from hardline.tunnel.link import Dial, Link, LinkLimits, Path
from hardline.tunnel.originals import Greeted, Originals
from hardline.tunnel.pools import Pools
from hardline.tunnel.punched import PunchedPaths, Punches
from hardline.tunnel.upgrade import Upgrades
from hardline.tunnel.visit import Visit, VisitRecord

if TYPE_CHECKING:
    from hardline.tunnel.warmlink import WarmLink

_LOG_LENGTH = 50
_INSTANCE = 64  # characters of what tells several hosts of one certificate apart
_UNTAKEN = 0.5  # seconds that a greeted original waits for whoever takes it
_WAITS = 60.0  # seconds that other endpoints come before one that said `wait`

_INVITED_ONLY = "the owner of the service lets in whom he has invited"
_INVITE = {
    "used": "the invitation was used already",
    "expired": "the invitation has expired",
    "withdrawn": "the invitation was withdrawn",
}


class Invitations(Protocol):
    """What the user was given to be let in somewhere for the first time (peers.accepted)."""

    def secret(self, host: KeyHash) -> str: ...
    def over(self, host: KeyHash, secret: str) -> None: ...


class Memory(hearnews.Memory, Protocol):
    """Where routes that worked are kept (peers.remembered)."""

    async def worked(self, target: KeyHash, endpoint: Endpoint, kind: PathKind, protocol: str) -> None: ...


@dataclass(frozen=True, slots=True)
class VisitorLimits:
    """The settings that a visitor needs; times in seconds.  `own` are those of labels that have others than all."""

    session: SessionLimits
    sessions: int = 1000
    keepwarm: float = 600.0
    negative_cache: float = 5.0
    hello_timeout: float = 10.0
    bundle: int = 4
    own: Mapping[KeyHash, LinkLimits] = field(default_factory=dict)

    def of(self, label: Label) -> LinkLimits:
        """Those of one label."""
        return self.own.get(label.key_hash) or LinkLimits(self.session, self.keepwarm, self.bundle)


class Visitor:
    """A Link for every label that is visited, with `limits` over all of them.

    `nearby` dials without asking the world, for what is looked for again and again; `prover` says as whom this node
    visits a service, where it does not so anonymously, and `invitations` what it shows there besides; `punches` takes
    part in tries to get through routers, None for nobody; `changed` is called when there are other paths than before.
    """

    def __init__(
        self,
        dialer: Dialer,
        memory: Memory,
        limits: VisitorLimits,
        *,
        nearby: Dialer | None = None,
        prover: Callable[[KeyHash], Prover | None] = lambda key_hash: None,
        invitations: Invitations | None = None,
        punches: Punches | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._dialer = dialer
        self._upgrades = Upgrades(dialer, nearby or dialer, self._begin_session)
        self._punched = PunchedPaths(punches, dialer, self._upgrades, self._begin_session) if punches else None
        self._pools = Pools(dialer, nearby or dialer, self._begin_session, self._has_room)
        self._bundles = Bundles(dialer, self._begin_session, self._has_room)
        self._memory = memory
        self._news = NewsReader(memory, self._punched, changed)
        self._limits = limits
        self._prover, self._invitations, self._changed = prover, invitations, changed
        self._tasks = TaskSet("visitor")
        self._links: OrderedDict[Label, Link] = OrderedDict()  # last visited last
        self._kept: list[WarmLink] = []
        self._absences = Absences(limits.negative_cache, limits.sessions)
        self._put_off: OrderedDict[tuple[KeyHash, Endpoint], float] = OrderedDict()  # until when
        self.originals = Originals(limits.sessions, limits.hello_timeout)
        self.recent: deque[VisitRecord] = deque(maxlen=_LOG_LENGTH)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that lead somewhere now, those that drain included."""
        return tuple(path for link in self._links.values() for path in link.paths)

    def next_look(self, label: Label) -> float | None:
        """When a better path to a host that is visited by a relay is looked for next, by the loop; None where nobody
        looks."""
        if (link := self._links.get(label)) is None:
            return None
        times = [self._upgrades.next_look(link), self._punched.next_try(link) if self._punched else None]
        return min((at for at in times if at is not None), default=None)

    def keep_warm(self, label: Label, known: Sequence[Candidate], interval: float) -> WarmLink:
        """A link that dials by itself, `known` ways every `interval` seconds at least, once it runs.

        While it is down, visits to `label` are told so at once.
        """
        from hardline.tunnel.warmlink import WarmLink

        kept = WarmLink(
            self._link(label),
            self._dialer,
            self._begin_session,
            known,
            interval,
            self._limits.hello_timeout,
            self._changed,
        )
        self._kept.append(kept)
        return kept

    def is_warm(self, label: Label) -> bool:
        """Whether a visit would begin without looking for its host."""
        return label in self.originals or self._best(label) is not None

    async def visit(self, label: Label, first: bytes) -> Visit:
        """Open a pipe into the service of `label` and send `first` through it.

        Raises NoRoute when nobody can be reached (at once, when that is known already),
        LimitReached, PeerError or ConnectionLost.  Safe to cancel; a dial that others wait for goes on.
        """
        record = VisitRecord(label)
        self.recent.append(record)
        try:
            return await self._visit(label, first, record)
        except HardlineError as failure:
            record.status = type(failure).__name__
            raise

    async def reach(self, label: Label) -> None:
        """Have a session with the host of `label`, by which a visit would begin at once.  Raises as `visit` does."""
        if not self.is_warm(label):
            self._refuse_kept(label)
            await self._dial_shared(label)

    async def greet(self, label: Label) -> Path | None:
        """Have a session whose host has said hello, and the path that it takes; None for one of hardline/1.

        Raises as `visit` does, also what the host refuses with.
        """
        while True:
            path = self._best(label)
            if path is None:
                dialled = await self._dial_shared(label)
                if isinstance(dialled, Greeted):
                    return None
                path = dialled
            try:
                await path.hello
            except AccessRefused:
                if self._invite(label.key_hash) in ("", path.invite):
                    raise
            else:
                return path

    def visit_at_once(self, label: Label, first: bytes) -> Visit | None:
        """As `visit`, where a session is there and nothing has to be waited for; else None, and nothing was done."""
        path = self._best(label)
        if path is None or not path.session.takes(len(first)):
            return None
        record = VisitRecord(label)
        try:
            stream = path.session.open_stream()
        except HardlineError:
            return None  # `visit` finds out more
        if stream.session.put(stream, memoryview(first)) < len(first):
            stream.abort()  # what was flushed for it to be opened has filled the socket
            return None
        path.session.hurry()  # the host has something to do meanwhile
        self._took(label, path, record)
        self.recent.append(record)
        return Visit(stream, record, True, StatusReader())

    def heard_of(self, key_hash: KeyHash, *, sure: bool = False) -> None:
        """Somebody says that it is there, or, where it is `sure`, it is served here: nobody is told that it is absent
        who has not looked since."""
        self._absences.heard(key_hash, asyncio.get_running_loop().time(), sure=sure)

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: sessions by one that is gone end, and who was absent may be there."""
        self._absences.clear()
        self._upgrades.network_changed()
        self._pools.network_changed()
        self._bundles.network_changed()
        for path in self.paths:
            path.session.network_changed(addresses)
        for kept in self._kept:
            kept.network_changed()

    async def aclose(self) -> None:
        """End every session."""
        await self._tasks.aclose()  # before them: a dial that comes to its end would begin another one
        await asyncio.gather(*(path.session.aclose() for path in self.paths))
        await self._tasks.aclose()
        await self._news.aclose()

    async def _visit(self, label: Label, first: bytes, record: VisitRecord) -> Visit:
        path = self._best(label)
        reused = path is not None
        while path is None:
            self._refuse_kept(label)
            dialled = await self._dial_shared(label)
            if isinstance(dialled, Greeted):
                return await self.originals.visit(dialled, first, record)
            # Those who waited for one dial may be more than its session takes.
            path = self._best(label) if dialled.session.is_full else dialled
        stream = self._open(label, path, record)
        try:
            await stream.send(first)
        except BaseException:
            await stream.aclose()
            raise
        return Visit(stream, record, reused, StatusReader())

    def _refuse_kept(self, label: Label) -> None:
        """Nobody waits for a link that dials by itself, and one session is all that it may have."""
        link = self._links.get(label)
        if link is None or not link.is_kept:
            return
        if link.down is not None:
            raise afresh(link.down)
        if link.limits.bundle < 2 and any(path.session.is_full for path in link.paths):
            most = link.limits.session.streams
            raise LimitReached(f"{most} connections are open, as many as [Peer:] max_streams allows")

    def _open(self, label: Label, path: Path, record: VisitRecord) -> Stream:
        self._took(label, path, record)
        return path.session.open_stream()

    def _took(self, label: Label, path: Path, record: VisitRecord) -> None:
        """A new stream takes `path`."""
        if label in self._links:  # a refusal may have ended it already: the stream says so
            self._links.move_to_end(label)
            link = self._links[label]
            link.took(path)
            self._bundle(link, path)
        record.candidate, record.protocol = path.route.candidate, path.route.protocol

    # Dialling.

    async def _dial_shared(self, label: Label) -> Path | Greeted:
        if label in self.originals:
            return await self._dial(label)
        dial = await self._known_absent(label)
        dialled = await asyncio.shield(dial or self._dial_under_way(label) or self._start_dial(label))
        while isinstance(dialled, Greeted) and not dialled.waiting:
            dialled = await self._dial(label)
        return dialled

    async def _known_absent(self, label: Label) -> Dial | None:
        """The dial that found again who was absent a moment ago; None where that is not known or too long ago.

        Raises NoRoute as long as nobody did.
        """
        absence = self._absences.get(label.key_hash, asyncio.get_running_loop().time())
        if absence is None:
            return None
        dial = self._dial_under_way(label)
        if absence.look_again and dial is None:
            dial = self._start_dial(label)
        if not self._absences.counts(absence):
            return None
        if dial is not None:
            await asyncio.wait([dial], timeout=absence.patience)
        if dial is None or not dial.done() or dial.cancelled() or dial.exception() is not None:
            raise NoRoute(absence.failure.target, absence.failure.attempts, absence.failure.reasons)
        return dial

    def _dial_under_way(self, label: Label) -> Dial | None:
        link = self._links.get(label)
        return link.dialling if link is not None else None

    def _start_dial(self, label: Label) -> Dial:
        link = self._link(label)
        dial = self._tasks.start(self._dial(label), f"dial.{label.key_hash.short}", expects=HardlineError)
        link.dialling = dial

        def ended(dial: Dial) -> None:
            link.dialling = None
            self._drop_if_over(link)

        dial.add_done_callback(ended)
        dial.add_done_callback(_discard_later)
        return dial

    async def _dial(self, label: Label) -> Path | Greeted:
        key_hash, loop = label.key_hash, asyncio.get_running_loop()
        try:
            route = await self._route(label)
        except NoRoute as failure:
            self.originals.forget(label)
            self._absences.add(key_hash, failure, loop.time())
            raise
        self._absences.forget(key_hash)
        try:
            if route.protocol == "hardline/2":
                self.originals.forget(label)  # it is none any more: all who visit share one session
                return await self._begin_session(route, label)
            greeted = await self.originals.greet(route, label)
        except BaseException:
            route.tls.abort()
            raise
        self._remember(key_hash, route, News(greeted.wan_hosts))
        return greeted

    async def _route(self, label: Label) -> Route:
        """One that was verified; looked for once more where the host surely came while nobody was found."""
        key_hash, began = label.key_hash, asyncio.get_running_loop().time()
        try:
            return await self._dialer.dial(key_hash, self.originals.path(label), self._waits(key_hash))
        except NoRoute:
            if not self._absences.is_there_since(key_hash, began):
                raise
        return await self._dialer.dial(key_hash, self.originals.path(label), self._waits(key_hash))

    def _waits(self, key_hash: KeyHash) -> frozenset[Endpoint]:
        """Where the host knows us by a network that guesses: elsewhere it may see another one."""
        now = asyncio.get_running_loop().time()
        return frozenset(at for (host, at), until in self._put_off.items() if host == key_hash and now < until)

    # Links.

    def _best(self, label: Label) -> Path | None:
        link = self._links.get(label)
        return link.best() if link is not None else None

    def _link(self, label: Label) -> Link:
        if label not in self._links:
            self._links[label] = Link(label, self._limits.of(label))
        return self._links[label]

    def _drop_if_over(self, link: Link) -> None:
        if link.is_over and self._links.get(link.label) is link:
            del self._links[link.label]

    async def _keep(self, link: Link, path: Path) -> None:
        await link.keep(path)
        self._drop_if_over(link)
        self._improve(link)  # what is left may be another host's, by a relay
        self._changed()

    def _bundle(self, link: Link, path: Path) -> None:
        if self._bundles.wants(link, path):
            self._tasks.start(self._bundles.watch(link, path.instance), f"bundle.{link.label.key_hash.short}")

    def _has_room(self) -> bool:
        return len(self.paths) < self._limits.sessions

    async def _make_room(self) -> None:
        paths = self.paths
        if len(paths) < self._limits.sessions:
            return
        for path in paths:
            if not path.session.open_streams and not self._link(path.label).is_kept:
                await path.session.aclose(ConnectionLost("max_sessions: others needed the room"))
                return
        raise LimitReached(f"{len(paths)} sessions are in use ([Session] max_sessions)")

    # Sessions.

    async def _begin_session(self, route: Route, label: Label) -> Path:
        await self._make_room()
        client, invite = None, ""
        if (prover := self._prover(label.key_hash)) is not None:
            client = prover.prove(VISITOR, route.tls.exporter(VISITOR, label.key_hash))
            invite = self._invite(label.key_hash)
        kind = route.candidate.kind
        reached = "" if kind is PathKind.PUNCHED else str(route.candidate.endpoint)
        ours = hello.VisitorHello(label.password, reached, client, invite, control=True)
        await route.tls.send(ours.encode())
        reader = hello.HelloReader()
        path: Path

        def preamble(data: memoryview) -> memoryview | None:
            line = reader.feed(bytes(data))
            if line is None:
                return None
            self._greeted(path, hello.parse_host_hello(line))
            return memoryview(reader.leftover)

        source, link = Source(source_of(route.candidate.endpoint.host)), self._link(label)
        session = Session(
            route.tls,
            link.limits.session,
            client=True,
            preamble=preamble,
            control=lambda stream: self._news.controlled(link, path, stream),
            source=source,
            patience=RELAYED_PATIENCE if kind is PathKind.RELAYED else 0.0,
        )
        path = Path(label, session, route, invite=invite)
        if kind is PathKind.RELAYED and self._punched is None:
            path.punching = "punching: turned off here ([Relay] punch)"
        link.add(path)
        self._changed()
        session.start()
        asyncio.get_running_loop().call_later(self._limits.hello_timeout, self._give_up_silent, session)
        self._tasks.start(self._keep(link, path), f"warm.{label.key_hash.short}")
        self._improve(link)
        return path

    def _invite(self, host: KeyHash) -> str:
        return self._invitations.secret(host) if self._invitations is not None else ""

    def _improve(self, link: Link) -> None:
        if not link.goes_by_relay():
            return
        if self._upgrades.next_look(link) is None:
            self._tasks.start(self._upgrades.improve(link), f"upgrade.{link.label.key_hash.short}")
        if self._punched is not None and not self._punched.tries(link):
            self._tasks.start(self._punched.keep_trying(link), f"punch.{link.label.key_hash.short}")

    def _give_up_silent(self, session: Session) -> None:
        if not session.greeted:
            session.abort(ConnectionLost(f"the host sent no hello within {self._limits.hello_timeout:g} s"))

    def _greeted(self, path: Path, answer: hello.HostHello | hello.HostRefusal) -> None:
        where = path.label.key_hash, path.route.candidate.endpoint
        if isinstance(answer, hello.HostRefusal):
            if answer.error == hello.BAD_PASSWORD:
                raise PasswordRefused("the host wants another text before the key hash")
            if answer.error == "invite" and self._invitations is not None:
                self._invitations.over(path.label.key_hash, path.invite)
            if answer.error in ("access", "invite"):
                before = TAKEN_BACK if self._news.has_taken_back(path.label.key_hash) else _INVITED_ONLY
                raise AccessRefused(_INVITE.get(answer.why, before))
            if answer.error == hello.WAIT:
                self._put_off[where] = asyncio.get_running_loop().time() + _WAITS
                self._put_off.move_to_end(where)
                while len(self._put_off) > self._limits.sessions:
                    self._put_off.popitem(last=False)
                raise ServiceFailed("wait", "")
            raise PeerError(f"the host refused: {answer.error}")
        self._put_off.pop(where, None)
        self._absences.forget(path.label.key_hash)
        self._news.let_in(path.label.key_hash)
        if self._invitations is not None:
            self._invitations.over(path.label.key_hash, path.invite)
        own: list[Endpoint | Via] = [*parse_wan_hosts(answer.wan_hosts), *answer.via]
        path.greeted(clean_title(answer.title), answer.instance[:_INSTANCE], own)
        self._changed()
        link = self._link(path.label)
        # A link that is one flow has one host.
        if not (link.is_kept and link.limits.bundle < 2) and self._pools.greeted(link, path):
            self._tasks.start(self._pools.look_after(link), f"pool.{path.label.key_hash.short}")
        self._bundle(link, path)
        if not link.has_as_good(path):
            path.remembered = True
            self._remember(path.label.key_hash, path.route, News(answer.wan_hosts, answer.title, answer.via))

    def _remember(self, target: KeyHash, route: Route, said: News) -> None:
        self._tasks.start(self._remember_way(target, route), "remember")
        self._news.learn(target, said)

    async def _remember_way(self, target: KeyHash, route: Route) -> None:
        candidate = route.candidate
        try:
            await asyncio.sleep(REMEMBERED_AFTER)
        finally:
            await self._memory.worked(target, candidate.endpoint, candidate.kind, route.protocol)


def _discard_later(dial: Dial) -> None:
    """A browser that left during the dial takes nothing: do not keep an original's connection for it."""
    if not dial.cancelled() and dial.exception() is None:
        dialled = dial.result()
        if isinstance(dialled, Greeted):
            asyncio.get_running_loop().call_later(_UNTAKEN, dialled.discard)
