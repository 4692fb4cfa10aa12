"""`hardline nc`: stdin and stdout as a connection to a service, such as ssh's ProxyCommand needs one.

    stdin ─▶ CONNECT LABEL.localhost at the daemon's door ─▶ the service ─▶ stdout      each direction ends by itself

Where stdin is a terminal, the service's end is the end: nobody should have to press Ctrl-D to a service that has gone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading

from hardline.errors import HardlineError
from hardline.identity import Label
from hardline.routes import Endpoint
from hardline.showable import plain

_MOST = 65_536  # bytes that are read in one go; and of an answer that says why not
_STDIN, _STDOUT = 0, 1


def connect(door: Endpoint, label: Label) -> None:
    """Carry stdin and stdout until both directions have ended.

    Raises HardlineError where the service cannot be reached, or the connection is cut.
    """
    try:
        service = socket.create_connection((door.host, door.port))
    except OSError as failure:
        raise HardlineError(f"the door at {door} cannot be reached: {failure.strerror}") from None
    with service:
        try:
            begun = _ask(service, label)
            sending = threading.Thread(target=_send, args=(service,), daemon=True)
            sending.start()
            _show(service, begun)
        except ConnectionResetError:
            raise HardlineError("the connection was cut") from None
        if not os.isatty(_STDIN):
            sending.join()


def _ask(service: socket.socket, label: Label) -> bytes:
    """Have the door connect us; what the service has said already."""
    host = f"{label}.localhost:80"
    service.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = bytearray()
    while b"\r\n\r\n" not in answer and len(answer) < _MOST and (data := service.recv(_MOST)):
        answer += data
    head, _, begun = bytes(answer).partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] == [b"200"]:
        return begun
    while len(begun) < _MOST and (data := service.recv(_MOST)):
        begun += data
    title, _, rest = begun.decode(errors="replace").strip().partition("\n")
    raise HardlineError(plain(title) or "the door gave no reason", hint=plain(rest.strip().partition("\n")[0]))


def _send(service: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a cut: whoever receives is told
        while data := os.read(_STDIN, _MOST):
            service.sendall(data)
    with contextlib.suppress(OSError):
        service.shutdown(socket.SHUT_WR)


def _show(service: socket.socket, said: bytes) -> None:
    while said or (said := service.recv(_MOST)):
        while said:
            said = said[os.write(_STDOUT, said) :]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)  # whoever reads it sees the end
    os.close(nowhere)
