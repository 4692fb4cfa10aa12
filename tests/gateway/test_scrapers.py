"""Rows 17 to 19 from outside: curl with a key, the command that makes it, and the file that keeps its hash."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardline.gateway.keys import DAY, Key, digest_of, line_of
from tests.gateway.town import DATA, Town
from tests.support import needs
from tests.support.programs import CUT, Answer, Download
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]

LIST, FILES = "/scraper/v1/server_list", "/scraper/v1/server/pile/files"


def command(town: Town, *words: str) -> subprocess.CompletedProcess[str]:
    return town.gateway.hardline("gateway", "key", *words)


@pytest.fixture(scope="module")
def key(town: Town) -> Iterator[str]:
    """A key for all that are listed; there is none before the first test that asks for it."""
    made = command(town, "add", "photos")
    assert made.returncode == 0, made.stderr
    said = made.stdout.strip()
    wait_until(lambda: scraped(town, said, "/scraper/api/test").status == 200, "the key is taken")
    yield said
    command(town, "remove", "photos")
    wait_until(lambda: scraped(town, said, "/scraper/api/test").status == 403, "the key is gone")


def scraped(town: Town, key: str, path: str = LIST, *options: str | Path) -> Answer:
    return town.get("", path, "-H", f"X-ApiKey: {key}", *options)


def test_row_17_scrapers_get_nothing_until_there_is_a_key(town: Town) -> None:
    for path in (LIST, "/scraper/api/test", f"{FILES}/notes.md", "/scraper/other"):
        for said in ((), ("-H", "X-ApiKey: x")):
            assert town.get("", path, *said).status == 403
    assert town.get("nas", LIST).status == 404, "at a service's own name it is the service's"


def test_row_18_a_key_is_valid(town: Town, key: str) -> None:
    answer = scraped(town, key, "/scraper/api/test", "-i")
    assert answer.text.endswith("\r\n\r\nYou're valid!\n")
    assert "content-type: text/plain" in answer.text.lower()
    assert scraped(town, key, "/scraper/api/test", "-I").status == 200


def test_row_18_the_list_names_what_the_key_is_for(town: Town, key: str) -> None:
    town.get("pile")
    rows = {row["id"]: row for row in scraped(town, key).json["servers"]}
    assert set(rows) == {"nas", "wiki", "dead", "pile", "away", "together"}
    assert rows["pile"].keys() == {"id", "name", "online", "last_seen", "files"}
    assert (rows["pile"]["online"], rows["away"]["online"], rows["away"]["last_seen"]) == (True, False, None)
    assert scraped(town, key, f"{rows['pile']['files']}notes.md").text.startswith("# A heading")
    for label in town.labels.values():
        assert label[-40:] not in scraped(town, key).text


def test_row_18_files_come_with_ranges(town: Town, key: str, tmp_path: Path) -> None:
    assert scraped(town, key, f"{FILES}/a%20file.bin").body == DATA
    part = scraped(
        town, key, f"{FILES}/a%20file.bin", "-r", "100-199", "-o", tmp_path / "part", "-D", tmp_path / "head"
    )
    assert (part.status, (tmp_path / "part").read_bytes()) == (206, DATA[100:200])
    assert "content-range: bytes 100-199/1024" in (tmp_path / "head").read_text().lower()
    assert scraped(town, key, f"{FILES}/a%20file.bin", "-r", "9999-").status == 416
    assert scraped(town, key, "/scraper/v1/server/pile/api/v1/dir/sub/").json["entries"][0]["name"] == "deep.txt"
    assert scraped(town, key, f"{FILES}/sub", "-L").status == 200, "a redirect leads through the prefix"
    assert scraped(town, key, "/scraper/v1/server/pile/files", "-L").status == 200
    assert scraped(town, key, f"{FILES}/../../../../etc/passwd", "--path-as-is").status == 404


def test_row_18_no_key_or_a_wrong_one_is_told_so_in_plain_text(town: Town, key: str) -> None:
    for status, said in (
        (401, ()),
        (401, ("-H", "X-ApiKey;")),
        (401, ("-H", f"X-ApiKey: {key}", "-H", f"X-ApiKey: {key}")),
        (403, ("-H", f"X-ApiKey: {key[:-1]}")),
        (403, ("-H", f"X-ApiKey: {key}x")),
        (403, ("-H", f"X-ApiKey: {'x' * 5000}")),
    ):
        for path in (LIST, "/scraper/api/test", f"{FILES}/notes.md", "/scraper/nothing"):
            answer = town.get("", path, "-i", "-H", "Accept: text/html", *said)
            assert answer.status == status, (path, said)
            assert "content-type: text/plain" in answer.text.lower()
    assert "reason=unknown" in town.gateway.log
    assert scraped(town, key, "/scraper/nothing").status == 404


def test_a_key_opens_nothing_else(town: Town, key: str) -> None:
    said = {
        scraped(town, key, f"/scraper/v1/server/{name}/files/").text
        for name in ("private", "hidden", "nobody", "na%73")
    }
    assert said == {"This X-ApiKey is for no such service.\n"}, "which of them there are is not told"
    assert scraped(town, key, "/scraper/v1/server/far/files/").status == 403, "addresses hold for keys, too"
    assert scraped(town, key, "/servers/private/").status == 401
    assert town.get("private", "/", "-H", f"X-ApiKey: {key}").status == 401
    for path in (LIST, "/scraper/v1/server/together/files/sum"):
        assert scraped(town, key, path, "-d", "x").status == 405


def test_a_service_gets_neither_the_key_nor_cookies(town: Town, key: str) -> None:
    files = "/scraper/v1/server/nas/files"
    told = scraped(town, key, f"{files}/echo", "-H", "Cookie: a=b", "-u", "anna:x", "-H", "Connection: x-apikey").json
    assert told["request"] == "GET /echo HTTP/1.1"
    assert not {"x-apikey", "cookie", "authorization"} & told["headers"].keys()
    assert told["headers"]["x-forwarded-prefix"] == files
    assert key not in json.dumps(told)
    [row] = [row for row in town.asked() if row["target"] == f"{files}/echo"]
    assert (row["key"], row["service"], row["user"], row["status"]) == ("photos", "nas", None, 200)
    line = [line for line in town.gateway.log.splitlines() if f"target={files}/echo" in line][-1]
    assert "key=photos" in line
    assert key not in town.gateway.log
    # At the service's own name the field is its own.
    assert town.get("nas", "/echo", "-H", "X-ApiKey: mine").json["headers"]["x-apikey"] == "mine"


def test_row_19_only_the_hash_is_kept_and_by_nobody_else_to_be_read(town: Town, key: str) -> None:
    file = town.gateway.data / "gateway.keys"
    assert digest_of(key) in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    for path in town.gateway.data.parent.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("begins", "ends", "reason", "told"),
    [
        (-2 * DAY, -DAY, "expired", "it has expired"),
        (DAY, 2 * DAY, "not-yet-valid", "it is not valid yet"),
        (DAY, -DAY, "negative", "it ends before it begins"),
        (-DAY, 30 * DAY, "too-long", "more than 30 days"),
    ],
)
def test_row_19_each_wrong_time_is_refused_with_its_reason(
    town: Town, key: str, begins: int, ends: int, reason: str, told: str
) -> None:
    """Lines that the command would not write, as an editor leaves them."""
    file = town.gateway.data / "gateway.keys"
    now, before, odd = int(file.stat().st_mtime), file.read_text(), f"a key that is {reason}"
    file.write_text(f"{before}{line_of(Key(reason, digest_of(odd), now + begins, now + ends))}\n")
    try:
        answer = wait_until(
            lambda: found if "none of this" not in (found := scraped(town, odd)).text else None, "it is read"
        )
        assert (answer.status, told in answer.text) == (403, True)
        assert any(f"reason={reason} key={reason}" in line for line in town.gateway.log.splitlines())
        listed = {row["name"]: row["refused"] for row in json.loads(command(town, "list", "--json").stdout)}
        assert listed == {"photos": None, reason: reason}
        assert scraped(town, key).status == 200
    finally:
        file.write_text(before)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--from", "2026-01-10", "--until", "2026-01-01"), "it ends before it begins"),
        (("--from", "2020-01-01", "--until", "2020-01-31T23:59:59Z"), "it would hold for more than 30 days"),
        (("--until", "31d"), "it would hold for more than 30 days"),
        (("--from", "2020-01-01", "--until", "20d"), "it has expired"),
        (("--from", "yesterday"), "--from is 'yesterday', expected a duration"),
        (("--until", "0001-01-01"), "--until is '0001-01-01', expected a duration"),
        (("--service", "no.name"), "is no NAME"),
    ],
)
def test_row_19_the_command_makes_no_such_key_and_says_why(town: Town, options: tuple[str, ...], told: str) -> None:
    done = command(town, "add", "odd", *options)
    assert (done.returncode, done.stdout, told in done.stderr) == (2, "", True), done.stderr
    assert "odd" not in command(town, "list").stdout


def test_a_key_for_what_it_names_and_no_second_one_of_its_name(town: Town) -> None:
    made = command(town, "add", "two", "--from", "1h", "--until", "2h", "--service", "hidden", "--service", "private")
    assert made.returncode == 0, made.stderr
    assert "there is a key two already" in command(town, "add", "two").stderr
    assert "hidden, private  it is not valid yet" in command(town, "list").stdout
    assert command(town, "remove", "two").returncode == 0
    now = command(town, "add", "two", "--service", "hidden", "--service", "private").stdout.strip()
    wait_until(lambda: scraped(town, now).status == 200, "the key is taken")
    assert {row["id"] for row in scraped(town, now).json["servers"]} == {"hidden", "private"}
    assert scraped(town, now, "/scraper/v1/server/private/files/").text == "hello from the origin\n"
    assert scraped(town, now, "/scraper/v1/server/pile/files/").status == 403
    assert command(town, "remove", "two").returncode == 0
    assert "there is no key two" in command(town, "remove", "two").stderr


def test_a_key_that_is_removed_ends_what_is_on_its_way_by_it(town: Town, key: str, tmp_path: Path) -> None:
    made = command(town, "add", "short").stdout.strip()
    wait_until(lambda: scraped(town, made).status == 200, "the key is taken")
    url = f"http://127.0.0.1:{town.port}/scraper/v1/server/nas/files/stall/1000"
    with (
        Download(url, tmp_path / "one", "-H", f"X-ApiKey: {made}") as ended,
        Download(url, tmp_path / "two", "-H", f"X-ApiKey: {key}") as other,
    ):
        ended.has_received(1000)
        other.has_received(1000)
        assert command(town, "remove", "short").returncode == 0
        assert ended.exit_code() in CUT
        assert other.running
    assert "gateway.key_ended    key=short" in town.gateway.log
