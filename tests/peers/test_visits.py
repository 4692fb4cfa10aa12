"""Visits that are remembered: bounded, summed for each visitor, and never the end of anything."""

from __future__ import annotations

import asyncio
import sqlite3
import stat

from hardline.identity import KeyHash
from hardline.peers import visits
from hardline.peers.visits import PastVisit, Visits

SERVICE, OTHER = KeyHash.parse("a" * 40), KeyHash.parse("b" * 40)
ANNA, BEN = KeyHash.parse("1" * 40), KeyHash.parse("2" * 40)


def visit(client, came, sent=0, kind="LAN", service=SERVICE):
    return PastVisit(service, client, kind, came, 10.0, sent, 1)


def with_visits(path, story, most=100):
    async def whole():
        kept = Visits(path, most)
        try:
            return await story(kept)
        finally:
            await kept.aclose()

    return asyncio.run(whole())


def test_what_a_visitor_has_read_is_summed_and_his_last_path_is_told(tmp_path):
    async def story(kept):
        for one in (visit(ANNA, 100, 5), visit(BEN, 150, 7), visit(ANNA, 200, 6, "RELAYED"), visit(None, 300, 9)):
            await kept.ended(one)
        await kept.ended(visit(ANNA, 900, 99, service=OTHER))

    with_visits(tmp_path / "visits.db", story)
    found = with_visits(tmp_path / "visits.db", lambda kept: kept.of(SERVICE))
    assert found == {
        ANNA: visits.Visited(last=210.0, kind="RELAYED", sent=11, count=2),
        BEN: visits.Visited(last=160.0, kind="LAN", sent=7, count=1),
    }
    assert stat.S_IMODE((tmp_path / "visits.db").stat().st_mode) == 0o600


def test_nobody_came_and_no_file_is_made(tmp_path):
    assert with_visits(tmp_path / "visits.db", lambda kept: kept.of(SERVICE)) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_are_forgotten(tmp_path):
    async def story(kept):
        for came in range(10):
            await kept.ended(visit(ANNA if came < 8 else BEN, came, 1))
        return await kept.of(SERVICE)

    found = with_visits(tmp_path / "visits.db", story, most=3)
    assert (found[ANNA].count, found[BEN].count) == (1, 2)


def test_who_comes_and_goes_all_day_pushes_out_nobody_else(tmp_path):
    async def story(kept):
        await kept.ended(visit(ANNA, 1, 1))
        await kept.ended(visit(ANNA, 2, 1, service=OTHER))
        for came in range(40):
            await kept.ended(visit(None if came % 2 else BEN, came, 1))
        return await kept.of(SERVICE), await kept.of(OTHER)

    here, there = with_visits(tmp_path / "visits.db", story, most=10)
    assert (here[ANNA].count, there[ANNA].count) == (1, 1)
    assert here[BEN].count == 4
    with sqlite3.connect(tmp_path / "visits.db") as database:
        assert database.execute("SELECT count(*) FROM visits").fetchone() == (10,)


def test_a_file_that_is_none_is_put_aside(tmp_path):
    (tmp_path / "visits.db").write_bytes(b"no database" * 1000)

    async def story(kept):
        await kept.ended(visit(ANNA, 1, 1))
        return await kept.of(SERVICE)

    assert with_visits(tmp_path / "visits.db", story)[ANNA].count == 1
    assert (tmp_path / "visits.db.broken").exists()


def test_rows_that_somebody_else_wrote_are_passed_over(tmp_path):
    async def story(kept):
        await kept.ended(visit(ANNA, 1, 1))

    with_visits(tmp_path / "visits.db", story)
    database = sqlite3.connect(tmp_path / "visits.db")
    with database:
        database.execute("UPDATE visits SET client = 'nobody'")
    database.close()
    assert with_visits(tmp_path / "visits.db", lambda kept: kept.of(SERVICE)) == {}
