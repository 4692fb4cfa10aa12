"""Inviting people: what is written when, who comes at the same moment, and lists that somebody else wrote."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.errors import ConfigError, ConnectionLost, WrongArgument
from hardline.identity import KeyHash
from hardline.node import inviting
from hardline.node.inviting import Inviting
from hardline.peers import invites
from hardline.peers.invites import Invites
from hardline.session.hello import Verdict
from hardline.settings.clients import MAX_CLIENTS, parse_clients
from hardline.settings.directory import MAX_CLIENTS_FILE, Service, ServiceDirectory

ANNA, BEN = (KeyHash(bytes([digit]) * 20) for digit in (2, 3))


class Owner:
    """A directory with one service; its list is followed as soon as somebody waits for that."""

    def __init__(self, place: Path) -> None:
        self.place, self.file = place, place / "photos.ini"
        self.list = place / "photos.ini.clients"
        if not self.file.exists():
            self.file.write_text("[Service]\nservice = localhost\nport = 1\n[Access]\nclients = invited\n")
        self.directory = ServiceDirectory(place)
        self.directory.load()
        self.given = Invites(place / "invites")
        self.inviting = Inviting(self.given, services=self.services, taken_up=self.taken_up)

    @property
    def service(self) -> Service:
        return self.directory.services["photos"]

    def services(self) -> dict[KeyHash, Service]:
        return {one.key_hash: one for one in self.directory.services.values() if not one.settings.closed}

    async def taken_up(self, condition: Callable[[], bool]) -> None:
        await asyncio.sleep(0.05)
        await asyncio.to_thread(self.directory.load)
        if not condition():
            raise ConfigError("it was not taken up")

    async def invited(self, who: str = "Anna") -> str:
        return (await self.inviting.invite(self.service, who, 7.0))[1]

    async def shown(self, client: KeyHash, secret: str) -> Verdict:
        return await self.inviting.redeem(self.service.key_hash, client, secret)

    def lets_in(self, client: KeyHash) -> bool:
        return self.services()[self.service.key_hash].lets_in(client)


def told(tmp_path: Path, story: Callable[[Owner], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        owner = Owner(tmp_path)
        await owner.inviting.load(owner.directory.services.values())
        await story(owner)
        await owner.inviting.aclose()

    asyncio.run(whole())


def test_the_same_key_twice_at_once_is_let_in_and_of_two_keys_one(tmp_path: Path) -> None:
    async def story(owner: Owner) -> None:
        async def comes(client: KeyHash, secret: str) -> bool:
            return await owner.shown(client, secret) is Verdict.LET_IN and owner.lets_in(client)

        secret = await owner.invited()
        assert await asyncio.gather(*(comes(ANNA, secret) for _ in range(3))) == [True, True, True]
        assert owner.list.read_text().count(str(ANNA)) == 1
        secret = await owner.invited("Ben")
        others = [KeyHash(bytes([digit]) * 20) for digit in (7, 8, 9)]
        assert sum(await asyncio.gather(*(comes(other, secret) for other in others))) == 1

    told(tmp_path, story)


class Crash(Exception):
    """Nothing that the program expects: it is as if it had ended there."""


@pytest.mark.parametrize("write", range(3))
@pytest.mark.parametrize("done", [False, True])
def test_who_is_stopped_between_two_writes_comes_in_by_the_same_invitation_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int, done: bool
) -> None:
    secret = ""
    left = write

    def crashing(original: Callable[[Path, bytes], None]) -> Callable[[Path, bytes], None]:
        def writes(file: Path, data: bytes) -> None:
            nonlocal left
            left -= 1
            if left == -1 and not done:
                raise Crash
            original(file, data)
            if left == -1:
                raise Crash

        return writes

    async def first(owner: Owner) -> None:
        nonlocal secret
        secret = await owner.invited()
        with monkeypatch.context() as patched:
            stops = crashing(inviting.replace_whole)
            patched.setattr(inviting, "replace_whole", stops)
            patched.setattr(invites, "replace_whole", stops)
            with pytest.raises(Crash):
                await owner.shown(ANNA, secret)

    async def second(owner: Owner) -> None:
        await owner.taken_up(lambda: True)
        if write < 1 and not done:
            assert not owner.lets_in(ANNA)
        else:
            assert await owner.shown(BEN, secret) is Verdict.USED
        if not owner.lets_in(ANNA):
            assert await owner.shown(ANNA, secret) is Verdict.LET_IN
        assert owner.lets_in(ANNA)
        owner.list.write_text("# nobody\n")
        await owner.taken_up(lambda: True)
        assert await owner.shown(ANNA, secret) is Verdict.USED

    told(tmp_path, first)
    told(tmp_path, second)


def test_a_list_that_cannot_be_written_uses_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story(owner: Owner) -> None:
        secret = await owner.invited()
        with monkeypatch.context() as patched:
            patched.setattr(inviting, "replace_whole", full)
            with pytest.raises(ConnectionLost):
                await owner.shown(ANNA, secret)
        assert not owner.lets_in(ANNA)
        assert await owner.shown(ANNA, secret) is Verdict.LET_IN
        assert owner.lets_in(ANNA)

    told(tmp_path, story)


def test_who_gives_up_meanwhile_leaves_nothing_half_written(tmp_path: Path) -> None:
    async def story(owner: Owner) -> None:
        for wait in range(12):
            secret, client = await owner.invited(), KeyHash(bytes([wait + 10]) * 20)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait / 2000):
                    await owner.shown(client, secret)
            assert await owner.shown(client, secret) is Verdict.LET_IN
            assert owner.lets_in(client)

    told(tmp_path, story)


@pytest.mark.parametrize(
    "full",
    [
        "".join(f"{number:040x}\n" for number in range(1, MAX_CLIENTS + 1)),
        "# nobody\n" * (2 * MAX_CLIENTS),
        f"{'1' * 40} {'x' * (MAX_CLIENTS_FILE - 80)}\n",
    ],
    ids=["clients", "lines", "bytes"],
)
def test_a_full_list_keeps_whom_it_has(tmp_path: Path, full: str) -> None:
    async def story(owner: Owner) -> None:
        owner.list.write_text(full)
        secret = await owner.invited()
        with pytest.raises(ConnectionLost):
            await owner.shown(ANNA, secret)
        assert owner.list.read_text() == full
        owner.list.write_text("")
        assert await owner.shown(ANNA, secret) is Verdict.LET_IN

    told(tmp_path, story)


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"# f\xfcr Freunde\r\n", b"nonsense\r", b""])
def test_lists_that_other_programs_wrote_are_read_and_revoked_from(tmp_path: Path, before: bytes) -> None:
    async def story(owner: Owner) -> None:
        owner.list.write_bytes(before + f"{ANNA} J".encode() + b"\xf6rg\r\n")
        await owner.taken_up(lambda: owner.lets_in(ANNA))
        assert await owner.shown(BEN, await owner.invited("Ben")) is Verdict.LET_IN
        (let_in, _), (first, second) = await owner.inviting.who(owner.service), (ANNA, BEN)
        assert [row.key_hash for row in let_in] == [str(first), str(second)]
        await owner.inviting.revoke(owner.service, str(ANNA)[:8])
        await owner.inviting.revoke(owner.service, "Ben")
        assert parse_clients(owner.list.read_text(errors="replace"), "x").allowed == frozenset()
        assert owner.list.read_bytes() == before.removeprefix(b"\xef\xbb\xbf")

    told(tmp_path, story)


@pytest.mark.parametrize("change", ["everyone", "paused", "gone"])
def test_revoking_needs_nobody_to_be_served(tmp_path: Path, change: str) -> None:
    async def story(owner: Owner) -> None:
        secret = await owner.invited()
        await owner.shown(ANNA, secret)
        service = owner.service
        text = owner.file.read_text()
        if change == "gone":
            owner.file.unlink()
        else:
            owner.file.write_text(
                text.replace("invited", "everyone") if change == "everyone" else f"{text}paused=yes\n"
            )
        await owner.taken_up(lambda: True)
        assert [row.who for row in await owner.inviting.revoke(service, "anna")] == ["Anna"]
        assert str(ANNA) not in owner.list.read_text()

    told(tmp_path, story)


def test_nobody_in_particular_is_not_revoked(tmp_path: Path) -> None:
    async def story(owner: Owner) -> None:
        owner.list.write_text(f"{ANNA}\n")
        with pytest.raises(WrongArgument):
            await owner.inviting.revoke(owner.service, " ")
        assert owner.list.read_text() == f"{ANNA}\n"
        with pytest.raises(WrongArgument, match="nobody called"):
            await owner.inviting.revoke(replace(owner.service, file=None), "Anna")

    told(tmp_path, story)


def test_who_is_revoked_goes_though_his_invitation_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story(owner: Owner) -> None:
        await owner.shown(ANNA, await owner.invited())
        with monkeypatch.context() as patched:
            patched.setattr(invites, "replace_whole", full)
            with pytest.raises(ConfigError, match="no space"):
                await owner.inviting.revoke(owner.service, "Anna")
        assert str(ANNA) not in owner.list.read_text()
        await owner.inviting.revoke(owner.service, "Anna")

    told(tmp_path, story)


def test_what_its_owner_writes_into_the_list_at_the_same_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = invites.replace_whole

    async def story(owner: Owner) -> None:
        secret = await owner.invited()

        def edited(file: Path, data: bytes) -> None:
            write(file, data)
            before = owner.list.read_text() if owner.list.exists() else ""
            owner.list.write_text(f"{before}# edited\n")

        monkeypatch.setattr(invites, "replace_whole", edited)
        assert await owner.shown(ANNA, secret) is Verdict.LET_IN
        assert owner.list.read_text().startswith("# edited\n")
        await owner.inviting.revoke(owner.service, "Anna")
        assert owner.list.read_text() == "# edited\n" * 3

    told(tmp_path, story)
