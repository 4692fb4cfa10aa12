"""A web site as browsers meet them: the service that the browser suite visits.  A program of its own.

    GET  /              a page with a style sheet, a font, a script, 12 images and a fetch
    GET  /other         another page, with a link back and a button that counts
    GET  /count         JSON: which connection this is, and how many requests came before on it
    GET  /bytes/N       N bytes to keep, as an attachment (origin.pieces_of_bytes)
    GET  /stall/KIND    sends 1 MB and never ends: KIND is length, chunked or until-end, all ways to say how long
    GET  /endless       an attachment that goes on until /enough, which says what it was: {"length": …, "sha256": …}
    GET  /events        server-sent events with ids; the first at once, the next whenever somebody asks for /tell
    GET  /ws            WebSocket: every message comes back; the text "close CODE" is answered by a close frame
    POST /sum           {"length": …, "sha256": …} of the body; of a form with a file, that of the file, and its name
    GET  /form          two forms: one is posted to /sign, which sets a cookie and says 303 to /signed; one has a file
    GET  /domain-cookie tries to set a cookie for all of localhost
    GET  /works         a page with a service worker that keeps /kept for bad times

    python -m tests.browser.site [--name NAME] [--port PORT]       prints the port when it listens

HTTP is written by hand.  Every answer says in X-Connection which connection it came over.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import html
import itertools
import json
import re
import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from tests.support.origin import CHUNK, pieces_of_bytes

IMAGES = 12
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
STALLED = 1_000_000
RETRY = 1500  # milliseconds after which a browser asks for lost events again
_WEBSOCKET_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_TEXT, _CLOSE = 1, 8

_INDEX = f"""<!doctype html><html lang=en><meta charset=utf-8><title>The site</title><link rel=icon href=/image/0>
<link rel=stylesheet href=/style.css><h1>Hello</h1><p id=data></p><a href=/other>other</a>
{"".join(f'<img src=/image/{number} alt="">' for number in range(IMAGES))}<script src=/app.js></script>"""
_STYLE = """@font-face{font-family:Served;src:url(/font.ttf)}
h1{font-family:Served;color:rgb(1,2,3)}"""
_SCRIPT = """(async () => {
  const answer = await (await fetch('/count')).json();
  await document.fonts.load('1em Served');
  document.getElementById('data').textContent = 'fetched on connection ' + answer.connection;
})();"""
_OTHER = """<!doctype html><html lang=en><meta charset=utf-8><title>Another page</title><link rel=icon href=data:,>
<a href=/>back</a><button>0</button><script>
const button = document.querySelector('button');
button.onclick = async () => { await fetch('/count'); button.textContent = Number(button.textContent) + 1; };
</script>"""
_FORMS = """<!doctype html><html lang=en><meta charset=utf-8><title>Forms</title><link rel=icon href=data:,>
<form id=sign method=post action=/sign><input name=who><button>Sign</button></form>
<form id=file method=post action=/sum enctype=multipart/form-data><input type=file name=file><button>Send</button>
</form>"""
_WORKS = """<!doctype html><html lang=en><meta charset=utf-8><title>Works offline</title><link rel=icon href=data:,>
<p>from the service</p><script>navigator.serviceWorker.register('/worker.js')</script>"""
_WORKER = """self.addEventListener('install', event =>
  event.waitUntil(caches.open('kept').then(cache => cache.addAll(['/works', '/kept']))));
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', event =>
  event.respondWith(fetch(event.request).then(answer => answer.status < 500 ? answer : Promise.reject(answer.status))
    .catch(() => caches.match(event.request))));"""
_KEPT = "kept for bad times"


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]


class _Connection:
    """One connection of a browser: reading requests, writing answers."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.answered = 0
        self.reader, self.writer = reader, writer

    async def request(self) -> _Request:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return _Request(method, target.partition("?")[0], headers)

    async def body(self, request: _Request) -> AsyncIterator[bytes]:
        left = int(request.headers.get("content-length", "0"))
        while left:
            piece = await self.reader.read(min(left, CHUNK))
            if not piece:
                raise ConnectionResetError("the body was cut")
            left -= len(piece)
            yield piece

    def head(self, status: int, *headers: str) -> None:
        reason = {101: "Switching Protocols", 200: "OK", 303: "See Other", 404: "Not Found"}[status]
        lines = [f"HTTP/1.1 {status} {reason}", f"X-Connection: {self.number}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode("latin-1"))

    async def send(self, kind: str, body: str | bytes, status: int = 200, *headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.head(status, f"Content-Type: {kind}", f"Content-Length: {len(data)}", "Cache-Control: no-store", *headers)
        self.writer.write(data)
        await self.writer.drain()

    async def send_json(self, value: object) -> None:
        await self.send("application/json", json.dumps(value))

    async def send_chunks(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.writer.drain()


class Site:
    """Serves connections."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count()
        self._events = asyncio.Condition()
        self._told = 0
        self._enough = asyncio.Event()
        self._endless: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(next(self._numbers), reader, writer)
        try:
            while await self._answer(connection, await connection.request()):
                connection.answered += 1
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side went away: tests do that on purpose
        finally:
            writer.close()

    async def _answer(self, to: _Connection, request: _Request) -> bool:
        """One request; returns whether the connection goes on."""
        match request.path.split("/")[1:]:
            case [""]:
                await to.send("text/html", _INDEX)
            case ["style.css"]:
                await to.send("text/css", _STYLE)
            case ["app.js"]:
                await to.send("text/javascript", _SCRIPT)
            case ["font.ttf"]:
                await to.send("font/ttf", FONT.read_bytes())
            case ["image", number]:
                await to.send("image/png", _png(int(number)))
            case ["other"]:
                await to.send("text/html", _OTHER)
            case ["count"]:
                await to.send_json({"connection": to.number, "before": to.answered, "site": self._name})
            case ["bytes", count]:
                await _send_bytes(to, int(count))
            case ["stall", kind]:
                await _stall(to, kind)
            case ["endless"]:
                await self._send_endless(to)
            case ["enough"]:
                self._enough.set()
                await to.send_json(await self._endless)
            case ["events"]:
                await self._send_events(to, request)
            case ["tell"]:
                async with self._events:
                    self._told += 1
                    self._events.notify_all()
                await to.send_json({})
            case ["ws"]:
                await _websocket(to, request)
                return False
            case ["sum"] if request.method == "POST":
                await _sum(to, request)
            case ["form"]:
                await to.send("text/html", _FORMS)
            case ["sign"] if request.method == "POST":
                who = parse_qs(b"".join([piece async for piece in to.body(request)]).decode())["who"][0]
                await to.send("text/plain", "", 303, "Location: /signed", f"Set-Cookie: who={who}; HttpOnly")
            case ["signed"]:
                told = html.escape(f"{request.method}, cookies: {request.headers.get('cookie', 'none')}")
                await to.send("text/html", f"<!doctype html><title>Signed</title><link rel=icon href=data:,><p>{told}")
            case ["domain-cookie"]:
                await to.send("text/plain", "", 200, "Set-Cookie: everywhere=yes; Domain=localhost")
            case ["works"]:
                await to.send("text/html", _WORKS)
            case ["worker.js"]:
                await to.send("text/javascript", _WORKER)
            case ["kept"]:
                await to.send("text/plain", _KEPT)
            case _:
                await to.send("text/plain", "nothing here\n", 404)
        return True

    async def _send_events(self, to: _Connection, request: _Request) -> None:
        to.head(200, "Content-Type: text/event-stream", "Cache-Control: no-store")
        to.writer.write(b"retry: %d\n\n" % RETRY)
        number = int(request.headers.get("last-event-id", "-1")) + 1
        while True:
            told = self._told
            to.writer.write(b"id: %d\ndata: event %d\n\n" % (number, number))
            await to.writer.drain()
            number += 1
            async with self._events:
                await self._events.wait_for(lambda told=told: self._told > told)

    async def _send_endless(self, to: _Connection) -> None:
        to.head(200, "Transfer-Encoding: chunked", *_attachment("endless.bin"))
        digest, length = hashlib.sha256(), 0
        for piece in itertools.cycle(pieces_of_bytes(8 * CHUNK)):
            await to.send_chunks([piece])
            digest.update(piece)
            length += len(piece)
            if self._enough.is_set():
                break
            await asyncio.sleep(0.05)
        await to.send_chunks([b""])
        self._endless.set_result({"length": length, "sha256": digest.hexdigest()})


def _attachment(name: str) -> tuple[str, str]:
    return "Content-Type: application/octet-stream", f'Content-Disposition: attachment; filename="{name}"'


async def _send_bytes(to: _Connection, count: int) -> None:
    to.head(200, f"Content-Length: {count}", *_attachment("bytes.bin"))
    for piece in pieces_of_bytes(count):
        to.writer.write(piece)
        await to.writer.drain()


async def _stall(to: _Connection, kind: str) -> None:
    """1 MB that looks like all there is, but for what the head or the end of the connection says."""
    if kind == "length":
        to.head(200, f"Content-Length: {2 * STALLED}", *_attachment(f"{kind}.bin"))
    elif kind == "chunked":
        to.head(200, "Transfer-Encoding: chunked", *_attachment(f"{kind}.bin"))
    else:
        to.head(200, "Connection: close", *_attachment(f"{kind}.bin"))
    if kind == "chunked":
        await to.send_chunks(pieces_of_bytes(STALLED))
    else:
        to.writer.writelines(pieces_of_bytes(STALLED))
        await to.writer.drain()
    await asyncio.Event().wait()


async def _sum(to: _Connection, request: _Request) -> None:
    digest, length = hashlib.sha256(), 0
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        async for piece in to.body(request):
            digest.update(piece)
            length += len(piece)
        await to.send_json({"length": length, "sha256": digest.hexdigest()})
        return
    boundary = b"--" + kind.partition("boundary=")[2].encode()
    form = b"".join([piece async for piece in to.body(request)])
    part = form.removeprefix(boundary + b"\r\n").removesuffix(b"\r\n" + boundary + b"--\r\n")
    head, _, content = part.partition(b"\r\n\r\n")
    name = re.search(rb'filename="([^"]*)"', head)
    told = {"name": name[1].decode() if name else None, "length": len(content)}
    await to.send_json(told | {"sha256": hashlib.sha256(content).hexdigest()})


def _png(number: int) -> bytes:
    """16 × 16 points of one colour (PNG, sections 5 and 11)."""
    colour = bytes([number * 20 % 256, 255 - number * 20 % 256, 128])
    rows = (b"\0" + colour * 16) * 16

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# ── WebSocket: RFC 6455 ──────────────────────────────────────────────────────────────────────────────────────


async def _websocket(to: _Connection, request: _Request) -> None:
    """Every message back, whole, until a close frame, which is answered with its own code."""
    key = request.headers["sec-websocket-key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_MAGIC).digest()).decode()
    to.head(101, "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}")
    message, kind = b"", 0
    while True:
        last, opcode, data = await _frame(to.reader)
        if opcode == _CLOSE:
            to.writer.write(_framed(_CLOSE, data))
            return
        message, kind = message + data, opcode or kind
        if not last:
            continue
        asked = re.fullmatch(rb"close ([0-9]{4})", message) if kind == _TEXT else None
        if asked:
            to.writer.write(_framed(_CLOSE, struct.pack(">H", int(asked[1])) + b"as asked"))
            await _frame(to.reader)
            return
        to.writer.write(_framed(kind, message))
        await to.writer.drain()
        message = b""


async def _frame(reader: asyncio.StreamReader) -> tuple[bool, int, bytes]:
    """Whether it is the last of its message, its opcode, its payload (section 5.2)."""
    first, second = await reader.readexactly(2)
    extended = await reader.readexactly({126: 2, 127: 8}.get(second & 0x7F, 0))
    length = int.from_bytes(extended) if extended else second & 0x7F
    mask = await reader.readexactly(4)
    masked = int.from_bytes(await reader.readexactly(length))
    key = int.from_bytes((mask * (length // 4 + 1))[:length])
    return bool(first & 0x80), first & 0x0F, (masked ^ key).to_bytes(length)


def _framed(opcode: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    return bytes([0x80 | opcode, 127]) + struct.pack(">Q", len(payload)) + payload


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="the site")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    server = await asyncio.start_server(Site(options.name).serve, "127.0.0.1", options.port, limit=CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
