"""Runs a command that may not open sockets of some address families, as systemd's RestrictAddressFamilies has it.

    python deny.py 16,10 hardlined …       16 is AF_NETLINK, 10 AF_INET6

Linux on x86-64 and aarch64: a seccomp filter, so that libraries and children are held to it, too.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_SOCKET = {"x86_64": 41, "aarch64": 198}
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EAFNOSUPPORT = 97
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06


def program(families: list[int]) -> bytes:
    """linux/filter.h: (code, jump if true, jump if false, operand); data is (syscall, architecture, …, arguments)."""
    lines = [(_LOAD, 0, 0, 0), (_JUMP_IF_EQUAL, 0, 1 + len(families), _SOCKET[platform.machine()]), (_LOAD, 0, 0, 16)]
    lines += [(_JUMP_IF_EQUAL, len(families) - number, 0, family) for number, family in enumerate(families)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def deny(families: list[int]) -> None:
    code = program(families)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, described):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    deny([int(family) for family in sys.argv[1].split(",")])
    os.execvp(sys.argv[2], sys.argv[2:])
