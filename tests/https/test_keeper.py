"""One name's certificate over days, on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from hardline.errors import CertificateError, HardlineError
from hardline.https.keeper import Keeper
from hardline.https.store import Certificate, Store, certificate_of
from hardline.tasks import TaskSet
from tests.https.certified import LittleAuthority, a_certificate, as_pem
from tests.support.clock import run, settled

NAME = "nas.example.org"
DAY, YEAR_2026 = 86_400.0, 1_767_225_600.0
LIFE = 9 * DAY


class Issuer:
    """An authority; `refuses` is why it certifies nobody."""

    def __init__(self, clock: Callable[[], float], keeper: Callable[[], Keeper]) -> None:
        self._clock, self._keeper = clock, keeper
        self._authority = LittleAuthority()
        self.asked: list[float] = []
        self.keys: set[int] = set()
        self.shown: list[bool] = []
        self.refuses = ""
        self.suggests: float | None = None

    async def certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, prove: Callable[[object], None]
    ) -> Certificate:
        now = self._clock()
        self.asked.append(now)
        self.keys.add(key.public_key().public_numbers().x)
        (proof, *_), own = await asyncio.to_thread(a_certificate, name)
        prove((proof, own))
        self.shown.append(self._keeper().proof is not None)
        await asyncio.sleep(2)
        if self.refuses:
            raise HardlineError(self.refuses)
        chain = self._authority.certify(name, key, int(now), int(now + LIFE))
        return certificate_of(as_pem(chain), name, key)

    async def wants_renewal(self, certificate: Certificate) -> float | None:
        return self.suggests


class Kept:
    """A name, its keeper and its authority."""

    def __init__(self, directory: Path, *, registered: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self._began = self.loop.time()
        self.registered, self.changes, self.ahead = registered, 0, 0.0
        self.store = Store(directory / "https")
        self.issuer = Issuer(self.now, lambda: self.keeper)
        self.keeper = Keeper(
            NAME,
            self.store,
            self._issuer,
            registered=lambda: self.registered,
            clock=lambda: self.now() + self.ahead,
            changed=self._changed,
        )
        self.tasks = TaskSet("test")
        self.tasks.start(self.keeper.run(), "keep")

    def now(self) -> float:
        return YEAR_2026 + self.loop.time() - self._began

    async def _issuer(self) -> Issuer:
        return self.issuer

    def _changed(self) -> None:
        self.changes += 1

    @property
    def state(self) -> str:
        return self.keeper.kept.state

    @property
    def context(self) -> SSL.Context | None:
        return self.keeper.context


def test_it_is_asked_for_once_a_relay_brings_visitors_and_renewed_at_two_thirds_of_its_life(tmp_path: Path) -> None:
    async def story() -> None:
        one = Kept(tmp_path, registered=False)
        await asyncio.sleep(2 * DAY)
        assert (one.state, one.issuer.asked) == ("waiting", [])
        one.registered = True
        one.keeper.wake()
        began = one.now()
        await settled()
        assert one.state == "asking"
        await asyncio.sleep(3)
        assert one.state == "serving"
        first = one.context
        assert first is not None
        await asyncio.sleep(5.9 * DAY)
        assert one.context is first
        await asyncio.sleep(0.2 * DAY)
        assert one.context not in (None, first)
        [_, again] = one.issuer.asked
        assert abs(again - began - 6 * DAY) < 5
        assert len(one.issuer.keys) == 1, "it keeps its key"
        assert one.issuer.shown == [True, True]
        assert one.keeper.proof is None
        await one.tasks.aclose()

    run(story, None)


def test_who_is_refused_asks_ever_later_and_at_once_when_the_owner_changes_something(tmp_path: Path) -> None:
    async def story() -> None:
        one = Kept(tmp_path)
        one.issuer.refuses = "no"
        await asyncio.sleep(2 * DAY)
        assert (one.state, one.keeper.kept.problem, one.context) == ("refused", "no", None)
        pauses = [round(after - before) for before, after in zip(one.issuer.asked, one.issuer.asked[1:], strict=False)]
        for pause, wanted in zip(pauses, (60, 180, 540, 1620, 4860, 14_580, 43_200, 43_200), strict=False):
            assert 0.89 * wanted <= pause - 2 <= 1.11 * wanted + 1
        assert len(pauses) <= 10
        assert one.keeper.proof is None
        one.issuer.refuses = ""
        before = one.now()
        one.keeper.forgive()
        await asyncio.sleep(3)
        assert one.state == "serving"
        assert one.issuer.asked[-1] - before < 1
        await one.tasks.aclose()

    run(story, None)


def test_while_a_renewal_is_refused_the_old_one_serves_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        one = Kept(tmp_path)
        await asyncio.sleep(3)
        one.issuer.refuses = "not now"
        await asyncio.sleep(8.9 * DAY)
        assert (one.state, one.keeper.kept.problem) == ("serving", "not now")
        assert one.context is not None
        await asyncio.sleep(0.2 * DAY)
        await asyncio.sleep(0.5 * DAY)
        assert one.state == "refused"
        assert one.context is not None, "browsers say what is wrong with it"
        one.issuer.refuses = ""
        await asyncio.sleep(DAY)
        assert one.state == "serving"
        await one.tasks.aclose()

    run(story, None)


def test_the_authority_may_want_it_earlier(tmp_path: Path) -> None:
    async def story() -> None:
        one = Kept(tmp_path)
        one.issuer.suggests = YEAR_2026 + 3 * DAY
        await asyncio.sleep(2.9 * DAY)
        assert len(one.issuer.asked) == 1
        await asyncio.sleep(0.2 * DAY)
        assert len(one.issuer.asked) == 2
        await one.tasks.aclose()

    run(story, None)


def test_what_is_on_disk_serves_at_once_and_nobody_is_asked(tmp_path: Path) -> None:
    async def story() -> None:
        one = Kept(tmp_path)
        await asyncio.sleep(3)
        await one.tasks.aclose()
        again = Kept(tmp_path, registered=False)
        await settled()
        assert again.state == "serving"
        assert not again.issuer.asked
        await again.tasks.aclose()
        (tmp_path / "https" / f"{NAME}.pem").write_bytes(as_pem(a_certificate(NAME)[0]))
        other = Kept(tmp_path)
        await asyncio.sleep(3)
        assert len(other.issuer.asked) == 1, "one for another key is none"
        assert other.state == "serving"
        await other.tasks.aclose()

    run(story, None)


def test_a_key_that_others_may_read_is_not_used_until_that_is_mended(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store(tmp_path / "https")
        store.key(NAME)
        file = tmp_path / "https" / f"{NAME}.key"
        file.chmod(0o644)
        one = Kept(tmp_path)
        await asyncio.sleep(30)
        assert one.state == "refused"
        assert "other users may read" in one.keeper.kept.problem
        assert not one.issuer.asked
        file.chmod(0o600)
        one.keeper.forgive()
        await asyncio.sleep(3)
        assert one.state == "serving"
        await one.tasks.aclose()

    run(story, None)


@pytest.mark.parametrize("ahead", [8 * DAY, 100 * DAY])
def test_a_clock_that_is_wrong_does_not_ask_again_and_again(tmp_path: Path, ahead: float) -> None:
    async def story() -> None:
        one = Kept(tmp_path)
        one.ahead = ahead
        await asyncio.sleep(DAY)
        assert len(one.issuer.asked) < 9
        assert "computer's clock" in one.keeper.kept.problem
        assert one.state == ("serving" if ahead < LIFE else "refused")
        assert one.context is not None, "visitors have clocks of their own"
        one.ahead = 0.0  # it is set right, by days into the past
        await asyncio.sleep(DAY)
        asked = len(one.issuer.asked)
        await asyncio.sleep(DAY)
        assert len(one.issuer.asked) == asked
        assert (one.state, one.keeper.kept.problem) == ("serving", "")
        await one.tasks.aclose()

    run(story, None)


def test_a_certificate_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    async def story() -> None:
        Store(tmp_path / "https").key(NAME)
        file = tmp_path / "https" / f"{NAME}.pem"
        file.mkdir()
        one = Kept(tmp_path)
        await asyncio.sleep(30)
        assert one.state == "refused"
        assert f"{file}: is no plain file" in one.keeper.kept.problem
        file.rmdir()
        await asyncio.sleep(60)
        assert one.state == "serving"
        await one.tasks.aclose()

    run(story, None)


def test_what_is_over_serves_nobody_whatever_was_said_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        one = Kept(tmp_path)
        await asyncio.sleep(3)
        one.registered = False
        await asyncio.sleep(LIFE - DAY)
        assert one.state == "serving"
        await asyncio.sleep(2 * DAY)
        assert one.state == "waiting"
        assert len(one.issuer.asked) == 1
        await one.tasks.aclose()

    run(story, None)


def test_a_chain_that_cannot_be_served_is_none(tmp_path: Path) -> None:
    chain, key = a_certificate(NAME)
    assert certificate_of(as_pem(chain), NAME, key).chain == chain
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        certificate_of(as_pem(chain * 80), NAME, key)


def test_files_that_are_spoilt_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "https")
    key = store.key(NAME)
    assert store.key(NAME).private_numbers() == key.private_numbers()
    assert store.certificate(NAME, key) is None
    for spoilt in (b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (tmp_path / "https" / f"{NAME}.pem").write_bytes(spoilt)
        assert store.certificate(NAME, key) is None
    (tmp_path / "https" / f"{NAME}.key").write_bytes(b"junk")
    with pytest.raises(CertificateError, match="no private key of ours"):
        store.key(NAME)
    store.account("https://ca.example/dir")
    store.keep_account("https://ca.example/dir", "https://ca.example/acct/1")
    assert store.account("https://ca.example/dir").url == "https://ca.example/acct/1"
    assert store.account("https://ca.example/other").url == ""
