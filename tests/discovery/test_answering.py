"""Who on the LAN is answered, with what, and how often: by a clock that the tests turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.answering import BROWSED, PER_CODE, PER_SOURCE, AnswerPolicy, LanService, Reply
from hardline.discovery.lpd import Search
from hardline.identity import KeyHash, Label

pytestmark = pytest.mark.pure

WIKI = LanService(Label(KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b"), "sesame"), "Our wiki", listed=True)
DIARY = LanService(Label(KeyHash.parse("6d54994fa9c0edc0b30f2749118f5e963cad7ed2")), "Diary", listed=False)
MODERN = LanService(Label(KeyHash(b"\x07" * 20), "sesame"), "Modern", listed=True, legacy=False)
STRANGER = KeyHash.parse("00" * 20)
BOTH = [WIKI, DIARY]
ALL = [WIKI, DIARY, MODERN]
TODAY = 20778
NEIGHBOUR = "192.168.1.7"
OURS, ORIGINAL = 2, 0


def replies(code: str, day: int = TODAY, version: int = OURS) -> list[Reply]:
    return AnswerPolicy().replies(Search(code, "c", version), NEIGHBOUR, ALL, day=day, now=0.0)


class Clocked:
    """A policy, and a number for each search: no two have the same cookie."""

    def __init__(self) -> None:
        self.policy, self._searches = AnswerPolicy(), 0

    def heard(self, code: str, source: str = NEIGHBOUR, now: float = 0.0, cookie: str = "") -> list[Reply]:
        self._searches += 1
        search = Search(code, cookie or str(self._searches), OURS)
        return self.policy.replies(search, source, BOTH, day=TODAY, now=now)


@pytest.mark.parametrize("service", ALL)
@pytest.mark.parametrize("day", [TODAY - 1, TODAY, TODAY + 1])
def test_a_rolling_code_of_three_days_is_answered_with_that_code_to_the_searcher(service, day):
    code = service.label.key_hash.rolling(day)
    assert replies(code) == [Reply(service, code, to_all=False)]


@pytest.mark.parametrize("version", [OURS, ORIGINAL])
@pytest.mark.parametrize("service", ALL)
def test_who_repeats_a_code_hears_no_name_but_what_an_original_needs_of_a_listed_service(service, version):
    code = service.label.key_hash.rolling(TODAY)
    (reply,) = replies(code, version=version)
    needed = service is WIKI and version == ORIGINAL
    assert reply == Reply(service, str(service.label) if needed else code, to_all=needed)


@pytest.mark.parametrize("service", ALL)
@pytest.mark.parametrize("away", [-2, 2, 365])
def test_a_rolling_code_of_another_day_is_not_answered(service, away):
    assert replies(service.label.key_hash.rolling(TODAY + away)) == []


@pytest.mark.parametrize("version", [OURS, ORIGINAL])
def test_a_browse_is_answered_by_listed_services_only(version):
    labels = [Reply(service, str(service.label), to_all=True) for service in (WIKI, MODERN)]
    assert replies("", version=version) == labels


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


def test_the_services_are_those_of_the_moment():
    policy = AnswerPolicy()
    search = Search(DIARY.label.key_hash.rolling(TODAY), "c", OURS)
    assert policy.replies(search, NEIGHBOUR, [WIKI], day=TODAY, now=0.0) == []
    assert policy.replies(search, NEIGHBOUR, BOTH, day=TODAY, now=0.0)
    assert policy.replies(search, "192.168.1.8", [WIKI], day=TODAY, now=0.0) == []


def test_a_search_that_comes_by_several_ways_is_answered_once():
    clocked, code = Clocked(), WIKI.label.key_hash.rolling(TODAY)
    came = [bool(clocked.heard(code, now=now, cookie="one")) for now in (100.0, 100.01, 100.04, 100.06)]
    assert came == [True, False, False, True]
    assert clocked.heard(code, now=100.06, cookie="another")


def test_a_source_hears_of_a_service_four_times_a_second():
    clocked, code = Clocked(), WIKI.label.key_hash.rolling(TODAY)
    assert sum(len(clocked.heard(code, now=5.0)) for _ in range(50)) == PER_SOURCE
    assert sum(len(clocked.heard(code, now=5.5)) for _ in range(50)) == PER_SOURCE // 2
    assert clocked.heard(code, "192.168.1.8", now=5.5)
    assert clocked.heard(DIARY.label.key_hash.rolling(TODAY), now=5.5)


def flood(clocked: Clocked, count: int, now: float, first: int = 0, code: str = "") -> int:
    """How many of `count` sources that nobody saw before are answered."""
    return sum(len(clocked.heard(code, f"10.0.{n // 256}.{n % 256}", now)) for n in range(first, first + count))


def test_many_sources_that_browse_get_50_answers_a_second_in_all():
    clocked = Clocked()
    assert flood(clocked, 1000, now=7.0) == BROWSED
    assert flood(clocked, 1000, now=7.5, first=1000) == BROWSED // 2
    assert flood(clocked, 1000, now=7.5, first=2000) == 0
    assert flood(clocked, 1000, now=100.0, first=3000) == BROWSED


def test_a_flood_of_browses_hides_nothing_that_is_searched_by_its_code():
    clocked = Clocked()
    flood(clocked, 1000, now=7.0)
    flood(clocked, 1000, now=7.0, first=1000, code=str(WIKI.label.key_hash))
    for service in BOTH:
        assert clocked.heard(service.label.key_hash.rolling(TODAY), now=7.0)


def test_whoever_repeats_a_code_that_it_heard_hides_no_other_service():
    clocked = Clocked()
    assert flood(clocked, 1000, now=7.0, code=WIKI.label.key_hash.rolling(TODAY)) == PER_CODE
    assert clocked.heard(DIARY.label.key_hash.rolling(TODAY), now=7.0)
    assert clocked.heard("", now=7.0)


def test_the_codes_of_three_days_share_what_a_service_answers():
    clocked = Clocked()
    codes = [WIKI.label.key_hash.rolling(day) for day in (TODAY - 1, TODAY, TODAY + 1)]
    answered = sum(flood(clocked, 200, now=7.0, first=1000 * n, code=code) for n, code in enumerate(codes))
    assert answered == PER_CODE


def test_a_browse_of_many_services_counts_every_answer():
    services = [LanService(Label(KeyHash(bytes([n] * 20))), "x", listed=True) for n in range(2 * BROWSED)]
    answered = AnswerPolicy().replies(Search("", "c", OURS), NEIGHBOUR, services, day=TODAY, now=0.0)
    assert len(answered) == BROWSED


def test_who_was_not_answered_in_a_flood_is_answered_as_soon_as_there_is_room():
    clocked = Clocked()
    flood(clocked, 1000, now=7.0)
    assert clocked.heard("", now=7.0) == []
    assert len(clocked.heard("", now=7.03)) == 1


def test_what_is_remembered_of_sources_is_bounded():
    clocked = Clocked()
    for second in range(200):
        flood(clocked, BROWSED, now=float(second), first=second * BROWSED)
    assert len(clocked.policy._told) == 4096


ASKED = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.floats(0, 0.5))


@given(st.text(), st.lists(ASKED, max_size=200))
def test_whatever_is_asked_there_are_never_more_answers_than_the_limits_say(code, asked):
    policy, began = AnswerPolicy(), 1000.0
    now, told = began, dict[tuple[str, Label], int]()
    for source, cookie, pause in asked:
        now += pause
        for wanted in (code, "", DIARY.label.key_hash.rolling(TODAY)):
            for reply in policy.replies(Search(wanted, cookie), source, BOTH, day=TODAY, now=now):
                key = (source, reply.service.label)
                told[key] = told.get(key, 0) + 1
    assert all(number <= PER_SOURCE * (1 + now - began) + 1e-6 for number in told.values())
