"""How a node gets to a relay: directly, or through a web proxy where nothing else goes out.

CONNECT relay.example:443 HTTP/1.1 ──▶ 200 ──▶ from here on it is a TCP connection to the relay (RFC 9110, 9.3.6)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from hardline.errors import ConnectionLost, PeerError
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.resolver import Resolver
from hardline.transport.tcp import TcpStream

MAX_ANSWER = 16_384  # bytes of a proxy's head


class RelayDialer:
    """Makes connections to one relay, at any of its `endpoints`; all after the first go where that one went.

    `proxy` is used where one is given; else `fallback` is, once the relay cannot be reached without.
    """

    def __init__(self, *endpoints: Endpoint, proxy: Endpoint | None = None, fallback: Endpoint | None = None) -> None:
        self._endpoints, self._proxy, self._fallback = endpoints, proxy, fallback
        self._by_fallback = False
        self._at: Endpoint | None = None

    @property
    def through(self) -> Endpoint | None:
        """The proxy that is used."""
        return self._proxy or (self._fallback if self._by_fallback else None)

    def forget(self) -> None:
        """The relay may be elsewhere now, and reached without a proxy."""
        self._at, self._by_fallback = None, False

    async def connect(self) -> TcpStream:
        """A connection to the relay.  Raises OSError, PeerError, ConnectionLost; has no time limit.  Safe to cancel."""
        if (proxy := self.through) is not None:
            return await self._by(proxy)
        try:
            stream = await tcp.connect_any([self._at] if self._at else await self._addresses(), tcp.SHARING)
        except OSError:
            if self._fallback is None:
                raise
            stream = await self._by(self._fallback)
            self._by_fallback = True
            return stream
        if stream.peer.address is not None:  # one that is cut already is connected to nobody
            self._at = stream.peer
        return stream

    async def _addresses(self) -> list[Endpoint]:
        """Those of all endpoints whose names are known.  Raises OSError where none is."""
        found, failure = list[Endpoint](), OSError("the relay has no address")
        for endpoint in self._endpoints:
            try:
                found += await Resolver.of_services().addresses(endpoint)
            except OSError as unknown:
                failure = unknown
        if not found:
            raise failure
        return found

    async def _by(self, proxy: Endpoint) -> TcpStream:
        relay = self._endpoints[0]
        try:
            stream = await tcp.connect_any(await Resolver.of_services().addresses(proxy))
        except OSError as failure:
            raise ConnectionLost(f"the proxy {proxy} cannot be reached: {failure.strerror or failure}") from None
        try:
            await stream.send(f"CONNECT {relay} HTTP/1.1\r\nHost: {relay}\r\n\r\n".encode("ascii"))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                # Nothing behind the head is taken: that is the relay's.
                piece = await stream.receive(1)
                if not piece:
                    raise ConnectionLost(f"the proxy {proxy} ended the connection")
                head += piece
                if len(head) > MAX_ANSWER:
                    raise PeerError(f"the proxy {proxy} says more than a proxy has to say")
            version, _, rest = head.partition(b" ")
            if not version.startswith(b"HTTP/1.") or rest[:1] != b"2":
                code = rest[:3].decode("ascii", "replace")
                raise PeerError(f"the proxy {proxy} does not let us through: {code if code.isdigit() else 'no HTTP'}")
        except BaseException:
            stream.abort()
            raise
        return stream


def proxy_of_environment(environment: Mapping[str, str] = os.environ) -> Endpoint | None:
    """The proxy that `https_proxy` names, where it is one of plain HTTP; None where it is not."""
    named = environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""
    try:
        parts = urlsplit(named if "://" in named else f"http://{named}")
        if parts.scheme != "http" or not parts.hostname or parts.username is not None:
            return None
        return Endpoint.parse(str(Endpoint(parts.hostname, parts.port or 80)))
    except (ValueError, PeerError):
        return None
