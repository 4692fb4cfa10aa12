"""What a host says of itself while a session lasts is understood, fits its lines, and nonsense is refused as such."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.routes import MAX_VIA, Endpoint, Via, format_wan_hosts
from hardline.session.hello import HostHello
from hardline.session.messages import MAX_LINE, read
from hardline.session.news import NEWS, News, check_revoked
from hardline.showable import MAX_TITLE

pytestmark = pytest.mark.pure

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda one: one.ipv4_mapped is None))
endpoints = st.builds(Endpoint, addresses.map(str), st.integers(1, 65_535))
hosts = st.lists(endpoints, max_size=8, unique=True).map(format_wan_hosts)
handles = st.binary(min_size=20, max_size=20).map(bytes.hex)
relays = st.lists(st.builds(Via, endpoints, handles), max_size=MAX_VIA, unique=True).map(tuple)
titles = st.text(max_size=MAX_TITLE)
hellos = st.builds(HostHello, hosts, titles, st.just("0f" * 16), relays)
some_news = st.builds(News, st.none() | hosts, st.none() | titles, st.none() | relays)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def heard(said: bytes) -> News:
    """All of its lines together."""
    news = News()
    for line in said.splitlines(keepends=True):
        assert len(line) <= MAX_LINE
        kind, value = read(line.removesuffix(b"\n"))
        assert kind == NEWS
        news = News.parse(value).behind(news)
    return news


@given(some_news)
def test_what_is_said_is_understood_and_fits_its_lines(news: News) -> None:
    assert heard(news.encode()) == news


def test_names_as_long_as_can_be_are_said_in_several_lines() -> None:
    name = ".".join(["x" * 61] * 4)
    news = News(
        format_wan_hosts([Endpoint(f"{number}{name}", 65_535) for number in range(8)]),
        "\N{GRINNING FACE}" * MAX_TITLE,
        tuple(Via(Endpoint(f"{number}{name}", 65_535), "0f" * 20) for number in range(MAX_VIA)),
    )
    assert news.encode().count(b"\n") == 3
    assert heard(news.encode()) == news


@given(hellos, hellos)
def test_who_was_told_one_thing_and_hears_the_news_knows_the_other(told: HostHello, now: HostHello) -> None:
    news = News.between(told, now)
    if news is None:
        assert told == now
        return
    for before, after, said in (
        (told.wan_hosts, now.wan_hosts, news.wan_hosts),
        (told.title, now.title, news.title),
        (told.via, now.via, news.via),
    ):
        assert said == (after if after != before else None)


@given(some_news, some_news, some_news)
def test_news_behind_news_are_what_was_said_last(first: News, second: News, third: News) -> None:
    assert third.behind(second.behind(first)) == third.behind(second).behind(first)
    assert first.behind(first) == first
    assert News().behind(first) == first.behind(News()) == first


@given(anything | st.fixed_dictionaries({}, optional={"WANHosts": anything, "title": anything, "via": anything}))
def test_nonsense_is_refused_as_such_and_nothing_of_it_is_long(value: object) -> None:
    json.dumps(value)
    with contextlib.suppress(PeerError):
        news = News.parse(value)
        assert news.via is None or len(news.via) <= MAX_VIA
        assert all(one is None or isinstance(one, str) for one in (news.wan_hosts, news.title))
    with contextlib.suppress(PeerError):
        check_revoked(value)
        assert isinstance(value, dict)


def test_a_list_of_relays_that_is_too_long_is_refused() -> None:
    via = [["relay.example:7008", f"{number:040x}"] for number in range(33)]
    assert len(News.parse({"via": via[:32]}).via or ()) == MAX_VIA
    with pytest.raises(PeerError):
        News.parse({"via": via})
