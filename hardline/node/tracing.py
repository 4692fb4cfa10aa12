"""A visit made to be watched: who knows where the host is, and what becomes of each step to it.

    known ─▶ LAN, DNS-SD, memory, DHT, relays ─┐ at once, each by itself
          └▶ dial, TLS, hello ─────────────────┴─▶ service

The steps are those of any visit; the finders are asked once more beside it, so that each can be heard alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from hardline.discovery.merged import MergedFinder
from hardline.doctor.visit import DIAL, HELLO, KNOWN, SERVICE, TLS, Step
from hardline.errors import (
    AccessRefused,
    ConnectionLost,
    HardlineError,
    LimitReached,
    PasswordRefused,
    PeerError,
    ServiceFailed,
)
from hardline.identity import KeyHash, Label
from hardline.node.snapshot import Match
from hardline.routes import Attempt, Candidate, Finder, NoRoute
from hardline.tasks import TaskSet
from hardline.tunnel.joining import open_visit
from hardline.tunnel.link import Path
from hardline.tunnel.visitor import Visitor

FINDS_WITHIN = 9.0  # seconds
MORE_WITHIN = 1.0  # seconds after the first that it finds
GREETED_WITHIN = 11.0
ANSWERED_WITHIN = 4.0
MOST_FOUND, MOST_ATTEMPTS = 16, 16


async def trace(
    what: str, find: Callable[[str], Awaitable[Match]], finders: MergedFinder, visitor: Visitor
) -> AsyncGenerator[Step, None]:
    """Yield each step as it is over.  Raises WrongArgument where nothing is meant.  Safe to leave half-way (aclose)."""
    match = await find(what)
    label = Label.parse(match.label)
    who = match.name or match.title
    yield Step(KNOWN, True, f"{who}, {match.how}" if who else match.how, key=match.key_hash)
    tasks = TaskSet("trace")
    came: asyncio.Queue[Step | None] = asyncio.Queue()
    try:
        greeting = tasks.start(_greet(visitor, label), "greet")
        asked = [one for one in finders.each if one.name != "this node" or match.how == "shared here"]
        for finder in asked:
            tasks.start(_ask(finder, label.key_hash, came), finder.name)
        for _ in asked:
            if (step := await came.get()) is not None:
                yield step
        steps, reached = await greeting
        for step in steps:
            yield step
        if reached:
            yield await _serve(visitor, label)
    finally:
        await tasks.aclose()


async def _ask(finder: Finder, target: KeyHash, came: asyncio.Queue[Step | None]) -> None:
    """What one finder says."""
    loop = asyncio.get_running_loop()
    began, found, first, why = loop.time(), list[Candidate](), None, ""
    candidates = finder.find(target)
    try:
        async with asyncio.timeout(FINDS_WITHIN) as limit:
            async for candidate in candidates:
                if first is None:
                    first = loop.time() - began
                    limit.reschedule(loop.time() + MORE_WITHIN)
                found.append(candidate)
                if len(found) >= MOST_FOUND:
                    break
    except TimeoutError:
        why = "" if found else f"no answer within {FINDS_WITHIN:g} s"
    except HardlineError as failure:
        why = failure.message
    except Exception as failure:
        why = type(failure).__name__
    finally:
        if isinstance(candidates, AsyncGenerator):
            with suppress(Exception):
                await candidates.aclose()
    took = loop.time() - began if first is None else first
    at = tuple(dict.fromkeys(str(one.endpoint) for one in found))
    came.put_nowait(Step(finder.name, bool(found), why, took, at=at, finds=True))


async def _greet(visitor: Visitor, label: Label) -> tuple[list[Step], bool]:
    """The steps to the host's hello, and whether that came."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(GREETED_WITHIN):
            path = await visitor.greet(label)
    except NoRoute as failure:
        return [_tried(one) for one in failure.attempts[:MOST_ATTEMPTS]] or [
            Step(DIAL, None, "there is nobody to dial", loop.time() - began)
        ], False
    except TimeoutError:
        return [Step(HELLO, False, f"no answer within {GREETED_WITHIN:g} s", evidence="silent")], False
    except (AccessRefused, PasswordRefused) as refused:
        kind = "access" if isinstance(refused, AccessRefused) else "password"
        return [Step(HELLO, False, refused.message, loop.time() - began, evidence=kind)], False
    except (ConnectionLost, PeerError, ServiceFailed, LimitReached) as failure:
        kind = "full" if isinstance(failure, ServiceFailed | LimitReached) else "broken"
        return [Step(HELLO, False, failure.message, loop.time() - began, evidence=kind)], False
    if path is None:
        return [Step(HELLO, True, "it answers by hardline/1", loop.time() - began, evidence="original")], True
    return _went(path, before=path.session.opened_at < began), True


def _went(path: Path, *, before: bool) -> list[Step]:
    """The steps of a path that leads there."""
    candidate, took = path.route.candidate, path.route.steps
    at = (str(candidate.endpoint),)
    by = f"{candidate.kind.name}, found by {candidate.found_by.name}"
    how = f"{by}, by the session that was there" if before else by
    connected = None if took.tcp is None else (took.resolve or 0.0) + took.tcp
    return [
        Step(DIAL, True, how, connected, at=at),
        Step(TLS, True, "its certificate is the right one", took.tls),
        Step(HELLO, True, f"{path.route.protocol}, {path.title or 'untitled'}", took.hello),
    ]


def _tried(attempt: Attempt) -> Step:
    """One that failed: at TLS where it was connected."""
    connected = attempt.steps.tcp is not None
    by = attempt.candidate.found_by.name
    detail = f"found by {by}: {attempt.failure}"
    at = (str(attempt.candidate.endpoint),)
    return Step(TLS if connected else DIAL, False, detail, attempt.took, at=at, evidence=_evidence(attempt, connected))


def _evidence(attempt: Attempt, connected: bool) -> str:
    said = attempt.failure
    if said.startswith("wrong certificate"):
        return "another"
    if "not registered at this relay" in said or "cannot reach it now" in said:
        return "relay"
    if connected:
        return "broken"
    if said == "connection refused":
        return "refused"
    if said == "network is unreachable":
        return "no way"
    return "silent"


async def _serve(visitor: Visitor, label: Label) -> Step:
    """Whether what is shared answers."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(ANSWERED_WITHIN):
            visit, _ = await open_visit(visitor, label, b"", repeatable=True)
            await visit.pipe.aclose()
            visit.record.status = "ok"
    except TimeoutError:
        return Step(SERVICE, False, f"no answer within {ANSWERED_WITHIN:g} s", evidence="timeout")
    except ServiceFailed as failure:
        return Step(SERVICE, False, failure.message, loop.time() - began, evidence=failure.kind)
    except PasswordRefused as refused:
        return Step(SERVICE, False, refused.message, loop.time() - began, evidence="password")
    except HardlineError as failure:
        return Step(SERVICE, False, failure.message, loop.time() - began, evidence="broken")
    return Step(SERVICE, True, "it answers", loop.time() - began)
