"""Dialling the local service: every kind, every address of it, and every way in which it can fail."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import errno
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

import hardline
from hardline.errors import ServiceFailed
from hardline.settings.local import LocalService
from hardline.transport.servicetls import WORDS, in_words, service_context
from hardline.transport.tcp import TcpStream
from hardline.tunnel.local import DETAILS, open_local
from tests.support import needs
from tests.support.dead import dead
from tests.support.looplag import LoopLag
from tests.support.lying import Names
from tests.support.tls_devices import certificate, device

ROOT = Path(hardline.__file__).parent
Result = TypeVar("Result")


def run(story: Callable[[], Awaitable[Result]]) -> Result:
    async def whole() -> Result:
        async with asyncio.timeout(100):
            return await story()

    return asyncio.run(whole())


async def answer(service: LocalService, names: Names | None = None) -> bytes:
    """The first bytes that it says to a request; raises ServiceFailed."""
    stream = await open_local(service, names.resolver() if names else None)
    try:
        await stream.send(b"GET / HTTP/1.0\r\n\r\n")
        return await stream.receive()
    finally:
        stream.abort()
        await asyncio.sleep(0)


def failure(service: LocalService, names: Names | None = None) -> ServiceFailed:
    """How it fails."""
    with pytest.raises(ServiceFailed) as caught:
        run(lambda: answer(service, names))
    return caught.value


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read(65_536)
        writer.write(b"hello")
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def serving(host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A service that says hello; yields its port."""
    server = await asyncio.start_server(_hello, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path, "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def server_tls(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


# ── its addresses ────────────────────────────────────────────────────────────────────────────────────────────


@needs.linux()
@pytest.mark.parametrize("kind", ["tcp", "https"])
@pytest.mark.parametrize("addresses", [["127.0.0.3", "127.0.0.1"], ["127.0.0.3", "127.0.0.4", "127.0.0.1"]])
def test_an_address_that_swallows_everything_costs_one_step_and_not_the_visit(pair, addresses, kind):
    """Until there was a next address while one is silent, the whole time limit went by, and the visit failed."""

    async def story() -> bytes:
        async with serving(tls=server_tls(pair) if kind == "https" else None) as port:
            with contextlib.ExitStack() as held:
                for address in addresses[:-1]:
                    held.enter_context(dead(address, port))
                return await answer(LocalService(kind, "nas", port, verify=False), Names({"nas": addresses}))  # type: ignore[arg-type]

    assert run(story) == b"hello"


def test_an_address_that_says_no_costs_nothing(monkeypatch):
    monkeypatch.setattr("hardline.transport.tcp.STAGGER", 3600.0)

    async def story() -> bytes:
        async with serving() as port:
            return await answer(LocalService("tcp", "nas", port), Names({"nas": ["127.0.0.3", "127.0.0.1"]}))

    assert run(story) == b"hello"


def test_of_several_failures_that_somebody_refused_is_told():
    names = Names({"nas": ["127.0.0.3", "255.255.255.255"]})
    assert failure(LocalService("tcp", "nas", 1), names).kind == "refused"


@needs.linux()
def test_no_socket_outlives_a_dial_that_is_cancelled_or_lost():
    async def story() -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        async with serving() as port:
            with dead("127.0.0.3", port), dead("127.0.0.4", port):
                inside = len(list(Path("/proc/self/fd").iterdir()))
                names = Names({"dead": ["127.0.0.3", "127.0.0.4"], "nas": ["127.0.0.3", "127.0.0.1"]})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.4):
                        await answer(LocalService("tcp", "dead", port), names)
                assert len(list(Path("/proc/self/fd").iterdir())) == inside
                await answer(LocalService("tcp", "nas", port), names)
        while len(list(Path("/proc/self/fd").iterdir())) > before:  # the server's ends
            await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 1

    run(story)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_visits_to_a_service_whose_name_hangs_delay_no_other():
    names = Names({"nas": ["127.0.0.1"]}, ["printer"])

    async def story() -> bytes:
        async with serving() as port:
            resolver = names.resolver()
            visits = [
                asyncio.get_running_loop().create_task(open_local(LocalService("tcp", "printer", port), resolver))
                for _ in range(4)
            ]
            while not names.asked["printer"]:
                await asyncio.sleep(0.001)
            stream = await open_local(LocalService("tcp", "nas", port), resolver)
            assert not any(visit.done() for visit in visits)
            await stream.send(b"GET / HTTP/1.0\r\n\r\n")
            said = await stream.receive()
            stream.abort()
            for visit in visits:
                visit.cancel()
            await asyncio.gather(*visits, return_exceptions=True)
            return said

    try:
        assert run(story) == b"hello"
        assert names.asked == {"printer": 1, "nas": 1}
    finally:
        names.let_go()


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_services_of_a_kind_have_one_context():
    async def story() -> list[ssl.SSLContext]:
        return await asyncio.gather(*(service_context(verify=verify) for verify in (True, False) * 20))

    contexts = run(story)
    assert len(set(map(id, contexts))) == 2
    assert run(story)[:2] == contexts[:2]
    assert (contexts[0].verify_mode, contexts[0].check_hostname) == (ssl.CERT_REQUIRED, True)
    assert contexts[0].cert_store_stats() == ssl.create_default_context().cert_store_stats()
    assert contexts[1].cert_store_stats()["x509"] == 0, "nobody is believed, so nobody is loaded"


def test_no_context_is_made_where_connections_are():
    for file in ROOT.rglob("*.py"):
        if file.name != "servicetls.py":
            assert "create_default_context" not in file.read_text(), file


def test_streams_to_an_https_service_make_nobody_wait(pair):
    async def load(service: LocalService, count: int) -> LoopLag:
        gate = asyncio.Semaphore(32)

        async def one() -> None:
            async with gate:
                assert await answer(service) == b"hello"

        async with LoopLag() as lag:
            await asyncio.gather(*(one() for _ in range(count)))
        return lag

    async def story() -> tuple[LoopLag, LoopLag]:
        async with serving() as plain, serving(tls=server_tls(pair)) as secure:
            quiet = await load(LocalService("tcp", "127.0.0.1", plain), 96)
            return quiet, await load(LocalService("https", "127.0.0.1", secure, verify=False), 96)

    for _ in range(3):
        quiet, lag = run(story)
        print(f"96 streams: p99 {1000 * lag.p99:.1f} ms, worst {1000 * lag.worst:.1f} ms; plain {1000 * quiet.p99:.1f}")
        if not lag.harmful(quiet):
            return
    raise AssertionError("others had to wait, three times")


OLD = {
    "AES128-SHA by RSA": (("rsa:2048",), ("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")),
    "a 1024-bit RSA key": (("rsa:1024",), ("-tls1_2", "-cipher", "ALL:@SECLEVEL=0")),
    "a 1024-bit DH group": (("rsa:2048",), ("-tls1_2", "-cipher", "DHE-RSA-AES128-SHA:@SECLEVEL=0", "-dhparam", "DH")),
    "TLS 1.0": (("rsa:2048",), ("-tls1", "-cipher", "ALL:@SECLEVEL=0")),
    "TLS 1.1": (("rsa:2048",), ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")),
    "no secure renegotiation": (("rsa:2048",), ("-tls1_2", "-legacy_renegotiation", "-cipher", "ALL:@SECLEVEL=0")),
}


@needs.tools("openssl")
@pytest.mark.parametrize("kind", OLD)
def test_without_verification_whatever_an_old_device_speaks_is_good_enough(tmp_path, kind):
    newkey, options = OLD[kind]
    group = tmp_path / "dh"
    subprocess.run(["openssl", "dhparam", "-dsaparam", "-out", group, "1024"], check=True, capture_output=True)
    with device(*certificate(tmp_path, *newkey), *(group if option == "DH" else option for option in options)) as port:
        said = run(lambda: answer(LocalService("https", "127.0.0.1", port, verify=False)))
    assert said.startswith(b"HTTP/1.0 200")


@needs.tools("openssl")
def test_with_verification_the_true_reason_is_told(tmp_path, pair):
    with device(*certificate(tmp_path, "rsa:2048", name="old"), "-tls1", "-cipher", "ALL:@SECLEVEL=0") as port:
        assert "no TLS that is still safe" in failure(LocalService("https", "127.0.0.1", port)).detail
    with device(*pair) as port:
        assert "of its own making" in failure(LocalService("https", "127.0.0.1", port)).detail
    with device(*pair, "-psk", "00ff", "-nocert", "-tls1_2") as port:
        failed = failure(LocalService("https", "127.0.0.1", port, verify=False))
        assert failed.detail == "the local service speaks no kind of TLS that this computer knows"

    async def plain() -> None:
        async with serving() as port:
            await answer(LocalService("https", "127.0.0.1", port))

    with pytest.raises(ServiceFailed, match="does not speak TLS"):
        run(plain)


# ── its words ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_whatever_the_system_says_the_details_are_fixed_words(monkeypatch, code):
    async def fails(*_: object, **__: object) -> TcpStream:
        raise OSError(code, "192.168.77.5 said so")

    monkeypatch.setattr("hardline.transport.tcp.connect", fails)
    assert failure(LocalService("tcp", "192.168.77.5", 80)).detail in DETAILS


def _tls_failures() -> Iterator[ssl.SSLError]:
    for code in range(200):
        refused = ssl.SSLCertVerificationError("IP address mismatch, certificate is not valid for '192.168.77.5'")
        refused.verify_code = code
        refused.verify_message = "certificate is not valid for 'nas.intern'"
        yield refused
    for reason in (None, "WRONG_VERSION_NUMBER", "DH_KEY_TOO_SMALL", "192.168.77.5"):
        failed = ssl.SSLError("nas.intern")
        failed.reason = reason  # type: ignore[assignment]
        yield failed


def test_whatever_tls_says_the_details_are_fixed_words():
    for failed in _tls_failures():
        assert in_words(failed) in WORDS


def test_the_words_name_no_address_and_are_one_line():
    for words in DETAILS:
        assert words.isprintable()
        assert words == words.lower() or "TLS" in words or "client" in words or "(verify" in words
        assert not any(digit in words.replace("10 s", "") for digit in "0123456789")


def test_nobody_makes_up_a_detail():
    """Every ServiceFailed of this program has a constant, or words from a closed table."""
    made: list[tuple[Path, ast.expr]] = []
    for file in ROOT.rglob("*.py"):
        if file.name in ("status.py", "errors.py"):  # the visitor's end repeats what the host said
            continue
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        made += [(file, call.args[1]) for call in calls if ast.unparse(call.func) == "ServiceFailed"]
    assert len(made) > 5
    for file, detail in made:
        text = ast.unparse(detail)
        constant = isinstance(detail, ast.Constant) or text.startswith("_") or text.isupper()
        closed = constant or text == "in_words(failure)"
        assert closed, f"{file.name}: {text}"


# ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────


@needs.linux()
def test_a_service_on_another_machine_is_asked_whether_it_is_still_there(monkeypatch):
    """On this one the kernel knows."""

    async def kept(host: str) -> Sequence[int]:
        async with serving(host) as port:
            stream = await open_local(LocalService("tcp", host, port))
            raw = stream.transport.get_extra_info("socket")
            told = [raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
            tcp = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            told += [raw.getsockopt(socket.IPPROTO_TCP, name) for name in tcp]
            stream.abort()
            await asyncio.sleep(0)
            return told

    outside = _outside()
    if outside is None:
        pytest.skip("this machine has no address but loopback")
    on, idle, every, count, user = run(lambda: kept(outside))
    assert on
    assert idle + every * count <= 180
    assert not user, "it would cut who is there and does not read"


def _outside() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, contextlib.suppress(OSError):
        asked.connect(("192.0.2.1", 9))
        return str(asked.getsockname()[0])
    return None
