"""A machine that answers every search of the LAN with a lie.  Prints "answered" for each, "dialled" when believed.

    visitor ── HARDLINE-SEARCH ──▶ group      spoofer ── HARDLINE-SERVICE, Port: LIE ──▶ visitor

    python spoofer.py ADDRESS LABEL closed                 the port is one where nobody listens
    python spoofer.py ADDRESS LABEL CERTIFICATE KEY        a TLS server listens there, with another certificate

A plain blocking loop: it answers before a real node can.  Packets: docs/PROTOCOL.md, section 6.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import sys
import threading

GROUP, PORT = "239.192.152.143", 6771
CLOSED_PORT, TLS_PORT = 9, 7008


def main() -> None:
    address, label, *lie = sys.argv[1:]
    if lie != ["closed"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*lie)
        context.set_alpn_protocols(["hardline/2"])
        server = socket.create_server((address, TLS_PORT))
        threading.Thread(target=greet, args=(server, context), daemon=True).start()
    port = CLOSED_PORT if lie == ["closed"] else TLS_PORT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", PORT))
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
        print("listening", flush=True)
        while True:
            packet, source = ear.recvfrom(4096)
            searched = re.search(rb"^Infohash: (\S*)\r$", packet, re.MULTILINE)
            if not packet.startswith(b"HARDLINE-SEARCH") or not searched:
                continue
            for name in {label.encode(), searched[1]} - {b""}:
                ear.sendto(
                    b"HARDLINE-SERVICE * HTTP/1.1\r\n"
                    b"Port: %d\r\nInfohash: %s\r\ncookie: x\r\ntitle: x\r\nv: 2\r\n\r\n\r\n" % (port, name),
                    source,
                )
            print("answered", flush=True)


def greet(server: socket.socket, context: ssl.SSLContext) -> None:
    """Complete every handshake, and say nothing: long enough to be believed by whoever believes in TCP."""
    held = []
    while True:
        connection, _ = server.accept()
        print("dialled", flush=True)
        with contextlib.suppress(OSError):  # whoever saw the certificate hangs up
            held.append(context.wrap_socket(connection, server_side=True))


if __name__ == "__main__":
    main()
