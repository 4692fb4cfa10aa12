"""Invitations on the wire: what is shown to whom, and when it is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.errors import AccessRefused, HardlineError
from hardline.identity import KeyHash
from hardline.peers.accepted import Accepted
from hardline.session.hello import Verdict
from tests.tunnel.pair import Pair, echo, pair

OLD, NEW = "A" * 22, "B" * 22


class Owner:
    """Lets in who shows NEW; says of OLD what it is told to, when it is told to."""

    def __init__(self, verdict: Verdict = Verdict.UNKNOWN) -> None:
        self.verdict, self.shown = verdict, list[str]()
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.both: Pair | None = None

    async def redeem(self, service: KeyHash, client: KeyHash, secret: str) -> Verdict:
        self.shown.append(secret)
        self.asked.set()
        await self.answers.wait()
        if secret != NEW:
            return self.verdict
        assert self.both is not None
        self.both.service = replace(self.both.service, clients=frozenset([client]))
        self.both.host.replace([self.both.service])
        return Verdict.LET_IN


def told(tmp_path: Path, story: Callable[[Pair, Owner, Accepted], Awaitable[None]], *verdict: Verdict) -> None:
    async def whole() -> None:
        owner, accepted = Owner(*verdict), Accepted(tmp_path / "keys")
        async with pair(tmp_path, echo, invitations=accepted, redeem=owner.redeem) as both:
            owner.both, both.service = both, replace(both.service, clients=frozenset())
            both.host.replace([both.service])
            await story(both, owner, accepted)

    asyncio.run(whole())


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.EXPIRED, Verdict.USED])
@pytest.mark.parametrize("before", ["", OLD])
def test_one_that_is_accepted_while_the_host_judges_another_is_shown_too(
    tmp_path: Path, verdict: Verdict, before: str
) -> None:
    async def story(both: Pair, owner: Owner, accepted: Accepted) -> None:
        label = both.service.label
        if before:
            await accepted.accept(label, before)
        async with asyncio.TaskGroup() as group:

            async def early() -> None:
                with contextlib.suppress(HardlineError):
                    await both.visitor.greet(label)

            group.create_task(early())
            if before:
                await owner.asked.wait()
            else:
                await asyncio.sleep(0)  # its dial is on its way
            await accepted.accept(label, NEW)
            greeting = group.create_task(both.visitor.greet(label))
            await asyncio.sleep(0)
            owner.answers.set()
        path = greeting.result()
        assert path is not None
        assert path.title == "Test"
        assert owner.shown[-1] == NEW
        assert accepted.open == ()
        assert list((tmp_path / "keys").glob("*.invite")) == []
        assert NEW not in repr(path)

    told(tmp_path, story, verdict)


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.WITHDRAWN])
def test_one_that_is_refused_is_shown_once_for_each_try(tmp_path: Path, verdict: Verdict) -> None:
    async def story(both: Pair, owner: Owner, accepted: Accepted) -> None:
        owner.answers.set()
        await accepted.accept(both.service.label, OLD)
        with pytest.raises(AccessRefused, match="withdrawn" if verdict is Verdict.WITHDRAWN else "whom he has invited"):
            await both.visitor.greet(both.service.label)
        assert owner.shown == [OLD]

    told(tmp_path, story, verdict)
