"""Who may come in, without I/O: one answer for both protocols and every way here.

    service, what the visitor says, where from ─▶ Admitted | NotAdmitted

Source: docs/PROTOCOL.md, section 4.3.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hardline.identity import KeyHash, Label
from hardline.tunnel.guesses import Guesses


class Refusal(enum.Enum):
    """Refusal somebody is refused: the word in the host's answer."""

    PASSWORD = "password"
    ACCESS = "access"
    INVITE = "invite"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Admitted:
    """He may come in, as `client` where he has proven to be somebody."""

    client: KeyHash | None = None


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """He may not.  `untold` wrong passwords are to be told of in the log; 0: none.  `invite` is what became of his."""

    why: Refusal
    sentence: str
    untold: int = 0
    invite: str = ""


class Admits(Protocol):
    """A service, as far as it says who may visit (settings.directory.Service)."""

    @property
    def label(self) -> Label: ...
    def lets_in(self, client: KeyHash | None) -> bool: ...


def admit(
    service: Admits,
    given: str,
    networks: Sequence[str],
    client: KeyHash | None,
    guesses: Guesses,
    now: float,
    machine: str = "",
) -> Admitted | NotAdmitted:
    """Judge who gives the password `given` to `service`, from `networks` and `machine` (as Guesses has them).

    `client` is who he has proven to be; `guesses`, on the clock of `now`, is told of what he gave.
    """
    label = service.label
    if not service.lets_in(client):
        who = "a visitor whose key is not in its list" if client else "a visitor who does not say who he is"
        return NotAdmitted(Refusal.ACCESS, f"for invited visitors only: {who}")
    if not label.password:
        return Admitted(client)
    if wait := guesses.wait(label, networks, now, machine):
        return NotAdmitted(Refusal.WAIT, f"too many wrong passwords: the next one is judged in {wait:.0f} s")
    if not label.has_password(given):
        untold = guesses.wrong(label, networks, now, machine)
        return NotAdmitted(Refusal.PASSWORD, "the visitor's label has another password", untold)
    guesses.right(label, networks, now)
    return Admitted(client)
