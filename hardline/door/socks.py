"""SOCKS5 as it is spoken before bytes pass, without I/O.

    client ── 05 n METHODS ──▶ ◀── 05 00 ──          no authentication, or 05 FF and the end
           ── 05 01 00 03 n NAME PORT ──▶ ◀── 05 00 00 01 0.0.0.0:0 ──      or another reply, and the end

Only CONNECT, and only by name: what a name means is decided here and not by whoever resolves it, and no address of this
computer or its network can be reached.
Source: RFC 1928, sections 3 to 6; RFC 6761, section 6.3 (localhost).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NewType

from hardline.addresses import Kind, kind_of, unmapped
from hardline.errors import AccessRefused, BadKeyHash, BadLabel, HardlineError, PasswordRefused, ServiceFailed
from hardline.identity import Label
from hardline.routes import Endpoint, NoRoute

Network = IPv4Network | IPv6Network
Name = NewType("Name", bytes)  # as it was asked for

MAX_SIZE = 2 + 255 + 4 + 1 + 255 + 2  # bytes of all that a client says at most

_VERSION, _NO_AUTHENTICATION, _NO_METHOD = 5, 0, 255
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4


class Reply(IntEnum):
    """What is answered to a request; RFC 1928, section 6."""

    SUCCEEDED = 0
    FAILED = 1
    NOT_ALLOWED = 2
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_NOT_SUPPORTED = 8

    def encode(self) -> bytes:
        """As it is sent; from where the service is reached is told to nobody."""
        return bytes((_VERSION, self, 0, _IPV4, 0, 0, 0, 0, 0, 0))


class Refused(HardlineError):
    """A client that is not connected.  `answer` is what it is told before the end; empty for a cut."""

    def __init__(self, message: str, answer: bytes) -> None:
        super().__init__(message)
        self.answer = answer


class Opening:
    """What one client says, as it comes.  `name` is what it asks for, None as long as that is not known."""

    def __init__(self) -> None:
        self.name: Name | None = None
        self._data = bytearray()
        self._greeted = False

    @property
    def early(self) -> bytes:
        """What it said behind its request."""
        return bytes(self._data) if self.name is not None else b""

    def feed(self, data: bytes) -> bytes:
        """Take what it said; what is to be answered now.  Raises Refused."""
        assert self.name is None, "all was said"
        self._data += data
        if self._data and self._data[0] != _VERSION:
            raise Refused("what came is no SOCKS5", b"")
        answer = b"" if self._greeted else self._greeting()
        if self._greeted:
            self._request(answer)
        return answer

    def _greeting(self) -> bytes:
        if len(self._data) < 2 or len(self._data) < 2 + self._data[1]:
            return b""
        end = 2 + self._data[1]
        methods = bytes(self._data[2:end])
        del self._data[:end]
        if _NO_AUTHENTICATION not in methods:
            raise Refused("the client offers no way without a password", bytes((_VERSION, _NO_METHOD)))
        self._greeted = True
        return bytes((_VERSION, _NO_AUTHENTICATION))

    def _request(self, answer: bytes) -> None:
        """Look whether it is whole; `answer` goes before what refuses it."""
        data = self._data
        if data and data[0] != _VERSION:
            raise Refused("the request is no SOCKS5", answer)
        if len(data) < 5:
            return
        sizes = {_IPV4: 4, _IPV6: 16, _NAME: 1 + data[4]}
        end = 4 + sizes.get(data[3], 1)
        if data[3] in sizes and len(data) < end + 2:
            return
        if data[1] != _CONNECT:
            raise Refused("only CONNECT is served", answer + Reply.COMMAND_NOT_SUPPORTED.encode())
        if data[3] != _NAME:
            message = "an address was asked for, and only names lead to services"
            raise Refused(message, answer + Reply.ADDRESS_NOT_SUPPORTED.encode())
        self.name = Name(bytes(data[5:end]))
        del data[: end + 2]


def may_connect(peer: Endpoint, networks: Sequence[Network]) -> bool:
    """Whether a program at `peer` may speak here: one of this computer, or of one of the `networks`."""
    if (address := peer.address) is None:
        return False
    address = unmapped(address)
    return kind_of(address) is Kind.LOOPBACK or any(address in network for network in networks)


def label_named(name: Name, known: Mapping[str, Label]) -> Label:
    """The label of `name`: KEYHASH.localhost, or one of the `known` before .localhost.  Raises Refused."""
    text = name.decode("ascii", "replace").lower().removesuffix(".")
    rest, dot, last = text.rpartition(".")
    if last != "localhost" or not dot:
        raise Refused("another name than one below .localhost was asked for", Reply.NOT_ALLOWED.encode())
    own = rest.rpartition(".")[2]
    try:
        return Label.parse(own)
    except (BadKeyHash, BadLabel):
        pass
    if own not in known:
        raise Refused("a name that leads to no service was asked for", Reply.HOST_UNREACHABLE.encode())
    return known[own]


def reply_to(failure: Exception) -> Reply:
    """What a client is told of why its service was not reached."""
    match failure:
        case NoRoute() | TimeoutError():
            return Reply.HOST_UNREACHABLE
        case AccessRefused() | PasswordRefused():
            return Reply.NOT_ALLOWED
        case ServiceFailed():
            return Reply.CONNECTION_REFUSED
        case _:
            return Reply.FAILED
