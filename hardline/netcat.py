"""`hardline nc`: stdin and stdout as a connection to a service, such as ssh's ProxyCommand needs one.

    stdin ─▶ CONNECT LABEL.localhost at the daemon's door ─▶ the service ─▶ stdout      each direction ends by itself

Where stdin and stdout are pipes, as they are for ssh, the kernel moves the bytes.  Where stdin is a terminal, the
service's end is the end: nobody should have to press Ctrl-D to a service that has gone.

With `hand_over` no byte passes here: whoever started us gets the connection itself, and we end.  ssh calls that
ProxyUseFdpass.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import threading

from hardline.errors import HardlineError
from hardline.showable import plain

_MOST = 65_536  # bytes that are read in one go; and of an answer that says why not
_AT_ONCE = 1 << 20  # bytes that the kernel moves in one go, and that a pipe is to hold
_STDIN, _STDOUT = 0, 1


def connect(door: str, host: str) -> None:
    """Carry stdin and stdout to `host`, a name below .localhost, by the `door` at ADDRESS:PORT, until both directions
    have ended.

    Raises HardlineError where the service cannot be reached, or the connection is cut.
    """
    with _connected(door, host) as service:
        try:
            service.setblocking(False)
            sending = threading.Thread(target=_send, args=(service,), daemon=True)
            sending.start()
            _show(service)
        except ConnectionResetError:
            raise HardlineError("the connection was cut") from None
        if not os.isatty(_STDIN):
            sending.join()


def hand_over(door: str, host: str) -> None:
    """As `connect`, but give the connection to whoever is at the other end of stdout, a Unix socket.

    One byte comes with it, as OpenBSD's `nc -F` does it.  Raises HardlineError as well where stdout is none, or whoever
    it was has gone.
    """
    if not stat.S_ISSOCK(os.fstat(_STDOUT).st_mode):
        raise HardlineError(
            "stdout is no socket that takes a connection", hint="ssh -o ProxyUseFdpass=yes makes it one"
        )
    with _connected(door, host) as service, socket.socket(fileno=os.dup(_STDOUT)) as receiver:
        try:
            socket.send_fds(receiver, [b"\0"], [service.fileno()])
        except OSError as failure:
            raise HardlineError(f"the connection was not taken: {failure.strerror}") from None


def _connected(door: str, host: str) -> socket.socket:
    """A connection to the service, of which nothing has been read."""
    address, _, port = door.rpartition(":")
    try:
        service = socket.create_connection((address.strip("[]"), int(port)))
    except OSError as failure:
        raise HardlineError(f"the door at {door} cannot be reached: {failure.strerror}") from None
    try:
        _ask(service, f"{host}:80")
    except BaseException as failure:
        service.close()
        if isinstance(failure, ConnectionResetError):
            raise HardlineError("the connection was cut") from None
        raise
    return service


def _ask(service: socket.socket, host: str) -> None:
    """Have the door connect us.  The head of its answer is read to the byte: what comes behind is the service's."""
    service.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < _MOST and (byte := service.recv(1)):
        head += byte
    if head.split(b" ", 2)[1:2] == [b"200"]:
        return
    said = b""
    while len(said) < _MOST and (data := service.recv(_MOST)):
        said += data
    title, _, rest = said.decode(errors="replace").strip().partition("\n")
    raise HardlineError(plain(title) or "the door gave no reason", hint=plain(rest.strip().partition("\n")[0]))


def _send(service: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a cut: whoever receives is told
        to, by_kernel = service.fileno(), _is_pipe(_STDIN)
        said, room = _poll(_STDIN, select.POLLIN), _poll(to, select.POLLOUT)
        while True:
            said.poll()
            with contextlib.suppress(BlockingIOError):
                if by_kernel:
                    room.poll()
                    if not os.splice(_STDIN, to, _AT_ONCE):
                        break
                elif data := os.read(_STDIN, _MOST):
                    _write(to, data, room)
                else:
                    break
    with contextlib.suppress(OSError):
        service.shutdown(socket.SHUT_WR)


def _show(service: socket.socket) -> None:
    origin, by_kernel = service.fileno(), _is_pipe(_STDOUT)
    there, room = _poll(origin, select.POLLIN), _poll(_STDOUT, select.POLLOUT)
    while True:
        there.poll()
        with contextlib.suppress(BlockingIOError):
            if by_kernel:
                room.poll()
                if not os.splice(origin, _STDOUT, _AT_ONCE):
                    break
            elif data := os.read(origin, _MOST):
                _write(_STDOUT, data, room)
            else:
                break
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)  # whoever reads it sees the end
    os.close(nowhere)


def _is_pipe(descriptor: int) -> bool:
    """Whether the kernel can move bytes between it and a socket; it is made as large as the user may have it.

    The kernel holds a pipe while it waits for the socket, and whoever is at the pipe's other end hangs in it even if he
    does not want to wait.  So it must never have to: the socket does not block, and is waited for before.
    """
    if not hasattr(os, "splice") or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return False
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _AT_ONCE)
    return True


def _poll(descriptor: int, event: int) -> select.poll:
    ready = select.poll()
    ready.register(descriptor, event)
    return ready


def _write(sink: int, data: bytes, room: select.poll) -> None:
    while data:
        room.poll()
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(sink, data) :]
