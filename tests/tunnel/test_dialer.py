"""Finding and racing, against real TLS listeners on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from OpenSSL import SSL

from hardline import certificates
from hardline.certificates import Identity
from hardline.errors import HardlineError
from hardline.identity import KeyHash, utc_day
from hardline.proof import Prover
from hardline.routes import Candidate, Code, Endpoint, FoundBy, NoRoute, PathKind, Plain, Trust
from hardline.signatures import signing_key
from hardline.transport.contexts import front_context, server_context
from hardline.transport.handshake import Names
from hardline.transport.tcp import Manner, TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel import attempts
from hardline.tunnel.dialer import LEFT_ALONE, PUT_OFF, Dialer
from hardline.tunnel.dialevents import DialEvent, Failed, Found, Started, Won
from tests.support.clock import run, settled, since

NOW = 1_616_112_000.0
DAY = utc_day(NOW)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return certificates.load_or_create(tmp_path_factory.mktemp("ours") / "a.cert")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return certificates.load_or_create(tmp_path_factory.mktemp("strangers") / "b.cert")


class Listed:
    """A search that yields (delay, candidate) pairs, and notes how often it was begun and closed, and when last."""

    def __init__(self, *plan: tuple[float, Candidate]) -> None:
        self.plan, self.begun, self.closed = plan, 0, 0
        self.begun_at = 0.0
        self.reasons: Sequence[str] = ("test: that is all",)

    def silent(self, better_than: PathKind) -> Sequence[str]:
        return ["LAN"] if better_than > PathKind.LAN else []

    async def candidates(self) -> AsyncIterator[Candidate]:
        self.begun += 1
        self.begun_at = now()
        try:
            for delay, candidate in self.plan:
                await asyncio.sleep(delay)
                yield candidate
        finally:
            self.closed += 1


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def listening(
    identity: Identity | None, knows: KeyHash | None = None, after: float = 0.0
) -> AsyncIterator[tuple[Endpoint, list[str]]]:
    """A host that answers to any server name, and the names it was asked for.  None accepts and says nothing.

    It shows `identity`, to whoever has the key of that or of the key hash that it `knows`, `after` so many seconds.
    """
    names: list[str] = []
    tasks: set[asyncio.Task[None]] = set()
    streams: list[TlsStream | TcpStream] = []

    async def welcome(tcp: TcpStream) -> None:
        if identity is None:
            streams.append(tcp)
            return
        await asyncio.sleep(after)
        context = server_context(identity.certificate_path, identity.private_key_path)
        prover = Prover(identity.der, signing_key(identity.private_key_pem))

        def find(name: str) -> KeyHash | None:
            names.append(name)
            return knows or identity.key_hash

        every = Names(find, lambda key_hash: prover, lambda name: context)
        with contextlib.suppress(HardlineError):
            streams.append(await TlsStream.over(tcp, front_context(), names=every))

    def accepted(tcp: TcpStream) -> None:
        tasks.add(asyncio.get_running_loop().create_task(welcome(tcp)))

    server = await asyncio.get_running_loop().create_server(lambda: TcpStream(accepted), "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), names
    finally:
        server.close()
        for stream in streams:
            stream.abort()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)


async def closed_port() -> Endpoint:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return endpoint


def lan(endpoint: Endpoint, *, plain: bool = False, day: int | None = None) -> Candidate:
    return Candidate(endpoint, PathKind.LAN, FoundBy("LAN", Trust.HEARD), Plain() if plain else Code(day))


def dialer(
    search: Listed, timeout: float = 5.0, stagger: float = 0.25, is_ours: Callable[[Endpoint], bool] = lambda at: False
) -> Dialer:
    return Dialer(lambda target: search, clock=lambda: NOW, timeout=timeout, stagger=stagger, is_ours=is_ours)


def no_tasks_left() -> bool:
    return len(asyncio.all_tasks()) == 1


def test_the_verified_host_wins_and_is_asked_by_its_rolling_code(ours):
    async def story():
        async with listening(ours) as (endpoint, names):
            route = await dialer(Listed((0, lan(endpoint)))).dial(ours.key_hash)
            assert (route.candidate.endpoint, route.protocol) == (endpoint, "hardline/2")
            assert names == [ours.key_hash.rolling(DAY)]
            route.tls.abort()

    run(story)


def test_an_answer_that_names_its_day_is_asked_by_the_code_of_that_day(ours):
    async def story():
        async with listening(ours) as (endpoint, names):
            route = await dialer(Listed((0, lan(endpoint, day=DAY + 40)))).dial(ours.key_hash)
            assert names == [ours.key_hash.rolling(DAY + 40)]
            route.tls.abort()

    run(story)


def test_who_does_not_know_the_service_is_told_nothing_and_says_nothing(ours, strangers):
    async def story():
        async with listening(strangers) as (wrong, _):
            with pytest.raises(NoRoute) as caught:
                await dialer(Listed((0, lan(wrong)))).dial(ours.key_hash)
            assert caught.value.attempts[0].failure == "TLS handshake: this service is not offered there"

    run(story)


def test_the_key_hash_itself_is_sent_only_to_a_plain_candidate(ours):
    async def story():
        async with listening(ours) as (endpoint, names):
            route = await dialer(Listed((0, lan(endpoint, plain=True)))).dial(ours.key_hash)
            assert names == [str(ours.key_hash)]
            route.tls.abort()

    run(story)


def test_a_host_of_today_is_spoken_to_in_hardline_2_by_its_plain_name_too(ours):
    async def story():
        async with listening(ours) as (endpoint, _):
            route = await dialer(Listed((0, lan(endpoint, plain=True)))).dial(ours.key_hash)
            assert route.protocol == "hardline/2"
            route.tls.abort()

    run(story)


def test_who_was_heard_to_speak_hardline_2_is_never_asked_by_its_plain_name(ours):
    async def spoke(target: KeyHash) -> str:
        return "hardline/2"

    async def story():
        async with listening(ours) as (endpoint, names):
            search = Listed((0, lan(endpoint, plain=True)))
            with pytest.raises(NoRoute):
                await Dialer(lambda target: search, clock=lambda: NOW, protocol_of=spoke).dial(ours.key_hash)
            assert names == []

    run(story)


def test_nor_by_a_way_that_worked_before_and_not_where_only_this_process_knows_it(ours):
    spoken = ""

    async def spoke(target: KeyHash) -> str:
        return spoken

    async def story():
        nonlocal spoken
        code = ours.key_hash.rolling(DAY)
        async with listening(ours) as (endpoint, names):
            way = lan(endpoint, plain=True)
            spoken = "hardline/2"
            fresh = Dialer(lambda target: Listed(), clock=lambda: NOW, protocol_of=spoke)
            assert await fresh.reach(ours.key_hash, way, 5.0) is None
            with pytest.raises(NoRoute):
                await fresh.dial(ours.key_hash, way)
            assert names == []

            spoken = ""  # nothing was written down, as of a host that lets nobody in
            one = Dialer(lambda target: Listed((0, way)), clock=lambda: NOW, protocol_of=spoke)
            first = await one.dial(ours.key_hash)
            assert names == [str(ours.key_hash)]
            with pytest.raises(NoRoute):
                await one.dial(ours.key_hash, way)
            again = await one.reach(ours.key_hash, first.candidate, 5.0)
            assert again is not None
            assert names == [str(ours.key_hash), code]
            first.tls.abort()
            again.tls.abort()

    run(story)


def test_a_stranger_who_answers_first_is_one_failed_attempt_among_others(ours, strangers):
    async def story():
        async with listening(strangers, ours.key_hash) as (wrong, _), listening(ours) as (right, _):
            search = Listed((0, lan(wrong)), (0.05, lan(right)))
            route = await dialer(search).dial(ours.key_hash)
            assert route.candidate.endpoint == right
            route.tls.abort()

    run(story)


def test_a_silent_candidate_costs_one_stagger(ours):
    async def story():
        async with listening(None) as (silent, _), listening(ours) as (right, _):
            began = now()
            route = await dialer(Listed((0, lan(silent)), (0, lan(right)))).dial(ours.key_hash)
            assert route.candidate.endpoint == right
            assert since(began) == route.took == 0.25
            route.tls.abort()

    run(story)


def test_a_route_says_why_it_is_no_better_path(ours, strangers, monkeypatch):
    monkeypatch.setattr(attempts, "refused", lambda address, way: None)

    async def story():
        async with listening(strangers, ours.key_hash) as (wrong, _), listening(ours) as (right, _):
            far = Candidate(right, PathKind.DIRECT, FoundBy("remembered", Trust.WORKED))
            route = await dialer(Listed((0, lan(wrong)), (0.05, far))).dial(ours.key_hash)
            assert route.candidate == far
            assert route.passed_over[0] == "LAN: nothing found"
            assert route.passed_over[1].startswith(f"LAN: {wrong}: wrong certificate")
            route.tls.abort()
            near = await dialer(Listed((0, lan(right)))).dial(ours.key_hash)
            assert near.passed_over == ()
            near.tls.abort()

    run(story)


def test_this_nodes_own_listeners_are_not_dialled_where_others_name_them(ours):
    async def story():
        async with listening(ours) as (endpoint, names):
            search = Listed((0, Candidate(endpoint, PathKind.LAN, FoundBy("remembered", Trust.WORKED))))
            with pytest.raises(NoRoute):
                await dialer(search, is_ours=lambda at: at == endpoint).dial(ours.key_hash)
            assert names == []

    run(story)


def test_when_all_fail_every_attempt_says_why_in_order(ours, strangers):
    async def story():
        async with listening(strangers, ours.key_hash) as (wrong, _):
            nothing = await closed_port()
            with pytest.raises(NoRoute) as caught:
                await dialer(Listed((0, lan(nothing)), (0.05, lan(wrong)))).dial(ours.key_hash)
            failures = [attempt.failure for attempt in caught.value.attempts]
            assert failures[0] == "connection refused"
            assert failures[1].startswith("wrong certificate: certificate of")
            assert caught.value.reasons == ("test: that is all",)

    run(story)


def test_with_nothing_left_but_silence_after_others_said_no_a_dial_does_not_last(ours):
    async def story():
        async with listening(None) as (silent, _):
            nothing, began = await closed_port(), now()
            search = Listed((0, lan(silent)), (0, lan(nothing)))
            with pytest.raises(NoRoute) as caught:
                await dialer(search, timeout=15.0).dial(ours.key_hash)
            assert since(began) == 0.25 + LEFT_ALONE
            took = [(attempt.candidate.endpoint, round(attempt.took, 6)) for attempt in caught.value.attempts]
            assert took == [(nothing, 0), (silent, 0.25 + LEFT_ALONE)]

    run(story)


def test_where_others_may_still_be_found_or_said_nothing_a_dial_has_all_the_time(ours):
    async def story():
        async with listening(None) as (silent, _):
            nothing = await closed_port()
            looks_on = Listed((0, lan(silent)), (0, lan(nothing)), (60, lan(nothing)))
            for search in (Listed((0, lan(silent))), looks_on):
                began = now()
                with pytest.raises(NoRoute) as caught:
                    await dialer(search, timeout=15.0).dial(ours.key_hash)
                assert since(began) == 15
                assert search.closed == 1
                assert caught.value.attempts[-1].failure == attempts.FELL_SILENT

    run(story)


@contextlib.asynccontextmanager
async def accepting(first: bytes = b"") -> AsyncIterator[tuple[Endpoint, list[int]]]:
    """One that says `first` and nothing more; and the segment sizes that its connections have."""
    segments, streams = list[int](), list[TcpStream]()

    def accepted(tcp: TcpStream) -> None:
        streams.append(tcp)
        segments.append(tcp.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
        tcp.transport.write(first)

    server = await asyncio.get_running_loop().create_server(lambda: TcpStream(accepted), "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), segments
    finally:
        server.close()
        for stream in streams:
            stream.abort()
        await asyncio.sleep(0)


def test_who_falls_silent_once_it_is_connected_is_dialled_in_small_packets_next_time_and_then_in_full_ones(ours):
    async def story():
        async with accepting() as (silent, segments):
            twice = ((0, lan(silent)), (0, lan(silent, day=DAY)))  # two finders know it
            again = dialer(Listed(*twice), timeout=0.5, stagger=0.01)
            for _ in range(3):
                with pytest.raises(NoRoute) as caught:
                    await again.dial(ours.key_hash)
                assert [attempt.failure for attempt in caught.value.attempts] == [attempts.FELL_SILENT] * 2
            assert max(segments[2:4]) <= attempts.SMALL_SEGMENT < min(segments[:2] + segments[4:])

    run(story)


def test_of_who_says_anything_at_all_no_packets_are_lost(ours):
    async def story():
        async with accepting(b"\x16") as (slow, _):
            with pytest.raises(NoRoute) as caught:
                await dialer(Listed((0, lan(slow))), timeout=0.5).dial(ours.key_hash)
            assert caught.value.attempts[0].failure.startswith("no answer within ")

    run(story)


def test_time_is_up_even_when_somebody_holds_the_line(ours):
    async def story():
        async with listening(None) as (silent, _):
            began = now()
            with pytest.raises(NoRoute) as caught:
                await dialer(Listed((0, lan(silent)))).dial(ours.key_hash)
            assert since(began) == 5
            assert [attempt.candidate.endpoint for attempt in caught.value.attempts] == [silent]

    run(story)


def test_nothing_outlives_a_dial_that_is_cancelled(ours):
    async def story():
        async with listening(None) as (silent, _):
            search = Listed((0, lan(silent)), (60, lan(silent)))
            dial = asyncio.get_running_loop().create_task(dialer(search).dial(ours.key_hash))
            await asyncio.sleep(1)
            assert (search.begun, search.closed) == (1, 0)
            assert len(asyncio.all_tasks()) > 2, "it looks on, and tries"
            dial.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dial
            assert search.closed == 1
            assert no_tasks_left()

    run(story)


def test_a_known_path_that_works_is_taken_without_asking_anybody(ours):
    async def story():
        async with listening(ours) as (endpoint, _):
            search = Listed((0, lan(endpoint)))
            route = await dialer(search).dial(ours.key_hash, known=lan(endpoint))
            assert search.begun == 0
            route.tls.abort()

    run(story)


def test_a_known_path_that_is_gone_makes_the_finders_start_at_once(ours):
    async def story():
        async with listening(ours) as (endpoint, _):
            search = Listed((0, lan(endpoint)))
            gone, began = lan(await closed_port()), now()
            route = await dialer(search).dial(ours.key_hash, known=gone)
            assert (search.begun, route.candidate.endpoint) == (1, endpoint)
            assert search.begun_at == began
            route.tls.abort()

    run(story)


def test_a_known_path_that_does_not_answer_has_one_stagger_before_the_finders_start(ours):
    async def story():
        async with listening(None) as (silent, _), listening(ours) as (right, _):
            search, began = Listed((0, lan(right))), now()
            route = await dialer(search).dial(ours.key_hash, known=lan(silent))
            assert route.candidate.endpoint == right
            assert (search.begun, search.begun_at - began) == (1, 0.25)
            assert since(began) == 0.25
            route.tls.abort()

    run(story)


def test_a_known_path_that_answers_a_moment_before_the_stagger_keeps_the_finders_asleep(ours):
    async def story():
        async with listening(ours, after=0.2) as (right, _):
            search, began = Listed((0, lan(right))), now()
            route = await dialer(search).dial(ours.key_hash, known=lan(right))
            assert (search.begun, since(began)) == (0, 0.2)
            route.tls.abort()

    run(story)


# ── what is put off ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_put_off_is_connected_to_so_much_later_and_has_its_whole_time_then(ours):
    async def story():
        async with listening(ours, after=3.5) as (right, _):
            began = now()
            route = await dialer(Listed((0, lan(right)))).dial(ours.key_hash, put_off=[right])
            assert since(began) == route.took == PUT_OFF + 3.5
            assert route.steps.tls == 3.5
            route.tls.abort()

    run(story)


def test_any_other_path_that_is_there_comes_before_what_is_put_off(ours):
    async def story():
        async with listening(ours) as (waits, names), listening(ours) as (other, _):
            began = now()
            route = await dialer(Listed((0, lan(waits)), (0, lan(other)))).dial(ours.key_hash, put_off=[waits])
            assert (route.candidate.endpoint, since(began)) == (other, 0.25)
            await asyncio.sleep(10)
            assert names == []
            route.tls.abort()

    run(story)


# ── when each starts ─────────────────────────────────────────────────────────────────────────────────────────────


async def starts(search: Listed, target: KeyHash) -> list[tuple[Candidate, float]]:
    """What a dial that nobody answers starts, and when."""
    began, told = now(), []

    def listener(target: KeyHash, event: DialEvent) -> None:
        if isinstance(event, Started):
            told.append((event.candidate, since(began)))

    with pytest.raises(NoRoute):
        await Dialer(lambda target: search, clock=lambda: NOW, listener=listener).dial(target)
    assert since(began) == 10
    return told


def test_candidates_start_a_stagger_apart_and_at_once_after_a_failure(ours):
    async def story():
        async with contextlib.AsyncExitStack() as stack:
            one, two, three = [lan((await stack.enter_async_context(listening(None)))[0]) for _ in range(3)]
            gone = lan(await closed_port())
            assert await starts(Listed((0, one), (0, two), (0, three)), ours.key_hash) == [
                (one, 0),
                (two, 0.25),
                (three, 0.5),
            ]
            assert await starts(Listed((0, one), (0.125, gone), (0, two), (4, three), (60, gone)), ours.key_hash) == [
                (one, 0),
                (gone, 0.25),
                (two, 0.25),
                (three, 4.125),
            ]

    run(story)


# ── better and better routes ─────────────────────────────────────────────────────────────────────────────────────


def known_as(kind: PathKind, endpoint: Endpoint) -> Candidate:
    return Candidate(endpoint, kind, FoundBy(kind.name, Trust.HEARD if kind is PathKind.LAN else Trust.SIGNED))


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback addresses count as addresses of any kind."""
    monkeypatch.setattr(attempts, "refused", lambda address, way: None)


@pytest.mark.usefixtures("everywhere")
def test_who_is_not_content_gets_better_and_better_routes(ours):
    async def story():
        async with listening(ours) as (far, _), listening(ours) as (near, _), listening(ours) as (other, _):
            relayed, direct = known_as(PathKind.RELAYED, far), known_as(PathKind.DIRECT, other)
            search = Listed((0, relayed), (0.3, direct), (0.3, known_as(PathKind.LAN, near)))
            kinds = []
            async with contextlib.aclosing(dialer(search).routes(ours.key_hash)) as routes:
                async for route in routes:
                    kinds.append(route.candidate.kind)
                    route.tls.abort()
            assert kinds == [PathKind.RELAYED, PathKind.DIRECT, PathKind.LAN]
            assert search.closed == 1
            assert no_tasks_left()

    run(story)


@pytest.mark.usefixtures("everywhere")
def test_a_better_kind_does_not_wait_and_a_relay_waits_for_the_first_of_all_others_only(ours):
    async def story():
        async with contextlib.AsyncExitStack() as stack:
            at = [(await stack.enter_async_context(listening(None)))[0] for _ in range(5)]
            far, farther = known_as(PathKind.DIRECT, at[0]), known_as(PathKind.DIRECT, at[1])
            near, relay, spare = lan(at[2]), known_as(PathKind.RELAYED, at[3]), known_as(PathKind.RELAYED, at[4])
            search = Listed((0, far), (0, farther), (0, relay), (0, spare), (0.125, near), (60, near))
            assert await starts(search, ours.key_hash) == [
                (far, 0),
                (near, 0.125),
                (relay, 0.25),
                (farther, 0.375),
                (spare, 0.5),
            ]

    run(story)


@pytest.mark.usefixtures("everywhere")
def test_who_has_a_path_and_looks_for_a_better_one_is_told_of_no_failure(ours):
    async def story():
        async with listening(ours) as (far, _):
            search = Listed((0, known_as(PathKind.RELAYED, far)), (0, known_as(PathKind.DIRECT, await closed_port())))
            found = [one async for one in dialer(search).routes(ours.key_hash, better_than=PathKind.RELAYED)]
            assert found == []
            assert search.closed == 1

    run(story)


@pytest.mark.usefixtures("everywhere")
def test_who_is_content_with_the_first_stops_everything_else(ours):
    async def story():
        async with listening(ours) as (far, _), listening(None) as (silent, _):
            search = Listed((0, known_as(PathKind.RELAYED, far)), (0, known_as(PathKind.DIRECT, silent)), (9, lan(far)))
            async with contextlib.aclosing(dialer(search, stagger=0.05).routes(ours.key_hash)) as routes:
                first = await anext(routes)
                assert first.candidate.kind is PathKind.RELAYED
                first.tls.abort()
            assert search.closed == 1
            await settled()
            assert no_tasks_left()

    run(story)


@pytest.mark.usefixtures("everywhere")
def test_what_happens_in_a_dial_is_told_as_it_happens_with_the_time_of_every_step(ours):
    async def story():
        async with listening(ours, after=2.0) as (right, _):
            gone, refused = known_as(PathKind.DIRECT, await closed_port()), known_as(PathKind.DIRECT, right)
            told: list[tuple[KeyHash, DialEvent]] = []
            search = Listed((0, gone), (0.1, refused), (0, lan(right)))
            dials = Dialer(
                lambda target: search,
                clock=lambda: NOW,
                is_ours=lambda endpoint: endpoint == right,
                listener=lambda target, event: told.append((target, event)),
            )
            route = await dials.dial(ours.key_hash)
            route.tls.abort()
            assert {target for target, _ in told} == {ours.key_hash}
            events = [event for _, event in told]
            assert [type(event) for event in events] == [Found, Started, Failed, Found, Found, Started, Won]
            assert (events[1], events[3]) == (Started(gone), Found(refused, "this node itself"))
            failed, won = events[2], events[-1]
            assert isinstance(failed, Failed)
            assert (failed.attempt.failure, failed.attempt.steps.tcp) == ("connection refused", None)
            assert failed.attempt.steps.resolve is not None
            assert isinstance(won, Won)
            assert (won.candidate, won.protocol, won.attempts, won.took) == (lan(right), "hardline/2", 2, route.took)
            assert won.steps == route.steps
            assert (won.steps.resolve, won.steps.tcp, won.steps.tls, won.steps.hello) == (0, 0, 2, None)
            assert round(won.took, 6) == 2.1

    run(story)


def test_what_is_said_first_is_made_while_tcp_connects(ours, monkeypatch):
    made, made_when_connected = list[str](), list[int]()
    visiting, connect_any = TlsStream.visiting, attempts.tcp.connect_any

    def counted(context: SSL.Context, server_name: str, target: KeyHash) -> TlsStream:
        made.append(server_name)
        return visiting(context, server_name, target)

    async def slow(addresses: Sequence[Endpoint], manner: Manner) -> TcpStream:
        stream = await connect_any(addresses, manner)
        await asyncio.sleep(0.05)
        made_when_connected.append(len(made))
        return stream

    monkeypatch.setattr(attempts.TlsStream, "visiting", counted)
    monkeypatch.setattr(attempts.tcp, "connect_any", slow)

    async def story():
        async with listening(ours) as (endpoint, _):
            route = await dialer(Listed((0, lan(endpoint)))).dial(ours.key_hash)
            route.tls.abort()
        assert made_when_connected == [1]
        assert made == [str(ours.key_hash.rolling(DAY))], "once, and by its rolling code"

    run(story)
