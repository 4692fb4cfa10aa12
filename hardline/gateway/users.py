"""Who may use a service: names and passwords as Basic authentication sends them.

    [Gateway:nas] users = anna:scrypt$14$…     ◀── `hardline gateway user anna`
    Authorization: Basic …  ──▶ known a moment ago? ──no──▶ scrypt, in a thread ──▶ anna, or nobody

A password costs tens of milliseconds to judge, so a right one is known again for as long as this runs, by a keyed
digest.  Wrong ones are bounded as those of labels are (tunnel/guesses.py).  Source: RFC 7617; RFC 7914.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence

from hardline.errors import LimitReached
from hardline.settings.gateway import User
from hardline.transport.sources import around
from hardline.tunnel.guesses import Guesses

_COST, _BLOCK = 14, 8  # 16 MB and some tens of milliseconds
_AT_ONCE = 2  # passwords that are judged
_KNOWN = 256
LONGEST = 256  # bytes of a password
_NOBODY = "scrypt$14$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class Users:
    """Judges what clients say of themselves; `clock` is seconds on any monotonic clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._guesses = clock, Guesses()
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def user(
        self,
        service: str,
        users: Sequence[User],
        authorization: Sequence[str],
        client: str,
        machine_of: Callable[[], str] = lambda: "",
    ) -> str:
        """The name of who asks, from the address `client`, by whose machine that is where it matters (as Guesses has
        it); "" for nobody.  Raises LimitReached for who guessed too often.
        """
        name, password = read_basic(authorization)
        if not name:
            return ""
        hashed = next((one.hashed for one in users if one.name == name), _NOBODY)
        proof = hmac.digest(self._key, b"\0".join((service.encode(), hashed.encode(), password)), "sha256")
        if proof in self._known:
            self._known.move_to_end(proof)
            return name
        networks, machine = around(client), machine_of()
        async with self._room:
            if self._guesses.wait(service, networks, self._clock(), machine):
                raise LimitReached("too many wrong passwords came from there: wait a minute")
            if not await asyncio.to_thread(matches, hashed, password):
                self._guesses.wrong(service, networks, self._clock(), machine)
                return ""
        self._guesses.right(service, networks, self._clock())
        self._known[proof] = None
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return name


def read_basic(authorization: Sequence[str]) -> tuple[str, bytes]:
    """The name and the password of a request; ("", b"") where it has none, or more than one."""
    scheme, _, said = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return "", b""
    try:
        name, colon, password = base64.b64decode(said.strip(" "), validate=True).partition(b":")
        return (name.decode(), password) if colon and len(password) <= LONGEST else ("", b"")
    except (binascii.Error, ValueError):
        return "", b""


def hashed(password: str) -> str:
    """What the settings keep of a password."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_COST}${_text(salt)}${_text(_scrypt(password.encode(), salt, _COST))}"


def matches(hashed: str, password: bytes) -> bool:
    """Whether `hashed` was made of it."""
    _, cost, salt, digest = hashed.split("$")
    return hmac.compare_digest(_text(_scrypt(password, base64.urlsafe_b64decode(f"{salt}=="), int(cost))), digest)


def _scrypt(password: bytes, salt: bytes, cost: int) -> bytes:
    memory = 128 * _BLOCK * 2**cost
    return hashlib.scrypt(password, salt=salt, n=2**cost, r=_BLOCK, p=1, maxmem=2 * memory, dklen=32)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
