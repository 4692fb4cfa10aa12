"""A backup as bytes: files by name, packed, and sealed under a passphrase; without I/O.

    "hardline backup 1\n"  opslimit u32 · memlimit u64 · salt 16 · nonce 24 · XSalsa20-Poly1305( zlib( JSON ) )

The key is Argon2id's of the passphrase, salted with BLAKE2b of all that stands before the nonce.  What it costs stands
in the file, so that a later version may ask for more, and is bounded, so that nobody's file takes the memory of whoever
opens it.
Source: RFC 9106; NaCl secretbox; docs/SECURITY.md, "A copy of a node".
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections.abc import Mapping

from nacl import pwhash
from nacl.encoding import RawEncoder
from nacl.exceptions import CryptoError
from nacl.hash import blake2b
from nacl.secret import SecretBox

from hardline.errors import ConfigError, WrongArgument

SALT, NONCE = 16, 24  # bytes
MOST, MOST_FILES = 64 << 20, 20_000  # bytes of all that is in it; names
OPSLIMIT, MEMLIMIT = 4, 64 << 20

_MAGIC = b"hardline backup 1\n"
_COSTS = struct.Struct("!IQ")
_MOST_OPSLIMIT, _MOST_MEMLIMIT = 20, 1 << 30
_DEEPEST = 3
_ROOTS = ("services", "data", "hardline.ini")


def seal(files: Mapping[str, bytes], passphrase: str, salt: bytes, nonce: bytes) -> bytes:
    """`files` by their names as one backup.  `salt` and `nonce` are new random bytes."""
    told = {name: base64.b64encode(data).decode() for name, data in files.items()}
    packed = zlib.compress(json.dumps({"files": told}).encode(), 9)
    head = _MAGIC + _COSTS.pack(OPSLIMIT, MEMLIMIT) + salt
    box = SecretBox(_key(passphrase, head, OPSLIMIT, MEMLIMIT))
    return head + bytes(box.encrypt(packed, nonce))


def unseal(data: bytes, passphrase: str) -> dict[str, bytes]:
    """The files of a backup.  Raises WrongArgument for a wrong passphrase, ConfigError for what is no backup."""
    begin = len(_MAGIC) + _COSTS.size
    if not data.startswith(_MAGIC) or len(data) < begin + SALT + NONCE:
        raise ConfigError("this is no backup of hardline", hint="it begins with 'hardline backup'")
    opslimit, memlimit = _COSTS.unpack(data[len(_MAGIC) : begin])
    if not 1 <= opslimit <= _MOST_OPSLIMIT or not 1 << 13 <= memlimit <= _MOST_MEMLIMIT:
        raise ConfigError("it takes more memory or time to open than any backup of this version")
    box = SecretBox(_key(passphrase, data[: begin + SALT], opslimit, memlimit))
    try:
        packed = box.decrypt(data[begin + SALT :])
    except CryptoError:
        raise WrongArgument("the passphrase is another, or the file was changed") from None
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, 2 * MOST)
        if not unpacking.eof:
            raise ValueError
        files = {str(name): base64.b64decode(said, validate=True) for name, said in json.loads(text)["files"].items()}
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise ConfigError("what is in this backup cannot be understood") from None
    if (odd := next((name for name in files if not is_name(name)), None)) is not None:
        raise ConfigError(f"there is a file in it that belongs to no node: {odd[:100]!r}")
    return files


def is_name(name: str) -> bool:
    """Whether a file of a node may be called so in a backup: below services or data, or the settings."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    return plain and parts[0] in _ROOTS and len(parts) <= _DEEPEST and (len(parts) > 1) is (parts[0] != _ROOTS[2])


def _key(passphrase: str, head: bytes, opslimit: int, memlimit: int) -> bytes:
    # All of the head counts: whoever changes its costs does not get the same key by another way.
    salt = blake2b(head, digest_size=SALT, encoder=RawEncoder)
    secret = passphrase.encode("utf-8", "surrogateescape")
    return pwhash.argon2id.kdf(SecretBox.KEY_SIZE, secret, salt, opslimit=opslimit, memlimit=memlimit)
