"""One visit: a pipe into a service, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from hardline import log
from hardline.errors import PeerError
from hardline.identity import Label
from hardline.routes import Candidate
from hardline.session.status import StatusReader
from hardline.streams import ByteStream


@dataclass(eq=False, slots=True)
class VisitRecord:
    """What became of one visit: the daemon's short memory for `hardline status`."""

    label: Label
    status: str = "running"
    candidate: Candidate | None = None
    protocol: str = ""


class Visit:
    """A pipe into a service, and what its host says first: that the local service was reached, or why not.

    That is either waited for (`answered`), or read on the way by whoever carries the bytes (`read_status`).
    """

    def __init__(self, pipe: ByteStream, record: VisitRecord, reused: bool, status: StatusReader | None) -> None:
        self.pipe = pipe
        self.record = record
        self.reused = reused  # the session had been there before this visit
        self._status = status

    def failed(self, failure: BaseException) -> None:
        """Its service was not reached, because of `failure`, or nobody waits for it any more."""
        self.record.status = type(failure).__name__ if isinstance(failure, Exception) else "cut"

    def was_cut(self, failure: Exception) -> None:
        """It ended before its end, because of `failure`."""
        self.record.status = "cut"
        log.debug("visit.cut", service=self.record.label.key_hash.short, reason=str(failure))

    async def answered(self) -> bytes:
        """Wait for the stream's status line; return the payload that came with it.

        Raises ServiceFailed when the host could not reach its service, PasswordRefused when it refused the
        label, PeerError for nonsense, ConnectionLost when the session broke.
        """
        if self._status is None:
            return b""
        while True:
            data = await self.pipe.receive()
            if not data:
                raise PeerError("the stream ended before its status line")
            rest = self.read_status(memoryview(data))
            if rest is not None:
                return bytes(rest)

    def read_status(self, data: memoryview) -> memoryview | None:
        """Take the first bytes of the pipe; return the payload behind the status line, None while it is not whole.

        Raises as `answered` does.
        """
        if self._status is None:
            return data
        if (payload := self._status.behind_reached(data)) is not None:
            return payload
        status = self._status.feed(bytes(data))
        if status is None:
            return None
        status.raise_for_failure()
        return memoryview(self._status.leftover)
