"""What comes back to a search: which answers become candidates, and who has to show that it is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.heard import FEW, MAX_CANDIDATES, MAX_PER_SOURCE, MAX_SOURCES, PATIENCE, Heard, Sender
from hardline.discovery.lpd import MAX_DAYS_OFF, PORT, Answer, Search
from hardline.identity import KeyHash
from hardline.routes import Candidate, Code, Endpoint, FoundBy, PathKind, Trust

pytestmark = pytest.mark.pure

TARGET = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
TODAY = 20778
CODE = TARGET.rolling(TODAY)
HOST = "192.168.1.7"

Said = tuple[Candidate | None, list[tuple[Sender, Search]]]


def heard() -> Heard:
    return Heard(TARGET, TODAY, bytes(16))


def say(
    search: Heard, source: str, *, to: str = "", port: int = 7008, now: float = 0.0, udp: int = 40000, name: str = CODE
) -> Said:
    answer = Answer(port, name, "x", version=2, day=TODAY, to=to)
    return search.answer(answer, source, Endpoint(source, port), (source, udp), now)


def lies(search: Heard, count: int, now: float = 0.0) -> list[tuple[Sender, Search]]:
    return [
        question for n in range(count) for question in say(search, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", now=now)[1]
    ]


def test_an_answer_is_a_candidate_once():
    search = heard()
    candidate, questions = say(search, HOST)
    assert candidate is not None
    assert candidate == Candidate(Endpoint(HOST, 7008), PathKind.LAN, FoundBy("LAN", Trust.HEARD), Code(TODAY))
    assert questions == []
    assert say(search, HOST) == (None, [])


def test_the_few_addresses_of_one_host_are_not_asked_again():
    assert lies(heard(), FEW) == []


def test_where_many_answer_each_is_asked_alone_in_other_words():
    search = heard()
    asked = lies(search, FEW + 3)
    assert {to[0] for to, _ in asked} == {f"10.0.0.{n}" for n in range(FEW + 3)}
    assert {to[1] for to, _ in asked} == {40000, PORT}
    assert {question.code for _, question in asked} == {CODE}
    words = {to[0]: question.cookie for to, question in asked}
    assert len(set(words.values())) == FEW + 3
    assert lies(search, FEW + 3) == []


def test_who_repeats_its_word_has_answered_and_nobody_else():
    search = heard()
    say(search, HOST)
    words = {to[0]: question.word for to, question in lies(search, 2 * FEW)}
    assert say(search, "10.0.0.1", to=words[HOST])[0] is None, "known, and the word of another one"
    candidate, questions = say(search, HOST, to=words[HOST])
    assert candidate is not None
    assert candidate.found_by.trust is Trust.ANSWERED
    assert candidate.endpoint == Endpoint(HOST, 7008)
    assert questions == []


def test_a_host_that_answers_is_found_after_any_number_of_lies():
    """Whoever forges a new source for each lie fills the table, and those who are not there make room."""
    search, now = heard(), 0.0
    for _ in range(8):
        lies(search, 2 * MAX_SOURCES, now)
        now += PATIENCE
    _, questions = say(search, HOST, now=now + PATIENCE)
    (word,) = {question.word for to, question in questions if to[0] == HOST}
    answered, _ = say(search, HOST, to=word, now=now + PATIENCE)
    assert answered is not None
    assert answered.found_by.trust is Trust.ANSWERED


def test_ports_that_are_forged_for_a_host_do_not_keep_out_the_one_that_it_says_itself():
    search = heard()
    asked = [question for n in range(50) for question in say(search, HOST, port=10_000 + n, udp=20_000 + n)[1]]
    assert (HOST, PORT) in {to for to, _ in asked}
    assert len({to for to, _ in asked}) <= MAX_PER_SOURCE + 1
    candidate, _ = say(search, HOST, port=9999, to=asked[0][1].word)
    assert candidate is not None
    assert candidate.found_by.trust is Trust.ANSWERED


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 9), st.floats(0, 0.1)), max_size=200))
def test_what_is_believed_and_asked_is_bounded(said):
    search, now, candidates, questions = heard(), 0.0, 0, 0
    for number, port, pause in said:
        now += pause
        candidate, asked = say(search, f"10.0.{number >> 8}.{number & 255}", port=port, now=now)
        candidates += candidate is not None
        questions += len(asked)
    assert candidates <= MAX_CANDIDATES
    assert questions <= 3 * len(said)
    assert len(search._sources) <= MAX_SOURCES


def test_of_sources_that_do_not_answer_so_many_are_candidates_and_no_more():
    search, found = heard(), 0
    for turn in range(20):
        for n in range(MAX_SOURCES):
            found += say(search, f"10.{turn}.0.{n}", now=turn * PATIENCE)[0] is not None
    assert found == MAX_CANDIDATES


@pytest.mark.parametrize("off", [-MAX_DAYS_OFF, -3, 0, 3, MAX_DAYS_OFF])
def test_the_day_beside_the_key_hash_is_believed(off):
    answer = Answer(1, f"sesame-{TARGET}", "", day=TODAY + off)
    assert answer.fitting_day(TARGET, TODAY) == TODAY + off


@pytest.mark.parametrize("off", [-MAX_DAYS_OFF - 1, MAX_DAYS_OFF + 1, 3650])
def test_a_day_that_is_far_away_is_not_believed(off):
    assert Answer(1, str(TARGET), "", day=TODAY + off).fitting_day(TARGET, TODAY) is None
    assert not Answer(1, TARGET.rolling(TODAY + off), "", day=TODAY + off).matches(TARGET, TODAY)


DAYS = st.integers(TODAY - 5000, TODAY + 5000)


@given(
    name=st.one_of(DAYS.map(TARGET.rolling), st.sampled_from([str(TARGET), f"-{TARGET}", f"x-{TARGET}", CODE])),
    day=st.one_of(st.none(), DAYS, st.just(TODAY)),
)
def test_an_answer_gets_no_server_name_out_of_a_visitor_but_what_it_said_itself(name, day):
    """Or the one of today, or, where it shows the key hash, what everybody who knows that can compute."""
    answer = Answer(7008, name, "x", version=2, day=day)
    if not answer.matches(TARGET, TODAY):
        return
    candidate, _ = heard().answer(answer, HOST, Endpoint(HOST, 7008), (HOST, 1), 0.0)
    assert candidate is not None
    assert isinstance(candidate.server_name, Code)
    said = candidate.server_name.day
    server_name = TARGET.rolling(TODAY if said is None else said)
    if answer.shows(TARGET):
        assert said is None or abs(said - TODAY) <= MAX_DAYS_OFF
    else:
        assert server_name == name.lower()
