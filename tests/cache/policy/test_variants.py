"""Which answer a request gets: RFC 9111, section 4.1, and what nobody may slip into another's."""

from __future__ import annotations

import pytest

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy.freshness import is_unsaid
from hardline.cache.policy.variants import matches, selecting, vary_of

pytestmark = pytest.mark.pure

HOST = ("Host", "site")


def is_for(request: list[tuple[str, str]], asked: list[tuple[str, str]], *answer: tuple[str, str]) -> bool:
    """Whether the answer to `asked` is one for `request`."""
    vary = vary_of(answer)
    assert vary is not None
    unsaid = is_unsaid(StoredHead(200, "OK", answer, 0, 0))
    head = StoredHead(200, "OK", answer, 0, 0, selecting((HOST, *asked), vary, unsaid=unsaid))
    return matches(head, (*request, *(() if any(name.lower() == "host" for name, _ in request) else (HOST,))))


@pytest.mark.parametrize(
    ("vary", "names"),
    [
        ([], ()),
        (["Foo"], ("foo",)),
        (["Foo, bar", "BAR"], ("bar", "foo")),
        (["", "Foo"], ("foo",)),
        (["*"], None),
        (["Foo, *"], None),
        ([", *"], None),
        (["Foo", "*"], None),
    ],
)
def test_vary_names_what_chose_an_answer(vary, names) -> None:
    assert vary_of(tuple(("Vary", value) for value in vary)) == names


def test_what_an_answer_shows_to_have_been_chosen_by_counts_as_well() -> None:
    assert vary_of((("Content-Encoding", "br"),)) == ("accept-encoding",)
    assert vary_of((("Access-Control-Allow-Origin", "https://a"),)) == ("origin",)
    assert vary_of((("Access-Control-Allow-Origin", "*"),)) == ()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ([("Foo", "1")], [("Foo", "1")], True),
        ([("Foo", "1")], [("fOO", "1")], True),
        ([("Foo", "1")], [("Foo", "2")], False),
        ([("Foo", "a")], [("Foo", "A")], False),
        ([("Foo", "1")], [], False),
        ([], [("Foo", "1")], False),
        ([], [("Foo", "")], False),
        ([], [], True),
        ([("Foo", "1, 2")], [("Foo", "1"), ("Foo", "2")], True),
        ([("Foo", "1,2")], [("Foo", " 1 , 2 ")], True),
        ([("Foo", "1, 2")], [("Foo", "2, 1")], False),
        ([("Foo", "1")], [("Foo", "1"), ("Other", "2")], True),
    ],
)
def test_fields_that_vary_have_to_be_the_same(first, second, same: bool) -> None:
    assert is_for(second, first, ("Vary", "Foo"), ("Cache-Control", "max-age=60")) is same


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("en, de", "de, en", True),
        ("en, de", "EN,De", True),
        ("en, de;q=0.5", "de ; q=0.5,en", True),
        ("en, de", "en", False),
        ("en;q=0.1", "en;q=0.9", False),
    ],
)
def test_lists_of_preferences_have_no_order(first: str, second: str, same: bool) -> None:
    assert is_for([("Accept-Language", second)], [("Accept-Language", first)], ("Vary", "Accept-Language")) is same


@pytest.mark.parametrize(
    ("wanted", "same"),
    [
        ("fr;q=0.5, de;q=1.0", True),
        ("de", True),
        ("de, fr", False),
        ("fr, de;q=0.9", False),
        ("*", False),
        ("", False),
    ],
)
def test_an_answer_in_the_language_wanted_most_is_the_one(wanted: str, same: bool) -> None:
    german = (("Vary", "Accept-Language"), ("Content-Language", "de"))
    assert is_for([("Accept-Language", wanted)], [("Accept-Language", "en, de")], *german) is same


@pytest.mark.parametrize(
    "slipped_in",
    [
        ("Host", "evil"),
        ("Host", "SITE"),
        ("Forwarded", "host=evil"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Host", ""),
        ("x-anything", "1"),
        ("X_Forwarded_Host", "evil"),
    ],
)
def test_what_is_slipped_in_makes_another_answer_both_ways(slipped_in: tuple[str, str]) -> None:
    odd = [slipped_in]
    if slipped_in[0] != "Host":
        assert not is_for([], odd)
        assert is_for(odd, odd)
    assert not is_for(odd, [])


@pytest.mark.parametrize("shown", [("Private-Token", "x"), ("Api-Key", "x"), ("Cf-Access", ""), ("From", "ann@a")])
@pytest.mark.parametrize(
    ("said", "same"),
    [
        ((), False),
        ((("Cache-Control", "max-age=0"),), False),
        ((("Cache-Control", "must-revalidate"),), False),
        ((("Expires", "0"),), False),
        ((("ETag", '"1"'), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")), False),
        ((("Cache-Control", "public"),), True),
        ((("Cache-Control", "s-maxage=0"),), True),
        ((("Cache-Control", "max-age=60"),), True),
        ((("Cache-Control", "no-cache"),), True),
    ],
)
def test_who_shows_what_nobody_knows_gets_an_answer_of_its_own_unless_it_says_otherwise(shown, said, same) -> None:
    assert is_for([], [shown], *said) is same
    assert is_for([shown], [], *said) is same
    assert is_for([shown], [shown], *said)
    assert is_for([shown], [(shown[0], "another")], *said) is same


@pytest.mark.parametrize("name", ["User-Agent", "Referer", "Accept", "Accept-Language", "Origin", "Sec-CH-UA"])
@pytest.mark.parametrize("value", ["<script>alert(1)</script>", "a\x01b", "{{7*7}}", "a\\b", "\xff"])
def test_what_no_browser_says_of_itself_makes_another_answer_both_ways(name: str, value: str) -> None:
    for said in ((), (("Cache-Control", "public, max-age=60"),)):
        assert not is_for([(name, "Mozilla/5.0")], [(name, value)], *said)
        assert not is_for([], [(name, value)], *said)
        assert not is_for([(name, value)], [(name, "Mozilla/5.0")], *said)
        assert is_for([(name, value)], [(name, value)], *said)


def test_what_browsers_say_of_themselves_makes_no_difference() -> None:
    one = [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"), ("Accept", "text/html;q=0.9, */*")]
    more = [("Referer", "http://a.localhost:7009/x?y=%3Cz"), ("Sec-CH-UA", '"Chromium";v="120", "Not?A_Brand";v="8"')]
    assert is_for([], [*one, *more])
    assert is_for([("User-Agent", "curl/8.0 (odd; +http://a/?b=c#d)")], [*one, *more])
