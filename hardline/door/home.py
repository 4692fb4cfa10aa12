"""This node's own page: what this computer shares, and what others on the network offer.  Without I/O.

What others offer has titles of theirs, which are hostile: everything is escaped, nothing is a script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardline.door.responses import page, page_kind, response, sentence
from hardline.door.visits import way, why_not_better
from hardline.http.look import escaped, shown

_NOTHING_SHARED = "Nothing yet. Share what listens on a port of this computer:"
_NOT_TOLD = "What this computer shares is shown to the user that runs hardlined, and to no other:"
_NOTHING_OFFERED = "Nobody offers anything here, as far as they let themselves be listed."

Row = Mapping[str, object]  # as it goes out as JSON, too


def home_page(
    services: Sequence[Row] | None,
    offers: Sequence[Row],
    outside: Row,
    visits: Sequence[Row] = (),
    *,
    html: bool,
    head_only: bool = False,
) -> bytes:
    """This node's own page: its services (rows of status.describe_services), what the LAN offers, and what is visited.

    `services` is None for who is not to see them.  An offer has `title`, `label`, `url`, `source` and `host`, what its
    computer is called; `outside` is
    what status.describe_outside returns; `visits` are rows of status' sessions, with the `url` of each.
    """
    make = _home_html if html else _home_text
    body = make(services, offers, outside, visits)
    return response(200, body, kind=page_kind(html), head_only=head_only)


def _home_html(services: Sequence[Row] | None, offers: Sequence[Row], outside: Row, visits: Sequence[Row]) -> str:
    own = "".join(_service_card(row) for row in services or ())
    lan = "".join(
        f'<li><a href="{escaped(_said(row, "url"))}"><bdi>{escaped(_title(row))}</bdi></a>'
        f"<p class=dim><bdi>{escaped(_where(row))}</bdi></p>"
        f"<p class='mono dim'>{escaped(_said(row, 'label'))}</p></li>"
        for row in offers
    )
    hint = f"<p class=dim>{_NOTHING_SHARED} <code>hardline share 8000</code></p>"
    if services is None:
        hint = f"<p class=dim>{_NOT_TOLD} <code>hardline status</code></p>"
    quiet = f"<p class=dim>{_NOTHING_OFFERED}</p>"
    beyond = f"<p class=dim>{escaped(sentence(_said(outside, 'sentence')))}</p>"
    if services and outside["advice"]:
        beyond += f"<p class=dim>{escaped(sentence(_said(outside, 'advice')))}</p>"
    return page(
        "hardline",
        f"<h1>hardline</h1><h2>Shared by this computer</h2>{f'<ul class=cards>{own}</ul>{beyond}' if own else hint}"
        f"<h2>On this network</h2>{f'<ul class=cards>{lan}</ul>' if lan else quiet}"
        f"{_visits_html(visits)}"
        '<footer><a href="/">Look again</a></footer>',
    )


def _visits_html(visits: Sequence[Row]) -> str:
    cards = "".join(
        f'<li><a href="{escaped(_said(row, "url"))}"><bdi>{escaped(_title(row))}</bdi></a>'
        f"<p class=dim>{escaped(sentence(way(row)))}</p>"
        + "".join(f"<p class=dim>{escaped(sentence(why))}</p>" for why in why_not_better(row))
        + f"<p class='mono dim'>{escaped(_said(row, 'label'))}</p></li>"
        for row in visits
    )
    return f"<h2>Visited from here</h2><ul class=cards>{cards}</ul>" if cards else ""


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
