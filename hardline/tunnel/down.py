"""A link that is down, and why, in words; without I/O."""

from __future__ import annotations

from hardline.errors import HardlineError, afresh
from hardline.identity import KeyHash
from hardline.routes import NoRoute


class LinkDown(NoRoute):
    """The link to `target` is down, because of `cause`: who visits it is told so at once."""

    def __init__(self, target: KeyHash, cause: HardlineError) -> None:
        tried = (cause.attempts, cause.reasons) if isinstance(cause, NoRoute) else ((), ())
        super().__init__(target, *tried)
        self.message, self.cause = f"the link is down: {reason(cause)}", afresh(cause)
        self.args = (self.message,)


def reason(cause: HardlineError) -> str:
    """Why a link is down, for who runs this node; its label is not in it."""
    if not isinstance(cause, NoRoute):
        return cause.message
    if not cause.attempts:
        return "nobody who offers the service was found"
    last = cause.attempts[-1]
    return f"{last.candidate.endpoint}: {last.failure}"
