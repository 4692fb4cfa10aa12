"""What `hardline status --json` says: one description of a running node, as plain dictionaries.

The shape is a promise to scripts: keys are added, never renamed (docs/STATUS.md).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from hardline.identity import KeyHash, Label
from hardline.routes import Attempt, RememberedHost, via
from hardline.servicedir import Problem, Service
from hardline.tunnel.guests import Guest
from hardline.tunnel.link import Path
from hardline.tunnel.originals import OpenOriginal
from hardline.tunnel.visit import VisitRecord

_WHOSE = re.compile(r"\.[0-9a-f]{8}(?=\.|\Z)|(?<=\.attempt)\..*")  # parts of a task's name: a hash, an address
CLOSED_HINT = "to let everybody in who has the address, remove clients from [Access]"
_KIND_OF_WORK = re.compile(r"[A-Za-z -]+(\.[A-Za-z -]+)*")


def url_of(label: Label, door_port: int) -> str:
    """The address that a person types."""
    return f"http://{label}.localhost:{door_port}/"


def describe_services(
    services: Mapping[str, Service],
    problems: Mapping[str, Problem],
    door_port: int,
    announced: Callable[[KeyHash], Mapping[str, Any] | None] = lambda key_hash: None,
    now: float = 0.0,
    troubles: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Every file of the service directory: serving, stale (it broke, its last good version serves on), broken, closed.

    `announced` says what became of announcing a service in the DHT; `now` is seconds since 1970; `troubles` is what
    keeps services of a name from answering although their files are right.
    """
    rows = []
    for name in sorted({*services, *problems}):
        service, problem = services.get(name), problems.get(name)
        state = "serving" if problem is None else "stale" if service else "broken"
        row: dict[str, Any] = {"name": name, "state": state, "problem": None, "hint": None}
        if service is not None:
            row |= {
                "title": service.title,
                "label": str(service.label),
                "url": url_of(service.label, door_port),
                "file": str(service.file),
                "target": target_of(service),
                "listed": service.settings.listed,
                "notes": list(service.settings.notes),
                "dht": (said := announced(service.key_hash)),
                "announced": describe_announced(said, wanted=service.settings.access.use_dht, now=now),
            }
            if closed := service.settings.closed:
                row |= {
                    "state": "closed",
                    "announced": "not announced in the DHT",
                    "problem": closed,
                    "hint": CLOSED_HINT,
                }
            elif trouble := (troubles or {}).get(name):
                row["problem"] = trouble
        if problem is not None:
            row |= {"problem": problem.message, "hint": problem.hint, "file": str(problem.file)}
        rows.append(row)
    return rows


def describe_outside(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the world reaches this node, in a word and in a sentence for people, before the facts themselves.

    `state`: `confirmed` when a visitor from outside came, `expected` when there is a way, `local` when none is known.
    """
    ways, reached = facts["endpoints"], facts["reached"]
    if reached:
        state, sentence = "confirmed", f"reachable from outside: a visitor came by {reached[0]}"
    elif ways:
        first = ways[0]
        state, sentence = "expected", f"should be reachable from outside at {first['endpoint']} ({first['by']})"
    elif facts["only_here"]:
        state, sentence = "local", "reachable on this machine only ([Node] bind)"
    else:
        state, sentence = "local", "reachable on this network only, as far as is known"
    return {"state": state, "sentence": sentence, **facts}


def describe_announced(said: Mapping[str, Any] | None, *, wanted: bool, now: float) -> str:
    """What became of announcing a service in the DHT, as a sentence; `now` is seconds since 1970."""
    if not wanted:
        return "not announced in the DHT (useDHT = no)"
    if said is None:
        return "not announced: the DHT is not used ([DHT] enabled = no)"
    if said["problem"]:
        return f"not announced in the DHT: {said['problem']}"
    if said["announced"] is None:
        return "not announced in the DHT yet"
    back = said["read_back"]
    whether = f"read back {_ago(now - back)}" if back and back >= said["announced"] else "not read back yet"
    return f"announced in the DHT {_ago(now - said['announced'])}, {whether}"


def _ago(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def target_of(service: Service) -> str:
    """What is shared, as people read it."""
    target, directory = service.settings.target, service.settings.cache.directory
    return str(target) if target else f"the files of {directory}"


def describe_visiting(path: Path, now: float) -> dict[str, Any]:
    """A session to a host; `now` is the event loop's time."""
    candidate = path.route.candidate
    return {
        "role": "visiting",
        "key_hash": str(path.label.key_hash),
        "label": str(path.label),
        "title": path.title,
        "protocol": path.route.protocol,
        "via": candidate.via,
        "kind": candidate.kind.name,
        "found_by": candidate.found_by.name,
        "endpoint": str(candidate.endpoint),
        "passed_over": list(path.route.passed_over),
        "draining": path.session.draining,
        "steps_s": {step: took if took is None else round(took, 6) for step, took in asdict(path.route.steps).items()},
        "streams": path.session.open_streams,
        "sent": path.session.sent,
        "received": path.session.received,
        "round_trip_s": round(path.session.round_trip, 6),
        "since_s": round(now - path.session.opened_at, 3),
    }


def describe_original(original: OpenOriginal, now: float) -> dict[str, Any]:
    """A visit to an original, which takes a connection of its own; `now` is the event loop's time."""
    return {
        "role": "visiting",
        "key_hash": str(original.label.key_hash),
        "label": str(original.label),
        "title": "",
        "protocol": "hardline/1",
        "via": original.candidate.via,
        "kind": original.candidate.kind.name,
        "found_by": original.candidate.found_by.name,
        "endpoint": str(original.candidate.endpoint),
        "draining": False,
        "streams": 1,
        "sent": None,
        "received": None,
        "round_trip_s": None,
        "since_s": round(now - original.opened_at, 3),
    }


def describe_hosting(guest: Guest, services: Iterable[Service], clock: float) -> dict[str, Any]:
    """A visitor that is connected; `clock` is seconds since 1970."""
    label, title = str(guest.key_hash), ""
    for service in services:
        if service.label.key_hash == guest.key_hash:
            label, title = str(service.label), service.title
    session = guest.session
    return {
        "role": "hosting",
        "key_hash": str(guest.key_hash),
        "label": label,
        "title": title,
        "protocol": guest.protocol,
        "via": "INCOMING",
        "kind": None,
        "found_by": None,
        "endpoint": str(guest.source),
        "draining": session.draining if session else False,
        "streams": session.open_streams if session else 1,
        "sent": session.sent if session else None,
        "received": session.received if session else None,
        "round_trip_s": round(session.round_trip, 6) if session else None,
        "since_s": round(clock - guest.since, 3),
    }


def describe_peer(key_hash: KeyHash, host: RememberedHost) -> dict[str, Any]:
    """A host that this node remembers."""
    return {
        "key_hash": str(key_hash),
        "title": host.title,
        "protocol": host.protocol or None,
        "endpoint": str(host.endpoint) if host.endpoint else None,
        "via": None if host.kind is None else via(host.kind),
        "kind": None if host.kind is None else host.kind.name,
        "wan_hosts": [str(endpoint) for endpoint in host.wan_hosts],
        "first_seen": host.first_seen,
        "last_seen": host.last_seen,
    }


def describe_visit(record: VisitRecord) -> dict[str, Any]:
    """One of the last visits, and the path it took."""
    candidate = record.candidate
    return {
        "label": str(record.label),
        "key_hash": str(record.label.key_hash),
        "status": record.status,
        "via": candidate.via if candidate else None,
        "kind": candidate.kind.name if candidate else None,
        "found_by": candidate.found_by.name if candidate else None,
        "endpoint": str(candidate.endpoint) if candidate else None,
        "protocol": record.protocol or None,
    }


def describe_tried(label: Label, attempts: Iterable[Attempt], reasons: Iterable[str]) -> dict[str, Any]:
    """What was tried for a visit that reached nobody, and what came of it."""
    return {
        "label": str(label),
        "attempts": [
            {
                "endpoint": str(attempt.candidate.endpoint),
                "via": attempt.candidate.via,
                "kind": attempt.candidate.kind.name,
                "found_by": attempt.candidate.found_by.name,
                "took_s": round(attempt.took, 3),
                "failure": attempt.failure,
            }
            for attempt in attempts
        ],
        "reasons": list(reasons),
    }


def describe_process(task_names: Iterable[str]) -> dict[str, Any]:
    """What the process holds at this moment; whoever looks for leaks compares two quiet moments.

    Tasks are counted by the kind of their work; those that the program did not name are `other`.
    """
    kinds = Counter(_kind_of_work(name) for name in task_names)
    return {"tasks": dict(sorted(kinds.items())), "descriptors": _descriptors()}


def _kind_of_work(task_name: str) -> str:
    """`dial.8c164f27.attempt.10.77.1.10:7008` → `dial.attempt`."""
    kind = _WHOSE.sub("", task_name)
    return kind if _KIND_OF_WORK.fullmatch(kind) else "other"


def _descriptors() -> int | None:
    """Open descriptors, without the one that looks; None where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None
