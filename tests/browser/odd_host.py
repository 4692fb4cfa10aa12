"""A machine whose services are reached and then fail, each in its own way.  Prints "listening" once.

    visitor ── HARDLINE-SEARCH ──▶ group      odd host ── HARDLINE-SERVICE, Port ──▶ visitor
    visitor ── TLS, hello ──▶ odd host ──▶ whatever its behaviour is

    python -m tests.browser.odd_host ADDRESS '[[KEYHASH, CERTIFICATE, KEY, BEHAVIOUR], …]'

    silent           an original: closes after the request, without a word (docs/PROTOCOL.md 3.3)
    mute             hardline/2: answers pings, and never says what became of a stream
    nonsense         hardline/2: its first frame has version 7
    {"error":…}      hardline/2: this status line for every stream (5.4)

Blocking, a thread per connection, frames by hand: nothing of the node's own session code is in it.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path

from hardline.identity import KeyHash, utc_day
from tests.hostile.psk_tls import Pipe, Server

GROUP, LPD_PORT = "239.192.152.143", 6771
_DATA, _PING = 0, 2
_SYN, _ACK, _FIN = 1, 2, 4


def main() -> None:
    address, services = sys.argv[1], json.loads(sys.argv[2])
    answers: dict[bytes, bytes] = {}
    today = utc_day(time.time())
    for text, certificate, key, behaviour in services:
        original = behaviour == "silent"
        server = socket.create_server((address, 0))
        threading.Thread(target=listen, args=(server, certificate, key, behaviour), daemon=True).start()
        for day in (today - 1, today, today + 1):
            code = str(KeyHash.parse(text).rolling(day)).encode()
            name, version = (b"-" + text.encode(), b"") if original else (code, b"v: 2\r\n")
            answers[code] = (
                b"HARDLINE-SERVICE * HTTP/1.1\r\nPort: %d\r\nInfohash: %b\r\ncookie: odd\r\ntitle: \r\n%b\r\n\r\n"
                % (server.getsockname()[1], name, version)
            )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", LPD_PORT))
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
        print("listening", flush=True)
        while True:
            packet, source = ear.recvfrom(4096)
            searched = re.search(rb"^Infohash: (\S+)\r$", packet, re.MULTILINE)
            if packet.startswith(b"HARDLINE-SEARCH") and searched and searched[1] in answers:
                ear.sendto(answers[searched[1]], source)


def listen(server: socket.socket, certificate: str, key: str, behaviour: str) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=meet, args=(connection, certificate, key, behaviour), daemon=True).start()


def meet(connection: socket.socket, certificate: str, key: str, behaviour: str) -> None:
    with contextlib.suppress(OSError), contextlib.closing(secured(connection, certificate, key, behaviour)) as tls:
        line = b""
        while not line.endswith(b"\n"):
            line += tls.recv(1) or b"\n"
        if behaviour == "silent":
            tls.sendall(b"{}\n")
            tls.recv(4096)
        else:
            tls.sendall(b'{"v":2}\n')
            converse(tls, behaviour)


def secured(connection: socket.socket, certificate: str, key: str, behaviour: str) -> ssl.SSLSocket | Pipe:
    if behaviour != "silent":
        return Pipe(connection, Server(ssl.PEM_cert_to_DER_cert(Path(certificate).read_text()), Path(key).read_bytes()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context.wrap_socket(connection, server_side=True)


def converse(tls: ssl.SSLSocket | Pipe, behaviour: str) -> None:
    """Frames, until the visitor leaves (section 5.1)."""
    while header := tls.recv(12):
        while len(header) < 12:
            header += tls.recv(12 - len(header))
        _, kind, flags, stream, length = struct.unpack(">BBHII", header)
        if kind == _PING and flags & _SYN:
            tls.sendall(struct.pack(">BBHII", 0, _PING, _ACK, 0, length))
        if kind == _DATA:
            while length:
                length -= len(tls.recv(length))
        if not (flags & _SYN and stream):
            continue
        if behaviour == "nonsense":
            tls.sendall(struct.pack(">BBHII", 7, _DATA, _ACK, stream, 0))
        elif behaviour != "mute":
            said = behaviour.encode() + b"\n"
            tls.sendall(struct.pack(">BBHII", 0, _DATA, _ACK | _FIN, stream, len(said)) + said)


if __name__ == "__main__":
    main()
