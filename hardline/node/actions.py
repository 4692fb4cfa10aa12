"""What can be asked of a node: the one API for command line, pages and programs.

Every action takes and returns plain values; a mistake is a HardlineError that says what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hardline.cache.own import OwnFiles
from hardline.discovery.looking import Browses, Looking
from hardline.door.pages import ACCEPT
from hardline.errors import (
    BadKeyHash,
    BadLabel,
    ConfigError,
    ConnectionLost,
    HardlineError,
    LimitReached,
    NotKnown,
    ServiceFailed,
    WrongArgument,
)
from hardline.identity import KeyHash, Label, label_of
from hardline.node.changes import Changes
from hardline.node.happened import Happening
from hardline.node.inviting import Inviting
from hardline.node.known import Known
from hardline.node.offering import Offering
from hardline.node.once import share_once
from hardline.node.rows import passed, passed_whole, url_of, visited_row
from hardline.node.sharing import Sharing
from hardline.node.snapshot import (
    AcceptedInvitation,
    Invitation,
    Json,
    LanOffer,
    LetIn,
    Match,
    Passed,
    PassedWhole,
    PhoneOpened,
    Pinged,
    Snapshot,
    StepTimes,
    Visitors,
    to_object,
)
from hardline.node.witness import Witness
from hardline.peers.accepted import Accepted
from hardline.peers.invites import Invites
from hardline.peers.names import name_in
from hardline.routes import Endpoint, NoRoute
from hardline.settings.directory import Service
from hardline.showable import as_escapes
from hardline.transport.own import OwnListeners
from hardline.tunnel.link import Path as GreetedPath

if TYPE_CHECKING:
    from hardline.doctor.rows import Row
    from hardline.doctor.visit import Step
    from hardline.node.away import Away
    from hardline.node.examined import Examined
    from hardline.node.inspecting import Inspecting

USUAL_PORT = 7009
_FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\Z")
_DIGITS = re.compile(r"[0-9a-f]+\Z")
_LINE = re.compile(r"[\x21-\x7e]*\Z")
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_ANSWERED_WITHIN = 5.0  # seconds; whoever asked for it waits for 30 s, some of which were for the way there
_SHOWN = 10  # of what may be meant
_TOLD_EVERY = 0.2  # seconds between two looks at what happened


class OpenPort(Protocol):
    """A port of this computer that leads to a service until it is closed (door.forwards)."""

    @property
    def listen(self) -> Endpoint: ...

    def failures(self) -> AsyncIterator[str]:
        """Why clients are not served, as it happens."""
        ...

    async def aclose(self) -> None:
        """Cut every connection."""
        ...


class ForPhones(Protocol):
    """A door for phones (node.phones)."""

    label: Label
    title: str
    until: float

    @property
    def urls(self) -> list[str]: ...


class OpensForPhones(Protocol):
    """The doors for phones of a node (node.phones)."""

    async def open(self, label: Label, title: str, seconds: float) -> ForPhones:
        """Open one."""
        ...

    @property
    def doors(self) -> Sequence[ForPhones]:
        """Those that are open."""
        ...

    async def close(self, label: Label) -> bool:
        """Close it, if there is one."""
        ...


class Actions:
    """The actions of one node.

    `served` are the services that visitors are served now, `changes` tells when they are others; `near` asks the LAN;
    `drain_relay` has the relay of this node take nobody new; `open_port` leads a port to a service, `phones` are doors
    to one, `away` says where it is found from elsewhere, and `inspecting` looks at its requests; `make_key` finds or
    makes the key for a host; `known` is who is meant; `invites` were given and `accepted` are shown, and `greet` has a
    host say hello, for which `wait_for_hosts` waits; `witness` knows what happened, and `examined` is what only the
    node knows of how it is; `runs` says whether there is anybody to ask.
    """

    def __init__(
        self,
        servicedir: Path,
        offering: Offering,
        own_files: OwnFiles,
        own_listeners: OwnListeners,
        changes: Changes,
        *,
        served: Callable[[], Sequence[Service]],
        near: Callable[[], Sequence[Browses]],
        door_port: Callable[[], int],
        snapshot: Callable[[], Awaitable[Snapshot]],
        drain_relay: Callable[[int], None],
        make_key: Callable[[KeyHash], Awaitable[KeyHash]],
        known: Known,
        invites: Invites,
        accepted: Accepted,
        greet: Callable[[Label], Awaitable[GreetedPath | None]],
        wait_for_hosts: Callable[[], None],
        witness: Callable[[], Witness],
        open_port: Callable[[Label, int, bool], Awaitable[OpenPort]],
        examined: Callable[[], Examined],
        phones: Callable[[], OpensForPhones],
        away: Callable[[Label], Awaitable[Away]],
        inspecting: Callable[[], Inspecting],
        runs: Callable[[], bool],
    ) -> None:
        self._sharing = sharing = Sharing(
            servicedir, offering, own_files, own_listeners, changes, served, known, door_port, self._check_running
        )
        self.share, self.change, self.remove = sharing.share, sharing.change, sharing.remove
        self.share_once = partial(share_once, sharing, offering, changes)
        self.changes, self._looking = changes, Looking(near)
        self._door_port = door_port
        self._snapshot, self._drain_relay, self._runs = snapshot, drain_relay, runs
        self._make_key, self._known, self._accepted, self._greet = make_key, known, accepted, greet
        self._wait_for_hosts, self._open_port, self._witness = wait_for_hosts, open_port, witness
        self._changes = changes
        self._phones, self._away = phones, away
        self._examined = examined
        self._inspecting = inspecting
        self._inviting = Inviting(
            invites,
            services=lambda: {service.key_hash: service for service in served()},
            taken_up=sharing.until,
        )

    @property
    def inviting(self) -> Inviting:
        """What is given to people, and shown by them."""
        return self._inviting

    async def snapshot(self) -> Snapshot:
        """The node as it is now."""
        self._check_running()
        return await self._snapshot()

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the services of this node are called, and what the user has given names to those of others."""
        self._check_running()
        return self._sharing.names(), tuple(sorted(self._known.names.all))

    async def drain_relay(self, seconds: int) -> None:
        """Have the relay of this node take nobody new; nodes go elsewhere in so many seconds.  Raises ConfigError."""
        self._check_running()
        self._drain_relay(seconds)

    async def key_for(self, address: str) -> str:
        """The key hash by which the host of `address` (a label, or a URL with one) can know this node as a visitor.

        From now on visits there show it.  Raises WrongArgument, ConfigError.
        """
        self._check_running()
        return str(await self._make_key(self._label(address).key_hash))

    async def door_to(self, address: str) -> tuple[str, str]:
        """Where this node's door is, and the host to ask for there to reach the service of `address`.

        Raises WrongArgument, ConfigError where there is no door.
        """
        label, doors = self._label(address), (await self.snapshot()).node.door
        if not doors:
            raise ConfigError("the daemon has no door", hint="set [Node] localport")
        return doors[0], f"{label}.localhost"

    async def forward(self, address: str, port: int, *, pages: bool = False) -> OpenPort:
        """Lead a port of 127.0.0.1, 0 for any free one, to the service of `address` until what is returned is closed.

        With `pages`, those of other sites get through.  Raises WrongArgument, ConfigError where the port cannot be had.
        """
        self._check_running()
        return await self._open_port(self._label(address), port, pages)

    async def phone(self, what: str, seconds: float) -> PhoneOpened:
        """Let phones of this network into the service that is meant, for so many seconds, and say where they find it
        when they are away.

        Raises WrongArgument, LimitReached, and ConfigError where they find it nowhere.
        """
        match = await self.find(what)
        label, title = Label.parse(match.label), match.name or match.title
        there = await self._away(label)
        try:
            door = await self._phones().open(label, title, seconds)
        except WrongArgument:
            raise
        except ConfigError:
            if not there.url:
                raise
            return PhoneOpened(title, match.label, (), 0, there.url)
        return PhoneOpened(title, match.label, tuple(door.urls), int(door.until), there.url, there.advice)

    async def no_phone(self, what: str) -> str:
        """Let no phone into it any more; returns its label.  Raises WrongArgument where none is let in."""
        try:
            labels = [Label.parse((await self.find(what)).label)]
        except NotKnown:  # what is not shared or named any more has its door all the same
            labels = [door.label for door in self._phones().doors if door.title.casefold() == what.casefold()]
        if len(labels) != 1 or not await self._phones().close(labels[0]):
            raise WrongArgument(
                f"no phone is let into {what[:60]!r}", hint="hardline status  shows which doors are open"
            )
        return str(labels[0])

    async def inspect(self, name: str) -> tuple[AsyncIterator[Passed], Callable[[], Awaitable[None]]]:
        """The requests to the service of `name`, as they are over, and what ends looking at them.

        Raises WrongArgument, LimitReached.
        """
        self._check_running()
        news, end = await self._inspecting().look(await self._sharing.ours(name))

        async def rows() -> AsyncIterator[Passed]:
            async for exchange in news:
                yield passed(exchange)

        return rows(), end

    async def inspected(self, name: str) -> tuple[Passed, ...]:
        """Those that are kept, while somebody looks.  Raises WrongArgument."""
        self._check_running()
        return tuple(map(passed, self._inspecting().exchanges(await self._sharing.ours(name))))

    async def inspected_whole(self, name: str, number: int, *, secrets: bool = False) -> PassedWhole:
        """One of them, with heads and bodies; without `secrets`, what lets somebody in is hidden.

        Raises WrongArgument.
        """
        self._check_running()
        found = self._inspecting().exchanges(await self._sharing.ours(name)).find(number)
        return passed_whole(found, secrets=secrets)

    async def replay(
        self,
        name: str,
        number: int,
        body: bytes | None,
        *,
        method: str = "",
        target: str = "",
        fields: Sequence[str] = (),
    ) -> Passed:
        """Ask the service the same once more, or with changes.  Raises WrongArgument, ServiceFailed, HardlineError."""
        self._check_running()
        if any(not _FIELD.match(one) for one in fields) or not _LINE.match(f"{method}{target}"):
            raise WrongArgument("this is no part of a request", hint="--header 'Name: value', --path /a, --method GET")
        lines = [one.encode("latin-1", "replace") for one in fields]
        service = await self._sharing.ours(name)
        return passed(await self._inspecting().replay(service, number, method, target, lines, body))

    async def invite(self, name: str, who: str, days: float) -> Invitation:
        """Invite `who` to the service of `name`, for so many days.  Raises WrongArgument, ConfigError."""
        self._check_running()
        service = await self._sharing.ours(name)
        invite, secret = await self._inviting.invite(service, who, days)
        link = f"http://localhost:{USUAL_PORT}{ACCEPT}#{service.label}.{secret}"
        return Invitation(invite.number, service.name, service.title, invite.who, invite.until, link)

    async def accept(self, link: str) -> AcceptedInvitation:
        """Be let in where `link` invites to: at once, or when its host can be reached.  Raises HardlineError."""
        self._check_running()
        label, secret = _invitation(link)
        await self._make_key(label.key_hash)
        await self._accepted.accept(label, secret)
        try:
            path = await self._greet(label)
        except (NoRoute, ConnectionLost, ServiceFailed, LimitReached, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, HardlineError) else "it took too long"
            self._wait_for_hosts()
            return AcceptedInvitation(str(label), self._url(label), "", reason)
        if path is None:
            return AcceptedInvitation(str(label), self._url(label), "", "it answers by hardline/1, which has none")
        return AcceptedInvitation(str(label), self._url(label), path.title, None)

    async def who(self, name: str) -> Visitors:
        """Who may visit the service of `name`, and who was invited.  Raises WrongArgument, ConfigError."""
        self._check_running()
        service = await self._sharing.ours(name)
        let_in, invited = await self._inviting.who(service)
        visits = await self._witness().visits_of(service.key_hash)
        rows = tuple(visited_row(row, visits.get(KeyHash.parse(row.key_hash))) for row in let_in)
        return Visitors(service.name, service.settings.for_invited, rows, invited)

    async def revoke(self, name: str, who: str) -> tuple[LetIn, ...]:
        """Have `who` not visit the service of `name` any more.  Raises WrongArgument, ConfigError."""
        self._check_running()
        service = await self._sharing.ours(name)
        gone = await self._inviting.revoke(service, who)
        for_invited = service.settings.for_invited
        self._witness().revoked(service.key_hash, [row.who for row in gone], for_invited=for_invited)
        return gone

    def log(self, after: int = 0) -> tuple[Happening, ...]:
        """What happened lately, behind the row of that number, the newest last."""
        self._check_running()
        return self._witness().log(after)

    async def follow_log(self, after: int = 0) -> AsyncGenerator[tuple[Happening, ...], None]:
        """The same, and then what happens, as it happens."""
        async with contextlib.aclosing(self._changes.watch(_TOLD_EVERY)) as changes:
            async for _ in changes:
                if rows := self.log(after):
                    after = rows[-1].number
                    yield rows

    async def name(self, what: str, name: str) -> Match:
        """Call `what` so from now on: an address, or what else is known.  Raises WrongArgument, ConfigError."""
        match = await self.find(what)
        given = await self._known.names.give(name, Label.parse(match.label))
        return replace(match, name=given)

    async def ping(self, what: str) -> Pinged:
        """Have the host of what is meant answer.  Raises WrongArgument, and NoRoute or what the host refuses with."""
        match = await self.find(what)
        label = Label.parse(match.label)
        path = await self._greet(label)
        if path is None:
            raise HardlineError(f"{match.label} answers by hardline/1, which has no pings")
        async with asyncio.timeout(_ANSWERED_WITHIN):
            took = await path.session.measure()
        candidate, title = path.route.candidate, path.title or match.title
        return Pinged(
            name=match.name,
            title=title,
            label=match.label,
            kind=candidate.kind.name,
            endpoint=str(candidate.endpoint),
            found_by=candidate.found_by.name,
            round_trip_s=round(took, 6),
            steps_s=StepTimes(**asdict(path.route.steps)),
        )

    async def status(self) -> Mapping[str, Json]:
        """The node as it is now, as JSON."""
        return to_object(await self.snapshot())

    async def facts(self, about: str) -> Json:
        """What only the node itself knows of how it is (hardline.doctor.facts).  Raises WrongArgument."""
        self._check_running()
        return await self._examined().facts(about)

    async def examine(self) -> AsyncGenerator[Row, None]:
        """What keeps this node from working, each row as it is known; takes 15 s at most (docs/DOCTOR.md)."""
        self._check_running()
        from hardline.doctor.examine import examine

        async with aclosing(examine(self)) as rows:
            async for row in rows:
                yield row

    def trace(self, what: str) -> AsyncGenerator[Step, None]:
        """A visit to what is meant, step by step as it is made.  Raises WrongArgument."""
        self._check_running()
        return self._examined().trace(what, self.find)

    async def examine_visit(self, what: str) -> AsyncGenerator[Row, None]:
        """The same in words; the last row says which side failed.  Raises WrongArgument."""
        from hardline.doctor.visit import Verdict

        verdict = Verdict()
        async with aclosing(self.trace(what)) as steps:
            async for step in steps:
                yield verdict.row(step)
        yield verdict.conclusion()

    async def forget(self, name: str) -> str:
        """Call nothing so any more; returns the label that it had.  Raises WrongArgument, ConfigError."""
        self._check_running()
        return str(await self._known.names.forget(name))

    async def find(self, what: str) -> Match:
        """The one service that `what` means.  Raises WrongArgument, saying what it may mean instead."""
        self._check_running()
        found = await self._known.matching(what)
        if not found:
            hint = "what is known: hardline ls; an address has 40 digits"
            raise NotKnown(f"nothing is known by {what[:60]!r}", hint=hint)
        if len(found) > 1 or not self._known.is_sure(what, found[0]):
            listed = "".join(f"\n  {one.label}  {one.title or '(untitled)'}, {one.how}" for one in found[:_SHOWN])
            raise WrongArgument(f"{as_escapes(what[:60])} may be{listed}", hint="give the whole address")
        return found[0]

    async def browse(self, wait: float, *, soon: bool = False) -> tuple[LanOffer, ...]:
        """What others on the LAN list, after waiting `wait` seconds for their answers; `soon`: less where all have
        answered who are known."""
        self._check_running()
        heard = await self._looking.look(wait, soon=soon)
        offers = {offer.label: offer for offers in reversed(heard) for offer in offers}
        now, seen = asyncio.get_running_loop().time(), dict[Label, float]()
        for offer in (one for found in heard for one in found):
            seen[offer.label] = max(offer.seen, seen.get(offer.label, offer.seen))
        return tuple(
            LanOffer(
                title=offer.title,
                label=str(offer.label),
                url=self._url(offer.label),
                source=offer.source,
                endpoint=str(offer.endpoint),
                host=offer.host,
                heard_s=round(now - seen[offer.label], 1),
            )
            for offer in sorted(offers.values(), key=lambda offer: (offer.title.lower(), offer.label))
        )

    def _check_running(self) -> None:
        if not self._runs():
            raise HardlineError("this node does not run", hint="start it, and ask before it is stopped")

    def _label(self, address: str) -> Label:
        try:
            return label_of(address)
        except (BadKeyHash, BadLabel) as wrong:
            if named := self._known.named(address):
                return Label.parse(named.label)
            hint = "give the address of the service, as its owner told it"
            if isinstance(wrong, BadLabel) or _DIGITS.match(name_in(address).rpartition("-")[2]):
                raise WrongArgument(wrong.message, hint=hint) from None
            hint += ", or the name that you gave it (hardline name)"
            raise NotKnown(f"{address[:60]!r} is no address, and no name of yours", hint=hint) from None

    def _url(self, label: Label) -> str:
        return url_of(label, self._door_port())


def _invitation(link: str) -> tuple[Label, str]:
    """What a link, or what stands behind its #, invites to, and its secret."""
    label, dot, secret = link.strip().rpartition("#")[2].rpartition(".")
    try:
        if not dot or not _SECRET.match(secret):
            raise BadLabel("it does not end in the secret of an invitation")
        return Label.parse(label), secret
    except (BadKeyHash, BadLabel) as wrong:
        hint = "copy the whole link again, to its end"
        raise WrongArgument(f"this is no invitation: {wrong.message}", hint=hint) from None
