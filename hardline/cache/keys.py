"""Private keys and what lies with them, known by what they are; without I/O.

    certificate     blog.ini.cert            who has it knows the key hash, which is the right to visit
    its key         blog.ini.cert.private
    its URL         blog.ini.cert.hash       with the password
    the settings    blog.ini                 with the password, too; blog.ini.removed, where it is shared no more
    any text that holds -----BEGIN … PRIVATE KEY-----, whoever's it is and whatever its name

A copy of a node, another user's, or one in a backup is as secret as the node itself; and editors and people leave more
beside these files: blog.ini~, #blog.ini#, blog.INI, blog.ini.cert.private.bak.
Source: RFC 7468; RFC 4880, section 6.2, and OpenSSH's PROTOCOL.key for their armour; docs/SETTINGS.md for the names.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator

from hardline.identity import KeyHash

FIRST = 1024  # bytes that tell whether a file is text
LOOKED_AT = 65_536  # bytes: no key file is longer, with all that openssl says of a key before it

IDENTITY = "node.cert.private"  # what only the data directory of a node has

_ARMOUR = b"-----BEGIN "
# As it stands in a file of its own, indented (YAML), or in a string (JSON), where its lines end in two letters: \n.
_KEY = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:[ \t]*\n(?:[ \t]*\n|[ \t]*[A-Za-z-]+: [^\n]*\n){0,20}+[ \t]*"
    rb"|(?:(?:\\r)?\\n){1,4}+(?:[A-Za-z-]+: [^\n\\]*(?:(?:\\r)?\\n){1,4}+){0,20}+)[A-Za-z0-9+/=]{16}"
)
_CERTIFICATE = re.compile(
    rb"^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[ \t]*\n([A-Za-z0-9+/= \t\n]+)-----END ", re.MULTILINE
)
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_DER = (b"\x30\x81", b"\x30\x82")  # a sequence that is as long as a certificate

_URL = re.compile(rb"(?:\S{1,100}-)?([0-9A-Fa-f]{40})")
_LONGEST_URL = 256  # bytes

# What belongs to an identity, or was copied from that, has one of these words in its name, whatever stands around it.
_WORDS = re.compile(r"\.(?:ini|cert|hash|private)|(?<![a-z0-9])(?:ini|cert|hash|private)(?![a-z0-9])")
_CERTIFICATES = re.compile(r"\.(?:pem|crt|cer|der)(?![a-z0-9])")


def may_be_secret(first: bytes) -> bool:
    """Whether the first bytes of a file are a reason to look at more of it: text, or a certificate in DER."""
    return b"\0" not in first or first.startswith((*_UTF16, *_DER))


def holds_key(start: bytes) -> bool:
    """Whether a file that begins so holds a private key: behind its certificate, or behind what openssl says of it."""
    return _KEY.search(_armoured(start)) is not None


def key_hashes(start: bytes) -> Iterator[KeyHash]:
    """The key hashes that a file which begins so gives away: as certificates in it, or since it is nothing but one."""
    if start.startswith(_DER):
        count = start[1] & 0x7F
        yield KeyHash.of_certificate(start[: 2 + count + int.from_bytes(start[2 : 2 + count], "big")])
        return
    for body in _CERTIFICATE.findall(_armoured(start)):
        with contextlib.suppress(binascii.Error):
            yield KeyHash.of_certificate(binascii.a2b_base64(body))
    if len(start) <= _LONGEST_URL and (found := _URL.fullmatch(start.removeprefix(_UTF8).strip())):
        yield KeyHash.parse(found[1].decode())


def may_belong_to_identity(name: str) -> bool:
    """Whether what else is in the directory of a file of this name decides about it."""
    folded = name.casefold()
    return _WORDS.search(folded) is not None or _CERTIFICATES.search(folded) is not None


def marks_identity(name: str) -> bool:
    """Whether a file of this name may have others beside it taken for parts of an identity, and hidden."""
    folded = name.casefold()
    return any(word in folded for word in (".private", ".hash", ".ini.cert"))


def identities(names: Iterable[str]) -> frozenset[str]:
    """Those in a directory of these `names`: as their certificates are called, in small letters, there or not."""
    there = {folded for name in names if _WORDS.search(folded := name.casefold())}
    found = set()
    for name in there:
        certificate, private, _ = name.partition(".private")
        if private and ("cert" in certificate or f"{certificate}.hash" in there or _CERTIFICATES.search(certificate)):
            found.add(certificate)
        elif ".ini.cert" in name:
            found.add(name[: name.index(".ini.cert") + len(".ini.cert")])
    return frozenset(found)


def belongs_to_identity(name: str, beside: frozenset[str]) -> bool:
    """Whether a file of this name is a part of an identity, or left of one, where those `beside` it are."""
    folded = name.casefold()
    if beside and _WORDS.search(folded):
        return True
    return any(folded.startswith(certificate) for certificate in beside if _CERTIFICATES.search(certificate))


def _armoured(start: bytes) -> bytes:
    """What may have something in PEM form, with plain line ends; nothing where nothing has."""
    if start.startswith(_UTF16):
        start = start.decode("utf-16", "replace").encode("utf-8", "replace")
    if _ARMOUR not in start:
        return b""
    return start.removeprefix(_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
