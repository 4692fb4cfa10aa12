"""Invitations: one key, once, for some days; and a file that nobody else can use."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import ConfigError
from hardline.identity import KeyHash
from hardline.peers.invites import MAX_OPEN, Invite, Invites
from hardline.session.hello import Verdict

SERVICE, OTHER, ANNA = (KeyHash(bytes([digit]) * 20) for digit in (1, 2, 3))
NOW = 1_900_000_000.0
UNTIL = int(NOW) + 60


def test_a_secret_finds_its_own_invitation_and_is_kept_nowhere(tmp_path: Path) -> None:
    async def story() -> None:
        invites = Invites(tmp_path / "invites")
        anna, secret = await invites.make(SERVICE, "Anna", UNTIL, NOW)
        _, another = await invites.make(SERVICE, "Ben", UNTIL, NOW)
        again = Invites(tmp_path / "invites")
        await again.load()
        for one in (invites, again):
            assert one.find(SERVICE, secret) == anna
            assert one.find(OTHER, secret) is None
            assert one.find(SERVICE, secret[:-1]) is None
            assert one.find(SERVICE, f"{secret}ü") is None
        text = (tmp_path / "invites").read_text()
        assert secret not in text
        assert another not in text
        assert (tmp_path / "invites").stat().st_mode & 0o777 == 0o600

    asyncio.run(story())


def test_what_became_of_it_is_said_in_one_word() -> None:
    one = Invite("a1b2c3", str(SERVICE), "Anna", "", UNTIL)
    begun = Invite("a1b2c3", str(SERVICE), "Anna", "", UNTIL, used_by=str(ANNA))
    used = replace(begun, listed=True)
    gone = Invite("a1b2c3", str(SERVICE), "Anna", "", UNTIL, used_by=str(ANNA), withdrawn=True)
    assert [each.verdict(ANNA, NOW) for each in (one, used, gone)] == [Verdict.LET_IN, Verdict.USED, Verdict.WITHDRAWN]
    assert one.verdict(ANNA, UNTIL) is Verdict.EXPIRED
    assert [begun.verdict(who, UNTIL) for who in (ANNA, OTHER)] == [Verdict.LET_IN, Verdict.USED]
    assert [each.is_open(NOW) for each in (one, used, gone)] == [True, False, False]


def test_there_is_an_end_to_open_ones(tmp_path: Path) -> None:
    async def story() -> None:
        invites = Invites(tmp_path / "invites")
        await invites.write((Invite(f"{n:06x}", str(SERVICE), "x", f"{n}", UNTIL) for n in range(MAX_OPEN)), NOW)
        with pytest.raises(ConfigError, match="are open"):
            await invites.make(SERVICE, "Anna", UNTIL, NOW)
        await invites.make(SERVICE, "Anna", UNTIL + 60, UNTIL)
        old = (Invite(f"{n:06x}", str(SERVICE), "x", f"{n}", 5) for n in range(3000))
        await invites.write((*old, Invite("ffffff", str(SERVICE), "Anna", "", UNTIL)), NOW)
        assert len(invites.all) == 2000
        assert invites.all[-1].who == "Anna"

    asyncio.run(story())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_file_is_read_or_left_as_it_is(tmp_path_factory: pytest.TempPathFactory, content: bytes | str) -> None:
    file = tmp_path_factory.mktemp("i") / "invites"
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    before = file.read_bytes()

    async def story() -> None:
        invites = Invites(file)
        await invites.load()
        if before.strip() == b"[]":
            return
        with pytest.raises(ConfigError):
            await invites.make(SERVICE, "Anna", UNTIL, NOW)

    asyncio.run(story())
    assert file.read_bytes() == before
