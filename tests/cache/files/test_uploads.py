"""What visitors bring into a directory, by curl and by hand; one server for all, another where it only takes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.files import incoming, naming
from hardline.cache.files.tree import Tree
from hardline.cache.files.uploads import MOST_OF_ONE
from hardline.errors import WrongArgument
from tests.cache.serving import serving
from tests.support.waiting import wait_until

MOST = 3_000_000


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    root = tmp_path_factory.mktemp("adding")
    (root / "sub").mkdir()
    (root / ".secret").mkdir()
    with serving(root, uploads="yes", most=MOST) as site:
        yield site


@pytest.fixture(scope="module")
def dropping(tmp_path_factory):
    root = tmp_path_factory.mktemp("dropping")
    (root / "there.txt").write_text("not for visitors")
    (root / "sub").mkdir()
    with serving(root, uploads="drop") as site:
        yield site


def curl(*arguments: str, data: bytes = b"") -> tuple[int, str]:
    """Status and body."""
    command = ["curl", "-sS", "-g", "--max-time", "100", "-w", "\n%{http_code}", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), body


def put(site, path: str, data: bytes = b"x", *arguments: str) -> tuple[int, str]:
    return curl("-T", "-", *arguments, site.url(path), data=data)


def test_a_file_that_is_put_is_there_as_it_was(adding):
    data = os.urandom(MOST)
    status, body = put(adding, "/sub/whole.bin", data)
    assert (status, json.loads(body)) == (201, {"name": "whole.bin", "href": "whole.bin", "size": MOST})
    assert hashlib.sha256(adding.get("/sub/whole.bin").body).digest() == hashlib.sha256(data).digest()
    assert (adding.root / "sub/whole.bin").read_bytes() == data


def test_nothing_is_replaced(adding):
    names = [json.loads(put(adding, "/twice.tar.gz", data)[1])["name"] for data in (b"1", b"22", b"333")]
    assert names == ["twice.tar.gz", "twice.tar (2).gz", "twice.tar (3).gz"]
    assert [(adding.root / name).read_bytes() for name in names] == [b"1", b"22", b"333"]
    assert put(adding, "/twice.tar.gz", b"4", "-H", "If-None-Match: *")[0] == 412
    assert put(adding, "/once.txt", b"4", "-H", "If-None-Match: *")[0] == 201


def test_an_index_that_is_brought_hides_nothing(adding):
    status, body = put(adding, "/index.html", b"<script>1</script>")
    assert (status, json.loads(body)["name"]) == (201, "index (2).html")
    assert "sub" in adding.get("/").text
    assert "sandbox" in adding.get("/index%20(2).html").headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/.env", "/a@mako", "/x.ini.cert", "/x.private", "/a%00b", "/a%0ab", "/" + "n" * 256])
def test_names_that_would_not_be_shown_are_not_taken(adding, path):
    before = sorted(os.listdir(adding.root))
    status, body = put(adding, path)
    assert status in (400, 404)
    assert "not" in body or "no " in body.lower()
    assert sorted(os.listdir(adding.root)) == before


@pytest.mark.parametrize("path", ["/none/a.txt", "/.secret/a.txt", "/sub/../../a.txt", "/sub/whole/a.txt"])
def test_directories_are_only_those_that_are_there(adding, path):
    assert put(adding, path, b"x", "--path-as-is")[0] in (404, 409)
    assert os.listdir(adding.root / ".secret") == []


def test_a_form_brings_several(adding, tmp_path):
    for name, content in (("one.txt", "1"), ("two ü.txt", "2")):
        (tmp_path / name).write_text(content)
    fields = [part for name in ("one.txt", "two ü.txt") for part in ("-F", f"file=@{tmp_path / name}")]
    status, body = curl(*fields, "-H", "Accept: application/json", adding.url("/sub/"))
    assert status == 200
    assert [one["name"] for one in json.loads(body)["kept"]] == ["one.txt", "two ü.txt"]
    assert (adding.root / "sub/two ü.txt").read_text() == "2"
    assert curl(*fields, "-H", "Accept: text/html", adding.url("/sub/"))[0] == 303
    assert (adding.root / "sub/one (2).txt").read_text() == "1"


def test_a_form_says_a_name_and_no_way(adding, tmp_path):
    (tmp_path / "f").write_text("f")
    for said in ("../../evil.txt", "C:\\\\Users\\\\ada\\\\evil.txt", "/etc/evil.txt"):
        assert curl("-F", f"file=@{tmp_path / 'f'};filename={said}", adding.url("/sub/"))[0] in (200, 303)
    assert [name for name in os.listdir(adding.root / "sub") if "evil" in name] != []
    assert not any("evil" in name for name in os.listdir(adding.root))


def form(site, body: bytes) -> bytes:
    """The answer to a form of these bytes, whose boundary is b."""
    head = "POST /sub/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return site.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def part(name: str, content: bytes = b"zz") -> bytes:
    said = f'--b\r\nContent-Disposition: form-data; name=file; filename="{name}"\r\n\r\n'
    return said.encode() + content + b"\r\n"


@pytest.mark.parametrize(
    "end",
    [
        b"",
        b"--b",
        b"--c--\r\n",
        b"zz",
        b"--b\r\n" + b"A: b\r\n" * 500,
        b"--b\r\nA: " + b"x" * 9000,
        b"--b\r\n\0: x\r\n\r\n",
    ],
)
def test_of_a_form_that_breaks_off_only_what_was_whole_is_kept_and_named(adding, end):
    before = set(os.listdir(adding.root / "sub"))
    answer = form(adding, part("whole.txt") + part("broken.txt")[: None if end.startswith(b"--b\r\n") else -2] + end)
    assert answer.startswith(b"HTTP/1.1 400 ")
    new = set(os.listdir(adding.root / "sub")) - before
    assert [name for name in new if "broken" in name] == []
    assert len(new) == 1
    assert f"Kept before: {new.pop()}".encode() in answer


def test_a_form_may_be_longer_than_each_of_its_files(adding):
    files = part("l1.bin", b"x" * MOST) + part("l2.bin", b"x" * MOST)
    assert form(adding, files + b"--b--\r\n").startswith(b"HTTP/1.1 200 ")
    assert form(adding, part("l3.bin", b"x" * (MOST + 1)) + b"--b--\r\n").startswith(b"HTTP/1.1 413 ")
    assert not (adding.root / "sub/l3.bin").exists()


def test_who_speaks_an_older_http_is_told_of_no_continue(adding):
    head = "PUT /expected.txt HTTP/1.{}\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
    head += "Content-Length: 2\r\n\r\nab"
    assert adding.raw(head.format(1).encode()).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
    assert adding.raw(head.format(0).encode()).startswith(b"HTTP/1.0 201 ")


@pytest.mark.parametrize("name", ["index.html.", "index.html ", "INDEX.HTML. ."])
def test_what_disks_of_windows_cut_off_a_name_makes_no_index(name):
    assert naming.numbered(name, 1).rstrip(". ").casefold() != "index.html"
    for cut_off in (" ", "a@mako.", "a@http. "):
        with pytest.raises(WrongArgument):
            naming.checked(cut_off)


def test_too_large_is_refused_before_and_under_way(adding):
    head = f"PUT /large.bin HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST + 1}\r\n\r\n"
    answer = b""
    with adding.connection(head.encode()) as sock:
        while b"taken here" not in answer and (more := sock.recv(65536)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"MB" in answer
    assert put(adding, "/large.bin", b"x" * (MOST + 100_000))[0] == 413  # its length is not said before
    assert not any(name.startswith("large") for name in os.listdir(adding.root))


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Content-Range: bytes 0-0/5", 400),
        ("If-Match: *", 412),
    ],
)
def test_who_may_not_and_what_is_no_whole_file(adding, field, status):
    assert put(adding, "/refused.txt", b"x", "-H", field)[0] == status
    assert not (adding.root / "refused.txt").exists()


def test_an_upload_that_ends_in_its_middle_leaves_nothing(adding):
    begun = b"PUT /half.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000
    before = sorted(os.listdir(adding.root))
    with adding.connection(begun) as sock:
        sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: not adding.open_files(), what="nothing of it is open")
    assert sorted(os.listdir(adding.root)) == before


def test_one_visitor_has_so_many_at_once(adding):
    def begun() -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", adding.port), timeout=100)
        sock.sendall(b"PUT /many.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        return sock

    held = [begun() for _ in range(MOST_OF_ONE)]

    def is_full() -> bool:
        for at, sock in enumerate(held):
            if select.select([sock], [], [], 0)[0]:  # another one was in its place just then, and it was refused
                sock.close()
                held[at] = begun()
        return put(adding, "/more.bin")[0] == 503

    try:
        wait_until(is_full, what="no more is taken")
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: put(adding, "/more.bin")[0] == 201, what="they are gone")


def test_methods_are_those_that_there_are(adding, dropping):
    assert adding.get("/", method="OPTIONS").headers["allow"] == "GET, HEAD, OPTIONS, PUT, POST"
    assert adding.get("/sub/", method="DELETE").status == 405
    assert dropping.get("/there.txt", method="DELETE").status == 405


def test_where_one_may_only_drop_nothing_is_listed_or_read(dropping):
    page = dropping.get("/", Accept="text/html")
    assert page.status == 200
    assert "there.txt" not in page.text
    assert "form" in page.text
    for path in ("/there.txt", "/sub/", "/sub", "/api/v1/dir/", "/?zip", "/index.html"):
        answer = dropping.get(path)
        assert answer.status == 404 or "there" not in answer.text
    status, body = put(dropping, "/there.txt", b"new")
    # Nobody learns that there was one of this name already.
    assert (status, json.loads(body)) == (201, {"name": "there.txt", "href": "there.txt", "size": 3})
    assert (dropping.root / "there (2).txt").read_text() == "new"
    assert put(dropping, "/there.txt", b"third", "-H", "If-None-Match: *")[0] == 201
    assert put(dropping, "/sub/a.txt")[0] == 404
    assert (dropping.root / "there.txt").read_text() == "not for visitors"


def test_a_file_gets_the_rights_of_its_directory_and_nobody_runs_it(adding):
    os.chmod(adding.root / "sub", 0o755)
    put(adding, "/sub/program.sh", b"#!/bin/sh\n")
    assert (adding.root / "sub/program.sh").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("links", [True, False], ids=["by a link", "where there are no links"])
def test_a_disk_that_knows_no_files_without_names(tmp_path, monkeypatch, links):
    monkeypatch.delattr(os, "O_TMPFILE")
    if not links:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    old = tmp_path / ".hardline-0123456789abcdef@http.draft"
    old.write_text("left by an earlier one")
    os.utime(old, (0, 0))
    tree = Tree(tmp_path, forbidden=lambda path, facts: False, hidden=True)
    names = []
    for _ in range(2):
        file = incoming.Incoming(tree, (), None)
        file.write(b"abc")
        assert len(os.listdir(tmp_path)) == len(names) + 1
        assert tree.open(tuple(os.listdir(tmp_path))[:1]) is None or names
        names.append(file.keep("a.txt"))
        file.close()
    assert names == ["a.txt", "a (2).txt"]
    assert sorted(os.listdir(tmp_path)) == ["a (2).txt", "a.txt"]
    assert (tmp_path / "a (2).txt").read_bytes() == b"abc"


def test_some_of_the_disk_stays_free(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path).free
    tree = Tree(tmp_path, forbidden=lambda path, facts: False)
    with pytest.raises(incoming.Full):
        incoming.Incoming(tree, (), free)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])
@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_what_is_used_up_is_said_as_no_room(tmp_path, monkeypatch, code, call):
    file = incoming.Incoming(Tree(tmp_path, forbidden=lambda path, facts: False), (), None)

    def used_up(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, used_up)
    if call != "write":
        file.write(b"abc")
    with pytest.raises(incoming.Full):
        file.write(b"abc") if call == "write" else file.keep("a.txt")
    file.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "status"),
    [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EACCES, 403), (errno.EROFS, 403), (errno.EIO, 503)],
)
def test_a_directory_that_takes_no_file_says_why(adding, monkeypatch, code, status):
    really = os.open

    def refuse(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(code, os.strerror(code))
        return really(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert put(adding, "/none.txt")[0] == status


def test_where_open_files_have_no_names_a_hidden_one_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_OPEN_FILES", str(tmp_path / "no-proc"))
    file = incoming.Incoming(Tree(tmp_path, forbidden=lambda path, facts: False), (), None)
    file.write(b"abc")
    assert file.keep("a.txt") == "a.txt"
    file.close()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_nobody_waits_at_the_end_for_a_disk_to_take_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_AT_ONCE", 100)
    synced = list[int]()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    file = incoming.Incoming(Tree(tmp_path, forbidden=lambda path, facts: False), (), None)
    for _ in range(5):
        file.write(b"x" * 60)
    file.close()
    assert synced == [120, 240]


@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=300))
def test_every_number_of_a_name_is_another_name_that_fits(name):
    given_names = [naming.numbered(name, number) for number in (2, 3, 999)]
    assert len(set(given_names)) == 3
    assert all(len(one.encode()) <= 255 for one in given_names)
    assert all("/" not in one for one in given_names)


@given(st.text(max_size=60))
def test_a_name_is_taken_or_refused_with_a_word_on_what_to_do(name):
    try:
        taken, hint = naming.checked(name), "it is taken"
    except WrongArgument as refused:
        taken, hint = name, refused.hint
    assert taken == name
    assert hint
