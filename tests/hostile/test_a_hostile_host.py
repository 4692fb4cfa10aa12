"""A host that somebody visits turns out to be hostile: whoever visits another one does not notice."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from pathlib import Path

import pytest

from tests.hostile.conftest import Field
from tests.hostile.siege import SECONDS, Attack, each
from tests.support import needs
from tests.support.programs import Download, curl
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice", "openssl"),
]

PEOPLE = 4
GIVEN_UP_AFTER = (
    7.0  # seconds until a person is told about a host that does not answer: a ping and its 3 s, and a margin
)


class BadHost:
    """A certificate, a port of the stranger's, and a kind of behaviour."""

    def __init__(self, field: Field, kind: str, port: int, directory: Path) -> None:
        self._field, self.kind, self._port = field, kind, port
        self._certificate, self._key = directory / f"{kind}.certificate", directory / f"{kind}.key"
        field.stranger.run(
            ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=bad"]  # noqa: RUF005
            + ["-out", self._certificate, "-keyout", self._key]
        )
        shown = ssl.PEM_cert_to_DER_cert(self._certificate.read_text())
        self.label = hashlib.blake2b(shown, digest_size=32).hexdigest()[:40]
        self.url = field.visitor.url_of(self.label)

    def attack(self, seconds: float) -> Attack:
        arguments = (self.kind, self._field.stranger.ip4, self._port, self._certificate, self._key, seconds)
        return self._field.by_stranger("hostile_host.py", *arguments)

    def is_visited(self) -> bool:
        return bool(self._field.vias(self.label))


KINDS = ("silent", "endless", "status", "opener", "pinger", "beyond", "liar", "resetter", "leaver", "gossip")


@pytest.mark.parametrize("kinds", each(*KINDS), ids="+".join)
def test_its_visitors_are_told_and_others_are_served(field: Field, kinds: tuple[str, ...], tmp_path: Path) -> None:
    bad = [BadHost(field, kind, 7100 + number, tmp_path) for number, kind in enumerate(kinds)]

    def visit() -> None:
        with contextlib.ExitStack() as visits:
            people = [
                visits.enter_context(
                    Download(host.url, tmp_path / f"page{number}", at=field.visitor_machine, limit=GIVEN_UP_AFTER)
                )
                for host in bad
                for number in range(PEOPLE)
            ]
            for host in bad:
                if host.kind == "endless":
                    assert curl(host.url, at=field.visitor_machine, limit=GIVEN_UP_AFTER).status == 502
            wait_until(lambda: not any(person.running for person in people), "everybody was answered", 20, every=0.05)

    seconds = GIVEN_UP_AFTER if "silent" in kinds else SECONDS
    for report in field.survives(*(host.attack(seconds) for host in bad), meanwhile=visit):
        assert report["visited"]


@pytest.mark.full
def test_uploads_that_it_does_not_read_cost_their_windows_and_no_more(field: Field, tmp_path: Path) -> None:
    bad, given = BadHost(field, "deaf", 7100, tmp_path), tmp_path / "given"
    with given.open("wb") as file:
        file.truncate(1_000_000_000)

    def upload() -> None:
        with contextlib.ExitStack() as uploads:
            for number in range(PEOPLE):
                page, options = tmp_path / f"page{number}", ("-T", str(given), "-X", "POST")
                uploads.enter_context(Download(bad.url, page, *options, at=field.visitor_machine, limit=30))
            wait_until(bad.is_visited, "there is a session")
            wait_until(lambda: not bad.is_visited(), "the host was given up", 20, every=0.1)

    [report] = field.survives(bad.attack(GIVEN_UP_AFTER), meanwhile=upload)
    assert report["visited"]
