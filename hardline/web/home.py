"""This node's own page: what this computer shares, and what others on the network offer.

    without a script, or a token     lists to read, made here
    with both                        the same, live, and all that can be done (page.js)

What others offer has titles of theirs, which are hostile: everything is escaped here, and is text there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardline.door.responses import page_kind, response, sentence
from hardline.door.visits import way, why_not_better
from hardline.http.look import escaped, shown
from hardline.web.assets import Assets

_NOTHING_SHARED = "Nothing yet. Share what listens on a port of this computer:"
_NOT_TOLD = "What this computer shares is shown to the user that runs hardlined, and to no other:"
_NOTHING_OFFERED = "Nobody offers anything here, as far as they let themselves be listed."
_NOTHING_KNOWN = "No host was visited from here yet."
_MANAGE = "To manage this node here, type in a terminal:"

_TOOLS = (
    "<div class=tools data-with-token hidden><button type=button id=share-directory>Share a directory…</button>"
    "<button type=button id=share-port>Share a port…</button></div>"
)
_SAID = (
    "<p id=away class=notice role=status hidden>hardlined does not answer. This page asks again by itself.</p>"
    "<p id=said role=status></p>"
)
_DOCTOR = "<button type=button id=doctor data-with-token hidden>Doctor</button>"
_ACCEPT = (
    "<div id=invitation><h1>You are invited</h1><p>Somebody shares something with you, and this computer has hardline "
    "to open it with.</p><p data-with-token hidden>It is <span class=mono id=invited-to></span>.</p>"
    "<div class=tools data-with-token hidden><button type=button class=main id=accept disabled>Accept</button></div>"
    "<div data-without-token><h2>What to do</h2><ul><li>Type <code>hardline open</code> in a terminal, and leave this "
    "page open: a button is here then.</li><li>Or copy the whole address of this page, type "
    "<code>hardline accept</code>, and paste it there.</li></ul></div></div>"
)

Row = Mapping[str, object]  # as it goes out as JSON, too


def home_page(
    services: Sequence[Row] | None,
    offers: Sequence[Row],
    outside: Row,
    visits: Sequence[Row] = (),
    *,
    assets: Assets | None = None,
    head_only: bool = False,
) -> bytes:
    """This node's own page: its services (rows of status.describe_services), what the LAN offers, and what is visited.

    `services` is None for who is not to see them.  An offer has `title`, `label`, `url`, `source` and `host`, what
    its computer is called; `outside` is what status.describe_outside returns; `visits` are rows of status' sessions,
    with the `url` of each.  Without `assets` it is plain text.
    """
    if assets is None:
        body = _home_text(services, offers, outside, visits)
        return response(200, body, kind=page_kind(False), head_only=head_only)
    return assets.response("hardline", _home_html(services, offers, outside, visits), head_only=head_only)


def accept_page(assets: Assets, *, head_only: bool = False) -> bytes:
    """Where the link of an invitation leads: what stands behind its # comes to no server before somebody clicks."""
    body = f'{_ACCEPT}{_SAID}<footer><a href="/">All services</a></footer>'
    return assets.response("You are invited", body, head_only=head_only)


def _home_html(services: Sequence[Row] | None, offers: Sequence[Row], outside: Row, visits: Sequence[Row]) -> str:
    own = "".join(_service_card(row) for row in services or ())
    lan = "".join(
        f'<li><a href="{escaped(_said(row, "url"))}"><bdi>{escaped(_title(row))}</bdi></a>'
        f"<p class=dim><bdi>{escaped(_where(row))}</bdi></p>"
        f"<p class='mono dim'>{escaped(_said(row, 'label'))}</p></li>"
        for row in offers
    )
    hint = f"{_NOTHING_SHARED} <code>hardline share 8000</code>"
    if services is None:
        hint = f"{_NOT_TOLD} <code>hardline status</code>"
    beyond = ""
    if services:
        beyond = " ".join(sentence(_said(outside, name)) for name in ("sentence", "advice")).strip()
    return (
        "<header><h1>hardline<small id=computer></small></h1>"
        f"<p id=outside class=dim>{escaped(beyond)}</p>{_DOCTOR}</header>"
        f"<p class=notice data-without-token>{_MANAGE} <code>hardline open</code></p>"
        f"{_section('mine', 'Shared by this computer', own, hint, _TOOLS)}"
        f"{_section('lan', 'On this network', lan, _NOTHING_OFFERED)}"
        f"{_section('known', 'Known', _visits_html(visits), _NOTHING_KNOWN)}"
        "<section aria-labelledby=h-log data-with-token hidden><h2 id=h-log>What happened</h2>"
        "<p class=dim id=log-empty>Nothing since hardlined was started.</p>"
        "<ul id=log tabindex=0 aria-labelledby=h-log></ul></section>"
        f'{_SAID}<footer data-without-token><a href="/">Look again</a></footer>'
    )


def _section(name: str, heading: str, cards: str, empty: str, tools: str = "") -> str:
    """One list, and what stands in its place where there is nothing; `empty` is HTML."""
    hidden = " hidden" if cards else ""
    return (
        f"<section aria-labelledby=h-{name}><div class=bar><h2 id=h-{name}>{heading}</h2>{tools}</div>"
        f"<p class=dim id={name}-empty{hidden}>{empty}</p>"
        f"<ul class=cards id={name} aria-labelledby=h-{name}>{cards}</ul></section>"
    )


def _visits_html(visits: Sequence[Row]) -> str:
    return "".join(
        f'<li><a href="{escaped(_said(row, "url"))}"><bdi>{escaped(_title(row))}</bdi></a>'
        f"<p class=dim>{escaped(sentence(way(row)))}</p>"
        + "".join(f"<p class=dim>{escaped(sentence(why))}</p>" for why in why_not_better(row))
        + f"<p class='mono dim'>{escaped(_said(row, 'label'))}</p></li>"
        for row in visits
    )


def _service_card(row: Row) -> str:
    if "url" in row:
        card = f'<a href="{escaped(_said(row, "url"))}"><bdi>{escaped(_title(row))}</bdi></a>'
        card += f"<p class=dim>{escaped(_about(row))}</p><p class='mono dim'>{escaped(_said(row, 'label'))}</p>"
        card += f"<p class=dim>{escaped(sentence(_said(row, 'announced')))}</p>"
    else:
        card = f"<strong>{escaped(_said(row, 'name'))}</strong>"
    if row["problem"]:
        hint = f"<p class=dim>{escaped(sentence(_said(row, 'hint')))}</p>" if row["hint"] else ""
        card += f"<div class=wrong><p>{escaped(_what_is_wrong(row))}</p>{hint}</div>"
    return f"<li>{card}</li>"


def _home_text(services: Sequence[Row] | None, offers: Sequence[Row], outside: Row, visits: Sequence[Row]) -> str:
    lines = ["Shared by this computer:", ""]
    for row in services or ():
        lines.append(f"  {shown(_title(row))}")
        if "url" in row:
            lines += [f"    {_said(row, 'url')}", f"    {shown(_about(row))}", f"    {shown(_said(row, 'announced'))}"]
        if row["problem"]:
            lines.append(f"    {shown(_what_is_wrong(row))}")
    if services is None:
        lines.append(f"  {_NOT_TOLD} hardline status")
    elif not services:
        lines.append(f"  {_NOTHING_SHARED} hardline share 8000")
    if services:
        lines += ["", f"  {shown(sentence(_said(outside, 'sentence')))}"]
        lines += [f"  {shown(sentence(_said(outside, 'advice')))}"] if outside["advice"] else []
    lines += ["", "On this network:", ""]
    for row in offers:
        lines += [f"  {shown(_title(row))}", f"    {_said(row, 'url')}", f"    {shown(_where(row))}"]
    lines += [] if offers else [f"  {_NOTHING_OFFERED}"]
    lines += ["", "Visited from here:", ""] if visits else []
    for row in visits:
        lines += [f"  {shown(_title(row))}", f"    {_said(row, 'url')}", f"    {shown(sentence(way(row)))}"]
        lines += [f"    {shown(sentence(why))}" for why in why_not_better(row)]
    return "\n".join(lines) + "\n"


def _title(row: Row) -> str:
    return str(row.get("title") or row.get("name") or "(untitled)")


def _where(row: Row) -> str:
    at = f"at {_said(row, 'source')}"
    return f"on {row['host']}, {at}" if row.get("host") else at


def _about(row: Row) -> str:
    target = _said(row, "target")
    return target if row["listed"] else f"{target}, not listed on the network"


def _what_is_wrong(row: Row) -> str:
    before = "Serving as before its file broke: " if row["state"] == "stale" else ""
    return f"{before}{_said(row, 'problem')}"


def _said(row: Row, name: str) -> str:
    """What stands under `name`, as text; "" for None."""
    return str(row[name] or "")
