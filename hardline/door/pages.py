"""What a person reads when something fails: a page for everything that can.  Whole HTTP responses, without I/O.

A page says what failed, what to do, and tries again by itself where that can help, until it is told to stop.  Clients
that did not ask for HTML get the same as plain text.  Titles and hosts' words are hostile: everything is escaped.
Source: RFC 9110, section 15.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from hardline.door.evidence import judge
from hardline.door.hostname import Misdirected
from hardline.door.responses import PATIENCE, PATIENT_POLICY, POLICY, page, page_kind, response, sentence
from hardline.errors import AccessRefused, HardlineError, LimitReached, PeerError, ServiceFailed
from hardline.http.head import BadHead
from hardline.http.look import escaped, shown
from hardline.identity import Label
from hardline.routes import REMEMBERED, Attempt, PathKind

ACCEPT = "/accept"  # where links for those who were invited lead to, on their own computers
TRIED = "/tried/"  # a label stands behind it
_WAYS = {
    PathKind.LAN: "the local network",
    PathKind.DIRECT: "the network",
    PathKind.PUNCHED: "the network",
    PathKind.RELAYED: "a relay",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried to reach a host, and what came of it: `attempts` in order, and what finders said instead; `when`
    that was last, and `since` when it is so, in seconds since 1970."""

    attempts: tuple[Attempt, ...]
    reasons: tuple[str, ...]
    when: float = 0.0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Called:
    """What is known of a host: the user's `name` for it or "", its own `title`, and when it was visited last, 0: never
    (seconds since 1970)."""

    name: str = ""
    title: str = ""
    last_seen: float = 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in a person's words.

    `advice` is what to do, `tried` what was tried, `retry_after` the seconds after which trying again can help,
    None when it cannot.  `way_out` is the page's link: where it leads ("": here), and its text; `more` another one.

    A page under a service's name can be read by whatever the service has put into the browser: scripts, and workers
    that answer in its place.  What was `tried`, which side failed by that, and what the user calls the service is for
    pages under this node's own name only.
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
    return Problem(bad.status, title, sentence(bad.message), _hints(bad))


def head_timeout(seconds: float) -> Problem:
    """408: the request did not come to its end."""
    return Problem(408, "The request took too long", f"Its head was not complete after {seconds:g} seconds.")


def misdirected(wrong: Misdirected) -> Problem:
    """421: a host that is not ours."""
    return Problem(421, "This address leads nowhere", sentence(wrong.message), _hints(wrong))


def no_tunnel() -> Problem:
    """403: CONNECT to this node itself."""
    return Problem(
        403,
        "No tunnel leads there",
        "CONNECT is for names below .localhost, never for this computer itself or the internet.",
    )


def invitation() -> Problem:
    """200: where the link of an invitation leads to; what stands behind its # comes to no server, this one neither."""
    return Problem(
        200,
        "You are invited",
        "Somebody shares something with you, and this computer has hardline to open it with.",
        ("Copy the whole address of this page, run  hardline accept  in a terminal, and paste it there.",),
        way_out=("/", "All services"),
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
        (
            "It needs an invitation from its owner: ask for one, and open its link.",
            "Or: hardline key ADDRESS  prints here what its owner adds to NAME.ini.clients there.",
        ),
    )


def another_user() -> Problem:
    """403: it was shared with the user that runs hardlined, and not with this one."""
    return Problem(
        403,
        "Shared with another user of this computer",
        "This service knows its visitors, and it was shared with the user that runs hardlined here.",
        ("To be let in yourself, ask whoever shares it for an invitation of your own.",),
        way_out=("/", "All services"),
    )


def uninvited() -> Problem:
    """403: a part of another site's page, for which nobody is looked for."""
    return Problem(
        403,
        "Nobody is looked for on behalf of another site",
        "A page of another site has this address in it, and this node is not connected with its host.",
        ("Open the address itself first; then other pages may use it, too.",),
    )


def absent(label: Label, door: int, called: Called = Called(), now: float = 0.0) -> Problem:
    """503: nobody could be reached.  What was tried, and whether somebody was, is on the `door`'s own page only."""
    what = (
        f"Nobody who offers {shown(called.title)} was reached" if called.title else "Nobody who offers it was reached"
    )
    last = f"; it was visited last {_ago(now - called.last_seen)}." if called.last_seen else "."
    return Problem(
        503,
        "The host cannot be reached",
        what + last,
        (
            "Is the computer that shares it switched on, and does hardlined run there?",
            "Are both computers on the same network? Guest networks and some access points keep devices apart.",
            "Is hardline of the same version on both computers?",
            f"Is the address right? It asks for {label.key_hash}.",
        ),
        retry_after=3,
        more=(f"http://localhost:{door}{TRIED}{label}", "Find out why"),
    )


def what_was_tried(label: Label, tried: Tried, door: int, called: Called = Called(), now: float = 0.0) -> Problem:
    """What became of the last visit to `label` that reached nobody, and which side failed."""
    verdict = judge(tried.attempts)
    both = f"{called.name} ({called.title})" if called.name and called.title else called.name or called.title
    last = f" It was visited last {_ago(now - called.last_seen)}." if called.last_seen else ""
    return Problem(
        200,
        f"Why {shown(both)} was not reached" if both else "Why nobody was reached",
        f"{sentence(verdict.sentence)}{last} Its address is {label}.",
        (sentence(verdict.step),),
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
                (
                    "hardline runs there, but the program that it shares does not answer: only its owner can start it.",
                    "On the host: is that program started, and is its port right in the INI file?",
                ),
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
        sentence(f"{nonsense}{failure.message}"),
        ("If this goes on, look at the log of hardlined on the host.",),
        retry_after=2,
    )


def limit_reached(label: Label, failure: LimitReached) -> Problem:
    """503: a limit of this node."""
    return Problem(503, "This node is busy", sentence(failure.message), _hints(failure), retry_after=5)


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


def problem_page(problem: Problem, *, html: bool, head_only: bool = False, door: int | None = None) -> bytes:
    """The whole response for a problem; at the port `door` are all services."""
    retry = "" if problem.retry_after is None else f"Retry-After: {problem.retry_after}\r\n"
    body = _problem_html(problem, door) if html else _problem_text(problem)
    policy = PATIENT_POLICY if html and retry else POLICY
    return response(problem.status, body, kind=page_kind(html), head_only=head_only, extra=retry, policy=policy)


def _problem_html(problem: Problem, door: int | None) -> str:
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
    again = script = ""
    if problem.retry_after is not None:
        again = (
            f"<p id=again data-every={problem.retry_after} hidden><span role=status>This page tries again by itself "
            f"every {problem.retry_after} seconds.</span> <button type=button>Stop</button></p>"
        )
        script = f"<script>{PATIENCE}</script>"
    everything = (f"http://localhost:{door}/", "All services") if door is not None else None
    if everything and problem.way_out[1] == everything[1]:
        everything = None
    links = " ".join(
        f'<a href="{escaped(target)}">{escaped(text)}</a>'
        for target, text in filter(None, (problem.way_out, problem.more, everything))
    )
    parts.append(f"<footer>{again}{links}</footer>{script}")
    return page(problem.title, "".join(parts))


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


def _origin(attempt: Attempt) -> str:
    kind, finder = attempt.candidate.kind, attempt.candidate.found_by.name
    if finder == REMEMBERED:
        return "memory of an earlier visit"
    return _WAYS[kind] if finder == kind.name else f"{_WAYS[kind]} ({shown(finder)})"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "a moment ago"


def _hints(failure: HardlineError) -> tuple[str, ...]:
    return (sentence(failure.hint),) if failure.hint else ()
