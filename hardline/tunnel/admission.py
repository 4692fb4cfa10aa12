"""Who may come in, without I/O: one answer for both protocols and every way here.

    service, what the visitor says, where from ─▶ Admitted | NotAdmitted

Source: docs/PROTOCOL.md, section 4.3.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from hardline.identity import KeyHash, Label
from hardline.tunnel.guesses import Guesses


class Refusal(enum.Enum):
    """Refusal somebody is refused: the word in the host's answer."""

    PASSWORD = "password"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Admitted:
    """He may come in, as `client` where he has proven to be somebody."""

    client: KeyHash | None = None


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """He may not.  `untold` wrong passwords are to be told of in the log; 0: none."""

    why: Refusal
    sentence: str
    untold: int = 0


def admit(
    label: Label, given: str, networks: Sequence[str], client: KeyHash | None, guesses: Guesses, now: float
) -> Admitted | NotAdmitted:
    """Judge who gives the password `given` to the service of `label`, from `networks` (transport.sources.around).

    `client` is who he has proven to be; `guesses`, on the clock of `now`, is told of what he gave.
    """
    if not label.password:
        return Admitted(client)
    if wait := guesses.wait(label, networks, now):
        return NotAdmitted(Refusal.WAIT, f"too many wrong passwords: the next one is judged in {wait:.0f} s")
    if not label.has_password(given):
        untold = guesses.wrong(label, networks, now)
        return NotAdmitted(Refusal.PASSWORD, "the visitor's label has another password", untold)
    guesses.right(label, networks, now)
    return Admitted(client)
