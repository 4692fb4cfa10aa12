"""The PROXY protocol: a first line, or a binary header, that tells a service who connects by way of us; without I/O.

    PROXY TCP4 203.0.113.9 192.0.2.1 4711 443 CRLF              version 1, for people
    0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A 21 11 00 0C …           version 2

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

from hardline.addresses import Address, unmapped
from hardline.routes import Endpoint

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL, _PROXY = b"\x20", b"\x21"
_UNSPECIFIED, _TCP4, _TCP6 = b"\x00", b"\x11", b"\x21"


def header(version: int, client: Endpoint | None, reached: Endpoint | None) -> bytes:
    """What a service of `version` 1 or 2 gets before anything else: `client` connected to our `reached`.

    A client without an address, or None, is said to be unknown: the service takes the connection for its own.
    """
    pair = _addresses(client, reached)
    if version == 1:
        return _text(pair)
    if pair is None:
        return _SIGNATURE + _LOCAL + _UNSPECIFIED + b"\x00\x00"
    (source, source_port), (target, target_port) = pair
    body = source.packed + target.packed + source_port.to_bytes(2) + target_port.to_bytes(2)
    return _SIGNATURE + _PROXY + (_TCP4 if source.version == 4 else _TCP6) + len(body).to_bytes(2) + body


_Addressed = tuple[Address, int]


def _text(pair: tuple[_Addressed, _Addressed] | None) -> bytes:
    if pair is None:
        return b"PROXY UNKNOWN\r\n"
    (source, source_port), (target, target_port) = pair
    return f"PROXY TCP{source.version} {source} {target} {source_port} {target_port}\r\n".encode("ascii")


def _addresses(client: Endpoint | None, reached: Endpoint | None) -> tuple[_Addressed, _Addressed] | None:
    """Both of one family, and without a scope, which is of no meaning to others."""
    source, target = _plain(client), _plain(reached)
    if source is None or client is None:
        return None
    if target is None or reached is None or target.version != source.version:
        target, port = type(source)(0), 0  # as where nobody knows
    else:
        port = reached.port
    return (source, client.port), (target, port)


def _plain(endpoint: Endpoint | None) -> Address | None:
    address = endpoint.address if endpoint is not None else None
    if address is None:
        return None
    address = unmapped(address)
    return type(address)(int(address))
