"""Who may come in: the same answer for everybody who says the same from the same place."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hardline.identity import KeyHash, Label
from hardline.transport.sources import around
from hardline.tunnel.admission import Admitted, NotAdmitted, Refusal, admit
from hardline.tunnel.guesses import ALLOWED, TELL_AFTER, Guesses

pytestmark = pytest.mark.pure


@dataclass(frozen=True)
class Wiki:
    """A service that lets in `clients`, None: everybody."""

    label: Label
    clients: frozenset[KeyHash] | None = None

    def lets_in(self, client: KeyHash | None) -> bool:
        return self.clients is None or client in self.clients


KEY_HASH = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
ANNA, BEN = KeyHash(bytes(20)), KeyHash(b"b" * 20)
OPEN, CLOSED = Wiki(Label(KEY_HASH)), Wiki(Label(KEY_HASH, "sesame"))
INVITED = Wiki(CLOSED.label, frozenset({ANNA}))
HERE, THERE = around("192.0.2.1"), around("198.51.100.7")


def test_where_no_password_is_wanted_everybody_comes_in_as_whom_he_has_proven_to_be():
    for client in (None, ANNA):
        assert admit(OPEN, "whatever", HERE, client, Guesses(), 0.0) == Admitted(client)


def test_the_right_password_comes_in_and_a_wrong_one_does_not_whoever_he_is():
    for client in (None, ANNA):
        assert admit(CLOSED, "sesame", HERE, client, Guesses(), 0.0) == Admitted(client)
        refused = admit(CLOSED, "open", HERE, client, Guesses(), 0.0)
        assert isinstance(refused, NotAdmitted)
        assert (refused.why, refused.why.value) == (Refusal.PASSWORD, "password")


@pytest.mark.parametrize("client", [None, BEN])
@pytest.mark.parametrize("given", ["sesame", "wrong"])
def test_who_is_not_invited_is_refused_whatever_he_gives_and_learns_nothing_of_the_password(client, given):
    guesses = Guesses()
    for _ in range(100):
        refused = admit(INVITED, given, HERE, client, guesses, 0.0)
        assert isinstance(refused, NotAdmitted)
        assert (refused.why.value, refused.untold) == ("access", 0)
    assert admit(INVITED, "sesame", HERE, ANNA, guesses, 0.0) == Admitted(ANNA), "nor does it count as a guess"


def test_who_is_invited_needs_the_password_as_well():
    refused = admit(INVITED, "wrong", HERE, ANNA, Guesses(), 0.0)
    assert isinstance(refused, NotAdmitted)
    assert refused.why is Refusal.PASSWORD


def test_who_guesses_has_to_wait_and_others_do_not():
    guesses = Guesses()
    for _ in range(ALLOWED[0][0]):
        admit(CLOSED, "wrong", HERE, None, guesses, 0.0)
    refused = admit(CLOSED, "sesame", HERE, None, guesses, 0.0)
    assert isinstance(refused, NotAdmitted)
    assert (refused.why, refused.why.value, refused.untold) == (Refusal.WAIT, "wait", 0)
    assert admit(CLOSED, "sesame", THERE, None, guesses, 0.0) == Admitted()
    assert admit(CLOSED, "sesame", HERE, None, guesses, 1000.0) == Admitted()


def test_the_owner_is_to_be_told_when_there_were_several():
    guesses = Guesses()
    refusals = [admit(CLOSED, "wrong", HERE, None, guesses, 0.0) for _ in range(TELL_AFTER)]
    assert [refused.untold for refused in refusals if isinstance(refused, NotAdmitted)] == [0] * (TELL_AFTER - 1) + [
        TELL_AFTER
    ]
