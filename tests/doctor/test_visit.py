"""A visit ends in one sentence that says which side failed."""

from __future__ import annotations

import pytest

from hardline.doctor.rows import State
from hardline.doctor.visit import (
    CONCLUSION,
    DIAL,
    FAILED,
    HELLO,
    KNOWN,
    NOT_REACHED,
    REACHED,
    SERVICE,
    TLS,
    Step,
    Verdict,
)
from tests.doctor.healthy import KEY

pytestmark = pytest.mark.pure

AT = ("192.168.1.7:7008",)
KNOWN_STEP = Step(KNOWN, True, "nas, named", key=KEY)
FOUND, NOTHING = Step("LAN", True, "", 0.003, AT, finds=True), Step("LAN", False, "", 1.0, finds=True)
THERE = (Step(DIAL, True, "LAN", 0.001, AT), Step(TLS, True, "right", 0.01), Step(HELLO, True, "hardline/2, nas", 0.01))


def failed(name: str, evidence: str, at: tuple[str, ...] = AT) -> Step:
    return Step(name, False, "in words", 0.2, at, evidence)


@pytest.mark.parametrize(
    ("steps", "words", "code"),
    [
        ((FOUND, *THERE, Step(SERVICE, True, "it answers", 0.01)), "it works, by 192.168.1.7:7008", REACHED),
        ((FOUND, *THERE, failed(SERVICE, "refused")), "hardline runs there, but nothing answers at the port", FAILED),
        ((FOUND, *THERE, failed(SERVICE, "timeout")), "the service behind it does not answer", FAILED),
        ((FOUND, *THERE, failed(SERVICE, "password")), "wants another word before the key hash", FAILED),
        ((FOUND, failed(HELLO, "access")), "needs an invitation", FAILED),
        ((FOUND, failed(HELLO, "full")), "takes nobody more now", FAILED),
        ((FOUND, failed(DIAL, "refused")), "192.168.1.7:7008 is on, but hardline does not run there", NOT_REACHED),
        ((FOUND, failed(DIAL, "silent")), "does not answer at 192.168.1.7:7008: it is off, asleep", NOT_REACHED),
        ((FOUND, failed(TLS, "another")), "another computer answers at 192.168.1.7:7008", NOT_REACHED),
        ((FOUND, failed(TLS, "relay")), "its relay is there, but the host is not", NOT_REACHED),
        ((FOUND, failed(DIAL, "no way")), "this computer has no way to 192.168.1.7:7008", NOT_REACHED),
        ((FOUND, failed(TLS, "broken")), "not for this service", NOT_REACHED),
        ((FOUND, failed(DIAL, "silent"), failed(DIAL, "refused", ("9.9.9.9:7008",))), "9.9.9.9:7008 is on", 4),
        ((NOTHING, Step(DIAL, None, "nobody to dial")), "nobody knows where it is: LAN found nothing", NOT_REACHED),
        (
            (NOTHING, Step("DHT", False, "nobody there to ask: no node of it answers", 4.0, finds=True)),
            "from here DHT cannot be asked (this side)",
            NOT_REACHED,
        ),
        ((FOUND, Step(DIAL, None, "nobody to dial")), "is never dialled, or did not answer in time", NOT_REACHED),
    ],
)
def test_which_side_failed_is_said_in_the_end(steps: tuple[Step, ...], words: str, code: int):
    verdict = Verdict()
    rows = [verdict.row(step) for step in (KNOWN_STEP, *steps)]
    last = verdict.conclusion()
    assert last.check == CONCLUSION
    assert words in last.sentence
    assert (last.state is State.OK) == (code == REACHED)
    assert last.do or code == REACHED
    assert verdict.code == code
    assert sum(words in row.sentence for row in (*rows, last)) == 1


def test_each_step_has_its_time_and_who_is_meant_has_a_short_key():
    verdict = Verdict()
    rows = [verdict.row(step) for step in (KNOWN_STEP, FOUND, NOTHING, *THERE)]
    assert rows[0].sentence == "nas, named (bb89…2ec3)"
    assert [row.took_s for row in rows[1:]] == [0.003, 1.0, 0.001, 0.01, 0.01]
    assert [row.state for row in rows[1:3]] == [State.OK, State.WARN]


def test_words_of_a_host_steer_nothing():
    verdict = Verdict()
    row = verdict.row(Step(HELLO, True, "hardline/2, \x1b[2J\n" + "x" * 9999))
    assert row.sentence.isprintable()
    assert len(row.sentence) <= 400
