"""What belongs to a node, and whoever's private key, is served nowhere: known by what it is, not by where it lies."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from hardline import certificates
from hardline.cache.files.tree import Tree
from hardline.cache.keys import holds_key, key_hashes
from hardline.cache.own import OwnFiles
from tests.cache.serving import Serving, serving
from tests.support import needs
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("openssl")]

KEY = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIABCDEFGHIJKLMNOPQRSTUVW\n-----END PRIVATE KEY-----\n"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUAAAAAAAAAAAAAAAAAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "start",
    [
        KEY,
        KEY.replace(b"\n", b"\r\n"),
        KEY.replace(b"PRIVATE", b"RSA PRIVATE"),
        KEY.replace(b"PRIVATE", b"ENCRYPTED PRIVATE"),
        KEY.replace(b"PRIVATE", b"OPENSSH PRIVATE"),
        KEY.replace(b"PRIVATE KEY", b"PGP PRIVATE KEY BLOCK").replace(b"BLOCK-----\n", b"BLOCK-----\nVersion: 2\n\n"),
        KEY.replace(b"-----\nMC", b"-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMC"),
        CERTIFICATE + KEY,
        CERTIFICATE * 4 + KEY,
        b"Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n" + KEY,
        b"\xef\xbb\xbf\n" + KEY,
        b"\xef\xbb\xbf" + KEY,
        b"\xef\xbb\xbf" + KEY.replace(b"\n", b"\r\n"),
        KEY.replace(b"\n", b"\r"),
        KEY.decode().encode("utf-16"),
        b"\xfe\xff" + KEY.decode().encode("utf-16-be"),
        b"Private-Key: (2048 bit, 2 primes)\nmodulus:\n" + b"    00:c3:5e:11:\n" * 1000 + KEY,
        b"key: |\n" + b"".join(b"    " + line for line in KEY.splitlines(keepends=True)),
        json.dumps({"type": "service_account", "private_key": KEY.decode()}).encode(),
        json.dumps(KEY.replace(b"\n", b"\r\n").decode()).encode(),
        json.dumps(KEY.replace(b"-----\nMC", b"-----\nProc-Type: 4,ENCRYPTED\n\nMC").decode()).encode(),
    ],
)
def test_a_private_key_is_known_in_all_its_armours(start, tmp_path):
    assert holds_key(start)
    (tmp_path / "a.txt").write_bytes(start)
    assert Tree(tmp_path, forbidden=lambda path, facts: False).open(("a.txt",)) is None


@pytest.mark.parametrize(
    "start",
    [
        b"",
        CERTIFICATE,
        b"A key begins with -----BEGIN PRIVATE KEY----- and then comes base64.\n",
        b"```\n-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n```\n",
        KEY.replace(b"PRIVATE", b"PUBLIC"),
        bytes(range(256)),
    ],
)
def test_what_only_tells_of_keys_is_none(start):
    assert not holds_key(start)


@pytest.mark.parametrize(
    "bit",
    [
        b"a: b\n",
        b"a: -----BEGIN PRIVATE KEY-----\n",
        b"\\na: -----BEGIN PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----\\n",
        b"    ",
        b"\\n",
    ],
)
def test_looking_for_a_key_takes_time_in_proportion(bit, processor_time):
    lines = b"-----BEGIN PRIVATE KEY-----\n" + bit * 65_536
    assert processor_time(lambda size: holds_key(lines[:size]), 2048, 65_536) < 4 * 32


@pytest.mark.parametrize(
    "bit",
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN \r",
        b"0\x82",
        b"a-",
        b"a" * 40,
    ],
)
def test_looking_for_a_certificate_takes_time_in_proportion(bit, processor_time):
    lines = b"-----BEGIN CERTIFICATE-----\n" + bit * 65_536
    assert processor_time(lambda size: list(key_hashes(lines[:size])), 2048, 65_536) < 4 * 32


def test_files_in_a_directory_of_many_are_judged_in_time_in_proportion(tmp_path, processor_time):
    directories = []
    for count in (50, 1600):
        directories.append((OwnFiles(tmp_path / "s", tmp_path / "d"), tmp_path / str(count)))
        directories[-1][1].mkdir()
        for number in range(count):
            (directories[-1][1] / f"{number}.hash").touch()

    def judge(given: tuple[OwnFiles, Path]) -> None:
        own, directory = given
        forbidden = own.judge(tmp_path)
        for file in os.scandir(directory):
            assert not forbidden(file.path, file.stat())

    assert processor_time(judge, *directories) < 4 * 32


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory to share, with another node in it, copies of its files under other names, and other keys."""
    root = tmp_path / "shared"
    node = root / "backup" / "node"
    services, data = node / "services", node / "data"
    services.mkdir(parents=True)
    (data / "dht").mkdir(parents=True)
    certificates.load_or_create(data / "node.cert")
    certificates.load_or_create(services / "diary.ini.cert")
    (services / "diary.ini").write_text("[Service]\nservice = 8000\npassword = sesame\n")
    (services / "diary.ini.removed").write_text("[Service]\nservice = 8000\npassword = sesame\n")
    (services / "notes.txt").write_text("harmless")
    (data / "routes.db").write_bytes(b"SQLite format 3\0 routes")
    (data / "instance").write_text("instance")
    (data / "dht" / "nodes").write_text("dht nodes")
    key = (services / "diary.ini.cert.private").read_bytes()
    for name in ("renamed.txt", "photo.jpg", "sub/index.html", "page.html", "README.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(key)
        (root / name).chmod(0o644)
    (root / "page.html.gz").write_bytes(gzip.compress(key))
    (root / "both.pem").write_bytes((services / "diary.ini.cert").read_bytes() + key)
    (root / "soft").symlink_to("backup/node/services/diary.ini.cert.private")
    os.link(services / "diary.ini.cert.private", root / "hard")
    shutil.copytree(services, root / "copies")
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(root / "tls.key")]
    subprocess.run(command, check=True, capture_output=True)
    (root / "harmless.txt").write_text("harmless")
    (root / "iso.hash").write_text("a sum")
    return root


@pytest.fixture
def site(foreign: Path, tmp_path: Path) -> Iterator[Serving]:
    own = OwnFiles(tmp_path / "own" / "services", tmp_path / "own" / "data")
    with serving(foreign, forbidden=own.judge(foreign), hidden=True, packed=True) as running:
        yield running


def crawl(site: Serving, path: str = "/") -> Iterator[str]:
    """Every path that listings lead to, in both forms."""
    listed = site.get(path, Accept="application/json")
    page = site.get(path).text
    assert json.loads(site.get(f"/api/v1/dir{path}").text)["entries"] == json.loads(listed.text)["entries"]
    for entry in json.loads(listed.text)["entries"]:
        assert entry["href"] in page
        yield path + entry["href"]
        if entry["is_dir"]:
            yield from crawl(site, path + entry["href"])


def test_no_answer_holds_a_private_key_however_it_is_asked_for(site):
    everything = {f"/{path.relative_to(site.root)}" for path in site.root.rglob("*")}
    for path in sorted(everything | set(crawl(site))):
        if not path.endswith("/"):
            for more in ({}, {"Range": "bytes=28-90"}, {"Range": "bytes=0-9,20-60"}, {"Accept_Encoding": "gzip"}):
                for form in ("", "?as_markdown=1"):
                    reply = site.get(path + form, **more)
                    told = reply.body
                    if reply.headers.get("content-encoding") == "gzip":
                        told = gzip.decompress(told)
                    assert b"PRIVATE KEY" not in told, path
                    assert b"sesame" not in told, path
            assert site.get(path, "HEAD").status == site.get(path).status
    for path in (
        "/renamed.txt",
        "/photo.jpg",
        "/page.html",
        "/both.pem",
        "/soft",
        "/hard",
        "/tls.key",
        "/sub/index.html",
    ):
        assert site.get(path).status == 404, path


def test_files_of_a_node_are_not_there_and_what_lies_beside_them_is(site):
    found = set(crawl(site))
    assert {"/harmless.txt", "/iso.hash", "/copies/notes.txt", "/backup/node/services/notes.txt"} <= found
    for path in (
        *(f"/{where}/diary.ini{end}" for where in ("copies", "backup/node/services") for end in _ENDINGS),
        *(f"/backup/node/data/{name}" for name in ("", "routes.db", "instance", "node.cert", "dht/", "dht/nodes")),
    ):
        assert path not in found
        assert site.get(path).status == 404, path


_ENDINGS = ("", ".removed", ".cert", ".cert.private", ".cert.hash")


@pytest.mark.parametrize(
    "name",
    [
        *("diary.ini~", "#diary.ini#", "diary.INI", "diary copy.ini", "diary.ini,v", "diary.ini.bak", "diary.ini.orig"),
        *("diary.ini.cert~", "diary-cert.bak", "diary.ini.cert.der", "DIARY.INI.CERT", "diary.ini.cert.hash~"),
        *("hash.bak", "diary.ini.cert.hash.temp", "diary.ini.cert.private~", "diary.ini.cert.private.gz", "nas.pem"),
        *("nas.pem~", "nas.pem.der", "Copy of diary.ini", "diary.ini.swp", "diary.ini.cert (1)"),
    ],
)
def test_what_editors_and_copies_leave_beside_an_identity_is_not_there_either(site, name):
    node = site.root / "backup" / "node" / "services"
    (node / "nas.pem.private").write_text("the key")
    (node / name).write_text("secret")
    assert site.get(f"/backup/node/services/{quote(name)}").status == 404
    assert quote(name) not in {path.rpartition("/")[2] for path in crawl(site, "/backup/node/services/")}
    assert site.get("/backup/node/services/notes.txt").status == 200


@pytest.mark.parametrize(
    "name", ["php.ini", "php.ini~", "private notes.txt", "iso.hash", "ca-cert.txt", "a.pem", "a.crt"]
)
def test_files_whose_names_only_remind_of_an_identity_are_there_where_none_is(tmp_path, name):
    (tmp_path / name).write_text("harmless")
    (tmp_path / "diary.private").write_text("a diary, and no key")
    own = OwnFiles(tmp_path / "own" / "services", tmp_path / "own" / "data")
    with serving(tmp_path, forbidden=own.judge(tmp_path)) as site:
        assert site.get(f"/{quote(name)}").text == "harmless"


@pytest.mark.parametrize("known", ["beside its settings", "elsewhere"])
def test_a_certificate_of_this_nodes_is_known_whatever_its_name_and_form(tmp_path, known):
    services, root = tmp_path / "own" / "services", tmp_path / "root"
    services.mkdir(parents=True)
    root.mkdir()
    own = OwnFiles(services, tmp_path / "own" / "data")
    place = services / "wiki.ini.cert" if known == "beside its settings" else tmp_path / "wiki"
    ours, foreign = certificates.load_or_create(place), certificates.load_or_create(tmp_path / "foreign.cert")
    own.also([] if known == "beside its settings" else ours.files)
    pem = ours.certificate_pem
    held = {
        "a.txt": pem,
        "b.jpg": ours.der,
        "c.txt": pem.replace(b"\n", b"\r\n"),
        "d.txt": b"\xef\xbb\xbf" + pem.replace(b"\n", b"\r"),
        "e.txt": b"my certificate:\n" + b"x\n" * 20_000 + foreign.certificate_pem + pem,
        "f.txt": pem.decode().encode("utf-16"),
        "g.txt": b"hunter2-" + str(ours.key_hash).encode() + b"\n",
        "h.txt": str(ours.key_hash).upper().encode(),
    }
    for name, content in held.items():
        (root / name).write_bytes(content)
    (root / "foreign.txt").write_bytes(foreign.certificate_pem)
    (root / "foreign.jpg").write_bytes(foreign.der)
    (root / "page.html").write_text(f'<a href="http://{ours.key_hash}.localhost:7009/">here</a>')
    with serving(root, forbidden=own.judge(root), ours=own.gives_away) as site:
        for name in held:
            for method, fields in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-9"})):
                assert site.get(f"/{name}", method, **fields).status == 404, name
        for name in ("foreign.txt", "foreign.jpg", "page.html"):
            assert site.get(f"/{name}").status == 200, name


def test_a_cached_sites_directory_gives_away_neither_keys_nor_hidden_files(tmp_path, foreign):
    """A file that the owner made may stand for an answer; not these."""
    import asyncio

    from aiohttp.test_utils import make_mocked_request

    from hardline.cache.site import open_site
    from hardline.settings.service import CacheSection

    (foreign / ".env").write_text("SECRET=1")
    own = OwnFiles(tmp_path / "own" / "services", tmp_path / "own" / "data")

    async def main() -> None:
        site = await open_site("x", "X", foreign, None, CacheSection(directory=foreign), own)
        for path in ("/.env", "/renamed.txt", "/both.pem", "/copies/diary.ini.cert.private", "/tls.key"):
            answer = await site._respond(make_mocked_request("GET", path))
            assert answer.status == 404, path
        answer = await site._respond(make_mocked_request("GET", "/harmless.txt"))
        assert answer.status == 200
        await site.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/.env", "/.git/config", "/.git/", "/sub/.x", "/%2eenv", "/a/../.env", "/.ENV"])
def test_names_that_begin_with_a_dot_are_not_there(tmp_path, path):
    for name in (".env", ".git/config", "sub/.x", ".ENV", ".well-known/security.txt", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to(".git")  # the owner's wish: as `git annex` has it
    with serving(tmp_path) as site:
        assert site.get(path).status == 404
        assert [entry["name"] for entry in json.loads(site.get("/", Accept="application/json").text)["entries"]] == [
            ".well-known",
            "link",
            "sub",
            "a.txt",
        ]
        assert site.get("/.well-known/security.txt").status == 200
        assert site.get("/link/config").text == ".git/config"
        assert site.get("/a.txt").text == "a.txt"
        wait_until(lambda: not site.open_files(), "everything was closed")
    with serving(tmp_path, hidden=True) as site:
        assert site.get(path).status == 200
