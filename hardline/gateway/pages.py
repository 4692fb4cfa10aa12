"""What the gateway says itself: why something was not passed, and the list of its services; without I/O.

A page names a service by its public name and nothing else: no label, no address that was tried, no word of the host's.
The field Server says whose fault it is: `hardline (gateway)`, which is this side, or `hardline (host)`, the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from hardline.errors import (
    AccessRefused,
    ConnectionLost,
    HardlineError,
    LimitReached,
    PasswordRefused,
    ServiceFailed,
)
from hardline.http.look import REFERRER_POLICY, STYLE, content_policy, document, escaped
from hardline.routes import NoRoute
from hardline.tunnel.down import LinkDown

GATEWAY, CLIENT, HOST = "gateway", "client", "host"  # CLIENT: this side, where it is a link's
NO_ROOM = "There is no room for one more now."
PLAIN, _HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
_RETRY = ("Retry-After: 5",)
_STYLE = f"""{STYLE}
h1{{font-size:1.5rem}}
.cards{{list-style:none;padding:0;margin:1.2rem 0}}
.cards li{{margin:.6rem 0}}
.cards a{{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.1rem 1.5rem;padding:.8rem 1rem;
border:1px solid var(--line);border-radius:.7rem;background:var(--card);font-weight:600}}
.cards span{{color:var(--dim);font-weight:400;white-space:nowrap}}
.cards span::before{{content:"";display:inline-block;width:.6rem;height:.6rem;margin-right:.5rem;border-radius:50%;
border:1px solid var(--dim)}}
.cards .on::before{{background:#2f9e58;border-color:#2f9e58}}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: `text` is a sentence, `more` others that explain it, `side` is whose word it is, `fields` are further
    lines of the head."""

    status: int
    text: str
    side: str = GATEWAY
    fields: Sequence[str] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A service in the list.  `seen` is seconds since it was reached, None for never."""

    name: str
    address: str
    online: bool
    seen: float | None


def why_not(name: str, failure: Exception) -> Page:
    """Why the service `name` did not answer."""
    match failure:
        case TimeoutError():
            return _of_host(504, f"{name} did not answer in time.", "It may have much to do.", _RETRY)
        case LinkDown():
            return Page(503, f"{name} is down: {_why_down(failure.cause)}.", fields=_RETRY)
        case NoRoute():
            more = "Its host cannot be reached: it may be switched off, or without a network."
            return _of_host(503, f"{name} is offline.", more, _RETRY)
        case AccessRefused() | PasswordRefused():
            return _of_host(502, f"The host of {name} does not let this gateway in.", "Its owner can change that.")
        case ServiceFailed(kind="timeout"):
            return _of_host(504, f"{name} does not answer.", "Its host is there, but the service is silent.", _RETRY)
        case ServiceFailed(kind="limit" | "wait"):
            return _of_host(503, f"{name} has no room now.", "Its host serves as many as it can.", _RETRY)
        case ServiceFailed():
            return _of_host(502, f"{name} does not run.", "Its host is there, but the service is not.", _RETRY)
        case LimitReached():
            return Page(503, NO_ROOM, fields=_RETRY)
        case _:
            return _of_host(502, f"{name} broke off.", "It ended before its answer, or what it said is no HTTP.")


def _why_down(cause: HardlineError) -> str:
    """Without addresses and names, which only who runs this node may read."""
    match cause:
        case NoRoute():
            return "its host cannot be reached"
        case AccessRefused() | PasswordRefused():
            return "its host does not let this node in"
        case ConnectionLost():
            return "the connection to its host broke, or was not there yet"
        case _:
            return "its host does not answer as it should"


def bad_head(status: int, message: str) -> Page:
    """For what is no request; `message` says why."""
    # Codings other than chunked: to refuse them says more than that they are not built (RFC 9112, section 6.1).
    return Page(400 if status == 501 else status, f"{message[:1].upper()}{message[1:]}.")


def _of_host(status: int, text: str, more: str, fields: Sequence[str] = ()) -> Page:
    return Page(status, text, HOST, fields, more)


def rendered(page: Page, *, html: bool, head_only: bool, close: bool) -> bytes:
    """The whole answer."""
    if not html:
        text = f"{page.text}\n{page.more}\n" if page.more else f"{page.text}\n"
        return _answer(page, text, PLAIN, head_only, close)
    code = f"{page.status} {HTTPStatus(page.status).phrase}"
    body = f"<p class=code>{code}</p><h1>{escaped(page.text)}</h1><p>{escaped(page.more)}</p>"
    if any(field.startswith("Retry-After:") for field in page.fields):
        body += '<footer><a href="">Try again</a></footer>'
    return _answer(page, document(page.text, body, style=_STYLE), _HTML, head_only, close)


def the_list(services: Sequence[Listed], *, html: bool, head_only: bool, close: bool) -> bytes:
    """The page with all `services`."""
    if not html:
        text = "".join(f"{one.address}  {_state(one)}\n" for one in services) or "nothing is listed\n"
    else:
        items = "".join(map(_card, services))
        body = f"<ul class=cards>{items}</ul>" if items else "<p class=dim>Nothing is listed.</p>"
        text = document("Services", f"<h1>Services</h1>{body}", style=_STYLE)
    return _answer(Page(200, ""), text, _HTML if html else PLAIN, head_only, close)


def as_it_is(text: str, kind: str, *, head_only: bool, close: bool) -> bytes:
    """A whole answer for programs; `kind` is its Content-Type."""
    return _answer(Page(200, ""), text, kind, head_only, close)


def _card(one: Listed) -> str:
    mark = " class=on" if one.online else ""
    return f'<li><a href="{escaped(one.address)}">{escaped(one.name)}<span{mark}>{_state(one)}</span></a></li>'


def _state(one: Listed) -> str:
    if one.online:
        return "online"
    return "offline" if one.seen is None else f"offline, last seen {_ago(one.seen)} ago"


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _answer(page: Page, text: str, kind: str, head_only: bool, close: bool) -> bytes:
    content = text.encode("utf-8", "replace")
    lines = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Server: hardline ({page.side})",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"Referrer-Policy: {REFERRER_POLICY}",
        f"Content-Security-Policy: {content_policy(_STYLE)}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
        "Connection: close" if close else "Connection: keep-alive",
        *page.fields,
    )
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")
    return head if head_only else head + content
