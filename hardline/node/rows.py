"""The rows of a snapshot, each out of the part that it is about."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from hardline.identity import KeyHash, Label
from hardline.node.snapshot import (
    AccessState,
    AttemptState,
    Facts,
    ForwardState,
    GatewayState,
    HttpsState,
    LetIn,
    LinkState,
    NamedPeer,
    NamedState,
    Offered,
    Outside,
    Passed,
    PassedWhole,
    Peer,
    PhoneOpened,
    ProcessState,
    Relays,
    RelayServed,
    RelayUsed,
    ServiceState,
    SessionState,
    SocksState,
    StepTimes,
    Told,
    Unreached,
    VisitState,
    to_object,
)
from hardline.peers.visits import Visited
from hardline.reach import WayHere
from hardline.relaying import UsedRelay
from hardline.routes import Attempt, Endpoint, PathKind, RememberedHost, via
from hardline.settings.directory import Problem, Service
from hardline.settings.peers import PeerSection
from hardline.showable import clean_title
from hardline.transport.native import ENGINE
from hardline.transport.native import why_not as why_not_native
from hardline.transport.socketoptions import seen as options_seen
from hardline.tunnel.arrival import By
from hardline.tunnel.guests import Guest
from hardline.tunnel.link import Path
from hardline.tunnel.originals import OpenOriginal
from hardline.tunnel.visit import VisitRecord

if TYPE_CHECKING:
    from hardline.door.forwards import Forward
    from hardline.door.localport import LocalPort
    from hardline.gateway.server import Gateway
    from hardline.https.server import PublicName
    from hardline.inspector.exchanges import Exchange, Message
    from hardline.node.phones import PhoneDoor
    from hardline.relay.server import RelayState
    from hardline.tunnel.warmlink import WarmLink

CLOSED_HINT = "clients = invited lets in whom NAME.ini.clients names, everyone whoever has the address"
OVER = "its time is over"
_NOT_ANNOUNCED = "not announced in the DHT"
_KINDS = {By.RELAY: PathKind.RELAYED.name, By.PUNCH: PathKind.PUNCHED.name}
_WHOSE = re.compile(r"\.[0-9a-f]{8}(?=\.|\Z)|(?<=\.attempt)\..*")  # parts of a task's name: a hash, an address
_KIND_OF_WORK = re.compile(r"[A-Za-z -]+(\.[A-Za-z -]+)*")


def url_of(label: Label, door_port: int) -> str:
    """The address that a person types."""
    return f"http://{label}.localhost:{door_port}/"


def target_of(service: Service) -> str:
    """What is shared, as people read it."""
    target, directory = service.settings.target, service.settings.cache.directory
    if target is None and directory is None:
        return "a program that uses hardline as a library"
    if only := service.settings.cache.only:
        return f"the file {directory}/{only}"
    return str(target) if target else f"the files of {directory}"


def service_states(
    services: Mapping[str, Service],
    problems: Mapping[str, Problem],
    door_port: int,
    announced: Callable[[KeyHash], Facts | None],
    now: float,
    troubles: Mapping[str, str],
    public: Callable[[Service], tuple[Sequence[Endpoint], Sequence[str]]] = lambda service: ((), ()),
    named: Callable[[Service], PublicName | None] = lambda service: None,
    over: Container[str] = (),
) -> tuple[ServiceState, ...]:
    """Every service, and every file that cannot be understood.

    `announced` says what became of announcing a service in the DHT; `now` is seconds since 1970; `troubles` is what
    keeps services of a name from answering although their files are right; `public` says at which public ports of
    relays one is reached, and why not; `named` is what became of its public name; those in `over` have ended.
    """
    rows = []
    for name in sorted({*services, *problems}):
        service, wrong = services.get(name), problems.get(name)
        state = "serving" if wrong is None else "stale" if service else "broken"
        file = wrong.file if wrong else service.file if service else None
        problem, hint, sentence = troubles.get(name), None, None
        if service is not None and service.settings.closed:
            state, problem, hint, sentence = "closed", service.settings.closed, CLOSED_HINT, _NOT_ANNOUNCED
            if service.settings.access.paused:
                state, problem, hint = "paused", None, None
        elif name in over:
            state, problem, sentence = "closed", OVER, _NOT_ANNOUNCED
        if wrong is not None:
            problem, hint = wrong.message, wrong.hint
        offered = None if service is None else _offered(service, door_port, announced(service.key_hash), now, sentence)
        if offered is not None and service is not None:
            at, not_at = public(service)
            https = HttpsState(**asdict(found)) if (found := named(service)) is not None else None
            offered = replace(offered, public=tuple(map(str, at)), not_public=tuple(not_at), https=https)
        rows.append(ServiceState(name, state, problem, hint, None if file is None else str(file), offered))
    return tuple(rows)


def _offered(service: Service, door_port: int, said: Facts | None, now: float, sentence: str | None) -> Offered:
    return Offered(
        title=service.title,
        label=str(service.label),
        url=url_of(service.label, door_port),
        target=target_of(service),
        listed=service.listed,
        notes=tuple(service.settings.notes),
        dht=said,
        announced=sentence or announcement(said, wanted=service.settings.access.use_dht, now=now),
        for_invited=service.settings.for_invited,
        until=service.settings.access.until,
    )


def outside(way: WayHere, used: Sequence[UsedRelay] = ()) -> Outside:
    """Whether the world reaches this node, in a word and in a sentence for people, and the facts.

    `confirmed` when a visitor from outside came, `expected` when there is a way, `relayed` when only a relay is one,
    `local` when none is known.
    """
    by_relay = [str(one.endpoint) for one in used if one.tested and one.state == "registered"]
    advice = way.advice
    if way.reached:
        state, sentence = "confirmed", f"reachable from outside: a visitor came by {way.reached[0]}"
    elif way.endpoints:
        at, by = next(iter(way.endpoints.items()))
        state, sentence = "expected", f"should be reachable from outside at {at} ({by})"
    elif by_relay:
        state, sentence = "relayed", f"reachable from outside by the relay {by_relay[0]}"
    elif not way.listens:
        state, sentence = "local", "not reachable: it listens nowhere, and no relay lets visitors in"
    elif way.only_here:
        state, sentence = "local", "reachable on this machine only ([Node] bind)"
    else:
        state, sentence = "local", "reachable on this network only, as far as is known"
    told = tuple(Told(str(at), by) for at, by in way.endpoints.items())
    reached = tuple(map(str, way.reached))
    if advice and state == "local" and not used:
        advice = f"{advice}; or be reached by a relay (hardline relay)"
    return Outside(state, sentence, told, reached, way.only_here, advice, way.upnp, way.dht)


def relays(used: Iterable[UsedRelay], nat: str | None, served: RelayState | None, this_month: int) -> Relays:
    """The relays that this node uses, what kind of router they see, and the one that it is, which has passed so many
    bytes `this_month`."""
    return Relays(
        used=tuple(
            RelayUsed(
                endpoint=str(one.endpoint),
                key_hash=str(one.key_hash),
                state=one.state,
                problem=one.problem or None,
                since=one.since,
                names=one.names,
                tested=one.tested,
                saw=clean_title(one.saw) or None,
                contact=clean_title(one.contact) or None,
            )
            for one in used
        ),
        nat=nat,
        served=None if served is None else RelayServed(**asdict(served), this_month=this_month),
    )


def announcement(said: Facts | None, *, wanted: bool, now: float) -> str:
    """What became of announcing a service in the DHT, as a sentence; `now` is seconds since 1970."""
    if not wanted:
        return "not announced in the DHT (useDHT = no)"
    if said is None:
        return "not announced: the DHT is not used ([DHT] enabled = no)"
    if said["problem"]:
        return f"not announced in the DHT: {said['problem']}"
    at, back = said["announced"], said["read_back"]
    if not isinstance(at, int | float):
        return "not announced in the DHT yet"
    was_read = isinstance(back, int | float) and back >= at
    whether = f"read back {_ago(now - back)}" if was_read and isinstance(back, int | float) else "not read back yet"
    return f"announced in the DHT {_ago(now - at)}, {whether}"


def _ago(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def visiting(path: Path, now: float, next_look: float | None) -> SessionState:
    """A session to a host; `now`, and when a better path is looked for, are the event loop's times."""
    candidate, session = path.route.candidate, path.session
    may_be_better = candidate.kind in (PathKind.PUNCHED, PathKind.RELAYED)
    times = {step: took if took is None else round(took, 6) for step, took in asdict(path.route.steps).items()}
    return SessionState(
        role="visiting",
        key_hash=str(path.label.key_hash),
        label=str(path.label),
        title=path.title,
        protocol=path.route.protocol,
        via=candidate.via,
        kind=candidate.kind.name,
        found_by=candidate.found_by.name,
        endpoint=str(candidate.endpoint),
        draining=session.draining,
        streams=session.open_streams,
        sent=session.sent,
        received=session.received,
        round_trip_s=round(session.round_trip, 6),
        since_s=round(now - session.opened_at, 3),
        instance=path.instance,
        spare=path.spare,
        passed_over=(*path.route.passed_over, *filter(None, [path.punching])),
        steps_s=StepTimes(**times),
        next_look_s=None if next_look is None or not may_be_better else round(max(0.0, next_look - now), 3),
    )


def visited(session: SessionState, port: int) -> Facts:
    """One that visits go by, for the page; it is at the door's `port`."""
    return {**to_object(session), "url": url_of(Label.parse(session.label), port)}


def visited_row(row: LetIn, visits: Visited | None) -> LetIn:
    """Who may visit, with what is remembered of his visits."""
    if visits is None:
        return row
    return replace(row, last_visit=visits.last, kind=visits.kind, read=visits.sent)


def visiting_original(original: OpenOriginal, now: float) -> SessionState:
    """A visit to an original, which takes a connection of its own; `now` is the event loop's time."""
    return SessionState(
        role="visiting",
        key_hash=str(original.label.key_hash),
        label=str(original.label),
        title="",
        protocol="hardline/1",
        via=original.candidate.via,
        kind=original.candidate.kind.name,
        found_by=original.candidate.found_by.name,
        endpoint=str(original.candidate.endpoint),
        draining=False,
        streams=1,
        sent=None,
        received=None,
        round_trip_s=None,
        since_s=round(now - original.opened_at, 3),
    )


def hosting(guest: Guest, services: Iterable[Service], clock: float) -> SessionState:
    """A visitor that is connected; `clock` is seconds since 1970."""
    label, title = str(guest.key_hash), ""
    for service in services:
        if service.key_hash == guest.key_hash:
            label, title = str(service.label), service.title
    session = guest.session
    return SessionState(
        role="hosting",
        key_hash=str(guest.key_hash),
        label=label,
        title=title,
        protocol=guest.protocol,
        via="INCOMING",
        kind=_KINDS.get(guest.by),
        found_by=None,
        endpoint=str(guest.source),
        draining=session.draining if session else False,
        streams=session.open_streams if session else 1,
        sent=session.sent if session else None,
        received=session.received if session else None,
        round_trip_s=round(session.round_trip, 6) if session else None,
        since_s=round(clock - guest.since, 3),
        client=str(guest.client) if guest.client else None,
    )


def peer(key_hash: KeyHash, host: RememberedHost) -> Peer:
    """A host that this node remembers."""
    return Peer(
        key_hash=str(key_hash),
        title=host.title,
        protocol=host.protocol or None,
        endpoint=str(host.endpoint) if host.endpoint else None,
        via=None if host.kind is None else via(host.kind),
        kind=None if host.kind is None else host.kind.name,
        wan_hosts=tuple(map(str, host.wan_hosts)),
        first_seen=host.first_seen,
        last_seen=host.last_seen,
    )


def named(name: str, label: Label, door_port: int) -> NamedPeer:
    """A service that the user has given a name."""
    return NamedPeer(name=name, key_hash=str(label.key_hash), label=str(label), url=url_of(label, door_port))


def visit(record: VisitRecord) -> VisitState:
    """One of the last visits, and the path it took."""
    candidate = record.candidate
    return VisitState(
        label=str(record.label),
        key_hash=str(record.label.key_hash),
        status=record.status,
        via=candidate.via if candidate else None,
        kind=candidate.kind.name if candidate else None,
        found_by=candidate.found_by.name if candidate else None,
        endpoint=str(candidate.endpoint) if candidate else None,
        protocol=record.protocol or None,
    )


def forward(one: Forward) -> ForwardState:
    """A port that leads to somebody's service, at this moment."""
    return ForwardState(one.name, str(one.listen), str(one.label), one.open, one.problem or None)


def socks(one: LocalPort | None) -> SocksState | None:
    """The port for SOCKS, at this moment; None where there is none."""
    return SocksState(str(one.listen), one.open, one.problem or None) if one is not None else None


def gateway(one: Gateway, listen: Iterable[Endpoint], keys: int) -> GatewayState:
    """What plain browsers reach, at this moment."""
    shared = one.shared
    asked = tuple(
        AccessState(
            when=round(access.when, 3),
            client=access.client,
            user=access.user or None,
            key=access.key or None,
            service=access.service or None,
            method=access.method,
            target=access.target,
            status=access.status,
            sent=access.sent,
            took_s=round(access.took, 3),
        )
        for access in shared.accesses.last
    )
    named = tuple(_named(one, name, str(section.label)) for name, section in shared.named.items())
    return GatewayState(tuple(map(str, listen)), one.clients, keys, named, asked)


def _named(one: Gateway, name: str, label: str) -> NamedState:
    online, seen = one.shared.listing.state(name)
    counts = one.shared.accesses.counts
    if (count := counts.get(name)) is None:
        return NamedState(name, label, online, seen, {}, 0, 0.0)
    by_class = {f"{hundreds}xx": number for hundreds, number in sorted(count.by_class.items())}
    return NamedState(name, label, online, seen, by_class, count.sent, round(count.took, 3))


def link(name: str, settings: PeerSection, one: WarmLink, clients: int, now: float, clock: float) -> LinkState:
    """A link that is kept warm; `now` is the event loop's time, `clock` seconds since 1970."""
    path, limits = one.path, one.link.limits.session
    socket = None if path is None else options_seen(path.session.tls.socket)
    return LinkState(
        name=name,
        label=str(one.link.label),
        state=one.state.value,
        since=round(clock - (now - one.since), 3),
        reason=one.why or None,
        attempts=one.attempts,
        listen=str(settings.listen) if settings.listen else None,
        open=clients,
        streams=sum(path.session.open_streams for path in one.link.paths),
        kind=path.route.candidate.kind.name if path else None,
        endpoint=str(path.session.tls.peer) if path else None,
        round_trip_s=round(path.session.round_trip, 6) if path else None,
        ping_interval_s=limits.ping_interval,
        idle_timeout_s=round(limits.ping_interval + limits.ping_timeout, 3),
        connect_interval_s=settings.connect_interval,
        max_streams=limits.streams,
        stream_window=limits.stream_window,
        session_window=limits.session_window,
        nodelay=socket.nodelay if socket else None,
        send_buffer=socket.send_buffer if socket else None,
        receive_buffer=socket.receive_buffer if socket else None,
        congestion=(socket.congestion or None) if socket else None,
    )


def unreached(label: Label, attempts: Iterable[Attempt], reasons: Iterable[str]) -> Unreached:
    """What was tried for a visit that reached nobody, and what came of it."""
    tried = tuple(
        AttemptState(
            endpoint=str(attempt.candidate.endpoint),
            via=attempt.candidate.via,
            kind=attempt.candidate.kind.name,
            found_by=attempt.candidate.found_by.name,
            took_s=round(attempt.took, 3),
            failure=attempt.failure,
        )
        for attempt in attempts
    )
    return Unreached(str(label), tried, tuple(reasons))


def held(task_names: Iterable[str]) -> ProcessState:
    """What the process holds.  Tasks are counted by the kind of their work; those that the program did not name are
    `other`."""
    kinds = Counter(_kind_of_work(name) for name in task_names)
    return ProcessState(dict(sorted(kinds.items())), _descriptors(), ENGINE, why_not_native or None)


def _kind_of_work(task_name: str) -> str:
    """`dial.8c164f27.attempt.10.77.1.10:7008` → `dial.attempt`."""
    kind = _WHOSE.sub("", task_name)
    return kind if _KIND_OF_WORK.fullmatch(kind) else "other"


def _descriptors() -> int | None:
    """Open descriptors, without the one that looks; None where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def phone(door: PhoneDoor) -> PhoneOpened:
    """A door for phones."""
    return PhoneOpened(door.title, str(door.label), tuple(door.urls), int(door.until))


def passed(exchange: Exchange, *, secrets: bool = False) -> Passed:
    """An exchange in a line."""
    kind = re.search(rb"(?im)^content-type:[ \t]*([^;\r\n]*)", exchange.heard.head)
    return Passed(
        exchange.number,
        exchange.began,
        exchange.method,
        exchange.shown_target(secrets=secrets),
        exchange.status,
        kind[1].strip().decode("latin-1") if kind else "",
        exchange.asked.size,
        exchange.heard.size,
        exchange.first_byte_s,
        exchange.took_s,
        exchange.replay_of,
        exchange.note,
    )


def passed_whole(exchange: Exchange, *, secrets: bool) -> PassedWhole:
    """All that is kept of it."""

    def told(message: Message) -> tuple[str, str, bool]:
        whole = message.whole and message.size == len(message.body)
        return message.shown(secrets=secrets).decode("latin-1"), b64encode(message.content).decode(), whole

    return PassedWhole(passed(exchange, secrets=secrets), *told(exchange.asked), *told(exchange.heard))
