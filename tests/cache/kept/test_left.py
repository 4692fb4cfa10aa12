"""A directory that is shared shows what a cache of this node wrote there, and no file that is only named so."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hardline.cache.own import OwnFiles
from hardline.cache.site import open_site
from hardline.http.look import FILES_POLICY, PILE_POLICY
from hardline.settings.local import LocalService
from hardline.settings.service import CacheSection
from tests.cache.kept.test_store import head, put, with_store
from tests.cache.serving import Reply
from tests.support import needs

pytestmark = needs.linux()

PAGE = b"<script>1</script>"
FOREIGN = {
    "Content-Type": "text/html",
    "Set-Cookie": "sid=evil",
    "Access-Control-Allow-Origin": "*",
    "Service-Worker-Allowed": "/",
}
KEY = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIABCDEFGHIJKLMNOPQRSTUVW\n-----END PRIVATE KEY-----\n"

Ask = Callable[..., Reply]


@pytest.fixture
def own(tmp_path: Path) -> OwnFiles:
    (tmp_path / "node" / "services").mkdir(parents=True)
    (tmp_path / "node" / "data").mkdir()
    return OwnFiles(tmp_path / "node" / "services", tmp_path / "node" / "data")


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    root = tmp_path / "pile"
    root.mkdir()
    (root / "notes.txt").write_text("notes")
    return root


def visit(root: Path, own: OwnFiles, story: Callable[[Ask], None], **settings: bool) -> None:
    """`story` asks the directory, which has no service any more."""

    async def main() -> None:
        site = await open_site("x", "X", root, None, CacheSection(directory=root, **settings), own)
        listening = await asyncio.get_running_loop().create_server(site.server.protocol_factory, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]

        def ask(path: str, method: str = "GET", **fields: str) -> Reply:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            reply = Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
            connection.close()
            return reply

        async with listening:
            await asyncio.to_thread(story, ask)
        await site.aclose()

    asyncio.run(main())


def cache(root: Path, own: OwnFiles, **pages: bytes) -> None:
    """Have the node cache a site in `root` for a while; `pages` are kept, each under its name."""

    async def be_a_cache() -> None:
        site = await open_site("x", "X", root, LocalService("tcp", "127.0.0.1", 1), CacheSection(directory=root), own)
        await site.aclose()

    async def keep(store) -> None:
        for name, body in pages.items():
            await put(store, f"/{name}", body, head(fields=FOREIGN))

    asyncio.run(be_a_cache())
    with_store(root, keep)


def plant(root: Path, name: str, body: bytes, key: str = "") -> None:
    """What a cache might have written, with a head of whatever somebody likes."""
    file = root / f"{name}@http"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(body)
    facts = file.stat()
    answer = {
        "number": 1,
        "size": facts.st_size,
        "mtime": facts.st_mtime_ns,
        "inode": None,
        "status": 200,
        "reason": "",
        "fields": list(FOREIGN.items()),
        "requested_at": 1,
        "received_at": 1,
        "selecting": [],
    }
    described = {"hardline": 1, "key": key or f"/{name}", "inode": 1, "answers": [answer]}
    (root / f"{name}@http.head").write_text(json.dumps(described))


@pytest.mark.parametrize("path", ["/evil.html", "/", "/sub/x", "/.secret/x", "/k", "/own", "/evil.html@http"])
def test_a_directory_that_never_was_a_cache_answers_with_no_file_named_as_a_caches(tmp_path, pile, own, path):
    (own.datadir / "node.cert.private").write_bytes(KEY)
    for name, body in {"evil.html": PAGE, "": PAGE, "sub/x": PAGE, ".secret/x": PAGE, "k": KEY}.items():
        plant(pile, name, body, f"/{name}")
    os.link(own.datadir / "node.cert.private", pile / "own@http")

    def story(ask: Ask) -> None:
        for method, fields in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-3"}), ("GET", {"Accept": "*/*"})):
            reply = ask(path, method, **fields)
            assert reply.status == (200 if path == "/" else 404)
            assert not {"set-cookie", "access-control-allow-origin"} & set(reply.headers)
            assert PAGE not in reply.body
        names = [entry["name"] for entry in json.loads(ask("/", Accept="application/json").body)["entries"]]
        assert names == ["sub", "notes.txt"]
        assert ask("/notes.txt").body == b"notes"

    visit(pile, own, story, allow_listing=True)


def test_nothing_that_lies_in_a_directory_makes_it_one_that_was_a_cache(pile, own):
    cache(other := pile.parent / "other", own, a=b"kept")
    shutil.copytree(other, pile / "copy")
    shutil.copytree(other, pile, dirs_exist_ok=True)
    shutil.copytree(own.datadir, pile, dirs_exist_ok=True)

    def story(ask: Ask) -> None:
        assert ask("/a").status == ask("/copy/a").status == 404

    visit(pile, own, story)


def test_what_this_node_has_kept_is_shown_as_it_was(pile, own):
    cache(pile, own, page=PAGE)

    def story(ask: Ask) -> None:
        reply = ask("/page")
        assert (reply.status, reply.body) == (200, PAGE)
        assert reply.headers["set-cookie"] == FOREIGN["Set-Cookie"]
        assert ask("/page", Range="bytes=0-3").body == PAGE[:4]

    visit(pile, own, story, allow_listing=True)


def test_a_directory_below_the_nodes_caches_was_one(own):
    root = own.datadir / "cache" / "old"
    root.mkdir(parents=True)
    (root / "a@http").write_bytes(b"left by the original")
    visit(root, own, lambda ask: (reply := ask("/a")) and _is(reply, b"left by the original"))


def _is(reply: Reply, body: bytes) -> None:
    assert (reply.status, reply.body) == (200, body)


@pytest.mark.parametrize("with_head", [True, False])
def test_what_came_into_a_cache_otherwise_is_shown_as_files_are(pile, own, with_head):
    cache(pile, own, page=PAGE)
    (own.datadir / "node.cert.private").write_bytes(KEY)
    for name, body in {"evil.html": PAGE, ".secret/x": PAGE, "k": KEY, "plain.txt": b"text"}.items():
        plant(pile, name, body, f"/{name}")
        if not with_head:
            (pile / f"{name}@http.head").unlink()
    os.link(own.datadir / "node.cert.private", pile / "own@http")

    def story(policy: str) -> Callable[[Ask], None]:
        def asking(ask: Ask) -> None:
            reply = ask("/evil.html")
            assert reply.body == PAGE
            assert reply.headers["content-type"].startswith("text/html")
            assert policy in reply.headers["content-security-policy"]
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["referrer-policy"] == "same-origin"
            assert not {"set-cookie", "access-control-allow-origin", "service-worker-allowed"} & set(reply.headers)
            assert ask("/plain.txt").body == b"text"
            for path in ("/.secret/x", "/k", "/own"):
                assert ask(path).status == 404, path

        return asking

    visit(pile, own, story(PILE_POLICY), allow_listing=True)
    visit(pile, own, story(FILES_POLICY), allow_listing=False)


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>home", b"\xef\xbb\xbf\n<html>home"])
def test_a_page_of_the_original_that_has_no_type_is_a_page(pile, own, page):
    cache(pile, own)
    (pile / "@http").write_bytes(page)

    def story(ask: Ask) -> None:
        reply = ask("/")
        assert (reply.status, reply.body) == (200, page)
        assert (reply.headers["content-type"], reply.headers["x-content-type-options"]) == ("text/html", "nosniff")
        assert "sandbox" in reply.headers["content-security-policy"]

    visit(pile, own, story, allow_listing=True)


@pytest.mark.parametrize(
    "kind", ["TEXT/HTML", "text/html;x", "text/plain, text/html", "image/svg+xml", "multipart/x-mixed-replace"]
)
def test_what_a_browser_may_run_has_no_origin_however_its_type_is_written(pile, own, kind, monkeypatch):
    cache(pile, own)
    monkeypatch.setitem(FOREIGN, "Content-Type", kind)
    plant(pile, "a", PAGE)
    visit(
        pile,
        own,
        lambda ask: _contains(ask("/a").headers["content-security-policy"], "sandbox"),
        allow_listing=True,
    )


def _contains(text: str, part: str) -> None:
    assert part in text


def test_that_a_directory_was_a_cache_is_known_to_the_node_alone(pile, own):
    cache(pile, own, a=b"kept")
    assert not [path for path in pile.rglob("*") if "http" not in path.name and path.name != "notes.txt"]
    assert (own.datadir / "cached").stat().st_mode & 0o077 == 0
    shutil.rmtree(own.datadir / "cached")
    visit(pile, own, lambda ask: _is_nothing(ask("/a")))


def _is_nothing(reply: Reply) -> None:
    assert reply.status == 404


def test_a_node_that_cannot_write_that_down_caches_all_the_same(pile, own):
    (own.datadir / "cached").write_text("in the way")
    cache(pile, own, a=b"kept")
    visit(pile, own, lambda ask: _is_nothing(ask("/a")))
