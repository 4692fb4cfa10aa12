"""The floor under every tunnel on this machine: the kernel's copies and AES-GCM, and nothing else.

    origin ─▶ recv · host · send ─▶ recv · visitor · send ─▶ client        two of each are the daemons'
                    encrypt            decrypt

Whoever encrypts over the kernel's TCP pays at least this much of a processor's time for a gigabyte.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_BLOCK = 262_144  # what one call carries, so that the calls themselves do not count
_RECORD = 16_384  # what is encrypted at once (RFC 8446, section 5.1)
_BYTES = 256 << 20


def floor() -> float:
    """Seconds of processor time for 1 GB (10⁹ bytes) through two daemons."""
    return 2 * _seconds_per_gb(_copies) + _seconds_per_gb(_encryption)


def _seconds_per_gb(work: Callable[[int], None]) -> float:
    work(_BYTES // 8)  # the buffers have grown
    began = time.process_time()
    work(_BYTES)
    return (time.process_time() - began) * 1e9 / _BYTES


def _copies(count: int) -> None:
    """`count` bytes sent and received once, over the loopback."""
    block, place = bytes(_BLOCK), bytearray(_BLOCK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    with sender, receiver:
        for _ in range(count // _BLOCK):
            left = memoryview(block)
            sender.setblocking(False)
            unread = 0
            while left or unread:
                if left:
                    try:
                        sent = sender.send(left)
                        left, unread = left[sent:], unread + sent
                        continue
                    except BlockingIOError:
                        pass
                unread -= receiver.recv_into(place, min(unread, _BLOCK))


def _encryption(count: int) -> None:
    """`count` bytes encrypted and decrypted, record by record."""
    key, nonce, record = AESGCM(os.urandom(16)), os.urandom(12), bytes(_RECORD)
    for _ in range(count // _RECORD):
        key.decrypt(nonce, key.encrypt(nonce, record, None), None)
