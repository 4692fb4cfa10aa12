"""What a new connection to a relay's ports is, and who gets it.

    HARDLINE-… ─▶ relay       ALPN hardline-relay/1 ─▶ relay       a registered name ─▶ relay
    a name of this node's own services, or none ─▶ host             HTTP ─▶ a page         anything else ─▶ the end

Nothing is taken off a connection until it is known what it is.  Source: docs/PROTOCOL.md, section 9.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from hardline import log
from hardline.deadlines import Deadlines
from hardline.errors import PeerError
from hardline.relay.clienthello import MAX_SIZE, ClientHello
from hardline.relay.lines import Line
from hardline.relay.opening import CONTROL, Opening, Request, name_in, read_opening
from hardline.transport.newcomers import Newcomers
from hardline.transport.tcp import TcpStream

MAX_PIECES = 256  # each of them is looked at with all that came before


class Taker(Protocol):
    """The relay."""

    def control(self, tcp: TcpStream) -> None: ...
    def visitor(self, tcp: TcpStream, name: str) -> None: ...
    def line(self, tcp: TcpStream, line: Line) -> None: ...


class Porter:
    """Waits for the first bytes, `timeout` seconds at most, of `most` connections and of `of_a_source` of one source.

    `host` serves this node's own services, `is_ours` tells their server names; `page` is what a browser gets.
    """

    def __init__(
        self,
        relay: Taker,
        host: Callable[[TcpStream], None],
        is_ours: Callable[[str], bool],
        page: Callable[[], bytes],
        *,
        most: int,
        of_a_source: int,
        timeout: float,
    ) -> None:
        self._relay, self._host, self._is_ours, self._page = relay, host, is_ours, page
        self._newcomers: Newcomers[TcpStream] = Newcomers(most, of_a_source)
        self._impatient: Deadlines[TcpStream] = Deadlines(timeout, self._is_late)
        self._pieces: Counter[TcpStream] = Counter()  # in which their first bytes came so far

    def accepted(self, tcp: TcpStream) -> None:
        """A connection came in: the listener's callback."""
        for leaving in self._newcomers.come(tcp, tcp.peer.host):
            self._is_known(leaving)
            leaving.abort()
            if leaving is tcp:
                return
        self._impatient.add(tcp)
        tcp.when_heard(self._heard)

    def close(self) -> None:
        """Nobody is waited for any more."""
        for tcp in self._impatient.close():
            self._newcomers.known(tcp)
            tcp.abort()

    def _heard(self, tcp: TcpStream) -> None:
        said = tcp.heard
        try:
            opening = read_opening(said)
        except PeerError as failure:
            log.debug("porter.refused", endpoint=tcp.peer, reason=failure.message)
            self._is_known(tcp)
            tcp.abort()
            return
        if opening is None or (isinstance(opening, Request) and not _is_whole(said)):
            self._pieces[tcp] += 1
            if tcp.ended or len(said) > MAX_SIZE or self._pieces[tcp] > MAX_PIECES:
                self._is_known(tcp)
                tcp.abort()
            else:
                tcp.when_heard(self._heard, beyond=len(said))
            return
        self._is_known(tcp)
        self._pass_on(tcp, opening)

    def _pass_on(self, tcp: TcpStream, opening: Opening) -> None:
        match opening:
            case Line():
                self._relay.line(tcp, opening)
            case ClientHello() if CONTROL in opening.protocols:
                self._relay.control(tcp)
            case ClientHello():
                name = name_in(opening.server_name)
                if not name or self._is_ours(name):
                    self._host(tcp)
                else:
                    self._relay.visitor(tcp, name)
            case Request():
                tcp.transport.write(self._page())
                tcp.close()

    def _is_late(self, tcp: TcpStream) -> None:
        self._is_known(tcp)
        tcp.abort()

    def _is_known(self, tcp: TcpStream) -> None:
        self._newcomers.known(tcp)
        self._impatient.discard(tcp)
        self._pieces.pop(tcp, None)


def _is_whole(request: bytes) -> bool:
    """Its head has ended."""
    return b"\n\r\n" in request or b"\n\n" in request
