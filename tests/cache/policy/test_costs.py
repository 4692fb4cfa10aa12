"""What a request costs before anybody is asked: in proportion to its length, whatever stands in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hardline.cache.kept import layout
from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy import cachecontrol, cacherequest, invalidation, variants
from hardline.cache.policy.cacherequest import Refused
from hardline.cache.policy.freshness import directives_of, freshness, may_use
from hardline.cache.policy.storable import kept_fields, may_store
from hardline.cache.policy.validation import updated
from hardline.http.fields import Fields, end_to_end, items, names_in

pytestmark = pytest.mark.pure

SHORT, LONG = 1000, 32_000
LINEAR = 3.0  # times the ratio of the lengths
LITTLE = 50e-6  # seconds, under which there is nothing to compare
MUCH = 0.02  # seconds of processor time: of the slowest machine, for the longest text that the door lets through

PIECES = [
    "a",
    "/",
    "/a",
    "/..",
    "%",
    "%C3%BC",
    "%c3",
    '"',
    '\\"',
    ",",
    ", ",
    ";",
    "=",
    " ",
    "\t",
    "a=,",
    'a="',
    ";q=0.1,",
]
PIECES += ["<", "ü"]


def costs(work: Callable[[str], object], piece: str, length: int) -> float:
    """Seconds of processor time: the least of some tries, on a text that nobody has seen before."""
    seen = []
    for turn in range(5):
        text = f"{turn}{piece * (length // len(piece))}"
        began = time.process_time()
        work(text)
        seen.append(time.process_time() - began)
    return min(seen)


def request(text: str) -> Fields:
    return (("Host", "a"), ("Accept-Language", text), ("X-Odd", text), ("Token", text), ("Cache-Control", text))


def head(text: str) -> StoredHead:
    fields = (("Vary", text), ("Cache-Control", text), ("Age", text), ("Expires", text), ("Content-Language", "de"))
    chosen_by = (("accept-language", "x"), ("host", "a"), ("x-odd", text))
    return StoredHead(200, "", fields, 1e9, 1e9, chosen_by)


def visited(text: str) -> object:
    """A request's fields; one that says too much of them is refused."""
    try:
        return cacherequest.read("GET", "/", [(b"Host", b"a"), *((name.encode(), text.encode()) for name in VISITED)])
    except Refused as refusal:
        return refusal


VISITED = ("Cache-Control", "Connection", "Pragma", "Expect", "Accept-Language")

OF_REQUESTS: dict[str, Callable[[str], object]] = {
    "names of files": lambda text: layout.names("/" + text),
    "names that a file may have": lambda text: layout.stored(text + "@http"),
    "reserved names": layout.reserved,
    "a visit's target": lambda text: cacherequest.read(
        "GET", "/" + text.translate({32: None, 9: None}), [(b"Host", b"a")]
    ),
    "a visit's fields": visited,
    "what an answer is chosen by": lambda text: variants.selecting(request(text), ("accept-language",)),
    "whether it is the one": lambda text: variants.matches(head("x"), request(text)),
    "what is outdated": lambda text: invalidation.outdated("POST", "/" + text, "a", 200, ()),
}
OF_ANSWERS: dict[str, Callable[[str], object]] = {
    "a list": lambda text: list(items(text)),
    "names in a list": lambda text: names_in((("Vary", text),), "vary"),
    "what a connection names": lambda text: end_to_end((("Connection", text), ("A", "b"))),
    "directives": lambda text: cachecontrol.of_request((("Cache-Control", text),)),
    "targeted directives": lambda text: cachecontrol.of_answer((("CDN-Cache-Control", text),)),
    "what it varies by": lambda text: variants.vary_of((("Vary", text),)),
    "freshness": lambda text: freshness(head(text), 1e9, 60),
    "use": lambda text: may_use(head(text), cachecontrol.of_request(()), 1e9, 60),
    "whether it is kept": lambda text: may_store((), head(text), 60),
    "which fields are": lambda text: kept_fields((("Cache-Control", f"private={text}"), ("A", "b"))),
    "what a 304 changes": lambda text: updated(head("x"), head(text)),
    "directives of what is stored": lambda text: directives_of(head(text)),
    "what else is outdated": lambda text: invalidation.outdated("POST", "/", "a", 200, (("Location", text),)),
}
WORKS = OF_REQUESTS | OF_ANSWERS


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("what", WORKS)
def test_what_a_text_costs_grows_with_its_length_and_no_faster(what: str, piece: str) -> None:
    work = WORKS[what]
    short, long = costs(work, piece, SHORT), costs(work, piece, LONG)
    assert long <= LINEAR * LONG / SHORT * max(short, LITTLE)
    if what in OF_REQUESTS:
        assert long <= MUCH


def test_a_request_that_says_too_much_of_its_connection_is_refused() -> None:
    refusal = visited("a=," * 2000)
    assert isinstance(refusal, Refused)
    assert refusal.status == 431


def test_as_many_fields_as_a_request_may_have_cost_little_for_each_stored_answer() -> None:
    many = tuple((f"X-{number}", "x" * 200) for number in range(250))
    stored = StoredHead(200, "", (), 1e9, 1e9, variants.selecting(many, ()))
    few = StoredHead(200, "", (), 1e9, 1e9, variants.selecting(many[:25], ()))

    def cost_of(head: StoredHead, asked: Fields) -> float:
        began = time.process_time()
        for _ in range(32):
            assert variants.matches(head, asked)
        return time.process_time() - began

    long, short = (min(cost_of(*each) for _ in range(5)) for each in ((stored, many), (few, many[:25])))
    assert long <= LINEAR * 10 * max(short, LITTLE)
