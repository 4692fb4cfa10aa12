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
from nacl.exceptions import RuntimeError as NoMemory
from nacl.hash import blake2b
from nacl.secret import SecretBox

from hardline.errors import ConfigError, WrongArgument

SALT, NONCE = 16, 24  # bytes
MOST, MOST_FILES = 64 << 20, 20_000  # bytes of all that is in it; names
OPSLIMIT, MEMLIMIT = 4, 64 << 20

_MAGIC = b"hardline backup 1\n"
_COSTS = struct.Struct("!IQ")
_MOST_OPSLIMIT, _MOST_MEMLIMIT = 20, 1 << 30
SETTINGS = "hardline.ini"
OF_DATA = frozenset(
    f"{name}{end}" for name in ("node.cert", "names", "invites", "gateway.keys") for end in ("", ".private", ".hash")
)
DIRECTORIES = ("keys", "apps", "https")
_LONGEST_NAME = 255  # bytes


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
        # Texts and little else: a file that was made for it would take any amount of memory as lists and numbers.
        if not unpacking.eof or text.count(b"[") + text.count(b"{") > MOST_FILES or text.count(b'"') > 5 * MOST_FILES:
            raise ValueError
        files = {str(name): base64.b64decode(said, validate=True) for name, said in json.loads(text)["files"].items()}
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise ConfigError("what is in this backup cannot be understood") from None
    if (odd := next((name for name in files if not is_name(name)), None)) is not None:
        raise ConfigError(
            f"there is a file in it that belongs to no node: {odd[:100]!a}", hint="was it made by a later version?"
        )
    if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST:
        raise ConfigError("there is more in it than a backup holds")
    return files


def is_name(name: str) -> bool:
    """Whether a file of a node is called so in a backup: below services or data, or the settings."""
    root, _, below = name.partition("/")
    if not below:
        return name == SETTINGS
    if root == "data" and below not in OF_DATA:
        directory, _, below = below.partition("/")
        if directory not in DIRECTORIES:
            return False
    elif root not in ("data", "services"):
        return False
    return _is_plain(below)


def _is_plain(name: str) -> bool:
    """Whether that is a file's name, and no hidden one's, which a terminal can show."""
    try:
        long = len(name.encode()) > _LONGEST_NAME
    except UnicodeEncodeError:
        return False
    return not (long or name.startswith(".") or "/" in name) and name.isprintable() and name != ""


def _key(passphrase: str, head: bytes, opslimit: int, memlimit: int) -> bytes:
    # All of the head counts: whoever changes its costs does not get the same key by another way.
    salt = blake2b(head, digest_size=SALT, encoder=RawEncoder)
    secret = passphrase.encode("utf-8", "surrogateescape")
    try:
        return pwhash.argon2id.kdf(SecretBox.KEY_SIZE, secret, salt, opslimit=opslimit, memlimit=memlimit)
    except NoMemory:
        raise ConfigError(f"its passphrase takes {memlimit >> 20} MB of memory, and there is less") from None
