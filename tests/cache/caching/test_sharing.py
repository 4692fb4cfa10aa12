"""Which visitors wait for one answer, which read along, and which ask on their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hardline.cache.caching.fetch import Down, Fetch, Growing, Means, Outcome, Unshared
from hardline.cache.caching.origin import Origin, OriginDown
from hardline.cache.caching.sharing import HINT_LASTS, Sharing
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.store import Entry, Store
from hardline.cache.policy import cacherequest, variants
from hardline.cache.policy.cacherequest import CacheRequest
from hardline.settings.local import LocalService
from tests.cache.proxied import Clock

FOR_ALL = {"Cache-Control": "max-age=60"}
START = Clock().now


def seen(target: str = "/a", **fields: str) -> CacheRequest:
    """A GET; "_" in a field's name is "-"."""
    said = {"Host": "site.localhost", **{name.replace("_", "-"): value for name, value in fields.items()}}
    return cacherequest.read("GET", target, [(name.encode(), value.encode()) for name, value in said.items()])


def head(request: CacheRequest, fields: dict[str, str]) -> StoredHead:
    """An answer with `fields` to `request`, which has just come."""
    made = StoredHead(200, "OK", tuple(fields.items()), START, START)
    chosen = variants.selecting(request.fields, variants.vary_of(made.fields) or (), unsaid=False)
    return StoredHead(200, "OK", made.fields, START, START, chosen)


def growing(request: CacheRequest, fields: dict[str, str]) -> Growing:
    return Growing(head(request, fields), (), None)


class Asking:
    """A proxy's fetches, none of which asks anybody."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.sharing = Sharing(0.0, self.clock)
        store, origin = Store(root, max_size=1 << 20), Origin(LocalService("tcp", "127.0.0.1", 1))
        self.means = Means(store, origin, None, 0.0, self.clock)

    def begin(self, request: CacheRequest, outcome: Outcome | None = None, *, alone: bool = False) -> Fetch:
        """A fetch for `request`, with `outcome` if it has one already."""
        wanted = None if alone else self.sharing.wanted(request)
        fetch = Fetch(self.means, request.target, wanted, request.fields, None, None)
        if outcome is not None:
            fetch.outcome.set_result(outcome)
        self.sharing.begun(fetch)
        return fetch

    def joins(self, request: CacheRequest) -> Fetch | None:
        """What `request` would wait for."""
        wanted = self.sharing.wanted_with_others(request, None)
        return None if wanted is None else self.sharing.running(request, wanted)


# ── waiting for an answer that nobody has seen ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ({}, {}, True),
        ({"Accept_Encoding": "gzip, br"}, {"Accept_Encoding": "br,gzip"}, True),
        ({"Accept_Encoding": "gzip"}, {}, False),
        ({"Accept_Language": "de"}, {"Accept_Language": "en"}, True),
        ({"Host": "site.localhost"}, {"Host": "other.localhost"}, False),
        ({"X_Forwarded_Host": "evil.example"}, {}, False),
        ({"Cookie": "id=1"}, {}, False),
        ({"Cookie": "id=1"}, {"Cookie": "id=2"}, True),
        ({"Authorization": "Basic x"}, {"Cookie": "id=2"}, False),
        ({"Private_Token": "1"}, {"Private_Token": "2"}, False),
    ],
)
def test_visitors_wait_together_if_they_are_likely_to_get_the_same(
    tmp_path: Path, first, second, together: bool
) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        fetch = asking.begin(seen(**first))
        assert asking.joins(seen(**second)) is (fetch if together else None)
        assert asking.joins(seen("/b", **second)) is None

    asyncio.run(main())


def test_nobody_joins_a_fetch_that_is_for_its_first_visitor(tmp_path: Path) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        asking.begin(seen(), alone=True)
        asking.begin(seen(), growing(seen(), FOR_ALL), alone=True)
        assert asking.joins(seen()) is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "alone"),
    [({"ETag": '"1"'}, False), ({"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, False), ({}, True)],
)
def test_a_visitor_with_a_condition_asks_alone_if_nothing_is_stored_to_judge_it_by(
    tmp_path: Path, said, alone: bool
) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        request = seen(If_None_Match='"1"')
        stored = Entry("/a", head(request, said), 1, False, True, "a", None, "a", (), True, None)  # type: ignore[arg-type]
        assert asking.sharing.wanted_with_others(request, None) is None
        assert (asking.sharing.wanted_with_others(request, stored) is None) is alone

    asyncio.run(main())


# ── reading along ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "shown", "reads"),
    [
        (FOR_ALL, {}, True),
        (FOR_ALL, {"Accept_Encoding": "gzip"}, True),  # it turned out that this chooses nothing
        (FOR_ALL, {"Cookie": "id=2"}, False),
        (FOR_ALL, {"Cache_Control": "no-cache"}, False),
        (FOR_ALL, {"Cache_Control": "max-age=0"}, False),
        (FOR_ALL, {"X_Odd": "1"}, False),
        (FOR_ALL | {"Vary": "Accept-Language"}, {"Accept_Language": "de"}, False),
        (FOR_ALL, {"Authorization": "Basic x"}, False),
        (FOR_ALL | {"Cache-Control": "public, max-age=60"}, {"Authorization": "Basic x", "Cookie": "id=2"}, True),
        ({"Cache-Control": "max-age=60, no-cache"}, {}, False),
        ({"Cache-Control": "max-age=0"}, {}, False),
        ({}, {}, False),
    ],
)
def test_an_answer_that_comes_is_read_by_those_it_is_also_for(tmp_path: Path, said, shown, reads: bool) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        fetch = asking.begin(seen(), growing(seen(), said))
        assert asking.joins(seen(**shown)) is (fetch if reads else None)

    asyncio.run(main())


def test_an_answer_that_has_become_too_old_while_it_came_is_read_by_nobody_else(tmp_path: Path) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        fetch = asking.begin(seen(), growing(seen(), FOR_ALL))
        asking.clock.now += 59
        assert asking.joins(seen()) is fetch
        asking.clock.now += 1
        assert asking.joins(seen()) is None

    asyncio.run(main())


@pytest.mark.parametrize("outcome", [Unshared(), Down(OriginDown("nobody listens"))], ids=["unshared", "down"])
def test_what_came_of_a_fetch_without_an_answer_for_several_is_nothing_to_join(tmp_path: Path, outcome) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        asking.begin(seen(), outcome)
        assert asking.joins(seen()) is None

    asyncio.run(main())


def test_an_answer_that_somebody_has_made_worthless_meanwhile_is_joined_by_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        for outcome in (None, growing(seen(), FOR_ALL)):
            asking.begin(seen(), outcome).outdated = True
        assert asking.joins(seen()) is None

    asyncio.run(main())


# ── what is learnt ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_last_answer_was_chosen_by_tells_who_waits_together_next(tmp_path: Path) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        german, english = seen(Accept_Language="de"), seen(Accept_Language="en")
        asking.sharing.learn("/a", head(german, FOR_ALL | {"Vary": "Accept-Language"}))
        fetch = asking.begin(german)
        assert asking.joins(english) is None
        assert asking.joins(seen(Accept_Language="de", Accept_Encoding="gzip")) is fetch

    asyncio.run(main())


@pytest.mark.parametrize(
    "said",
    [None, {}, {"Cache-Control": "max-age=0"}, FOR_ALL | {"Vary": "*"}, FOR_ALL | {"Vary": "x" * 513}],
    ids=["for one", "nothing", "at once too old", "chosen by anything", "chosen by too much"],
)
def test_after_an_answer_for_one_visitor_everybody_asks_alone_for_a_while(tmp_path: Path, said) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        fetch = asking.begin(seen())
        asking.sharing.learn("/a", None if said is None else head(seen(), said))
        assert asking.joins(seen()) is None
        assert asking.sharing.wanted_with_others(seen("/b"), None) is not None
        asking.clock.now += HINT_LASTS
        assert asking.joins(seen()) is fetch

    asyncio.run(main())


# ── what is under way ────────────────────────────────────────────────────────────────────────────────────────


def test_a_fetch_is_under_way_until_it_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        asking = Asking(tmp_path)
        one, another, other = asking.begin(seen()), asking.begin(seen(), alone=True), asking.begin(seen("/b"))
        assert asking.sharing.under_way("/a") == (one, another)
        asking.sharing.over(one)
        assert asking.joins(seen()) is None
        asking.sharing.over(another)
        assert (asking.sharing.under_way("/a"), asking.sharing.under_way("/b")) == ((), (other,))
        assert list(asking.sharing._fetches) == ["/b"], "nothing is kept of a target that nobody fetches"

    asyncio.run(main())
