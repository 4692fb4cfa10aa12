"""Judgements about what is shared here, without I/O: each service, exposure."""

from __future__ import annotations

from collections.abc import Collection

from hardline.doctor.facts import Exposed, Facts, Shared
from hardline.doctor.rows import Row, Unknown, fail, not_checked, ok, warn

SERVICES, EXPOSURE = "services", "exposure"


def services(facts: Facts) -> list[Row]:
    """Whether each is served, and answers."""
    shared = facts.shared
    if isinstance(shared, Unknown):
        return [not_checked(SERVICES, shared)]
    opened = () if isinstance(facts.keys, Unknown) else facts.keys.open
    rows = [row for one in shared if (row := _trouble(one, {key.file for key in opened})) is not None]
    if rows:
        return rows
    if not shared:
        return [ok(SERVICES, "nothing is shared here")]
    paused = sum(one.state == "paused" for one in shared)
    rest = f", {paused} paused" if paused else ""
    return [ok(SERVICES, f"{len(shared) - paused} of {len(shared)} answer{rest}")]


def _trouble(one: Shared, opened: Collection[str]) -> Row | None:
    if one.state == "paused":
        return None
    who = one.title or one.name
    if any(one.problem.startswith(key) for key in opened):
        return warn(SERVICES, f"{who} is not served because of its key: see keys", private=(who, one.name))
    if one.state in ("broken", "stale"):
        serves = "; it is served as it was before" if one.state == "stale" else ""
        where = "" if one.name in one.problem else f"{one.name}: "
        return fail(SERVICES, f"{where}{one.problem}{serves}", one.hint or "mend that line", (who, one.name))
    if one.state == "closed" or one.problem:
        return fail(SERVICES, f"{who}: {one.problem}", one.hint or "see docs/FILES.md", (who, one.name))
    if one.answer:
        sentence = f"{who}: nothing answers at {one.target}: {one.answer}"
        return fail(SERVICES, sentence, "start the program that listens there", (who, one.name))
    return None


def exposure(facts: Facts) -> list[Row]:
    """Whether others get at more than its owner may mean."""
    found = facts.exposed
    if isinstance(found, Unknown):
        return [not_checked(EXPOSURE, found)]
    return [_exposed(one) for one in found] or [ok(EXPOSURE, "nothing is open that should not be")]


def _exposed(one: Exposed) -> Row:
    invited, private = f"hardline change {one.name} --invited", (one.title, one.name)
    match one.kind:
        case "password":
            sentence = f"{one.title}: the password is easy to guess ({one.detail})"
            return warn(EXPOSURE, sentence, f"a longer one in {one.name}.ini, or {invited}", private)
        case _:
            sentence = f"{one.title} is shared with everyone who has the address: {one.detail}"
            return warn(EXPOSURE, sentence, invited, private)
