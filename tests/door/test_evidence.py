"""Which side failed, in a sentence, by what became of the attempts."""

from __future__ import annotations

import pytest

from hardline.door.evidence import Side, judge
from hardline.routes import Attempt, Candidate, Endpoint, FoundBy, PathKind, Trust

pytestmark = pytest.mark.pure


def tried(host: str, failure: str, kind: PathKind = PathKind.LAN) -> Attempt:
    return Attempt(Candidate(Endpoint(host, 7008), kind, FoundBy("LAN", Trust.HEARD)), 0.1, failure)


REFUSED = tried("192.168.1.20", "connection refused")
SILENT = tried("192.168.1.20", "no answer within 3.0 s")
WRONG = tried("192.168.1.20", "wrong certificate: certificate of 739df667, expected e8684237")
CUT_OFF = tried("203.0.113.9", "network is unreachable", PathKind.DIRECT)
OUTSIDE = tried("203.0.113.9", "connection refused", PathKind.DIRECT)
RELAY = tried("198.51.100.7", "connection refused", PathKind.RELAYED)


@pytest.mark.parametrize(
    ("attempts", "side", "sentence"),
    [
        ([REFUSED], Side.THERE, "the computer 192.168.1.20 is on, but hardline does not run there"),
        ([SILENT], Side.THERE, "192.168.1.20 does not answer: off, asleep, or in another network"),
        ([WRONG], Side.THERE, "another computer answers at 192.168.1.20"),
        ([CUT_OFF], Side.HERE, "this computer has no network"),
        ([OUTSIDE], Side.THERE, "something at 203.0.113.9 answers, but hardline is not reached there"),
        ([RELAY], Side.BETWEEN, "the relay 198.51.100.7:7008 does not run"),
        ([], Side.UNKNOWN, "nobody on this network has it, and no other way to it is known"),
        ([SILENT, REFUSED, WRONG], Side.THERE, "the computer 192.168.1.20 is on, but hardline does not run there"),
        ([SILENT, WRONG], Side.THERE, "another computer answers at 192.168.1.20"),
        ([CUT_OFF, SILENT], Side.THERE, "192.168.1.20 does not answer: off, asleep, or in another network"),
        ([tried("192.168.1.20", "yamux version 7")], Side.BETWEEN, "192.168.1.20:7008 does not work: yamux version 7"),
    ],
)
def test_the_attempt_that_tells_most_counts(attempts, side, sentence):
    verdict = judge(attempts)
    assert (verdict.side, verdict.sentence) == (side, sentence)
    assert verdict.step
