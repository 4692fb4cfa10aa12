"""What the LAN offers: for a while, bounded, and not to be pushed out by junk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.lpd import sealed
from hardline.discovery.offers import LIFETIME, MAX_OFFERS, MAX_PER_SOURCE, Offer, Offers
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

HERE = Endpoint("192.168.1.7", 7008)


def label(number: int) -> Label:
    return Label(KeyHash(number.to_bytes(20)))


def hear(offers: Offers, number: int, title: str = "wiki", source: str = "192.168.1.7", now: float = 0.0) -> None:
    offers.heard(label(number), title, source, Endpoint(source, 7008), now)


def junk(offers: Offers, count: int, *, source: str | None = None, now: float = 0.0) -> None:
    """`count` services that nobody has, from one source or from many."""
    for n in range(count):
        hear(offers, 1000 + n, "junk", source or f"10.0.{n // 256}.{n % 256}", now)


def test_what_was_heard_is_offered():
    offers = Offers()
    hear(offers, 1, now=3.0)
    assert offers.current(4.0) == [Offer(label(1), "wiki", "192.168.1.7", HERE, 3.0)]


def test_an_offer_lives_a_minute_after_it_was_heard_last():
    offers = Offers()
    hear(offers, 1, now=0.0)
    hear(offers, 1, now=40.0)
    assert LIFETIME == 60
    assert offers.current(40.0 + LIFETIME - 0.1)
    assert not offers.current(40.0 + LIFETIME)


def test_a_goodbye_ends_an_offer_at_once():
    offers = Offers()
    offers.heard(label(1), "wiki", HERE.host, HERE, 0.0, sealed("my word"))
    offers.heard(label(2), "blog", HERE.host, HERE, 0.0, sealed("another word"))
    offers.ended(HERE, "my word")
    assert [offer.label for offer in offers.current(0.0)] == [label(2)]


@pytest.mark.parametrize(
    ("at", "word"),
    [(HERE, "a guess"), (HERE, ""), (HERE, sealed("my word"))]
    + [(Endpoint(host, port), "my word") for host, port in ((HERE.host, 7009), ("192.168.1.8", 7008))],
)
def test_a_goodbye_of_somebody_else_ends_nothing(at, word):
    offers = Offers()
    offers.heard(label(1), "wiki", HERE.host, HERE, 0.0, sealed("my word"))
    offers.ended(at, word)
    assert [offer.label for offer in offers.current(0.0)] == [label(1)]


def test_whoever_answers_in_the_name_of_another_one_cannot_say_goodbye_for_it():
    offers = Offers()
    offers.heard(label(1), "wiki", HERE.host, HERE, 0.0, sealed("my word"))
    offers.heard(label(1), "wiki", HERE.host, HERE, 1.0, sealed("a lie"))
    offers.ended(HERE, "a lie")
    assert offers.current(1.0)
    offers.ended(HERE, "my word")
    assert not offers.current(1.0)


def test_an_offer_without_a_seal_ends_by_no_word():
    offers = Offers()
    hear(offers, 1)
    for word in ("", sealed("")):
        offers.ended(HERE, word)
    assert offers.current(0.0)


def test_of_two_answers_about_one_label_the_newest_is_shown():
    offers = Offers()
    hear(offers, 1, "old", "192.168.1.7", now=1.0)
    hear(offers, 1, "new", "192.168.1.8", now=2.0)
    assert [(offer.title, offer.source) for offer in offers.current(3.0)] == [("new", "192.168.1.8")]
    hear(offers, 1, "newer", "192.168.1.7", now=3.0)
    assert [(offer.title, offer.source) for offer in offers.current(3.0)] == [("newer", "192.168.1.7")]


def test_offers_come_by_title_in_any_case():
    offers = Offers()
    for number, title in enumerate(["beta", "Gamma", "alpha", "Alpha"]):
        hear(offers, number, title)
    assert [offer.title for offer in offers.current(0.0)] == ["alpha", "Alpha", "beta", "Gamma"]


def test_one_source_fills_its_own_share_and_no_more():
    offers = Offers()
    junk(offers, 5000, source="10.0.0.1")
    assert len(offers.current(0.0)) == MAX_PER_SOURCE
    hear(offers, 1)
    assert label(1) in {offer.label for offer in offers.current(0.0)}


def test_many_sources_fill_the_table_and_no_more():
    offers = Offers()
    junk(offers, 5000)
    assert len(offers.current(0.0)) == MAX_OFFERS


def test_junk_does_not_push_out_what_was_known_before():
    offers = Offers()
    hear(offers, 1)
    junk(offers, 5000)
    assert label(1) in {offer.label for offer in offers.current(0.0)}


def test_what_was_refreshed_outlives_what_was_heard_after_it_first():
    offers = Offers()
    hear(offers, 1, now=0.0)
    hear(offers, 2, now=1.0)
    hear(offers, 1, now=LIFETIME - 10)
    assert [offer.label for offer in offers.current(LIFETIME + 10)] == [label(1)]


def test_the_share_of_a_source_counts_what_is_there_now():
    offers = Offers()
    junk(offers, MAX_PER_SOURCE, source="192.168.1.7", now=0.0)
    hear(offers, 1, now=1.0)
    assert label(1) not in {offer.label for offer in offers.current(2.0)}
    hear(offers, 1, now=LIFETIME + 1)
    assert [offer.label for offer in offers.current(LIFETIME + 1)] == [label(1)]


def test_what_is_known_is_refreshed_when_the_table_is_full():
    offers = Offers()
    hear(offers, 1)
    junk(offers, 5000)
    hear(offers, 1, "renamed", now=LIFETIME - 1)
    assert [offer.title for offer in offers.current(LIFETIME + 1)] == ["renamed"]


def test_junk_makes_room_at_the_end_of_its_time():
    offers = Offers()
    junk(offers, 5000)
    hear(offers, 1, now=LIFETIME)
    assert [offer.label for offer in offers.current(LIFETIME)] == [label(1)]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20), st.floats(0, 60)), max_size=300))
def test_the_table_keeps_its_limits_whatever_is_heard(heard):
    offers, now = Offers(), 0.0
    for number, source, pause in heard:
        now += pause
        hear(offers, number, "x", f"10.0.0.{source}", now)
        current = offers.current(now)
        assert len(current) <= MAX_OFFERS
        assert len({offer.label for offer in current}) == len(current)
        assert all(now - offer.seen < LIFETIME for offer in current)
