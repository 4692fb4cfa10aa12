"""Rows 1 to 13 of docs/SEEDS.md through the gateway and at the door, and 27: a directory that is shared, and curl in
front.
"""

from __future__ import annotations

import email
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from tests.gateway.town import DATA, NAMES, Town
from tests.support import needs
from tests.support.node import SCRIPTS
from tests.support.programs import Answer, Download, curl

pytestmark = [needs.tools("curl")]

HTML = ("-H", "Accept: text/html")
FILE = "a%20file.bin"


@dataclass(frozen=True)
class Way:
    """Where the directory is found, and under which name."""

    url: str
    host: str

    def get(self, path: str, *options: str | Path) -> Answer:
        return curl(f"{self.url}{path}", "-H", f"Host: {self.host}", *options)

    def head(self, path: str, *options: str) -> dict[str, str]:
        """Its head, by HEAD or as `options` say; the first line under ""."""
        lines = self.get(path, *(options or ("-I",))).body.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        fields = (line.partition(": ") for line in lines[1:])
        return {"": lines[0], **{name.lower(): value for name, _, value in fields}}


@pytest.fixture(scope="module")
def fileserver(town: Town) -> Iterator[str]:
    """`hardline fileserver` of the same directory, without any tunnel."""
    command = [SCRIPTS / "hardline", "fileserver", town.pile, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield running.stdout.readline().split()[-1]
        running.terminate()


@pytest.fixture(params=["a host name", "a path", "the door", "a file server alone"])
def way(request: pytest.FixtureRequest, town: Town, fileserver: str) -> Way:
    """By the gateway in both ways, at the door of a visitor, and row 27."""
    gateway = f"http://127.0.0.1:{town.port}/"
    if request.param == "a host name":
        return Way(gateway, "pile.example.org")
    if request.param == "a path":
        return Way(f"{gateway}servers/pile/", "example.org")
    if request.param == "the door":
        door = town.gateway.url_of(town.labels["pile"])
        return Way(door, door.split("/")[2])
    return Way(fileserver, fileserver.split("/")[2])


def test_rows_1_and_2_a_directory_is_served_with_no_web_server_behind_it(way: Way) -> None:
    assert way.get("", *HTML).status == 200
    assert way.get(FILE).body == DATA


def test_row_3_a_listing_has_every_name_and_its_link_fetches_it(way: Way) -> None:
    page = way.get("", *HTML).text
    assert "<b>bold" not in page
    assert page.count(">1.0 KB<") == len(NAMES)
    links = [piece.partition('"')[0] for piece in page.split('href="')[1:]]
    fetched = {link: way.get(link.removeprefix("./"), "--globoff") for link in links if link.endswith((".txt", ".bin"))}
    assert len(fetched) == len(NAMES)
    assert {answer.body for answer in fetched.values()} == {DATA}
    assert 'href="../"' in way.get("sub/", *HTML).text
    assert not [link for link in links if "hidden" in link]


def test_row_4_a_directory_without_its_slash_is_led_through_the_gateway(way: Way) -> None:
    plain = way.get("sub")
    assert plain.status in (301, 307, 308)
    followed = way.get("sub", "-L", *HTML)
    assert (followed.status, "deep.txt" in followed.text) == (200, True)


def test_row_5_a_listing_in_json(way: Way) -> None:
    found = way.get("api/v1/dir/").json["entries"]
    assert {"is_dir", "name", "size"} <= found[0].keys()
    assert {entry["name"]: entry["size"] for entry in found if entry["name"] in NAMES} == dict.fromkeys(NAMES, 1024)
    [below] = way.get("api/v1/dir/sub/").json["entries"]
    assert (below["name"], below["size"], below["is_dir"]) == ("deep.txt", 5, False)


@pytest.mark.parametrize(("asked", "first", "last"), [("100-199", 100, 199), ("-5", 1019, 1023), ("1000-", 1000, 1023)])
def test_row_6_parts(way: Way, asked: str, first: int, last: int) -> None:
    answer = way.get(FILE, "-r", asked)
    assert (answer.status, answer.body) == (206, DATA[first : last + 1])
    told = way.head(FILE, "-r", asked, "-i")
    assert told["content-range"] == f"bytes {first}-{last}/1024"
    assert told["content-length"] == str(last + 1 - first)


def test_row_7_parts_that_are_none(way: Way) -> None:
    beyond = way.head(FILE, "-r", "999999999-", "-i")
    assert (" 416 " in beyond[""], beyond["content-range"]) == (True, "bytes */1024")
    for odd in ("bytes=9-1", "bytes=x-y", "lines=1-2"):
        answer = way.get(FILE, "-H", f"Range: {odd}")
        assert answer.status in (200, 416)
        assert answer.status != 200 or answer.body == DATA
    assert way.get(FILE).body == DATA


def test_row_7_several_parts_are_each_the_bytes_that_they_say(way: Way) -> None:
    head, _, body = way.get(FILE, "-i", "-H", "Range: bytes=0-1,5-8,-3").body.partition(b"\r\n\r\n")
    assert b" 206 " in head
    [kind] = [line for line in head.splitlines() if line.lower().startswith(b"content-type:")]
    message = email.message_from_bytes(kind + b"\r\n\r\n" + body)
    parts = message.get_payload()
    assert message.get_content_type() == "multipart/byteranges"
    assert isinstance(parts, list)
    assert [(part["Content-Range"], part.get_payload(decode=True)) for part in parts if isinstance(part, Message)] == [
        ("bytes 0-1/1024", DATA[:2]),
        ("bytes 5-8/1024", DATA[5:9]),
        ("bytes 1021-1023/1024", DATA[-3:]),
    ]


def test_row_8_a_download_that_was_killed_goes_on(town: Town, way: Way, tmp_path: Path) -> None:
    big = town.pile / "big"
    size = 30_000_000
    if not big.exists():
        big.write_bytes(DATA * (size // len(DATA)))
    with Download(f"{way.url}big", tmp_path / "big", "-H", f"Host: {way.host}", "--limit-rate", "1m") as download:
        download.has_received(100_000)
    assert (tmp_path / "big").stat().st_size < big.stat().st_size
    assert way.get("big", "-C", "-", "-o", tmp_path / "big").status == 206
    assert (tmp_path / "big").read_bytes() == big.read_bytes()


def test_row_9_a_file_that_grows_is_followed(town: Town, way: Way) -> None:
    log = town.pile / f"log-{way.host.partition(':')[0]}"
    log.write_text("one\n")
    told = way.head(log.name)
    assert (" 200 " in told[""], told["content-length"]) == (True, "4")
    with log.open("a") as file:
        file.write("two\n")
    assert way.head(log.name)["content-length"] == "8"
    assert way.get(log.name, "-r", f"{told['content-length']}-").text == "two\n"


def test_row_10_what_has_not_changed_is_not_sent_again(way: Way, town: Town) -> None:
    tag = way.head(FILE)["etag"]
    unchanged = way.get(FILE, "-H", f"If-None-Match: {tag}")
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert way.get(FILE, "-H", 'If-None-Match: "other"').status == 200
    part = way.get(FILE, "-H", f"If-Range: {tag}", "-r", "0-9")
    assert (part.status, part.body) == (206, DATA[:10])
    (town.pile / "a file.bin").touch()
    changed = way.get(FILE, "-H", f"If-None-Match: {tag}")
    assert (changed.status, changed.body) == (200, DATA)
    stale = way.get(FILE, "-H", f"If-Range: {tag}", "-r", "0-9")
    assert (stale.status, stale.body) == (200, DATA)


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc/passwd",
        "sub/../../../etc/passwd",
        "out",
        ".hidden",
    ],
)
def test_row_11_nothing_outside_the_directory(way: Way, path: str) -> None:
    answer = way.get(path, "--path-as-is")
    assert answer.status in (403, 404)
    assert "root:" not in answer.text


def test_row_12_files_are_only_read(way: Way) -> None:
    for method in ("POST", "DELETE", "PUT"):
        told = way.get(FILE, "-X", method, "-i")
        assert told.status == 405
        assert "allow: get, head" in told.text.lower()


def test_row_13_a_markdown_text_as_a_page(way: Way) -> None:
    assert "<h1" in way.get("notes.md?as_markdown=1").text
    assert way.get("notes.md").text.startswith("# A heading")
