"""Who on the LAN is answered, with what, and how often: by a clock that the tests turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.answering import IN_ALL, PER_SOURCE, AnswerPolicy, LanService, Reply
from hardline.identity import KeyHash, Label

pytestmark = pytest.mark.pure

WIKI = LanService(Label(KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b"), "sesame"), "Our wiki", listed=True)
DIARY = LanService(Label(KeyHash.parse("6d54994fa9c0edc0b30f2749118f5e963cad7ed2")), "Diary", listed=False)
STRANGER = KeyHash.parse("00" * 20)
BOTH = [WIKI, DIARY]
TODAY = 20778
NEIGHBOUR = "192.168.1.7"


def replies(code: str, day: int = TODAY) -> list[Reply]:
    return AnswerPolicy().replies(code, NEIGHBOUR, BOTH, day=day, now=0.0)


@pytest.mark.parametrize("day", [TODAY - 1, TODAY, TODAY + 1])
def test_a_listed_service_answers_to_its_rolling_codes_of_three_days_with_its_label_to_all(day):
    assert replies(WIKI.label.key_hash.rolling(day)) == [Reply(WIKI, str(WIKI.label), to_all=True)]


@pytest.mark.parametrize("day", [TODAY - 1, TODAY, TODAY + 1])
def test_an_unlisted_service_answers_to_its_rolling_codes_of_three_days_with_that_code_to_the_searcher(day):
    code = DIARY.label.key_hash.rolling(day)
    assert replies(code) == [Reply(DIARY, code, to_all=False)]


@pytest.mark.parametrize("service", BOTH)
@pytest.mark.parametrize("away", [-2, 2, 365])
def test_a_rolling_code_of_another_day_is_not_answered(service, away):
    assert replies(service.label.key_hash.rolling(TODAY + away)) == []


def test_a_browse_is_answered_by_listed_services_only():
    assert replies("") == [Reply(WIKI, str(WIKI.label), to_all=True)]


def test_a_plain_key_hash_is_answered_by_listed_services_only():
    assert replies(str(WIKI.label.key_hash)) == [Reply(WIKI, str(WIKI.label), to_all=True)]
    assert replies(str(DIARY.label.key_hash)) == []


@pytest.mark.parametrize("code", [str(STRANGER), STRANGER.rolling(TODAY), str(WIKI.label), "a", "ssdp:all", "\0"])
def test_a_search_for_something_else_is_not_answered(code):
    assert replies(code) == []


@pytest.mark.parametrize("day", [0, 1])
def test_a_clock_at_1970_is_no_error(day):
    assert replies(DIARY.label.key_hash.rolling(0), day) == [
        Reply(DIARY, DIARY.label.key_hash.rolling(0), to_all=False)
    ]


def test_a_source_hears_of_a_service_once_in_250_ms():
    policy, code = AnswerPolicy(), WIKI.label.key_hash.rolling(TODAY)

    def answered(now: float) -> bool:
        return bool(policy.replies(code, NEIGHBOUR, BOTH, day=TODAY, now=now))

    assert [answered(now) for now in (100.0, 100.1, 100.24, 100.25, 100.3, 100.5)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_the_pause_is_for_one_source_and_one_service():
    policy = AnswerPolicy()
    wiki, diary = (service.label.key_hash.rolling(TODAY) for service in BOTH)
    asked = [(wiki, NEIGHBOUR), (wiki, NEIGHBOUR), (wiki, "192.168.1.8"), (diary, NEIGHBOUR), (diary, NEIGHBOUR)]
    heard = [len(policy.replies(code, source, BOTH, day=TODAY, now=5.0)) for code, source in asked]
    assert heard == [1, 0, 1, 1, 0]


def flood(policy: AnswerPolicy, count: int, now: float, first: int = 0) -> int:
    """How many of `count` sources that nobody saw before are answered."""
    return sum(
        len(policy.replies("", f"10.0.{n // 256}.{n % 256}", BOTH, day=TODAY, now=now))
        for n in range(first, first + count)
    )


def test_many_sources_get_50_answers_a_second_in_all():
    policy = AnswerPolicy()
    assert flood(policy, 1000, now=7.0) == IN_ALL
    assert flood(policy, 1000, now=7.5, first=1000) == IN_ALL // 2
    assert flood(policy, 1000, now=7.5, first=2000) == 0
    assert flood(policy, 1000, now=100.0, first=3000) == IN_ALL


def test_a_browse_of_many_services_counts_every_answer():
    services = [LanService(Label(KeyHash(bytes([n] * 20))), "x", listed=True) for n in range(2 * IN_ALL)]
    assert len(AnswerPolicy().replies("", NEIGHBOUR, services, day=TODAY, now=0.0)) == IN_ALL


def test_who_was_not_answered_in_a_flood_is_answered_as_soon_as_there_is_room():
    policy = AnswerPolicy()
    flood(policy, 1000, now=7.0)
    assert policy.replies("", NEIGHBOUR, BOTH, day=TODAY, now=7.0) == []
    assert len(policy.replies("", NEIGHBOUR, BOTH, day=TODAY, now=7.03)) == 1


def test_what_is_remembered_of_sources_is_bounded():
    policy = AnswerPolicy()
    for second in range(200):
        flood(policy, IN_ALL, now=float(second), first=second * IN_ALL)
    assert len(policy._last) == 4096


@given(st.text(), st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 0.5)), max_size=200))
def test_whatever_is_asked_there_is_a_pause_and_never_more_than_the_limit(code, asked):
    policy, now = AnswerPolicy(), 1000.0
    last: dict[tuple[str, Label], float] = {}
    total = 0
    for source, pause in asked:
        now += pause
        for code_or_browse in (code, ""):
            for reply in policy.replies(code_or_browse, source, BOTH, day=TODAY, now=now):
                assert now - last.get((source, reply.service.label), 0.0) >= PER_SOURCE
                last[source, reply.service.label] = now
                total += 1
    assert total <= IN_ALL * (1 + now - 1000.0)
