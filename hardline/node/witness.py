"""Tells what happens at this node, and keeps who visited it: the parts say what they see, this says it to people.

Host ── came, left, guessed, kept out ──┐
Inviting ── let in, revoked ────────────┼──▶ Witness ──▶ Happened, a sentence ──▶ Changes
Door ── not reached ────────────────────┤           └──▶ Visits, a row on the disk
Offering ── shared, broken, gone ───────┘
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence

from hardline.addresses import Kind, kind_of
from hardline.errors import HardlineError
from hardline.identity import KeyHash, Label
from hardline.node import happened
from hardline.node.happened import SOMEBODY, Happened, Happening
from hardline.node.snapshot import LetIn
from hardline.peers.names import Names
from hardline.peers.visits import PastVisit, Visited, Visits
from hardline.routes import PathKind, RememberedHost
from hardline.settings.directory import Problem, Service
from hardline.showable import clean_title
from hardline.tasks import TaskSet
from hardline.tunnel.arrival import By
from hardline.tunnel.guests import Guest

_NEAR = (Kind.PRIVATE, Kind.LINK_LOCAL, Kind.LOOPBACK)
_AT_ONCE = 256  # who comes and goes faster than a disk writes is not kept
_TITLES = 1000
_LAST_WORDS = 5.0  # seconds until what was seen last is written


def came_by(guest: Guest) -> str:
    """The kind of path (routes.PathKind) by which he is here."""
    match guest.by:
        case By.RELAY:
            return PathKind.RELAYED.name
        case By.PUNCH:
            return PathKind.PUNCHED.name
        case _:
            address = guest.source.address
            near = address is not None and kind_of(address) in _NEAR
            return PathKind.LAN.name if near else PathKind.DIRECT.name


class Witness:
    """Of one node.

    `services` by key hash are those that are offered, `let_in` reads who may visit one; `get` recalls a host that was
    visited; `clock` is seconds since 1970; `changed` is called when there is something new.
    """

    def __init__(
        self,
        visits: Visits,
        names: Names,
        *,
        services: Callable[[], Mapping[KeyHash, Service]],
        let_in: Callable[[Service], Awaitable[Sequence[LetIn]]],
        recall: Callable[[KeyHash], Awaitable[RememberedHost | None]],
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.happened = Happened()
        self._visits, self._names = visits, names
        self._services, self._let_in, self._recall = services, let_in, recall
        self._clock, self._changed = clock, changed
        self._tasks, self._running = TaskSet("witness"), set[asyncio.Task[None]]()
        self._states: dict[str, tuple[str, str, str]] | None = None  # name → title, state, problem
        self._titles = OrderedDict[KeyHash, str]()  # of services that are there, and that were

    async def aclose(self) -> None:
        """Everything that was seen is written, where the disk takes it."""
        if self._running:
            await asyncio.wait(self._running, timeout=_LAST_WORDS)
        await self._tasks.aclose()
        await self._visits.aclose()

    def log(self, after: int) -> tuple[Happening, ...]:
        """What happened lately, behind that number."""
        return self.happened.after(after)

    async def visits_of(self, service: KeyHash) -> dict[KeyHash, Visited]:
        """Who was here, as far as is remembered."""
        return await self._visits.of(service)

    # The host's side.

    def came(self, guest: Guest) -> None:
        """He is in, with a session."""
        kind = came_by(guest)
        say = functools.partial(happened.came, kind=kind)
        self._start(self._tell_of_client(guest.key_hash, guest.client, say, "came"))

    def left(self, guest: Guest) -> None:
        """He is gone."""
        if (session := guest.session) is None:
            return
        now = self._clock()
        visit = PastVisit(
            service=guest.key_hash,
            client=guest.client,
            kind=came_by(guest),
            came=guest.since,
            seconds=max(0.0, now - guest.since),
            sent=session.sent,
            received=session.received,
        )
        self._start(self._visits.ended(visit))
        say = functools.partial(happened.left, moved=session.sent)
        self._start(self._tell_of_client(guest.key_hash, guest.client, say, "left"))

    def guessed(self, key_hash: KeyHash, count: int) -> None:
        """So many passwords were wrong."""
        self.tell("refused", happened.guessed(self._title(key_hash)), count)

    def kept_out(self, key_hash: KeyHash) -> None:
        """Somebody who may not visit it."""
        self.tell("refused", happened.kept_out(self._title(key_hash)))

    # Those who may visit.

    def redeemed(self, key_hash: KeyHash, client: KeyHash) -> None:
        """An invitation was used."""
        self._start(self._tell_of_client(key_hash, client, happened.let_in, "access"))

    def revoked(self, key_hash: KeyHash, who: Iterable[str], *, for_invited: bool) -> None:
        """They may visit no more, or, where it is not `for_invited` visitors, like everybody."""
        names = [one for one in who if one]
        self.tell("access", happened.revoked(names, self._title(key_hash), for_invited=for_invited))

    # The visitor's side.

    def unreached(self, label: Label, reason: str) -> None:
        """A visit reached nobody."""
        self._start(self._tell_of_unreached(label, reason))

    # What is offered.

    def offered(self, known: Mapping[str, Service], problems: Mapping[str, Problem]) -> None:
        """These are offered now.  What was there at the start is no news."""
        now = dict[str, tuple[str, str, str]]()
        for name in sorted({*known, *problems}):
            service, wrong = known.get(name), problems.get(name)
            title = clean_title(service.title if service is not None else "") or name or "(the directory)"
            if service is not None:
                self._keep_title(service.key_hash, title)
            if wrong is not None:
                now[name] = (title, "broken", wrong.message)
            elif service is not None and service.settings.access.paused:
                now[name] = (title, "paused", "")
            elif service is not None and service.settings.closed:
                now[name] = (title, "closed", service.settings.closed)
            else:
                now[name] = (title, "serving", "")
        before, self._states = self._states, now
        if before is None:
            return
        for name, (title, state, problem) in now.items():
            if before.get(name, ("", "", ""))[1:] != (state, problem):
                self.tell("shared", happened.offered(title, state, problem))
        for name in before.keys() - now.keys():
            self.tell("shared", happened.offered(before[name][0], "gone", ""))

    def tell(self, kind: str, sentence: str, count: int = 1) -> None:
        """Something that is said in full."""
        self.happened.add(kind, sentence, self._clock(), count)
        self._changed()

    async def _tell_of_client(
        self, key_hash: KeyHash, client: KeyHash | None, say: Callable[[str, str], str], kind: str
    ) -> None:
        self.tell(kind, say(await self._called(key_hash, client), self._title(key_hash)))

    async def _tell_of_unreached(self, label: Label, reason: str) -> None:
        if (name := self._names.of(label.key_hash)) is None:
            host = await self._recall(label.key_hash)
            name = clean_title(host.title) if host is not None else ""
        self.tell("unreached", happened.unreached(name or f"{label.key_hash.short}…", reason))

    async def _called(self, key_hash: KeyHash, client: KeyHash | None) -> str:
        service = self._services().get(key_hash)
        if client is None or service is None or service.file is None:
            return SOMEBODY
        rows = await self._let_in(service)
        return next((row.who for row in rows if row.key_hash == str(client) and row.who), SOMEBODY)

    def _title(self, key_hash: KeyHash) -> str:
        if (service := self._services().get(key_hash)) is not None:
            return clean_title(service.title) or service.name
        return self._titles.get(key_hash, "a service that is gone")

    def _keep_title(self, key_hash: KeyHash, title: str) -> None:
        self._titles[key_hash] = title
        self._titles.move_to_end(key_hash)
        while len(self._titles) > _TITLES:
            self._titles.popitem(last=False)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if len(self._running) >= _AT_ONCE:
            work.close()
            return
        task = self._tasks.start(work, "telling", expects=HardlineError)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
