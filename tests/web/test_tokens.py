"""Who may ask: secrets for one login, tokens of browsers, and the end of both."""

from __future__ import annotations

import asyncio
import stat
import threading

import pytest

from hardline.errors import ConfigError
from hardline.web.tokens import HOLDS_FOR, MAX_TOKENS, ONCE_FOR, WRONG_AT_ONCE, Tokens


class Hand:
    """A clock that is set by hand."""

    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Hand()


@pytest.fixture
def tokens(tmp_path, clock):
    return Tokens(tmp_path / "page-tokens", clock)


def run(story):
    return asyncio.run(story())


def test_a_secret_is_good_once(tokens):
    async def story():
        once = tokens.once()
        token = await tokens.login(once)
        assert token is not None
        assert await tokens.digest_of(token) is not None
        assert await tokens.login(once) is None

    run(story)


def test_a_secret_is_good_for_a_minute(tokens, clock):
    async def story():
        once = tokens.once()
        clock.now += ONCE_FOR
        assert await tokens.login(once) is None

    run(story)


def test_a_secret_of_before_the_clock_was_set_back_is_not_good_for_longer(tokens, clock):
    async def story():
        once = tokens.once()
        clock.now -= 3600
        assert await tokens.login(once) is None

    run(story)


def test_a_token_holds_for_thirty_days_and_after_a_restart(tokens, clock, tmp_path):
    async def story():
        token = await tokens.login(tokens.once())
        again = Tokens(tmp_path / "page-tokens", clock)
        assert await again.digest_of(token) is not None
        clock.now += HOLDS_FOR
        assert await again.digest_of(token) is None

    run(story)


def test_nothing_on_the_disk_is_good_for_anything(tokens, tmp_path):
    async def story():
        once = tokens.once()
        token = await tokens.login(once)
        file = tmp_path / "page-tokens"
        assert token not in file.read_text()
        assert once not in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert await tokens.digest_of(file.read_text().split()[0]) is None

    run(story)


def test_a_token_is_of_the_user_whose_browser_got_it(tokens, clock, tmp_path):
    async def story():
        token, anybodys = await tokens.login(tokens.once(), 1000), await tokens.login(tokens.once())
        for kept in (tokens, Tokens(tmp_path / "page-tokens", clock)):
            mine, any_ones = await kept.digest_of(token), await kept.digest_of(anybodys)
            assert [await kept.is_of(mine, user) for user in (1000, 0, None, 1001)] == [True, True, True, False]
            assert [await kept.is_of(any_ones, user) for user in (1000, None)] == [True, True]
            assert not await kept.is_of("0" * 64, 1000)

    run(story)


def test_revoking_forgets_all_and_secrets_that_were_not_used(tokens, clock, tmp_path):
    async def story():
        token, once = await tokens.login(tokens.once()), tokens.once()
        assert await tokens.revoke() == 1
        assert await tokens.digest_of(token) is None
        assert await tokens.login(once) is None
        assert await Tokens(tmp_path / "page-tokens", clock).digest_of(token) is None

    run(story)


def test_the_oldest_gives_way(tokens):
    async def story():
        made = [await tokens.login(tokens.once()) for _ in range(MAX_TOKENS + 1)]
        assert await tokens.digest_of(made[0]) is None
        assert await tokens.digest_of(made[1]) is not None
        assert await tokens.digest_of(made[-1]) is not None

    run(story)


def test_a_disk_that_takes_nothing_gives_no_token_and_keeps_none_that_was_revoked(tmp_path, clock):
    async def story():
        nowhere = Tokens(tmp_path / "missing" / "page-tokens", clock)
        with pytest.raises(ConfigError):
            await nowhere.login(nowhere.once())
        with pytest.raises(ConfigError):
            await nowhere.revoke()

    run(story)


def test_who_guesses_is_slowed_down(tokens, clock):
    assert [tokens.wrong() for _ in range(WRONG_AT_ONCE + 1)] == [False] * WRONG_AT_ONCE + [True]
    clock.now += 1
    assert not tokens.wrong()


@pytest.mark.parametrize(
    "junk", [b"\xff\xfe", b"x" * 70_000, b"abc 12 -\n" + b"0" * 64 + b" soon -\n" + b"0" * 64 + b" 99999999999\n"]
)
def test_a_file_that_is_none_lets_nobody_in(junk, clock, tmp_path):
    (tmp_path / "page-tokens").write_bytes(junk)

    async def story():
        tokens = Tokens(tmp_path / "page-tokens", clock)
        assert await tokens.digest_of("x") is None
        token = await tokens.login(tokens.once())
        assert await tokens.digest_of(token) is not None

    run(story)


def test_who_reads_the_file_late_brings_nothing_back_that_was_revoked(tmp_path, clock, monkeypatch):
    """Two read it at once, and the slower one must not win."""

    async def whole():
        before = Tokens(tmp_path / "page-tokens", clock)
        token = await before.login(before.once())
        tokens = Tokens(tmp_path / "page-tokens", clock)
        read, slow, goes_on = tokens._read, asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def late():
            found = read()
            loop.call_soon_threadsafe(slow.set)
            assert goes_on.wait(60)
            return found

        monkeypatch.setattr(tokens, "_read", late)

        async def revoked():
            await slow.wait()
            monkeypatch.setattr(tokens, "_read", read)
            assert await tokens.revoke() == 1
            goes_on.set()

        await asyncio.gather(tokens.digest_of(token), revoked())
        assert await tokens.digest_of(token) is None

    asyncio.run(whole())
