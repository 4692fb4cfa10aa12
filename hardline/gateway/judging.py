"""What a client may ask: every request is judged by itself, by its own Host, and by the settings of that moment.

where does it lead? ──▶ addresses ──▶ a scraper's key, or users ──▶ methods ──▶ its service, or a page of our own
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from hardline.errors import HardlineError, LimitReached
from hardline.gateway.accesses import Accesses
from hardline.gateway.clients import is_in
from hardline.gateway.exchange import Sent
from hardline.gateway.heads import Known
from hardline.gateway.keys import Key
from hardline.gateway.listing import Listing
from hardline.gateway.names import Elsewhere, Names, Place
from hardline.gateway.pages import GATEWAY, Page
from hardline.gateway.requests import Asker, Field, Tells, values
from hardline.gateway.scrapers import BadKey, Scrapers, is_for
from hardline.gateway.users import Users
from hardline.http.head import Form, Head
from hardline.neighbours import machine_at
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tunnel.visitor import Visitor

LIST, METRICS, TEST, SERVERS = "/", "/metrics", "/scraper/api/test", "/scraper/v1/server_list"
_READING = ("GET", "HEAD")
_READ_ONLY = ("Allow: GET, HEAD",)
_HERE = Page(404, "There is nothing here.")


class Guard(Protocol):
    """Judges requests for a service by what the settings know nothing of.  The same fields get the same verdict, as
    long as their connection lasts; the fields of its cookies begin with `hides`, and go no further."""

    hides: bytes

    def judge(self, asked: Asked) -> None:
        """Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a gateway have in common, until its settings change.

    `side` is who speaks where it answers itself; `tells` what services hear of clients: where that is not all, both are
    programs of one owner, and cookies keep their domains.  `guard` has a word of its own on every request.
    """

    settings: GatewaySection
    named: Mapping[str, NamedSection]
    names: Names
    visitor: Visitor
    users: Users
    listing: Listing
    scrapers: Scrapers
    accesses: Accesses
    side: str = GATEWAY
    tells: Tells = Tells.ALL
    guard: Guard | None = None


class Refused(HardlineError):
    """This gateway answers itself, with `page`."""

    def __init__(self, page: Page) -> None:
        super().__init__(page.text)
        self.page = page


@dataclass(slots=True)
class Asked:
    """A request, and what is known of it: `section` is its service's, None for a page of the gateway's own."""

    head: Head
    known: Known
    asker: Asker
    sent: Sent
    place: Place
    began: float
    section: NamedSection | None = None
    key: Key | None = None

    @property
    def fields(self) -> list[Field]:
        """Those of its head."""
        return self.known.fields

    @property
    def apart(self) -> bool:
        """Its service has no origin of its own: nothing of it may run there or stay."""
        return self.place.scraper or bool(self.place.prefix and self.section and not self.section.mixed)


async def judge(shared: Shared, asked: Asked) -> None:
    """Find out where it leads, and who asks.  Raises Refused."""
    head, asked.key, asked.section = asked.head, None, None
    if head.form is Form.AUTHORITY:
        raise Refused(Page(405, "This is no proxy.", fields=_READ_ONLY))
    try:
        place = shared.names.place(head.host, head.target)
    except Elsewhere as wrong:
        raise Refused(Page(421, f"{wrong.message[:1].upper()}{wrong.message[1:]}.")) from None
    if place is None:
        raise Refused(_HERE)
    if place.scraper:
        await _judge_scraper(shared, asked, place)
    elif not place.name:
        _judge_page(shared, asked, place)
    else:
        await _judge_service(shared, asked, place)


def may_go_on(asked: Asked, shared: Shared) -> bool:
    """Whether what was allowed would still be, by settings that have changed since."""
    was, now = asked.section, shared.named.get(asked.place.name)
    if was is None or now is None or now.label != was.label:
        return False
    try:
        place = shared.names.place(asked.head.host, asked.head.target)
    except Elsewhere:
        return False
    if place is None or place.name != asked.place.name or (was.mixed and place.prefix and not now.mixed):
        return False
    if now.addresses and not is_in(asked.asker.client, now.addresses):
        return False
    if asked.key is not None:
        return is_for(asked.key, place.name, now)
    return not now.users or any(user.name == asked.asker.user and user in was.users for user in now.users)


def _judge_page(shared: Shared, asked: Asked, place: Place) -> None:
    path, reads = place.target.partition("?")[0], asked.head.method in _READING
    if path != LIST and not (path == METRICS and is_in(asked.asker.client, shared.settings.metrics)):
        raise Refused(_HERE)
    if not reads:
        raise Refused(Page(405, "This can only be read.", fields=_READ_ONLY))
    asked.place = Place(path)


async def _judge_service(shared: Shared, asked: Asked, place: Place) -> None:
    section = shared.named[place.name]
    asked.place, asked.section = place, section
    if section.addresses and not is_in(asked.asker.client, section.addresses):
        raise Refused(Page(403, f"{place.name} is not for this address."))
    if shared.guard is not None:
        shared.guard.judge(asked)
    if section.users:
        asked.asker = replace(asked.asker, user=await _user(shared, place.name, section, asked))
    if not place.target:
        raise Refused(Page(308, "It is behind a slash.", fields=(f"Location: {place.prefix}/",)))
    if asked.apart and asked.head.method not in _READING:
        text = f"{place.name} can only be read here, where services share an address ([Gateway:NAME] mixed)."
        raise Refused(Page(405, text, fields=_READ_ONLY))


async def _judge_scraper(shared: Shared, asked: Asked, place: Place) -> None:
    client, path = asked.asker.client, place.target.partition("?")[0]
    asked.place = Place("", scraper=True)
    try:
        asked.key = key = await shared.scrapers.key(values(asked.fields, b"x-apikey"), client)
    except BadKey as bad:
        ask = ('WWW-Authenticate: X-ApiKey realm="scraper"',) if bad.status == 401 else ()
        raise Refused(Page(bad.status, bad.message, fields=ask)) from None
    if place.name:
        section = shared.named.get(place.name)
        # Whether there is a service that a key is not for is nothing that its owner is told.
        if section is None or not is_for(key, place.name, section):
            raise Refused(Page(403, "This X-ApiKey is for no such service."))
        asked.place, asked.section = place, section
        if section.addresses and not is_in(client, section.addresses):
            raise Refused(Page(403, f"{place.name} is not for this address."))
        if not path:
            raise Refused(Page(308, "It is behind a slash.", fields=(f"Location: {place.prefix}/",)))
    elif path not in (TEST, SERVERS):
        raise Refused(_HERE)
    else:
        asked.place = Place(path, scraper=True)
    if asked.head.method not in _READING:
        raise Refused(Page(405, "This can only be read.", fields=_READ_ONLY))


async def _user(shared: Shared, name: str, section: NamedSection, asked: Asked) -> str:
    said = values(asked.fields, b"authorization")
    try:
        client = asked.asker.client
        user = await shared.users.user(name, section.users, said, client, lambda: machine_at(client))
    except LimitReached as failure:
        text = f"{failure.message[:1].upper()}{failure.message[1:]}."
        raise Refused(Page(429, text, fields=("Retry-After: 60",))) from None
    if not user:
        ask = f'WWW-Authenticate: Basic realm="{name}", charset="UTF-8"'
        raise Refused(Page(401, f"{name} wants a name and a password.", fields=(ask,)))
    return user
