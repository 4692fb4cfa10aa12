"""The kinds of traffic: each is an errand that one person's program runs through the door, and checks to the last byte.

Sizes and moments come from the errand's own random numbers; who is asked to pause ends what would last long.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import subprocess
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from hardline.tunnel.guesses import ALLOWED
from tests.soak.plan import FILE, FILE_SIZE, Plan, Shared, greeting
from tests.soak.web import ADDRESSES, CHUNK, Failed, Life, Wire, Wrong
from tests.support.node import SCRIPTS
from tests.support.origin import pieces_of_bytes

NOBODY = "0123456789abcdef0123456789abcdef01234567"
_REMEMBERED = ALLOWED[0][0] * ALLOWED[0][1]  # seconds after which all guesses of an address are forgotten
_guesses: deque[float] = deque()  # of this program, which is one address
_ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


@dataclass(slots=True)
class Errand:
    """One piece of work.  `service` is None where the door itself is asked; `pausing` is done when all shall end."""

    plan: Plan
    service: Shared | None
    file: bytes
    random: random.Random
    life: Life
    pausing: asyncio.Future[None]
    wires: list[Wire] = field(default_factory=list)

    @property
    def shared(self) -> Shared:
        assert self.service is not None, "this errand has no service"
        return self.service

    @property
    def host(self) -> str:
        return f"{self.shared.label}.localhost:{self.plan.port}"

    async def connect(self, *, receive_buffer: int | None = None) -> Wire:
        wire = await Wire.connect(
            self.random.choice(ADDRESSES), self.plan.port, self.life, receive_buffer=receive_buffer
        )
        self.wires.append(wire)
        return wire

    def size(self, least: int, most: int) -> int:
        """Small ones as often as large ones."""
        return int(least * (most / least) ** self.random.random())

    async def wait(self, seconds: float) -> None:
        """`seconds`, or until all shall pause."""
        await asyncio.wait([self.pausing], timeout=seconds)


# ── one request ──────────────────────────────────────────────────────────────────────────────────────────────


async def get(errand: Errand) -> None:
    """A page, on a connection of its own."""
    wire = await errand.connect()
    await _ask_for_page(errand, wire, Connection="close")
    await wire.ends()


async def keep_alive(errand: Errand) -> None:
    """Many requests on one connection, some of them sent before the answer to the one before is there."""
    wire = await errand.connect()
    for number in range(errand.random.randint(3, 20)):
        match errand.random.choice(("page", "bytes", "echo", "pipelined")):
            case "page":
                await _ask_for_page(errand, wire)
            case "bytes":
                size = errand.size(1, 200_000)
                await wire.request("GET", f"/bytes/{size}", errand.host)
                await wire.ok(size)
                await wire.whole_body_is(pieces_of_bytes(size))
            case "echo":
                body = errand.random.randbytes(errand.size(1, 3000))
                await wire.request("POST", f"/echo?{number}", errand.host, body)
                told = json.loads(await wire.exactly((await wire.ok()).length))
                expect(told["body"].encode("latin-1") == body, "another body came back")
                expect(told["request"] == f"POST /echo?{number} HTTP/1.1", f"another request came: {told['request']}")
            case _:
                await wire.request("GET", "/", errand.host)
                await _ask_for_page(errand, wire)
                await wire.ok(len(greeting(errand.shared.name)))
                await wire.whole_body_is([greeting(errand.shared.name)])
        if errand.random.random() < 0.2:
            await errand.wait(errand.random.uniform(0, 0.5))


async def post(errand: Errand) -> None:
    """A small body comes back."""
    wire = await errand.connect()
    body = errand.random.randbytes(errand.size(1, 20_000))
    await wire.request("POST", "/echo", errand.host, body, Connection="close")
    told = json.loads(await wire.exactly((await wire.ok()).length))
    expect(told["body"].encode("latin-1") == body, "another body came back")
    await wire.ends()


async def head(errand: Errand) -> None:
    """HEAD announces a length and sends nothing; the connection goes on."""
    wire = await errand.connect()
    await wire.request("HEAD", f"/{FILE}", errand.host)
    await wire.ok(FILE_SIZE)
    await _ask_for_range(errand, wire, 1000)


# ── much data ────────────────────────────────────────────────────────────────────────────────────────────────


async def download(errand: Errand) -> None:
    """Up to 12 MB, each byte compared."""
    wire = await errand.connect()
    if errand.shared.backend == "nginx":
        await _ask_for_range(errand, wire, errand.size(1000, FILE_SIZE - 1))
        return
    size = errand.size(1000, 12_000_000)
    await wire.request("GET", f"/bytes/{size}", errand.host, Connection="close")
    await wire.ok(size)
    await wire.whole_body_is(pieces_of_bytes(size))
    await wire.ends()


async def upload(errand: Errand) -> None:
    """Up to 6 MB, of which the service tells the SHA-256."""
    wire = await errand.connect()
    body = errand.random.randbytes(errand.size(1000, 6_000_000))
    if errand.random.random() < 0.3:
        await wire.request("POST", "/sum", errand.host, Expect="100-continue", Content_Length=str(len(body)))
        await wire.answer(100)
    else:
        await wire.request("POST", "/sum", errand.host, Content_Length=str(len(body)))
    for start in range(0, len(body), CHUNK):
        await wire.send(body[start : start + CHUNK])
    await _is_summed(wire, body)


async def chunked(errand: Errand) -> None:
    """An upload whose length nobody knows before."""
    wire = await errand.connect()
    body = errand.random.randbytes(errand.size(1, 2_000_000))
    await wire.request("POST", "/sum", errand.host, Transfer_Encoding="chunked")
    at = 0
    while at < len(body):
        chunk = body[at : at + errand.size(1, 100_000)]
        await wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        at += len(chunk)
    await wire.send(b"0\r\n\r\n")
    await _is_summed(wire, body)


async def half_closed(errand: Errand) -> None:
    """Ends its own sending with the request; the end of the connection is all that tells the end of the answer."""
    slowly = errand.random.random() < 0.5
    size = errand.size(500_000 if slowly else 1, 4_000_000)
    wire = await errand.connect(receive_buffer=32_768 if slowly else None)
    await wire.request("GET", f"/until-end/{size}", errand.host)
    wire.send_end()
    answer = await wire.answer(200)
    expect("content-length" not in answer.headers, "a length that nobody announced")
    async for _ in wire.body_until_end_is(pieces_of_bytes(size)):
        if slowly:
            await errand.wait(errand.random.uniform(0.02, 0.1))


async def aborted(errand: Errand) -> None:
    """A reader that goes away in the middle."""
    wire = await errand.connect()
    enough = errand.size(1, 1_000_000)
    await wire.request("GET", f"/bytes/{40_000_000}", errand.host)
    await wire.ok(40_000_000)
    async for read in wire.body_is(pieces_of_bytes(40_000_000)):
        if read >= enough:
            break
    wire.drop(reset=errand.random.random() < 0.5)


async def slow_reader(errand: Errand) -> None:
    """A phone in a tunnel: 20 to 400 kB/s."""
    wire, size = await errand.connect(receive_buffer=32_768), errand.size(200_000, 3_000_000)
    await wire.request("GET", f"/bytes/{size}", errand.host)
    await wire.ok(size)
    async for _ in wire.body_is(pieces_of_bytes(size), step=20_000):
        await errand.wait(errand.random.uniform(0.05, 0.2))


# ── what lasts ───────────────────────────────────────────────────────────────────────────────────────────────


async def web_socket(errand: Errand) -> None:
    """Messages of random sizes come back in their order, with pauses between them."""
    wire, key = await errand.connect(), base64.b64encode(errand.random.randbytes(16))
    await wire.request(
        "GET", "/ws", errand.host, Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Key=key.decode()
    )
    answer = await wire.answer(101)
    accept = base64.b64encode(hashlib.sha1(key + _ACCEPT_KEY).digest()).decode()
    expect(answer.headers.get("sec-websocket-accept") == accept.lower(), "another WebSocket answered")
    for _ in range(errand.random.randint(2, 15)):
        messages = [errand.random.randbytes(errand.size(1, 8000)) for _ in range(errand.random.randint(1, 3))]
        await wire.send(b"".join(_frame(2, message, errand.random) for message in messages))
        for message in messages:
            expect(await _message(wire) == (2, message), "another message came back")
        await errand.wait(errand.random.uniform(0, 1.5))
    await wire.send(_frame(8, b"\x03\xe8", errand.random))
    expect(await _message(wire) == (8, b"\x03\xe8"), "no close frame came back")
    await wire.ends()


async def events(errand: Errand) -> None:
    """Server-sent events: the first at once, the next ones when somebody makes them happen; none is missing.

    Where there are two copies of a server, whoever makes them happen may reach the other one: only the first then.
    """
    most = 5 if errand.shared.copies < 2 else 1
    wire = await errand.connect()
    await wire.request("GET", "/events", errand.host, Accept="text/event-stream")
    await wire.answer(200)
    for number in islice(count(), errand.random.randint(1, most)):
        if number:
            trigger = await errand.connect()
            await trigger.request("GET", "/event", errand.host, Connection="close")
            await trigger.ok(2)
            await trigger.whole_body_is([b"{}"])
        await wire.whole_body_is([b"data: %d\n\n" % number])
        await errand.wait(errand.random.uniform(0, 1.5))


async def idle(errand: Errand) -> None:
    """A browser that keeps a connection for later; who cuts it meanwhile must say so."""
    wire = await errand.connect()
    await _ask_for_page(errand, wire)
    loop = asyncio.get_running_loop()
    later: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(errand.random.uniform(2, 25), lambda: later.done() or later.set_result(None))
    errand.pausing.add_done_callback(lambda _: later.done() or later.set_result(None))
    try:
        if await wire.cut_within(later):
            raise Failed("cut while idle")
    finally:
        timer.cancel()
    await _ask_for_page(errand, wire)


async def half_a_head(errand: Errand) -> None:
    """Begins a request and never ends it: gone after a while, or told 408."""
    wire = await errand.connect()
    await wire.send(b"GET / HTTP/1.1\r\nHost: loca")
    if errand.random.random() < 0.7:
        await errand.wait(errand.random.uniform(0, 5))
        wire.drop(reset=errand.random.random() < 0.5)
        return
    await wire.answer(408)


# ── the door ─────────────────────────────────────────────────────────────────────────────────────────────────


async def wrong_host(errand: Errand) -> None:
    """Names that are not ours, and a key hash that nobody has."""
    host, status = errand.random.choice(
        (
            ("example.com", 421),
            (f"{NOBODY[1:]}.localhost", 421),
            ("", 421),
            ("a b", 421),
            ("192.0.2.1:80", 421),
            (f"{NOBODY}.example", 421),
            (f"{NOBODY}.localhost", 503),
        )
    )
    wire = await errand.connect()
    await wire.request("GET", "/", host)
    answer = await wire.answer(status)
    page = await wire.exactly(answer.length)
    expect(page.startswith(str(status).encode()), f"another page: {page[:60]!r}")
    await wire.ends()


async def wrong_password(errand: Errand) -> None:
    """The right service, by another word: never let in.  Who has guessed often lately is asked to wait."""
    key_hash, now = errand.shared.label.rpartition("-")[2], asyncio.get_running_loop().time()
    while _guesses and _guesses[0] < now - _REMEMBERED:
        _guesses.popleft()
    _guesses.append(now)
    wire = await errand.connect()
    await wire.request("GET", "/", f"wrong{errand.random.randint(0, 3)}-{key_hash}.localhost")
    try:
        answer = await wire.answer(403)
    except Failed as failure:
        if "asks you to wait" not in str(failure) or len(_guesses) <= ALLOWED[0][0]:
            raise
        return
    await wire.exactly(answer.length)
    await wire.ends()


async def list_page(errand: Errand) -> None:
    """The node's own page; half of the time only its head."""
    method = errand.random.choice(("GET", "HEAD"))
    wire = await errand.connect()
    await wire.request(method, "/", f"localhost:{errand.plan.port}", Accept="text/html")
    answer = await wire.answer(200)
    if method == "GET":
        page = await wire.exactly(answer.length)
        expect(page.startswith(b"<!doctype html>") and page.endswith(b"</html>\n"), f"another page: {page[:60]!r}")
    await wire.ends()


async def whole_url(errand: Errand) -> None:
    """The door as a proxy: one request with a whole URL."""
    wire = await errand.connect()
    body = errand.random.randbytes(errand.size(1, 50_000))
    await wire.request("POST", f"http://{errand.host}/sum", errand.host, body)
    await _is_summed(wire, body)
    await wire.ends()


async def connect(errand: Errand) -> None:
    """The door as a proxy: a tunnel, with a page in it."""
    wire = await errand.connect()
    target = f"{errand.shared.label}.localhost:80"
    await wire.request("CONNECT", target, target)
    await wire.answer(200)
    for _ in range(errand.random.randint(1, 4)):
        await _ask_for_page(errand, wire)


async def status(errand: Errand) -> None:
    """`hardline status` answers, in a language that programs read."""
    command = [SCRIPTS / "hardline", "--datadir", errand.plan.datadir, "status", "--json"]
    program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        said, complaint = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        expect(b"Traceback" not in complaint, complaint.decode(errors="replace"))
        raise Failed(complaint.decode(errors="replace"))
    errand.life.heard(len(said))
    told = json.loads(said)
    expect(Path(f"/proc/{told['pid']}").exists() or told["pid"] == os.getpid(), "of a process that is not there")


# ── parts of them ────────────────────────────────────────────────────────────────────────────────────────────


def expect(right: bool, otherwise: str) -> None:
    if not right:
        raise Wrong(otherwise)


async def _ask_for_page(errand: Errand, wire: Wire, **headers: str) -> None:
    if errand.shared.backend == "nginx":
        await _ask_for_range(errand, wire, errand.size(1, 5000), **headers)
        return
    page = greeting(errand.shared.name)
    await wire.request("GET", "/", errand.host, **headers)
    await wire.ok(len(page))
    await wire.whole_body_is([page])


async def _ask_for_range(errand: Errand, wire: Wire, size: int, **headers: str) -> None:
    """A piece of the service's file that nobody else asks for."""
    start = errand.random.randrange(FILE_SIZE - size)
    await wire.request("GET", f"/{FILE}", errand.host, Range=f"bytes={start}-{start + size - 1}", **headers)
    answer = await wire.answer(206)
    expect(answer.length == size, f"expected {size} bytes, announced were {answer.length}")
    expect(answer.headers.get("content-range") == f"bytes {start}-{start + size - 1}/{FILE_SIZE}", "another range")
    await wire.whole_body_is([errand.file[start : start + size]])


async def _is_summed(wire: Wire, body: bytes) -> None:
    told = json.loads(await wire.exactly((await wire.ok()).length))
    expect(told == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}, f"other bytes arrived: {told}")


def _frame(opcode: int, body: bytes, numbers: random.Random) -> bytes:
    """A client's frame, masked (RFC 6455, section 5.2)."""
    mask = numbers.randbytes(4)
    pad = mask * (len(body) // 4 + 1)
    masked = (int.from_bytes(body) ^ int.from_bytes(pad[: len(body)])).to_bytes(len(body))
    length = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2)
    return bytes([0x80 | opcode]) + length + mask + masked


async def _message(wire: Wire) -> tuple[int, bytes]:
    first, second = await wire.exactly(2)
    length = int.from_bytes(await wire.exactly(2)) if second == 126 else second
    return first & 0x0F, await wire.exactly(length)


@dataclass(frozen=True, slots=True)
class Kind:
    """How often it happens, as a weight, and which services can answer it (none: the door)."""

    run: Callable[[Errand], Awaitable[None]]
    weight: float
    backends: Iterable[str] = ("origin",)

    @property
    def name(self) -> str:
        return self.run.__name__


KINDS = (
    Kind(get, 20, ("origin", "nginx")),
    Kind(keep_alive, 10),
    Kind(post, 4),
    Kind(head, 2, ("nginx",)),
    Kind(download, 5, ("origin", "nginx")),
    Kind(upload, 3),
    Kind(chunked, 3),
    Kind(half_closed, 6),
    Kind(aborted, 4),
    Kind(slow_reader, 2),
    Kind(web_socket, 5),
    Kind(events, 4),
    Kind(idle, 4, ("origin", "nginx")),
    Kind(half_a_head, 2, ()),
    Kind(wrong_host, 3, ()),
    Kind(wrong_password, 1, ("password",)),
    Kind(list_page, 2, ()),
    Kind(whole_url, 3),
    Kind(connect, 3, ("origin", "nginx")),
    Kind(status, 0.5, ()),
)
