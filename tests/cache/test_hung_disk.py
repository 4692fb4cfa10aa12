"""A disk that does not answer stops what lies on it, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hardline.disks import Disk
from tests.cache.proxied import Asked, answer, proxied, request
from tests.cache.serving import serving
from tests.support import needs
from tests.support.hung import HungDisk, hung_disk
from tests.support.node import Node
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.root(), needs.tools("bindfs", "curl")]

ASKED = 20  # at once
FOREVER = 120  # seconds that curl waits


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HungDisk]:
    with hung_disk(tmp_path) as mounted:
        (mounted.source / "a.txt").write_text("a photo")
        (mounted.source / "big").write_bytes(bytes(3_000_000))
        yield mounted


def share(host: Node, name: str, directory: Path, *lines: str) -> str:
    host.write(name, "\n".join(["[Service]", "service =", "[Cache]", f"directory = {directory}", *lines, ""]))
    return host.label(name)


def asking(urls: list[str], stack: ExitStack) -> list[subprocess.Popen[str]]:
    command = ["curl", "-sS", "--max-time", str(FOREVER), "-w", "\n%{http_code}"]
    return [stack.enter_context(subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True)) for url in urls]


def test_others_are_served_and_whoever_asks_for_it_is_told(tmp_path: Path, disk: HungDisk) -> None:
    rest = tmp_path / "rest"
    rest.mkdir()
    (rest / "b.txt").write_text("the rest")
    with Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor, ExitStack() as stack:
        photos = share(host, "photos", disk.root, "allowListing = yes", "dynamicContent = yes")
        others = share(host, "rest", rest)
        known = visitor.url_of(photos, "a.txt")
        wait_until(lambda: [curl(known).text for _ in range(2)] == ["a photo"] * 2, "it was fetched before")
        curl(visitor.url_of(others, "b.txt"))
        disk.hang()
        paths = ["a.txt", "", "big", "api/v1/dir/", "nothing"] * (ASKED // 5)
        waiting = asking([visitor.url_of(photos, path) for path in paths], stack)
        for _ in range(5):
            assert curl(visitor.url_of(others, "b.txt")).text == "the rest"
        assert host.service("photos"), "the daemon itself answers"
        for process in waiting:
            told, _, status = process.communicate(timeout=FOREVER)[0].rpartition("\n")
            assert status == "503", told
            assert "The disk that holds photos does not answer" in told
        disk.answer()
        wait_until(lambda: curl(known).text == "a photo", "it is served again", timeout=60)


@pytest.mark.full
def test_the_daemon_ends_while_a_disk_hangs(tmp_path: Path, disk: HungDisk) -> None:
    with Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor, ExitStack() as stack:
        photos = share(host, "photos", disk.root)
        wait_until(lambda: curl(visitor.url_of(photos, "a.txt")).text == "a photo", "it is served")
        disk.hang()
        asking([visitor.url_of(photos, "a.txt")] * 3, stack)
        wait_until(lambda: "disk.hangs" in host.log, "they have asked, and wait no longer", 90)
        asking([visitor.url_of(photos, "a.txt")] * 3, stack)
        host.stop()


@pytest.mark.full
def test_a_directory_that_hangs_from_the_start_is_told_and_stops_nobody(tmp_path: Path, disk: HungDisk) -> None:
    rest = tmp_path / "rest"
    rest.mkdir()
    (rest / "b.txt").write_text("the rest")
    disk.hang()
    with Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor:
        share(host, "photos", disk.root)
        others = share(host, "rest", rest)
        wait_until(lambda: curl(visitor.url_of(others, "b.txt")).text == "the rest", "others are served")
        assert host.status()
        host.stop()


def test_a_download_under_way_is_cut_and_nothing_stays_open(disk: HungDisk) -> None:
    with serving(disk.root, disk=Disk("photos", patience=0.5)) as site:
        with site.connection(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
            got = len(sock.recv(1000))
            disk.hang()
            while piece := sock.recv(65_536):
                got += len(piece)
        assert got < 3_000_000
        assert site.cut == ["its disk does not answer"]
        disk.answer()
        site.has_closed_everything()


def test_the_event_loop_never_waits_for_it(disk: HungDisk) -> None:
    """Whatever is asked for, one thread of one disk after the other waits, and the loop goes on turning."""

    async def main() -> None:
        from aiohttp.test_utils import make_mocked_request

        from hardline.cache.files.files import FileService
        from hardline.cache.files.tree import Tree
        from hardline.cache.own import OwnFiles

        own = OwnFiles(disk.source / "services", disk.source / "data")
        tree = Tree(disk.root, forbidden=own.judge(disk.root), disk=Disk("photos", patience=0.3))
        service = FileService(tree, allow_listing=True, packed=True)
        for path in ("/a.txt", "/a.txt"):
            answer = await service.respond(make_mocked_request("GET", path))
            assert answer is not None
            assert answer.status == 200
        disk.hang()
        for path in ("/a.txt", "/big", "/", "/a", "/a.txt?as_markdown=1"):
            answer = await service.respond(make_mocked_request("GET", path))
            assert answer is not None
            assert answer.status == 503

    asyncio.run(asyncio.wait_for(main(), 100))


@pytest.mark.full
def test_a_cache_whose_disk_hangs_has_nothing_and_the_service_goes_on(tmp_path: Path, disk: HungDisk) -> None:
    async def main() -> None:
        rest = tmp_path / "rest"
        rest.mkdir()
        page, large = answer(b"a page", Cache_Control="max-age=60"), answer(bytes(300_000), Cache_Control="max-age=60")
        threads = Disk("photos", patience=0.3)
        async with (
            proxied(disk.root, {"/": page, "/new": page, "/large": large}, disk=threads) as site,
            proxied(rest, {"/": page}) as other,
        ):
            for one in (site, other):
                for _ in range(2):
                    assert (await one.get("/")).body == b"a page"
                assert one.origin.count() == 1
            assert len((await site.get("/large")).body) == 300_000
            disk.hang()
            for target in ("/", "/large", "/", "/new", "/new"):  # found just now, and not
                assert (await site.get(target)).status == 200
            assert site.origin.count() == 2 + 5
            assert (await other.get("/")).body == b"a page"
            assert other.origin.count() == 1
        disk.answer()

    asyncio.run(asyncio.wait_for(main(), 100))


def test_a_download_into_a_cache_whose_disk_hangs_is_completed_without_it(disk: HungDisk) -> None:
    async def origin(asked: Asked) -> None:
        await asked.send(answer(b"", Content_Length="400000", Cache_Control="max-age=60"), bytes(200_000))
        await under_way.wait()
        disk.hang()
        await asked.send(bytes(200_000))

    async def main() -> None:
        async with proxied(disk.root, {"/": origin}, disk=Disk("photos", patience=0.3)) as site:
            visitor = await site.visitor()
            visitor.send(request("GET", "/"))
            await visitor.head()
            await visitor.reader.readexactly(200_000)
            under_way.set()
            assert len(await visitor.reader.readexactly(200_000)) == 200_000
        disk.answer()

    under_way = asyncio.Event()
    asyncio.run(asyncio.wait_for(main(), 100))
