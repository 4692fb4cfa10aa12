"""What a person reads: the node's own page, and a page for everything that fails.  Whole HTTP responses, without I/O.

A page says what was tried, what to do, and tries again by itself where that can help.  Clients that did not ask
for HTML get the same as plain text.  Titles and hosts' words are hostile: everything is escaped, nothing is a script.
Source: RFC 9110, section 15; Content Security Policy 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from hardline.door import pac
from hardline.door.hostname import Misdirected
from hardline.errors import AccessRefused, HardlineError, LimitReached, PeerError, ServiceFailed
from hardline.http.head import BadHead
from hardline.http.look import REFERRER_POLICY, STYLE, content_policy, document, escaped, shown
from hardline.identity import Label
from hardline.routes import REMEMBERED, Attempt, Endpoint, PathKind

_STYLE = (
    STYLE
    + """\
.cards{list-style:none;padding:0;margin:0}
.cards li{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem 1rem;margin:.6rem 0}
.cards a{font-weight:600;font-size:1.05rem}
.cards p{margin:.15rem 0}.cards .mono{font-size:.8rem}
.wrong{border-left:.2rem solid var(--alarm);padding-left:.7rem;margin:.6rem 0 .2rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td:nth-child(3){white-space:nowrap;font-variant-numeric:tabular-nums}
td,th{text-align:left;padding:.45rem .8rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:500}
@media(max-width:40rem){tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
tr:first-child{display:none}td{display:inline;padding:0;border:0}td:first-child{display:block}
td:nth-child(n+3)::before{content:" · "}}
"""
)
_HEADERS = (
    "Server: hardline\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    f"Referrer-Policy: {REFERRER_POLICY}\r\n"
    f"Content-Security-Policy: {content_policy(_STYLE)}\r\n"
    "Connection: close\r\n"
)
TRIED = "/tried/"  # a label stands behind it
_NOTHING_SHARED = "Nothing yet. Share what listens on a port of this computer:"
_NOT_TOLD = "What this computer shares is shown to the user that runs hardlined, and to no other:"
_NOTHING_OFFERED = "Nobody offers anything here, as far as they let themselves be listed."
_WAYS = {
    PathKind.LAN: "the local network",
    PathKind.DIRECT: "the network",
    PathKind.PUNCHED: "the network",
    PathKind.RELAYED: "a relay",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried to reach a host, and what came of it: `attempts` in order, and what finders said instead."""

    attempts: tuple[Attempt, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in a person's words.

    `advice` is what to do, `tried` what was tried, `retry_after` the seconds after which trying again can help,
    None when it cannot.  `way_out` is the page's link: where it leads ("": here), and its text; `more` another one.

    A page under a service's name can be read by whatever the service has put into the browser: scripts, and workers
    that answer in its place.  What was `tried` is for pages under this node's own name only.
    """

    status: int
    title: str
    explanation: str
    advice: tuple[str, ...] = ()
    tried: Tried | None = None
    retry_after: int | None = None
    way_out: tuple[str, str] = ("", "Try now")
    more: tuple[str, str] | None = None


# ── the problems, by status ──────────────────────────────────────────────────────────────────────────────────


def bad_head(bad: BadHead) -> Problem:
    """400, 431 or 505: no request that could be routed."""
    title = "The request is too large" if bad.status == 431 else "This is no request that can be routed"
    return Problem(bad.status, title, _sentence(bad.message), _hints(bad))


def head_timeout(seconds: float) -> Problem:
    """408: the request did not come to its end."""
    return Problem(408, "The request took too long", f"Its head was not complete after {seconds:g} seconds.")


def misdirected(wrong: Misdirected) -> Problem:
    """421: a host that is not ours."""
    return Problem(421, "This address leads nowhere", _sentence(wrong.message), _hints(wrong))


def no_tunnel() -> Problem:
    """403: CONNECT to this node itself."""
    return Problem(
        403,
        "No tunnel leads there",
        "CONNECT is for names below .localhost, never for this computer itself or the internet.",
    )


def not_found(target: str) -> Problem:
    """404: this node's own page has no others."""
    advice = ("The list of services is at /.",)
    explanation = f"This node has no page {shown(target[:200])}."
    return Problem(404, "There is no such page", explanation, advice, way_out=("/", "All services"))


def wrong_password(label: Label) -> Problem:
    """403: the host wants another free text."""
    return Problem(
        403,
        "The host refused this address",
        "The host was found and is the right one, but it wants another word before the key hash; this address "
        f"has {repr(shown(label.password)) if label.password else 'none'}.",
        ("Ask whoever shares the service for the whole address, word and dash included.",),
    )


def not_let_in(refused: AccessRefused) -> Problem:
    """403: the host knows who may visit."""
    return Problem(
        403,
        "The host did not let you in",
        f"The host was found and is the right one, but {refused.message}.",
        ("Ask whoever shares the service for an invitation.",),
    )


def uninvited() -> Problem:
    """403: a part of another site's page, for which nobody is looked for."""
    return Problem(
        403,
        "Nobody is looked for on behalf of another site",
        "A page of another site has this address in it, and this node is not connected with its host.",
        ("Open the address itself first; then other pages may use it, too.",),
    )


def absent(label: Label, door: int) -> Problem:
    """503: nobody could be reached.  What was tried, and whether somebody was, is on the `door`'s own page only."""
    return Problem(
        503,
        "The host cannot be reached",
        "Nobody who offers it was reached.",
        (
            "Is the computer that shares it switched on, and does hardlined run there?",
            "Are both computers on the same network? Guest networks and some access points keep devices apart.",
            "Is hardline of the same version on both computers?",
            f"Is the address right? It asks for {label.key_hash}.",
        ),
        retry_after=3,
        more=(f"http://localhost:{door}{TRIED}{label}", "What was tried"),
    )


def what_was_tried(label: Label, tried: Tried, door: int) -> Problem:
    """What became of the last visit to `label` that reached nobody."""
    return Problem(
        200,
        "What was tried",
        f"The last visit to {label} reached nobody.",
        tried=tried,
        way_out=(f"http://{label}.localhost:{door}/", "Try again"),
    )


def nothing_tried() -> Problem:
    """404: no visit to such a label has failed, or somebody else has made it."""
    return Problem(
        404,
        "Nothing is known of such a visit",
        "Of the last visits that reached nobody, whoever runs hardlined reads here what was tried.",
        ("hardline status says more.",),
        way_out=("/", "All services"),
    )


def service_failed(label: Label, failure: ServiceFailed) -> Problem:
    """502, 503 or 504: the host answered, its local service did not."""
    detail = f" ({shown(failure.detail)})" if failure.detail else ""
    match failure.kind:
        case "wait":
            return Problem(
                503,
                "The host asks you to wait",
                "Too many wrong words before the key hash came from your network; it judges one in ten seconds now.",
                ("Ask whoever shares the service for the whole address, word and dash included.",),
                retry_after=10,
            )
        case "timeout":
            return Problem(
                504,
                "The service does not answer",
                f"The host was reached, but the service behind it was too slow{detail}.",
                ("On the host: is the service overloaded, or its port filtered?",),
                retry_after=5,
            )
        case "limit":
            return Problem(
                503,
                "The host is busy",
                f"The host was reached, but takes no more connections now{detail}.",
                retry_after=5,
            )
        case _:
            return Problem(
                502,
                "The service is not running" if failure.kind == "refused" else "The service cannot be used",
                f"The host was reached, but the service behind it was not{detail}.",
                ("On the host: is the program that hardline shares started, and is its port right in the INI file?",),
                retry_after=3,
            )


def original_silent(label: Label) -> Problem:
    """502: an original closed without a word, which is all it ever says."""
    return Problem(
        502,
        "The host closed without an answer",
        "It runs the original hardline, which does not say why: the service behind it may be down, "
        "or it wants another word before the key hash.",
        ("On the host: is the program that hardline shares started?", "Is the address whole, word and dash included?"),
        retry_after=5,
    )


def host_failed(label: Label, failure: HardlineError) -> Problem:
    """502: the host was reached and then broke off or spoke nonsense."""
    nonsense = "the host was reached, and does not keep to the protocol: " if isinstance(failure, PeerError) else ""
    return Problem(
        502,
        "The connection to the host broke",
        _sentence(f"{nonsense}{failure.message}"),
        ("If this goes on, look at the log of hardlined on the host.",),
        retry_after=2,
    )


def limit_reached(label: Label, failure: LimitReached) -> Problem:
    """503: a limit of this node."""
    return Problem(503, "This node is busy", _sentence(failure.message), _hints(failure), retry_after=5)


def too_slow(label: Label, seconds: float) -> Problem:
    """504: the host said nothing in time."""
    return Problem(
        504,
        "The host is too slow",
        f"It was reached, but said nothing about its service within {seconds:g} seconds.",
        ("On the host: is the computer overloaded, or its network very slow?",),
        retry_after=5,
    )


# ── how they look ────────────────────────────────────────────────────────────────────────────────────────────


def problem_page(problem: Problem, *, html: bool, head_only: bool = False) -> bytes:
    """The whole response for a problem."""
    retry = "" if problem.retry_after is None else f"Retry-After: {problem.retry_after}\r\n"
    body = _problem_html(problem) if html else _problem_text(problem)
    return _response(problem.status, body, kind=_kind(html), head_only=head_only, extra=retry)


def home_page(
    services: Sequence[Mapping[str, Any]] | None,
    offers: Sequence[Mapping[str, Any]],
    outside: Mapping[str, Any],
    *,
    html: bool,
    head_only: bool = False,
) -> bytes:
    """This node's own page: its services (as docs/STATUS.md has them), and what the LAN offers.

    `services` is None for who is not to see them.  An offer has `title`, `label`, `url` and `source`; `outside` is
    what docs/STATUS.md has under that name.
    """
    body = _home_html(services, offers, outside) if html else _home_text(services, offers, outside)
    return _response(200, body, kind=_kind(html), head_only=head_only)


def pac_file(door: Endpoint, *, head_only: bool = False) -> bytes:
    """The response for /proxy.pac, for a browser that reached the door at `door`."""
    return _response(200, pac.script(str(door)), kind=pac.TYPE, head_only=head_only)


def _problem_html(problem: Problem) -> str:
    code = f"<p class=code>{problem.status} {HTTPStatus(problem.status).phrase}</p>" if problem.status >= 400 else ""
    parts = [code, f"<h1>{escaped(problem.title)}</h1><p>{escaped(problem.explanation)}</p>"]
    if problem.advice:
        items = "".join(f"<li>{escaped(advice)}</li>" for advice in problem.advice)
        parts.append(f"<h2>What to do</h2><ul>{items}</ul>")
    if problem.tried and problem.tried.attempts:
        rows = "".join(
            f"<tr><td class=mono>{escaped(str(attempt.candidate.endpoint))}</td>"
            f"<td>{escaped(_origin(attempt))}</td><td>{attempt.took:.2f} s</td><td>{escaped(attempt.failure)}</td></tr>"
            for attempt in problem.tried.attempts
        )
        parts.append(
            "<h2>Where it was asked</h2><table><tr><th>Where</th><th>Known from</th><th>Took</th>"
            f"<th>What happened</th></tr>{rows}</table>"
        )
    if problem.tried and problem.tried.reasons:
        items = "".join(f"<li>{escaped(reason)}</li>" for reason in problem.tried.reasons)
        parts.append(f"<h2>Where it was looked for</h2><ul>{items}</ul>")
    refresh = again = ""
    if problem.retry_after is not None:
        refresh = f"<meta http-equiv=refresh content={problem.retry_after}>"
        again = f"<p>This page tries again by itself every {problem.retry_after} seconds.</p>"
    links = " ".join(
        f'<a href="{escaped(target)}">{escaped(text)}</a>'
        for target, text in filter(None, (problem.way_out, problem.more))
    )
    parts.append(f"<footer>{again}{links}</footer>")
    return document(problem.title, "".join(parts), style=_STYLE, head=refresh)


def _problem_text(problem: Problem) -> str:
    lines = [f"{problem.status} {shown(problem.title)}", "", shown(problem.explanation)]
    if problem.advice:
        lines += ["", "What to do:", *(f"  - {shown(advice)}" for advice in problem.advice)]
    if problem.tried and problem.tried.attempts:
        lines += ["", "Where it was asked:"]
        lines += [
            f"  - {shown(str(attempt.candidate.endpoint))} (from {_origin(attempt)}): {shown(attempt.failure)} "
            f"after {attempt.took:.2f} s"
            for attempt in problem.tried.attempts
        ]
    if problem.tried and problem.tried.reasons:
        lines += ["", "Where it was looked for:", *(f"  - {shown(reason)}" for reason in problem.tried.reasons)]
    if problem.more:
        target, text = problem.more
        lines += ["", f"{text}: {target}"]
    return "\n".join(lines) + "\n"


def _home_html(
    services: Sequence[Mapping[str, Any]] | None, offers: Sequence[Mapping[str, Any]], outside: Mapping[str, Any]
) -> str:
    own = "".join(_service_card(row) for row in services or ())
    lan = "".join(
        f'<li><a href="{escaped(row["url"])}"><bdi>{escaped(_title(row))}</bdi></a>'
        f"<p class=dim>at {escaped(row['source'])}</p><p class='mono dim'>{escaped(row['label'])}</p></li>"
        for row in offers
    )
    hint = f"<p class=dim>{_NOTHING_SHARED} <code>hardline share 8000</code></p>"
    if services is None:
        hint = f"<p class=dim>{_NOT_TOLD} <code>hardline status</code></p>"
    quiet = f"<p class=dim>{_NOTHING_OFFERED}</p>"
    beyond = f"<p class=dim>{escaped(_sentence(outside['sentence']))}</p>"
    if services and outside["advice"]:
        beyond += f"<p class=dim>{escaped(_sentence(outside['advice']))}</p>"
    return document(
        "hardline",
        f"<h1>hardline</h1><h2>Shared by this computer</h2>{f'<ul class=cards>{own}</ul>{beyond}' if own else hint}"
        f"<h2>On this network</h2>{f'<ul class=cards>{lan}</ul>' if lan else quiet}"
        '<footer><a href="/">Look again</a></footer>',
        style=_STYLE,
    )


def _service_card(row: Mapping[str, Any]) -> str:
    if "url" in row:
        card = f'<a href="{escaped(row["url"])}"><bdi>{escaped(_title(row))}</bdi></a>'
        card += f"<p class=dim>{escaped(_about(row))}</p><p class='mono dim'>{escaped(row['label'])}</p>"
        card += f"<p class=dim>{escaped(_sentence(row['announced']))}</p>"
    else:
        card = f"<strong>{escaped(row['name'])}</strong>"
    if row["problem"]:
        hint = f"<p class=dim>{escaped(_sentence(row['hint']))}</p>" if row["hint"] else ""
        card += f"<div class=wrong><p>{escaped(_what_is_wrong(row))}</p>{hint}</div>"
    return f"<li>{card}</li>"


def _home_text(
    services: Sequence[Mapping[str, Any]] | None, offers: Sequence[Mapping[str, Any]], outside: Mapping[str, Any]
) -> str:
    lines = ["Shared by this computer:", ""]
    for row in services or ():
        lines.append(f"  {shown(_title(row))}")
        if "url" in row:
            lines += [f"    {row['url']}", f"    {shown(_about(row))}", f"    {shown(row['announced'])}"]
        if row["problem"]:
            lines.append(f"    {shown(_what_is_wrong(row))}")
    if services is None:
        lines.append(f"  {_NOT_TOLD} hardline status")
    elif not services:
        lines.append(f"  {_NOTHING_SHARED} hardline share 8000")
    if services:
        lines += ["", f"  {shown(_sentence(outside['sentence']))}"]
        lines += [f"  {shown(_sentence(outside['advice']))}"] if outside["advice"] else []
    lines += ["", "On this network:", ""]
    for row in offers:
        lines += [f"  {shown(_title(row))}", f"    {row['url']}", f"    at {shown(row['source'])}"]
    lines += [] if offers else [f"  {_NOTHING_OFFERED}"]
    return "\n".join(lines) + "\n"


def _title(row: Mapping[str, Any]) -> str:
    return row.get("title") or row.get("name") or "(untitled)"


def _about(row: Mapping[str, Any]) -> str:
    return row["target"] if row["listed"] else f"{row['target']}, not listed on the network"


def _what_is_wrong(row: Mapping[str, Any]) -> str:
    before = "Serving as before its file broke: " if row["state"] == "stale" else ""
    return f"{before}{row['problem']}"


def _kind(html: bool) -> str:
    return "text/html; charset=utf-8" if html else "text/plain; charset=utf-8"


def _response(status: int, body: str, *, kind: str, head_only: bool, extra: str = "") -> bytes:
    content = body.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{_HEADERS}{extra}"
        f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode("ascii")
    return head if head_only else head + content


def _origin(attempt: Attempt) -> str:
    kind, finder = attempt.candidate.kind, attempt.candidate.found_by.name
    if finder == REMEMBERED:
        return "memory of an earlier visit"
    return _WAYS[kind] if finder == kind.name else f"{_WAYS[kind]} ({shown(finder)})"


def _hints(failure: HardlineError) -> tuple[str, ...]:
    return (_sentence(failure.hint),) if failure.hint else ()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
