"""A host that is found, proves its key, and then behaves badly.  A program, for a stranger's machine.

    python hostile_host.py KIND ADDRESS PORT CERTIFICATE KEY SECONDS

    silent      takes the connection and says nothing           endless    a hello that never ends
    status      a status line that never ends                   opener     opens streams towards its visitors
    pinger      pings as fast as it can                         deaf       serves, and stops reading uploads
    beyond      sends more than the window allows               liar       a header that promises 4 GB
    resetter    resets every stream as it opens                 leaver     go-away, before anything else
    gossip      says where else it is, as fast as it can

Packets and frames: docs/PROTOCOL.md, sections 4 to 6.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from psk_tls import Pipe, Server, hash_of
from session_attacks import ACK, DATA, GOAWAY, PING, RST, SYN, WINDOW, frame

GROUP, LAN_PORT = "239.192.152.143", 6771
_HELLO = b'{"v":2,"title":"bad"}\n'
report: Counter[str] = Counter()


def listen_for_searches(address: str) -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind(("", LAN_PORT))
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
    return ear


def answer_searches(ear: socket.socket, port: int, label: str) -> None:
    """As a host does: by its label, to whoever asks for anything."""
    with ear:
        while True:
            packet, source = ear.recvfrom(4096)
            if packet.startswith(b"HARDLINE-SEARCH"):
                ear.sendto(
                    b"HARDLINE-SERVICE * HTTP/1.1\r\nPort: %d\r\nInfohash: %s\r\ncookie: x\r\ntitle: bad\r\nv: 2\r\n"
                    b"\r\n\r\n" % (port, label.encode()),
                    source,
                )


def read_all(pipe: Pipe) -> None:
    with contextlib.suppress(OSError):
        while pipe.recv(65_536):
            pass


def await_stream(pipe: Pipe) -> None:
    """Until the visitor has opened its first stream: a frame for one that is not there would end the session."""
    stream = 0
    while not stream:  # a ping comes first, of a visitor whose stream may still be under way
        header = b""
        while len(header) < 12:
            header += pipe.recv(12 - len(header))
        stream = int.from_bytes(header[4:8])


def behave(kind: str, pipe: Pipe) -> None:
    if kind == "silent":
        read_all(pipe)
        return
    if kind == "endless":
        while True:
            pipe.sendall(b"x" * 1000)
            report["sent"] += 1
    pipe.sendall(_HELLO)
    if kind in ("deaf", "status", "beyond", "liar"):
        await_stream(pipe)
    if kind == "deaf":
        pipe.sendall(frame(DATA, ACK, 1, 3, b"{}\n"))
        time.sleep(3600)
    threading.Thread(target=read_all, args=(pipe,), daemon=True).start()
    match kind:
        case "status":
            while True:
                pipe.sendall(frame(DATA, ACK, 1, 1000, b"x" * 1000))
                report["sent"] += 1
        case "opener":
            for stream in range(2, 2**31, 2):
                pipe.sendall(frame(WINDOW, SYN, stream, 0))
                report["sent"] += 1
        case "pinger":
            while True:
                pipe.sendall(frame(PING, SYN, 0, 7) * 1000)
                report["sent"] += 1000
        case "beyond":
            pipe.sendall(frame(DATA, ACK, 1, 3, b"{}\n"))
            while True:
                pipe.sendall(frame(DATA, 0, 1, 65_536, b"x" * 65_536))
                report["sent"] += 1
        case "liar":
            pipe.sendall(frame(DATA, ACK, 1, 2**32 - 1, b"{}\n"))
            while True:
                pipe.sendall(b"x" * 65_536)
                report["sent"] += 1
        case "resetter":
            for stream in range(1, 2000, 2):
                pipe.sendall(frame(WINDOW, ACK | RST, stream, 0))
                report["sent"] += 1
        case "gossip":
            pipe.sendall(frame(WINDOW, SYN, 2, 0))
            for number in range(2**31):
                told = {"title": f"{number}", "WANHosts": f"10.0.0.1:7008,203.0.113.9:{1024 + number % 60_000}"}
                line = json.dumps({"news": told | {"via": [["127.0.0.1:7008", f"{number:040x}"]]}}).encode() + b"\n"
                pipe.sendall(frame(DATA, 0, 2, len(line), line))
                report["sent"] += 1
        case "leaver":
            pipe.sendall(frame(GOAWAY, 0, 0, 0))


def serve(server: socket.socket, identity: tuple[bytes, bytes], kind: str) -> None:
    kept = []
    while True:
        connection, _ = server.accept()
        threading.Thread(target=greet, args=(connection, identity, kind, kept), daemon=True).start()


def greet(connection: socket.socket, identity: tuple[bytes, bytes], kind: str, kept: list[Pipe]) -> None:
    with contextlib.suppress(OSError):
        pipe = Pipe(connection, Server(*identity))
        kept.append(pipe)
        report["visited"] += 1
        hello = b""
        while b"\n" not in hello:
            hello += pipe.recv(1)
        behave(kind, pipe)


def main() -> None:
    kind, address, port, certificate, key, seconds = sys.argv[1:]
    shown = ssl.PEM_cert_to_DER_cert(Path(certificate).read_text())
    label = hash_of(shown).hex()
    identity = (shown, Path(key).read_bytes())
    server = socket.create_server((address, int(port)), backlog=128)
    threading.Thread(target=serve, args=(server, identity, kind), daemon=True).start()
    ear = listen_for_searches(address)
    threading.Thread(target=answer_searches, args=(ear, int(port), label), daemon=True).start()
    print("under way", flush=True)
    time.sleep(float(seconds))
    print(json.dumps(report), flush=True)


main()
