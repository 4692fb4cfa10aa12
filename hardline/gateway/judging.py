"""What a client may ask: every request is judged by itself, by its own Host.

where does it lead? ──▶ addresses ──▶ users ──▶ methods ──▶ its service, or the list
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hardline.errors import HardlineError, LimitReached
from hardline.gateway.clients import is_in
from hardline.gateway.exchange import Sent
from hardline.gateway.heads import Known
from hardline.gateway.listing import Listing
from hardline.gateway.names import Elsewhere, Names, Place
from hardline.gateway.pages import Page
from hardline.gateway.requests import Asker, Field, values
from hardline.gateway.users import Users
from hardline.http.head import Form, Head
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tunnel.visitor import Visitor

_READING = ("GET", "HEAD")
_READ_ONLY = ("Allow: GET, HEAD",)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a gateway have in common."""

    settings: GatewaySection
    named: Mapping[str, NamedSection]
    names: Names
    visitor: Visitor
    users: Users
    listing: Listing


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

    @property
    def fields(self) -> list[Field]:
        """Those of its head."""
        return self.known.fields

    @property
    def apart(self) -> bool:
        """Its service has no origin of its own: nothing of it may run there or stay."""
        return bool(self.place.prefix and self.section and not self.section.mixed)


async def judge(shared: Shared, asked: Asked) -> None:
    """Find out where it leads, and who asks.  Raises Refused."""
    head = asked.head
    if head.form is Form.AUTHORITY:
        raise Refused(Page(405, "This is no proxy.", fields=_READ_ONLY))
    try:
        place = shared.names.place(head.host, head.target)
    except Elsewhere:
        raise Refused(Page(421, "This host is none of this gateway's.")) from None
    if place is None or (not place.name and place.target.partition("?")[0] != "/"):
        raise Refused(Page(404, "There is nothing here."))
    asked.place = place
    if place.name:
        await _judge_service(shared, asked, place)
    elif head.method not in _READING:
        raise Refused(Page(405, "This is a list.", fields=_READ_ONLY))


async def _judge_service(shared: Shared, asked: Asked, place: Place) -> None:
    section = asked.section = shared.named[place.name]
    if section.addresses and not is_in(asked.asker.client, section.addresses):
        raise Refused(Page(403, f"{place.name} is not for this address."))
    if section.users:
        asked.asker = replace(asked.asker, user=await _user(shared, place.name, section, asked))
    if not place.target:
        raise Refused(Page(308, "It is behind a slash.", fields=(f"Location: {place.prefix}/",)))
    if asked.apart and asked.head.method not in _READING:
        text = f"{place.name} can only be read here, where services share an address ([Gateway:NAME] mixed)."
        raise Refused(Page(405, text, fields=_READ_ONLY))


async def _user(shared: Shared, name: str, section: NamedSection, asked: Asked) -> str:
    said = values(asked.fields, b"authorization")
    try:
        user = await shared.users.user(name, section.users, said, asked.asker.client)
    except LimitReached as failure:
        text = f"{failure.message[:1].upper()}{failure.message[1:]}."
        raise Refused(Page(429, text, fields=("Retry-After: 60",))) from None
    if not user:
        ask = f'WWW-Authenticate: Basic realm="{name}", charset="UTF-8"'
        raise Refused(Page(401, f"{name} wants a name and a password.", fields=(ask,)))
    return user
