"""Who is meant by what a person types or clicks: a name, a title, an address, or the first digits of one.

    nas, "Files", bb89bb33…, http://bb89….localhost:7009/, http://nas.localhost:7009/ ──▶ Match, by the first that fits:
    the name that the user gave  ·  an address  ·  the name of a service here  ·  a title  ·  8 digits or more

Eight digits can be ground out by a stranger, and titles are what others say: what they lead to is shown, never taken.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from hardline.door.which import NAMED
from hardline.errors import BadKeyHash, BadLabel
from hardline.identity import KeyHash, Label, label_of
from hardline.node.rows import url_of
from hardline.node.snapshot import LanOffer, Match
from hardline.peers.names import Names, name_in
from hardline.routes import RememberedHost
from hardline.settings.directory import Service

_DIGITS = re.compile(r"[0-9a-f]{8,40}\Z")
_OFFERED = "offered by"
_REMEMBERED = 1000  # hosts that are looked through


class Known:
    """All that this node knows by whatever: `services` are its own, `recent` hosts that it has visited, and `offers` is
    what the LAN lists."""

    def __init__(
        self,
        names: Names,
        *,
        services: Callable[[], Iterable[Service]],
        recent: Callable[[int], Awaitable[Sequence[tuple[KeyHash, RememberedHost]]]],
        offers: Callable[[], Awaitable[Sequence[LanOffer]]],
        door_port: Callable[[], int],
    ) -> None:
        self.names = names
        self._services, self._recent, self._offers, self._door_port = services, recent, offers, door_port

    def named(self, text: str) -> Match | None:
        """What the user has named so: `nas`, or the URL that this name has."""
        label = self.names.get(text)
        return None if label is None else self._match(label, "", NAMED, name_in(text))

    async def before_localhost(self, text: str) -> tuple[Match, ...]:
        """What a word before .localhost means that is no address: a name, or the first digits of one."""
        if found := self.named(text):
            return (found,)
        return await self.matching(text) if _DIGITS.match(text) else ()

    async def matching(self, text: str) -> tuple[Match, ...]:
        """Everything that `text` may mean; one that is sure is alone."""
        if found := self.named(text):
            return (found,)
        try:
            label = label_of(text)
        except (BadKeyHash, BadLabel):
            pass
        else:
            return (self._match(label, "", "an address"),)
        own = [one for one in self._services() if one.name == text]
        if own:
            return tuple(self._match(one.label, one.title, "shared here") for one in own)
        everything = await self._everything()
        digits = text.lower() if text.isascii() else text
        if _DIGITS.match(digits):
            return tuple(one for one in everything if one.key_hash.startswith(digits))
        return tuple(one for one in everything if one.title.casefold() == text.casefold() and one.title)

    def is_sure(self, text: str, match: Match) -> bool:
        """Not by its first digits only, nor by what a stranger of this network calls it, unless the user named it."""
        if match.how == NAMED or match.key_hash == text.lower():
            return True
        return not _DIGITS.match(text.lower()) and not match.how.startswith(_OFFERED)

    async def _everything(self) -> tuple[Match, ...]:
        """Each key hash once, as it is known best, and with the title that who knows it best has for it."""
        named = [self._match(label, "", NAMED, name) for name, label in reversed(tuple(self.names.all.items()))]
        own = [self._match(service.label, service.title, "shared here") for service in self._services()]
        visited = [
            self._match(Label(key_hash), host.title, "visited before")
            for key_hash, host in await self._recent(_REMEMBERED)
        ]
        offers = [
            self._match(Label.parse(offer.label), offer.title, f"{_OFFERED} {offer.source}")
            for offer in await self._offers()
        ]
        found = dict[str, Match]()
        for one in (*named, *own, *visited, *offers):
            best = found.setdefault(one.key_hash, one)
            if not best.title:
                found[one.key_hash] = replace(best, title=one.title)
        return tuple(found.values())

    def _match(self, label: Label, title: str, how: str, name: str | None = None) -> Match:
        return Match(
            name=name or self.names.of(label.key_hash),
            title=title,
            key_hash=str(label.key_hash),
            label=str(label),
            url=url_of(label, self._door_port()),
            how=how,
        )
