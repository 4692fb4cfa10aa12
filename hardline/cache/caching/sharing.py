"""Who may have whose answer: the fetches under way, and what the last answers to their targets were like.

    request ─▶ what it wants ─┬─ a fetch for the same is under way ──▶ it waits for that one
                              ├─ what comes of one is also for it ───▶ it reads along
                              └─ else ───────────────────────────────▶ a fetch of its own, which others may wait for

Several visitors have one Fetch only while it is likely that they get the same: the same Host, X- fields and whatever
the last answer to this target was chosen by, and as much or little said about who they are.  Those whose answer it
turns out not to be ask on their own, all at once; and whoever asks for that target soon does so from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardline.cache.caching.fetch import Fetch, Growing
from hardline.cache.caching.targets import PerTarget
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.store import Entry
from hardline.cache.policy import cachecontrol, variants
from hardline.cache.policy.cacherequest import CacheRequest
from hardline.cache.policy.freshness import default_lifetime, freshness
from hardline.cache.policy.storable import may_share
from hardline.cache.policy.validation import can_ask
from hardline.http.fields import first

HINT_LASTS = 120.0  # seconds
_LONGEST_VARY = 512  # bytes of names
_USUAL = ("accept-encoding",)  # what an answer is chosen by as long as nobody has seen one

Wanted = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Hint:
    """What the last answer to a target was chosen by; None: it was not for several visitors."""

    vary: tuple[str, ...] | None
    until: float


_UNKNOWN = _Hint(_USUAL, 0.0)


class Sharing:
    """The fetches of one proxy.  `max_age` and `clock` are the proxy's."""

    def __init__(self, max_age: float | None, clock: Callable[[], float]) -> None:
        self._max_age = max_age
        self._clock = clock
        self._fetches: dict[str, list[Fetch]] = {}
        self._hints: PerTarget[_Hint] = PerTarget()

    def begun(self, fetch: Fetch) -> None:
        """It is under way until it is `over`."""
        self._fetches.setdefault(fetch.key, []).append(fetch)

    def over(self, fetch: Fetch) -> None:
        """Nobody joins it any more."""
        running = self._fetches[fetch.key]
        running.remove(fetch)
        if not running:
            del self._fetches[fetch.key]

    def under_way(self, target: str) -> tuple[Fetch, ...]:
        """All fetches of `target`, whoever they are for."""
        return tuple(self._fetches.get(target, ()))

    def wanted(self, seen: CacheRequest) -> Wanted:
        """Requests of which this is the same are likely to get the same answer."""
        vary = self._hints.get(seen.target, _UNKNOWN).vary
        says_who = tuple(first(seen.fields, name) is not None for name in ("cookie", "authorization"))
        return seen.target, variants.selecting(seen.fields, _USUAL if vary is None else vary), says_who

    def wanted_with_others(self, seen: CacheRequest, entry: Entry | None) -> Wanted | None:
        """The same; None for a request that asks alone.  `entry` is what is stored for it."""
        hint = self._hints.get(seen.target, _UNKNOWN)
        if hint.vary is None and self._clock() < hint.until:
            return None
        if seen.is_conditional and (entry is None or not can_ask(entry.head)):
            return None
        return self.wanted(seen)

    def running(self, seen: CacheRequest, wanted: Wanted) -> Fetch | None:
        """A fetch whose answer is for this request, or is likely to be."""
        for fetch in self._fetches.get(seen.target, ()):
            if not fetch.takes_more or fetch.wanted is None:
                continue
            if not fetch.outcome.done():
                if fetch.wanted == wanted:
                    return fetch
            elif (
                isinstance(outcome := fetch.outcome.result(), Growing)
                and self.is_also_for(outcome.head, seen)
                and not _demands(seen)
            ):
                return fetch
        return None

    def is_also_for(self, head: StoredHead, seen: CacheRequest) -> bool:
        """Whether the answer to another visitor's request is one to this, which came before the answer did."""
        answer = cachecontrol.of_answer(head.fields)
        return (
            variants.matches(head, seen.fields)
            and may_share(seen.fields, answer)
            and not answer.bare("no-cache")
            and self._is_fresh(head)
        )

    def learn(self, target: str, head: StoredHead | None) -> None:
        """Remember what an answer was chosen by; None: it was for one visitor."""
        vary = variants.vary_of(head.fields) if head is not None and self._is_fresh(head) else None
        if vary is not None and sum(map(len, vary)) > _LONGEST_VARY:
            vary = None
        self._hints.put(target, _Hint(vary, self._clock() + HINT_LASTS))

    def _is_fresh(self, head: StoredHead) -> bool:
        return freshness(head, self._clock(), default_lifetime(head, self._max_age)).is_fresh


def _demands(seen: CacheRequest) -> bool:
    """Whether a request wants nothing that was there before it."""
    return "no-cache" in seen.directives or seen.directives.seconds("max-age") == 0
