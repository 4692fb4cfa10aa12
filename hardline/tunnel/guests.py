"""Who is connected to this host, and who of them gives way when the house is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from hardline import log
from hardline.errors import ConnectionLost, LimitReached
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint
from hardline.session.controlstream import ControlStream
from hardline.session.hello import HostHello
from hardline.session.session import Session
from hardline.transport.crowd import Seat, gives_way
from hardline.transport.sources import Networks, around, networks, source_of
from hardline.transport.tls import TlsStream
from hardline.tunnel.arrival import By


@dataclass(eq=False, slots=True)
class Guest:
    """Somebody who is connected, by `session` or, for hardline/1, by `tls` alone; `since` is seconds since 1970.

    `client` is who he has proven to be, `source` whom he counts for, which is the word of whoever stands `between`.
    `label` is what he was let in by, and `told` what the host has said of itself by now; `control` is his control
    stream, None where he takes none.
    """

    key_hash: KeyHash
    source: Endpoint
    by: By
    since: float
    tls: TlsStream
    session: Session | None = None
    client: KeyHash | None = None
    between: str = ""
    label: Label | None = None
    told: HostHello | None = None
    control: ControlStream | None = None

    @property
    def whose(self) -> str:
        """What he counts as, where things are shared out by sources.

        Whoever stands between may say anything of whence somebody comes: it must be of no harm to who really is there.
        """
        source = source_of(self.source.host)
        return f"{self.between} {source}" if self.between else source

    @property
    def crowd(self) -> Networks:
        """The networks that he counts for, the widest first; of a relay all are one."""
        return (self.between, self.between, self.whose) if self.between else networks(self.source.host)

    @property
    def guesses_as(self) -> tuple[str, ...]:
        """Where his wrong passwords count, the narrowest first."""
        return (self.whose, self.between) if self.between else around(self.source.host)

    @property
    def machine(self) -> str:
        """Whose address that is, as Guesses has it; asks the kernel."""
        if self.between:
            return ""
        from hardline.neighbours import machine_at  # only who is asked for a password needs it

        return machine_at(self.source.host)

    @property
    def protocol(self) -> str:
        """What he speaks."""
        return "hardline/2" if self.session is not None else "hardline/1"

    def abort(self, reason: str) -> None:
        """End all that he has under way, at once."""
        if self.session is not None:
            self.session.abort(ConnectionLost(reason))
        else:
            self.tls.abort()

    async def cut(self, reason: str) -> None:
        """End all that he has under way, and say so."""
        if self.session is not None:
            await self.session.aclose(ConnectionLost(reason))
        else:
            self.tls.abort()


class Guests:
    """At most `most` of them.  `clock` is seconds since 1970, `changed` is called when they are others."""

    def __init__(self, most: int, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._most, self._clock, self._changed = most, clock, changed
        self._all: set[Guest] = set()

    def __iter__(self) -> Iterator[Guest]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, guest: Guest) -> bool:
        return guest in self._all

    def add(self, guest: Guest) -> None:
        """He is in."""
        self._all.add(guest)
        self._changed()

    def discard(self, guest: Guest) -> None:
        """He has left."""
        self._all.discard(guest)
        self._changed()

    def make_room(self, newcomer: Guest) -> None:
        """Let one more in.

        When the house is full, somebody gives way.  Raises LimitReached when that is the newcomer.
        """
        if len(self._all) < self._most:
            return
        leaving = gives_way([self._seat(guest) for guest in self._all], newcomer.crowd)
        if leaving is None:
            raise LimitReached(f"{len(self._all)} sessions are in use ([Session] max_sessions)")
        self._all.discard(leaving)
        log.debug("visitor.displaced", endpoint=leaving.source, reason="max_sessions")
        leaving.abort("max_sessions: others needed the room")

    def go_away(self) -> None:
        """Take no new streams; those that are open go on."""
        for guest in self:
            if guest.session is not None:
                guest.session.go_away()

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: sessions to one that is gone end, the others are asked about."""
        for guest in self:
            if guest.session is not None:
                guest.session.network_changed(addresses)

    async def aclose(self, reason: str) -> None:
        """End all sessions."""
        sessions = [guest.session for guest in self if guest.session is not None]
        await asyncio.gather(*(session.aclose(ConnectionLost(reason)) for session in sessions))

    def _seat(self, guest: Guest) -> Seat[Guest]:
        session, where = guest.session, guest.crowd
        if session is not None:
            return Seat(guest, where, session.open_streams > 0, session.last_used)
        ago = self._clock() - guest.since
        return Seat(guest, where, True, asyncio.get_running_loop().time() - ago)
