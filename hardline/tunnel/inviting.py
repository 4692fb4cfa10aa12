"""Somebody who comes with an invitation: he is judged before he is looked for on the list.

    hello with `client` and `invite` ─▶ on the list already     as everybody
                                     ─▶ let in                  he is on the list now, and comes in as everybody
                                     ─▶ used, expired, withdrawn    that is said
                                     ─▶ nothing that is known   one guess; he is refused like all who are not invited

Source: docs/PROTOCOL.md, section 4.3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from hardline.identity import KeyHash
from hardline.session.hello import Verdict
from hardline.tunnel.admission import NotAdmitted, Refusal
from hardline.tunnel.guesses import Guesses

# Judges an invitation to a service, shown by a key; who is let in is on the service's list when it returns.
Redeem = Callable[[KeyHash, KeyHash, str], Awaitable[Verdict]]

_SENTENCES = {
    Verdict.USED: "the invitation was used already",
    Verdict.EXPIRED: "the invitation has expired",
    Verdict.WITHDRAWN: "the invitation was withdrawn",
}


async def invited(
    service: KeyHash,
    client: KeyHash,
    secret: str,
    redeem: Redeem,
    networks: Sequence[str],
    guesses: Guesses,
    now: float,
    machine: str = "",
) -> NotAdmitted | None:
    """None where he is to be judged as everybody.  `networks`, `guesses`, `now`, `machine` as for admission.admit."""
    guessed = ("invite", service)
    if wait := guesses.wait(guessed, networks, now, machine):
        return NotAdmitted(Refusal.WAIT, f"too many wrong invitations: the next one is judged in {wait:.0f} s")
    verdict = await redeem(service, client, secret)
    if verdict in (Verdict.UNKNOWN, *_SENTENCES):
        guesses.wrong(guessed, networks, now, machine)
    if verdict in _SENTENCES:
        return NotAdmitted(Refusal.INVITE, _SENTENCES[verdict], invite=verdict.value)
    return None
