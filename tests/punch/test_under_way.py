"""What is under way while paths come and go: transfers stay whole, ends arrive as they were made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.punch.lab import Lab
from tests.punch.test_matrix import BESIDE, Three, three
from tests.punch.test_paths import sessions
from tests.support import needs
from tests.support.beats import beats
from tests.support.origin import digest_of_bytes, pieces_of_bytes
from tests.support.programs import Download, curl
from tests.support.waiting import wait_until
from tests.upnp.home import Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "nft", "conntrack", "sysctl", "curl"),
]

SIZE = 6_000_000
SLOWLY = "1M"  # bytes a second: a transfer outlasts the first try
AGAIN_LIMIT, MARGIN = 5.0, 5.0  # seconds to a page by a new path; and for a machine that others use too
_ENDINGS = Path(__file__).with_name("endings.py")


def test_what_is_under_way_when_a_better_path_comes_is_not_touched(tmp_path: Path) -> None:
    down, up, told = tmp_path / "down", tmp_path / "up", tmp_path / "told"
    up.write_bytes(b"".join(pieces_of_bytes(SIZE)))
    sends = ("--limit-rate", SLOWLY, "-H", "Expect:", "--data-binary", f"@{up}")
    with Lab() as lab, three(lab, tmp_path) as all_three:
        before = all_three.passed()
        url = all_three.visitor.url_of
        with (
            Download(url(all_three.label, f"bytes/{SIZE}"), down, "--limit-rate", SLOWLY, at=lab.b) as download,
            Download(url(all_three.label, "sum"), told, *sends, at=lab.b) as upload,
        ):
            wait_until(lambda: [one["kind"] for one in sessions(all_three)] == ["PUNCHED"], all_three.logs)
            assert download.running
            assert upload.running
            all_three.visit()
            assert (download.exit_code(), upload.exit_code()) == (0, 0), all_three.logs
        assert hashlib.sha256(down.read_bytes()).hexdigest() == digest_of_bytes(SIZE)
        assert json.loads(told.read_text()) == {"length": SIZE, "sha256": digest_of_bytes(SIZE)}
        assert all_three.passed() - before > 2 * SIZE, "both stayed where they were"
        wait_until(
            lambda: [one["kind"] for one in all_three.visitor.sessions("visiting")] == ["PUNCHED"],
            "the relayed session ends, with nothing left to do",
        )
        assert all_three.downloads() < BESIDE


@contextlib.contextmanager
def endings(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    program = box.start([sys.executable, _ENDINGS, "serve"], subprocess.PIPE)
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(("punch", "kind"), [pytest.param("no", "RELAYED", marks=pytest.mark.full), ("yes", "PUNCHED")])
def test_ends_and_resets_arrive_as_they_were_made(tmp_path: Path, punch: str, kind: str) -> None:
    with Lab() as lab, three(lab, tmp_path, f"punch = {punch}\n") as all_three:
        ends_and_resets_arrive(all_three, kind)


def ends_and_resets_arrive(all_three: Three, kind: str) -> None:
    """By a path of this kind, from either side, at a service of their own."""
    lab = all_three.lab
    with endings(lab.a) as service:
        assert service.stdout is not None
        all_three.host.share("endings", int(service.stdout.readline()))
        label = all_three.host.label("endings")
        ask = [sys.executable, _ENDINGS, "ask", all_three.visitor.url_of(label)]

        def by_it() -> bool:
            lab.b.run([*ask, "sum"])
            return [one["kind"] for one in sessions(all_three) if one["label"] == label] == [kind]

        wait_until(by_it, f"it is visited by {kind}", every=0.3)
        heard = service.stdout
        before = all_three.passed()
        assert lab.b.run([*ask, "sum"]) == "300000 end\n", "half of it was closed, and the answer came"
        while heard.readline() != b"sum 300000 end\n":
            pass
        assert (all_three.passed() - before > 300_000) == (kind == "RELAYED")
        assert lab.b.run([*ask, "reset"]) == " reset\n"
        assert lab.b.run([*ask, "listen"]) == ""
        while not (line := heard.readline()).startswith(b"listen"):
            pass
        assert line.endswith(b" reset\n"), line


@pytest.mark.full
@pytest.mark.parametrize("routers", ["symm", "port"])
def test_a_visitor_who_moves_in_the_middle_of_a_download_is_served_where_he_is(tmp_path: Path, routers: str) -> None:
    with Lab() as lab:
        lab.nat(lab.ra, routers)
        lab.nat(lab.rb, routers)
        with three(lab, tmp_path) as all_three:
            all_three.is_visited("PUNCHED" if routers == "port" else "RELAYED")
            url = all_three.visitor.url_of(all_three.label, "stall/1000000")
            with Download(url, tmp_path / "part", at=lab.b) as download:
                download.has_received(1_000_000)
                lab.plug(lab.b)
                began = beats()
                page = all_three.visitor.url_of(all_three.label)
                wait_until(lambda: curl(page, at=lab.b, limit=10).status == 200, all_three.logs)
                assert beats() - began < AGAIN_LIMIT + MARGIN
                assert download.exit_code() != 0
            # He has a public address now.
            all_three.is_visited("PUNCHED")
            assert all_three.downloads() < BESIDE
