"""One local connection and one visit, joined: the one place that opens a stream for a socket here.

    socket ── first bytes ──▶ visit ──▶ status ──▶ Joint: from then on bytes pass without a task

A warm session can turn out to be dead only when it is used.  Then what may be said twice, and of which no byte of an
answer came, is said once more through a fresh session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from hardline.errors import ConnectionLost
from hardline.identity import Label
from hardline.session.gate import Gate
from hardline.session.joint import Joint
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import Visitor

T = TypeVar("T")


class _Untouched(Exception):
    """The session broke, and nothing of an answer had come."""

    def __init__(self, failure: ConnectionLost) -> None:
        super().__init__()
        self.failure = failure


async def join(
    visitor: Visitor, label: Label, first: bytes, local: TcpStream, gate: Gate, *, repeatable: bool
) -> tuple[Visit, Joint | None]:
    """Join `local`, which said `first`, with a visit whose service was reached; None for an original, which does not
    tell, and has to be carried.

    Raises what Visitor.visit and Visit.answered raise; `local` is the caller's again then.
    """

    async def attempt(visit: Visit) -> tuple[Visit, Joint | None]:
        if not isinstance(visit.pipe, Stream):
            return visit, None
        joint = Joint(visit.pipe, local, visit.read_status, gate, gives_back=True)
        try:
            await joint.answered
        except ConnectionLost as failure:
            if joint.untouched:
                raise _Untouched(failure) from None
            raise
        except BaseException:
            joint.abort(ConnectionLost("nobody waits any more"))
            raise
        return visit, joint

    return await _twice_at_most(visitor, label, first, attempt, repeatable)


async def open_visit(visitor: Visitor, label: Label, first: bytes, *, repeatable: bool) -> tuple[Visit, bytes]:
    """As `join`, for who has more to do than to join: the payload that came with the news is returned."""

    async def attempt(visit: Visit) -> tuple[Visit, bytes]:
        try:
            return visit, await visit.answered()
        except BaseException as failure:
            await visit.pipe.aclose()
            if isinstance(failure, ConnectionLost):
                raise _Untouched(failure) from None
            raise

    return await _twice_at_most(visitor, label, first, attempt, repeatable)


async def _twice_at_most(
    visitor: Visitor, label: Label, first: bytes, attempt: Callable[[Visit], Awaitable[T]], repeatable: bool
) -> T:
    while True:
        visit = await visitor.visit(label, first)
        try:
            return await attempt(visit)
        except _Untouched as untouched:
            visit.failed(untouched.failure)
            if not (repeatable and visit.reused):
                raise untouched.failure from None
            repeatable = False
        except BaseException as failure:
            visit.failed(failure)
            raise
