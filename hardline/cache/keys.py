"""Private keys and what lies with them, known by what they are; without I/O.

    certificate     blog.ini.cert            who has it knows the key hash, which is the right to visit
    its key         blog.ini.cert.private
    its URL         blog.ini.cert.hash       with the password
    the settings    blog.ini                 with the password, too; blog.ini.removed, where it is shared no more
    anything that begins with -----BEGIN … PRIVATE KEY-----, whoever's it is and whatever its name

A copy of a node, another user's, or one in a backup is as secret as the node itself.
Source: RFC 7468; RFC 4880, section 6.2, and OpenSSH's PROTOCOL.key for their armour; docs/SETTINGS.md for the names.
"""

from __future__ import annotations

import re

FIRST = 1024  # bytes: what openssl says of a key before it is shorter
LOOKED_AT = 65_536  # bytes: no key file is longer

IDENTITY = "node.cert.private"  # what only the data directory of a node has

_ENDINGS = (".private", ".hash")
_KEY = re.compile(
    rb"^-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[ \t]*\r?\n"
    rb"(?:[ \t]*\r?\n|[A-Za-z-]+: [^\n]*\n)*[A-Za-z0-9+/=]{16}",
    re.MULTILINE,
)


def may_hold_key(first: bytes) -> bool:
    """Whether the first bytes of a file are a reason to look at more of it."""
    return b"-----BEGIN " in first


def holds_key(start: bytes) -> bool:
    """Whether a file that begins so holds a private key: behind its certificate, or behind what openssl says of it."""
    return _KEY.search(start) is not None


def may_be_of_identity(name: str) -> tuple[str, ...]:
    """What lies beside a file called `name` if it is of some node: the key it belongs to, under all possible names."""
    if (settings := name.removesuffix(".removed")).endswith(".ini"):
        return (f"{settings}.cert.private", f"{settings}.cert")
    for ending in _ENDINGS:
        if name.endswith(ending):
            stem = name.removesuffix(ending)
            beside = (f"{stem}.private", f"{stem}.hash", stem if ending == ".private" else "")
            return tuple(each for each in beside if each and each != name)
    if name.endswith((".cert", ".pem", ".crt")):
        return (f"{name}.private",)
    return ()
