"""All checks at once: rows as they come, limits, and nodes that cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from hardline.doctor import examine as examining
from hardline.doctor.checks import NAMES
from hardline.doctor.examine import by_check, examine
from hardline.doctor.facts import Firewall, Routes, written
from hardline.doctor.rows import Row, State
from hardline.errors import ConfigError, Deaf, NoDaemon
from tests.doctor.healthy import healthy
from tests.doctor.healthy import status as told

HANGS = object()


class Said:
    """A node that says what it is told to say; what is an error is raised, and HANGS never answers."""

    def __init__(self, **facts: Any) -> None:
        found = healthy()
        names = ("lan", "dht", "dialled_back", "shared", "keys", "places", "exposed", "ports")
        self.said = {"status": told(pid=1), **{name: written(getattr(found, name)) for name in names}, **facts}
        self.left = asyncio.Event()

    async def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self.facts("status")
        return found

    async def facts(self, about: str) -> Any:
        said = self.said[about]
        if isinstance(said, Exception):
            raise said
        if said is HANGS:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        return said


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to this computer is as it should be."""
    found = healthy()

    async def resolving() -> Any:
        return found.resolving

    async def firewall(wanted: Any) -> Any:
        return Firewall("")

    monkeypatch.setattr(examining.session, "resolving", resolving)
    monkeypatch.setattr(examining.session, "routes", lambda: Routes(healthy().routes.default))  # type: ignore[union-attr]
    monkeypatch.setattr(examining.session, "clock", lambda: found.clock)
    monkeypatch.setattr(examining, "first_hops", lambda: ())
    monkeypatch.setattr(examining.firewall, "look", firewall)


def run(make: Callable[[], Said]) -> list[Row]:
    async def all_of_them() -> list[Row]:
        return [row async for row in examine(make())]

    return asyncio.run(all_of_them())


def of(rows: list[Row], check: str) -> Row:
    [row] = [row for row in rows if row.check == check]
    return row


def test_every_check_is_said_once_and_has_its_time() -> None:
    rows = run(Said)
    assert sorted(row.check for row in rows) == sorted(NAMES)
    assert {row.state for row in rows if row.check not in ("survives logout", "daemon")} == {State.OK}
    assert all(row.took_s is not None for row in rows)


def test_what_is_known_is_said_while_others_are_waited_for() -> None:
    async def first() -> tuple[list[str], bool]:
        node = Said(lan=HANGS, dht=HANGS)
        heard = list[str]()
        async with aclosing(by_check(node)) as checks:
            async for rows in checks:
                heard += [row.check for row in rows]
                if len(heard) == len(NAMES) - 5:
                    break
        return heard, node.left.is_set()

    heard, left = asyncio.run(first())
    assert set(NAMES) - set(heard) == {"multicast", "neighbours", "other hardline", "clock", "DHT"}
    assert left


def test_what_does_not_answer_in_time_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(examining.LIMITS, "dht", 0.05)
    row = of(run(lambda: Said(dht=HANGS)), "DHT")
    assert (row.state, row.sentence) == (State.NOT_CHECKED, "no answer within 0.05 s")


def test_all_limits_together_are_less_than_15_seconds() -> None:
    # What waits for another fact first has the longer limit of both.
    assert max(examining.LIMIT, *examining.LIMITS.values()) < 15
    assert examining.LIMITS["resolving"] > examining.LIMIT


@pytest.mark.parametrize("said", [None, [], {"others": 7}, {"now": "late"}, "x", {"now": 1.0, "voices": [None]}])
def test_a_node_of_another_version_is_told_and_spoils_nothing_else(said: Any) -> None:
    rows = run(lambda: Said(lan=said))
    row = of(rows, "multicast")
    assert (row.state, row.do) == (State.NOT_CHECKED, "restart it")
    assert of(rows, "services").state is State.OK


def test_a_status_that_lacks_what_is_looked_for_is_of_another_version() -> None:
    rows = run(lambda: Said(status={"version": "0.9", "pid": 1}))
    assert of(rows, "router").sentence == "the hardlined that runs is of another version"
    assert of(rows, "daemon").state is State.WARN


def test_why_a_fact_is_not_known_is_said() -> None:
    unknown = {"unknown": "the disk gave no answer", "do": "dmesg"}
    rows = run(lambda: Said(places=unknown, keys=ConfigError("no permission", hint="ask its owner")))
    assert (of(rows, "disk").sentence, of(rows, "disk").do) == ("the disk gave no answer", "dmesg")
    assert (of(rows, "keys").sentence, of(rows, "keys").do) == ("no permission", "ask its owner")


def test_where_no_daemon_runs_the_rest_is_looked_at() -> None:
    nobody = NoDaemon("no hardlined runs on the data directory /d", "start one")
    rows = run(lambda: Said(status=nobody, dht={"unknown": "no hardlined runs"}))
    assert (of(rows, "daemon").state, of(rows, "daemon").do) == (State.FAIL, "start one")
    assert of(rows, "reached").sentence == "no hardlined runs"
    assert of(rows, "services").state is State.OK


def test_a_daemon_that_is_deaf_fails_once_and_the_rest_is_looked_at() -> None:
    rows = run(lambda: Said(status=Deaf("it gave no answer", "end it"), dht={"unknown": "hardlined does not answer"}))
    assert (of(rows, "daemon").state, of(rows, "daemon").do) == (State.FAIL, "end it")
    assert {of(rows, name).sentence for name in ("reached", "survives logout")} == {"hardlined does not answer"}
    assert of(rows, "services").state is State.OK


def test_the_names_of_relays_are_for_its_owner_only() -> None:
    rows = run(lambda: Said(dialled_back=[{"relay": "relay.example:7008", "result": "came", "at": "1.2.3.4:7008"}]))
    assert "relay.example" in of(rows, "reached").sentence
    assert "relay.example" in of(rows, "reached").private
