"""Proof before identity: what a host shows to whom, and what a visitor believes.

The other end is not ours: it is psk_tls.py, which was written apart from the project, or `openssl s_client`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from hardline import certificates
from hardline.certificates import Identity
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import EarlierVersion, KeyHash, WrongCertificate
from hardline.proof import HOST, Prover
from hardline.signatures import signing_key
from hardline.transport import psk
from hardline.transport.contexts import front_context, server_context, visitor_context
from hardline.transport.handshake import ALPN_2, Names
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.hostile import psk_tls
from tests.support import needs
from tests.support.pairs import DAY, identity, names, tcp_pair

KEY_HASH = identity().key_hash
CODE = str(KEY_HASH.rolling(DAY))
ALERT = 21
DECRYPT_ERROR, HANDSHAKE_FAILURE = 51, 40


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


class Answered:
    """What a host said to one client, and what the host thought of it."""

    def __init__(self) -> None:
        self.bytes = b""
        self.failure: HardlineError | None = None

    @property
    def plain_alert(self) -> int | None:
        """The alert, where nothing but an unencrypted one was said."""
        record = self.bytes
        return record[6] if len(record) == 7 and record[0] == ALERT else None


async def answer(*flights: bytes, host: Names | None = None) -> Answered:
    """Send to a host what somebody has recorded or made up, and listen until it has no more to say."""
    answered = Answered()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, stream = await asyncio.get_running_loop().create_connection(TcpStream, sock=ours)
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        try:
            tls = await TlsStream.over(stream, front_context(), names=host or names())
            tls.abort()
        except HardlineError as failure:
            answered.failure = failure
            stream.abort()

    serving = loop.create_task(serve())
    with theirs:
        for flight in flights:
            await loop.sock_sendall(theirs, flight)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(theirs, 65_536):
                answered.bytes += data
        await serving
    return answered


def first_flight(name: str, key_hash: bytes = b"", *, old: bool = False) -> bytes:
    return psk_tls.Client(name, key_hash, old=old).step()[0]


def tells_nothing(answered: Answered) -> None:
    assert identity().der not in answered.bytes
    assert identity().der[:40] not in answered.bytes
    assert KEY_HASH.digest not in answered.bytes
    assert isinstance(answered.failure, PeerError | ConnectionLost)


@contextlib.asynccontextmanager
async def host(served: Names | None = None) -> AsyncIterator[tuple[int, list[TlsStream]]]:
    """A listening host: its port, and who came in."""
    came: list[TlsStream] = []
    tasks: set[asyncio.Task[None]] = set()

    async def welcome(tcp: TcpStream) -> None:
        with contextlib.suppress(HardlineError):
            came.append(await TlsStream.over(tcp, front_context(), names=served or names()))
            await came[-1].send(b'{"v":2}\n')

    listener = await Listener.open(
        ["127.0.0.1"], 0, lambda tcp: tasks.add(asyncio.get_running_loop().create_task(welcome(tcp))), what="test"
    )
    try:
        yield listener.port, came
    finally:
        await listener.aclose()
        for tls in came:
            tls.abort()
        await asyncio.gather(*tasks)


# ── both ends ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_visitor_written_apart_from_the_project_is_let_in_and_given_the_proof():
    async def story() -> None:
        async with host() as (port, came):

            def visit() -> tuple[psk_tls.Pipe, bytes]:
                raw = socket.create_connection(("127.0.0.1", port))
                pipe = psk_tls.Pipe(raw, psk_tls.Client(CODE, KEY_HASH.digest))
                return pipe, pipe.recv(100)

            pipe, said = await asyncio.to_thread(visit)
            assert said == b'{"v":2}\n'
            assert pipe.tls.proof.startswith(identity().der)
            assert [tls.key_hash for tls in came] == [KEY_HASH]
            pipe.close()

    run(story)


def test_a_host_written_apart_from_the_project_is_believed_though_its_proof_is_late():
    async def story() -> None:
        async with tcp_pair() as (one, other):
            raw = _raw(other)
            server = psk_tls.Server(identity().der, identity().private_key_pem)
            serving = asyncio.create_task(asyncio.to_thread(psk_tls.Pipe, raw, server))  # noqa: TID251
            tls = await TlsStream.over(one, visitor_context(), CODE, target=KEY_HASH)
            pipe = await serving
            assert (tls.key_hash, tls.alpn, tls.version) == (KEY_HASH, ALPN_2, "TLSv1.3")
            pipe.sendall(b"late")
            assert await tls.receive() == b"late"
            tls.abort()
            raw.close()

    run(story)


def test_the_proof_comes_with_the_hosts_first_flight():
    """One round trip to be sure of the host, as with a certificate."""

    async def story() -> None:
        visitor = psk_tls.Client(CODE, KEY_HASH.digest)
        hello, _ = visitor.step()
        answered = await answer(hello)
        visitor.step(answered.bytes)
        visitor.unseal(b"")
        assert visitor.proof.startswith(identity().der)

    run(story)


@pytest.mark.parametrize("early", [True, False], ids=["at once", "a round trip later"])
def test_it_works_with_and_without_the_functions_that_let_a_server_speak_early(early, monkeypatch):
    monkeypatch.setattr(psk, "CAN_SPEAK_EARLY", early)

    async def story() -> None:
        async with tcp_pair() as (one, other):
            client, server = await asyncio.gather(
                TlsStream.over(one, visitor_context(), CODE, target=KEY_HASH),
                TlsStream.over(other, front_context(), names=names()),
            )
            await server.send(b"behind the proof")
            assert await client.receive() == b"behind the proof"
            client.abort()

    run(story)


@needs.tools("openssl")
@pytest.mark.parametrize("groups", ["X25519", "ffdhe4096:X25519"], ids=["at once", "after a HelloRetryRequest"])
def test_openssls_own_client_is_let_in_by_the_psk_and_reads_the_proof(groups):
    """After a HelloRetryRequest nothing is secret yet when OpenSSL says that there is no early data."""
    day = next(day for day in range(DAY, DAY + 200) if b"\0" not in bytes.fromhex(KEY_HASH.rolling(day)))
    code = str(KEY_HASH.rolling(day))
    prover = Prover(identity().der, signing_key(identity().private_key_pem))
    served = Names(lambda name: KEY_HASH if name == code else None, lambda key_hash: prover)

    async def story() -> None:
        async with host(served) as (port, came):

            def visit() -> bytes:
                command = [b"openssl", b"s_client", b"-connect", b"127.0.0.1:%d" % port, b"-servername", code.encode()]
                command += [b"-psk_identity", bytes.fromhex(code), b"-psk", KEY_HASH.psk.hex().encode()]
                command += [b"-alpn", ALPN_2, b"-ciphersuites", b"TLS_AES_128_GCM_SHA256", b"-groups", groups.encode()]
                command += [b"-tls1_3", b"-msg", b"-ign_eof", b"-nocommands"]
                pipe = subprocess.PIPE
                process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
                assert process.stdout is not None
                seen = b""
                while b'{"v":2}\n' not in seen and (data := os.read(process.stdout.fileno(), 65_536)):
                    seen += data
                process.kill()
                process.communicate()
                return seen

            seen = await asyncio.to_thread(visit)
            assert identity().der in seen
            assert [tls.key_hash for tls in came] == [KEY_HASH]
            assert seen.count(b", ServerHello") == (2 if "ffdhe" in groups else 1)

    run(story)


# ── what a host shows to a stranger ──────────────────────────────────────────────────────────────────────────


def test_who_repeats_a_server_name_or_makes_one_up_gets_an_alert_and_no_certificate():
    async def story() -> None:
        for name, old in ((CODE, False), (CODE, True), ("00" * 20, False), ("example.org", False), ("any", True)):
            answered = await answer(first_flight(name, old=old))
            tells_nothing(answered)
            assert answered.plain_alert == HANDSHAKE_FAILURE, name

    run(story)


def test_a_wrong_key_an_unknown_name_and_a_changed_replay_end_in_the_same_way():
    recorded = first_flight(CODE, KEY_HASH.digest)
    changed = [recorded[:at] + bytes([recorded[at] ^ 1]) + recorded[at + 1 :] for at in (50, len(recorded) - 1)]
    flights = [
        first_flight(CODE, bytes(20)),
        first_flight("00" * 20, KEY_HASH.digest),
        first_flight(str(KEY_HASH), KEY_HASH.digest),
        *changed,
    ]

    async def story() -> None:
        for flight in flights:
            answered = await answer(flight)
            tells_nothing(answered)
            assert answered.plain_alert == DECRYPT_ERROR

    run(story)


def test_a_server_name_that_is_not_the_identity_ends_in_the_same_way_too():
    async def story() -> None:
        visitor = psk_tls.Client(CODE, KEY_HASH.digest)
        visitor.connection.set_tlsext_host_name(b"00" * 20)
        answered = await answer(visitor.step()[0])
        tells_nothing(answered)
        assert answered.plain_alert == DECRYPT_ERROR

    run(story)


def test_a_recorded_first_flight_gets_something_unreadable_each_time_another_and_never_completes():
    recorded = first_flight(CODE, KEY_HASH.digest)

    async def story() -> None:
        seen = set()
        for _ in range(100):
            answered = await answer(recorded)
            tells_nothing(answered)
            seen.add(answered.bytes)
        assert len(seen) == 100
        assert len({len(bytes_) for bytes_ in seen}) == 1

    run(story)


@pytest.mark.parametrize("cut", [0, 1, 5, 6, 100, 700, -1])
def test_a_first_flight_that_is_cut_tells_nothing(cut):
    async def story() -> None:
        answered = await answer(first_flight(CODE, KEY_HASH.digest)[:cut])
        tells_nothing(answered)
        assert answered.bytes == b""

    run(story)


def test_the_plain_key_hash_is_answered_with_a_certificate_where_hardline_1_is_spoken_and_only_there():
    prover = Prover(identity().der, signing_key(identity().private_key_pem))
    certificate = server_context(identity().certificate_path, identity().private_key_path)
    plain = Names(
        lambda name: KEY_HASH if name in (CODE, str(KEY_HASH)) else None,
        lambda key_hash: prover,
        lambda name: certificate if name == str(KEY_HASH) else None,
    )

    async def story() -> None:
        tells_nothing(await answer(first_flight(str(KEY_HASH))))
        old = await answer(first_flight(str(KEY_HASH), old=True), host=plain)
        assert identity().der in old.bytes
        for target, protocol in ((KEY_HASH, KEY_HASH), (None, None)):
            async with tcp_pair() as (one, other):
                context = visitor_context(originals=True)
                client, server = await asyncio.gather(
                    TlsStream.over(one, context, str(KEY_HASH), target=target),
                    TlsStream.over(other, front_context(), names=plain),
                )
                assert client.key_hash == server.key_hash == protocol
                assert target or client.peer_key_hash == KEY_HASH
                client.abort()

    run(story)


# ── what a visitor believes ──────────────────────────────────────────────────────────────────────────────────


async def visit(server: psk_tls.Server | SSL.Connection, name: str = CODE) -> TlsStream:
    """As our visitor, at a host of somebody's making."""
    async with tcp_pair() as (one, other):
        raw = _raw(other)

        def serve() -> None:
            with contextlib.suppress(OSError):
                psk_tls.Pipe(raw, server)  # type: ignore[arg-type]

        serving = asyncio.create_task(asyncio.to_thread(serve))  # noqa: TID251
        try:
            context = visitor_context(originals=name == str(KEY_HASH))
            return await TlsStream.over(one, context, name, target=KEY_HASH)
        finally:
            raw.shutdown(socket.SHUT_RDWR)
            await serving
            raw.close()


class Certificates(psk_tls.Server):
    """Knows certificates only, as every other TLS server; it has the right one."""

    def __init__(self) -> None:
        context = server_context(identity().certificate_path, identity().private_key_path)
        psk_tls._Tls.__init__(self, context)
        self.connection.set_accept_state()

    def step(self, data: bytes = b"") -> tuple[bytes, bool]:
        return psk_tls._Tls.step(self, data)


def test_a_server_that_ignores_the_psk_is_not_believed_by_a_rolling_name():
    async def story() -> None:
        with pytest.raises(PeerError, match="does not know the service, or runs an earlier hardline: update both"):
            await visit(Certificates())
        original = await visit(Certificates(), str(KEY_HASH))
        assert (original.key_hash, original.peer_key_hash) == (None, KEY_HASH)

    run(story)


@pytest.mark.parametrize("old", [False, True])
def test_a_visitor_of_an_earlier_build_is_told_from_one_that_asks_for_something_else(old):
    async def story() -> None:
        earlier = await answer(first_flight(CODE, old=old))
        assert isinstance(earlier.failure, EarlierVersion)
        assert earlier.failure.service == KEY_HASH
        tells_nothing(earlier)
        stranger = await answer(first_flight("00" * 20, old=old))
        assert isinstance(stranger.failure, PeerError)
        assert not isinstance(stranger.failure, EarlierVersion)
        guessing = await answer(first_flight(CODE, bytes(20)))
        assert not isinstance(guessing.failure, EarlierVersion)
        assert stranger.bytes == earlier.bytes, "nobody learns by it what is offered here"

    run(story)


class InTheMiddle(psk_tls.Server):
    """Knows the key hash, and has no key of that certificate."""

    def __init__(self, proof: Callable[[SSL.Connection], bytes]) -> None:
        super().__init__(identity().der, identity().private_key_pem)
        self._made = proof

    def proof(self) -> bytes:
        content = self._made(self.connection)
        return len(content).to_bytes(2, "big") + content


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return certificates.load_or_create(tmp_path_factory.mktemp("another") / "b.cert")


def test_who_sits_in_the_middle_and_knows_the_key_hash_is_found_out(another):
    def exporter(
        connection: SSL.Connection, context: bytes = KEY_HASH.digest, label: bytes = HOST.exporter_label
    ) -> bytes:
        return connection.export_keying_material(label, 32, context)

    real = Prover(identity().der, signing_key(identity().private_key_pem))
    own = Prover(another.der, signing_key(another.private_key_pem))

    async def relayed() -> bytes:
        """The host's own proof, for the channel between the middleman and the host."""
        visitor = psk_tls.Client(CODE, KEY_HASH.digest)
        answered = await answer(visitor.step()[0])
        visitor.step(answered.bytes)
        visitor.unseal(b"")
        return visitor.proof

    async def story() -> None:
        taken = await relayed()
        assert taken.startswith(identity().der)
        with pytest.raises(PeerError, match="wrong signature"):
            await visit(InTheMiddle(lambda connection: taken))
        with pytest.raises(WrongCertificate):
            await visit(InTheMiddle(lambda connection: own.prove(HOST, exporter(connection)).encode()[2:]))
        mixed = identity().der
        with pytest.raises(PeerError, match="wrong signature"):
            await visit(InTheMiddle(lambda connection: mixed + own.prove(HOST, exporter(connection)).signature))
        for wrong in ({"context": bytes(20)}, {"label": b"EXPORTER-hardline/2 visitor proof"}):
            with pytest.raises(PeerError, match="wrong signature"):
                await visit(InTheMiddle(lambda c, w=wrong: real.prove(HOST, exporter(c, **w)).encode()[2:]))  # type: ignore[misc]

    run(story)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x30", b"\x30\x05abc", b"GET / HTTP/1.1\r\n\r\n", bytes(100), identity().der, identity().der + bytes(64)],
)
def test_nonsense_in_place_of_a_proof_is_not_believed(content):
    async def story() -> None:
        with pytest.raises(PeerError):
            await visit(InTheMiddle(lambda connection: content))

    run(story)


def test_a_proof_that_is_too_long_or_never_ends_is_not_waited_for():
    class Endless(InTheMiddle):
        def proof(self) -> bytes:
            return b"\xff\xff" + bytes(1000)

    async def story() -> None:
        with pytest.raises(PeerError, match="at most"):
            await visit(Endless(lambda connection: b""))

    run(story)


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_hosts_with_keys_of_other_kinds_prove_themselves_too(kind):
    rsa_key = kind == "RSA"
    key = rsa.generate_private_key(65_537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    target, prover = KeyHash.of_certificate(der), Prover(der, signing_key(pem))
    served = Names(lambda name: target if name == target.rolling(DAY) else None, lambda key_hash: prover)

    async def story() -> None:
        async with tcp_pair() as (one, other):
            client, server = await asyncio.gather(
                TlsStream.over(one, visitor_context(), target.rolling(DAY), target=target),
                TlsStream.over(other, front_context(), names=served),
            )
            assert client.key_hash == server.key_hash == target
            client.abort()

    run(story)


def test_nothing_is_kept_of_a_handshake_that_ended():
    async def story() -> None:
        for flight in (first_flight(CODE, KEY_HASH.digest), first_flight(CODE), b"nonsense"):
            await answer(flight)
        with contextlib.suppress(PeerError):
            await visit(Certificates())
        assert not psk._clients
        assert not psk._servers

    run(story)


def _raw(stream: TcpStream) -> socket.socket:
    """The accepted end as a blocking socket of its own."""
    stream.transport.pause_reading()
    raw = socket.socket(fileno=os.dup(stream.transport.get_extra_info("socket").fileno()))
    raw.setblocking(True)
    return raw
