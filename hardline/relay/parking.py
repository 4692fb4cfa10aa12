"""Joins that nodes have ready, so that a visitor need not wait for his host to connect.

    tokens ──▶ node ──HARDLINE-PARK──▶ parked ──take──▶ a visitor's      for each used or lost: another token

Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
import secrets

from hardline.relay.control import Control
from hardline.relay.messages import Tokens
from hardline.transport.tcp import TcpStream, keep_alive

PARK = 2  # that a node has ready
PARKS_AGAIN = 1.0  # seconds after one was lost


class Parking:
    """Those of one relay; its length is how many tokens are out."""

    def __init__(self) -> None:
        self._awaited: dict[str, Control] = {}  # by token

    def __len__(self) -> int:
        return len(self._awaited)

    def begin(self, control: Control) -> None:
        """A node has registered something: from now on it has some ready."""
        if control.tokens is None:
            control.tokens = ()
            self._give(control, PARK)

    def expects(self, token: str) -> bool:
        """Whether one may be parked with it."""
        return token in self._awaited

    def node_of(self, token: str) -> Control | None:
        """Who was given it; it is good once."""
        control = self._awaited.pop(token, None)
        if control is not None:
            control.tokens = tuple(one for one in control.tokens or () if one != token)
        return control

    def park(self, control: Control, tcp: TcpStream, line_size: int) -> None:
        """It is ready; of what it said, `line_size` bytes were for us, and nothing may follow before it is used."""
        if tcp.heard_size > line_size:
            tcp.abort()  # nobody is there yet whom that could be for
            return
        tcp.forget_heard()
        keep_alive(tcp.transport.get_extra_info("socket"))
        control.parked += (tcp,)
        tcp.when_heard(lambda tcp: self._is_lost(control, tcp))

    def take(self, control: Control) -> TcpStream | None:
        """The newest one, which is the caller's; None where none is ready."""
        while control.parked:
            *others, parked = control.parked
            control.parked = tuple(others)
            self._give(control, 1)
            if not parked.ended and not parked.transport.is_closing():
                return parked
        return None

    def left(self, control: Control) -> None:
        """The node's control connection is gone."""
        for token in control.tokens or ():
            self._awaited.pop(token, None)
        parked, control.tokens, control.parked = control.parked, (), ()
        for tcp in parked:
            tcp.abort()

    def _give(self, control: Control, count: int) -> None:
        if control.tokens is None or control.gone:
            return
        given = tuple(secrets.token_hex(16) for _ in range(count))
        control.tokens += given
        self._awaited |= dict.fromkeys(given, control)
        control.say(Tokens(given))

    def _is_lost(self, control: Control, tcp: TcpStream) -> None:
        """It ended, or said something before its time."""
        tcp.abort()
        if tcp in control.parked:
            control.parked = tuple(one for one in control.parked if one is not tcp)
            asyncio.get_running_loop().call_later(PARKS_AGAIN, self._give, control, 1)
