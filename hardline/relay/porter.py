"""What a new connection to a relay's ports is, and who gets it.

    HARDLINE-… ─▶ whoever expects it, else the relay
    ALPN hardline-relay/1 ─▶ relay       a registered name ─▶ relay       a domain of this node ─▶ named
    a name of this node's own services, or none ─▶ host             HTTP ─▶ a page         anything else ─▶ the end

Nothing is taken off a connection until it is known what it is.  Source: docs/PROTOCOL.md, section 9.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hardline.relay.clienthello import ClientHello
from hardline.relay.expected import Expected
from hardline.relay.firstbytes import FirstBytes
from hardline.relay.lines import Line
from hardline.relay.opening import CONTROL, Opening, Request, name_in, read_opening
from hardline.transport.tcp import TcpStream


class Taker(Protocol):
    """The relay."""

    def control(self, tcp: TcpStream) -> None: ...
    def visitor(self, tcp: TcpStream, name: str) -> None: ...
    def line(self, tcp: TcpStream, line: Line) -> None: ...


class Porter:
    """Waits for the first bytes, `timeout` seconds at most, of `most` connections and of `of_a_source` of one source.

    `host` serves this node's own services, `is_ours` tells their server names, `named` takes who asks for a domain of
    theirs, and says whether he does; `page` is what a browser gets; `expected` are lines of which somebody else in this
    node knows.
    """

    def __init__(
        self,
        relay: Taker,
        host: Callable[[TcpStream], None],
        is_ours: Callable[[str], bool],
        page: Callable[[], bytes],
        expected: Expected,
        *,
        most: int,
        of_a_source: int,
        timeout: float,
        named: Callable[[TcpStream, str], bool] = lambda tcp, name: False,
    ) -> None:
        self._named = named
        self._relay, self._host, self._is_ours, self._page = relay, host, is_ours, page
        self._expected = expected
        self._coming: FirstBytes[Opening] = FirstBytes(_read, most=most, of_a_source=of_a_source, timeout=timeout)

    def accepted(self, tcp: TcpStream) -> None:
        """A connection came in: the listener's callback."""
        self._coming.accepted(tcp, self._pass_on)

    def close(self) -> None:
        """Nobody is waited for any more."""
        self._coming.close()

    def _pass_on(self, tcp: TcpStream, opening: Opening) -> None:
        match opening:
            case Line():
                if not self._expected.take(tcp, opening):
                    self._relay.line(tcp, opening)
            case ClientHello() if CONTROL in opening.protocols:
                self._relay.control(tcp)
            case ClientHello():
                name = name_in(opening.server_name)
                if not name or self._is_ours(name):
                    self._host(tcp)
                elif not self._named(tcp, name):
                    self._relay.visitor(tcp, name)
            case Request():
                tcp.transport.write(self._page())
                tcp.close()


def _read(said: bytes) -> Opening | None:
    opening = read_opening(said)
    return None if isinstance(opening, Request) and not _is_whole(said) else opening


def _is_whole(request: bytes) -> bool:
    """Its head has ended."""
    return b"\n\r\n" in request or b"\n\n" in request
