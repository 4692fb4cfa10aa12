"""The floor under every tunnel on this machine: the kernel's copies and AES-GCM, and nothing else.

    source ══ TCP ══▶ host: encrypts ══ TCP ══▶ visitor: decrypts ══ TCP ══▶ sink        a process each

Whoever encrypts over the kernel's TCP pays at least what the two in the middle do, and where all four share the cores
is not faster than they are.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_BLOCK, _TAG = 131_072, 16  # bytes that one call carries, so that the calls themselves hardly count
_COUNT = 4096  # of them
_KEY, _NONCE = bytes(16), bytes(12)


FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Floor:
    """Processor time in s/GB (10⁹ bytes) of the two that carry, and MB/s from end to end."""

    cpu: float
    rate: float


def floor() -> Floor:
    """Measure it, for a second or two."""
    to_host, to_visitor, to_sink = _connection(), _connection(), _connection()
    every = [*to_host, *to_visitor, *to_sink]
    cipher = AESGCM(_KEY)

    def source() -> None:
        for _ in range(_COUNT):
            to_host[0].sendall(block)

    def host() -> None:
        place = memoryview(bytearray(_BLOCK))
        while _filled(to_host[1], place):
            to_visitor[0].sendall(cipher.encrypt(_NONCE, place, None))

    def visitor() -> None:
        place = memoryview(bytearray(_BLOCK + _TAG))
        while _filled(to_visitor[1], place):
            to_sink[0].sendall(cipher.decrypt(_NONCE, place, None))

    def sink() -> None:
        place = memoryview(bytearray(_BLOCK))
        while _filled(to_sink[1], place):
            pass

    block = bytes(_BLOCK)
    parts = [(source, [to_host[0]]), (host, [to_host[1], to_visitor[0]]), (visitor, [to_visitor[1], to_sink[0]])]
    began = time.perf_counter()
    children = [_child(work, mine, every) for work, mine in [*parts, (sink, [to_sink[1]])]]
    for one in every:
        one.close()
    spent = []
    for child in children:
        _, code, usage = os.wait4(child, 0)
        if code:
            raise RuntimeError("the floor could not be measured")
        spent.append(usage.ru_utime + usage.ru_stime)
    took, size = time.perf_counter() - began, _BLOCK * _COUNT
    return Floor((spent[1] + spent[2]) * 1e9 / size, size / 1e6 / took)


def _connection() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def _child(work: Callable[[], None], mine: list[socket.socket], every: list[socket.socket]) -> int:
    """Its process."""
    if child := os.fork():
        return child
    code = 1
    try:
        for one in every:
            if one not in mine:
                one.close()
        work()
        code = 0
    finally:
        os._exit(code)


def _filled(connection: socket.socket, place: memoryview) -> bool:
    """Read until `place` is full; False at the end."""
    got = 0
    while got < len(place):
        count = connection.recv_into(place[got:])
        if not count:
            return False
        got += count
    return True
