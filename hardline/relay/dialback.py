"""A relay dials a node that asks for it, so that the node learns whether it needs the relay.

    node ──dialback(port, id)──▶ Dialbacks ──dialled(id)──▶ node
                                     └── another connection: HARDLINE-PROBE id ──▶ the node's own address, that port

Only the source of the control connection is dialled, and what comes of it is told to nobody: many customers of a
carrier share one address, and none of them may have a relay look which ports of it are open.  So the answer comes
before the dial.  Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardline import log
from hardline.addresses import Kind, Way, kind_of, parse
from hardline.allowance import Allowance
from hardline.errors import HardlineError
from hardline.relay.control import Control
from hardline.relay.lines import Verb, encode_line
from hardline.relay.messages import Dialback, Dialled
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.ways import way_to

DIAL_WITHIN = 5.0  # seconds
MOST = 64  # dials at once
EVERY = 60.0  # seconds between two of one source

_OUTSIDE = (Way.ROUTED, Way.DEFAULT)


def is_outside(host: str) -> bool:
    """Whether a connection from this machine to `host` comes to it from the world."""
    address = parse(host)
    return address is not None and kind_of(address) is Kind.PUBLIC and way_to(address) in _OUTSIDE


class Dialbacks:
    """Those of one relay; `proves` tells addresses at which a dial proves something."""

    def __init__(self, proves: Callable[[str], bool] = is_outside) -> None:
        self._proves = proves
        self._often = Allowance(1, 1 / EVERY)
        self._dials = TaskSet("relay")

    def asked(self, control: Control, wanted: Dialback) -> None:
        """A node wants it."""
        if len(self._dials) >= MOST or not self._often.take(control.source, asyncio.get_running_loop().time()):
            log.debug("relay.dialback_ignored", endpoint=control.peer)
            return
        control.say(Dialled(wanted.id))
        if self._proves(control.peer.host):
            self._dials.start(_dial(Endpoint(control.peer.host, wanted.port), wanted.id), "dialback")

    async def aclose(self) -> None:
        """Whoever is being dialled is not any more."""
        await self._dials.aclose()


async def _dial(at: Endpoint, name: str) -> None:
    try:
        async with asyncio.timeout(DIAL_WITHIN):
            stream = await tcp.connect_any([at])
            try:
                await stream.send(encode_line(Verb.PROBE, name))
                await stream.aclose()
            finally:
                stream.abort()
    except (OSError, HardlineError, TimeoutError) as failure:
        log.debug("relay.dialback_failed", endpoint=at, reason=str(failure) or "no answer")
