"""Pings: when they go out, and when a silent peer is given up."""

from __future__ import annotations

import pytest

from hardline.session.liveness import Due, Liveness

pytestmark = pytest.mark.pure


def test_a_quiet_session_is_asked_after_the_interval_and_given_up_after_the_timeout():
    live = Liveness(now=0.0, interval=15.0, timeout=3.0)
    assert live.deadline == 15.0
    assert live.tick(14.9) is Due.NOTHING
    assert live.tick(15.0) is Due.PING
    assert live.deadline == 18.0
    assert live.tick(17.9) is Due.NOTHING
    assert live.tick(18.0) is Due.DEAD


def test_whatever_arrives_is_a_sign_of_life():
    live = Liveness(now=0.0, interval=15.0, timeout=3.0)
    live.tick(15.0)
    live.heard(17.9)
    assert live.tick(18.0) is Due.NOTHING
    assert live.deadline == 32.9


def test_what_was_sent_and_not_answered_is_asked_about_after_a_second():
    live = Liveness(now=0.0, interval=15.0, timeout=3.0)
    live.sent(5.0)
    live.sent(5.9)
    assert live.deadline == 6.0
    assert live.tick(6.0) is Due.PING
    assert live.tick(9.0) is Due.DEAD


def test_an_answer_ends_the_question():
    live = Liveness(now=0.0, interval=15.0, timeout=3.0)
    live.sent(5.0)
    live.heard(5.5)
    assert live.tick(6.0) is Due.NOTHING
    assert live.deadline == 20.5


def test_two_quiet_ends_do_not_ask_each_other_for_ever():
    ends = [Liveness(0.0, 15.0, 3.0), Liveness(0.0, 15.0, 3.0)]
    pings, now = 0, 0.0
    while now < 60.0:
        now += 0.1
        for asking, asked in (ends, ends[::-1]):
            if asking.tick(now) is Due.PING:
                pings += 1
                asked.heard(now)  # the ping
                asking.heard(now)  # the pong, which counts as nothing that wants an answer
    assert pings <= 4
