"""What visitors can get of a directory, and that nothing else of the computer is among it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from hardline.cache.files.tree import Tree
from tests.cache.serving import Serving, serving
from tests.support import needs

pytestmark = needs.linux()

SECRET = b"the secret that lies outside"
INSIDE = b"what is shared"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a secret beside it."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret").write_bytes(SECRET)
    root = tmp_path / "site"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c.txt").write_bytes(INSIDE)
    (root / "top.txt").write_bytes(INSIDE)
    return root


@pytest.fixture
def site(root: Path) -> Iterator[Serving]:
    with serving(root) as running:
        yield running
        running.has_closed_everything()


def content(tree: Tree, *names: str) -> bytes | None:
    """What a visitor gets, None where nothing is."""
    opened = tree.open(names)
    if opened is None:
        return None
    with contextlib.closing(opened):
        return b"" if opened.is_directory else os.pread(opened.fd, 1000, 0)


def tree(root: Path, forbidden: Callable[[str, os.stat_result], bool] = lambda path, facts: False) -> Tree:
    return Tree(root, forbidden=forbidden)


# ── the ways out ─────────────────────────────────────────────────────────────────────────────────────────────

WAYS_OUT = [
    "/../secret",
    "/../../../../../../../../etc/passwd",
    "/a/../../secret",
    "/a/b/../../../secret",
    "/%2e%2e/secret",
    "/%2e%2e%2fsecret",
    "/..%2fsecret",
    "/.%2e/secret",
    "/a/..%2f..%2fsecret",
    "/..%5csecret",
    "/..\\secret",
    "/a\\..\\..\\secret",
    "/%252e%252e/secret",
    "/%252e%252e%252fsecret",
    "/%c0%ae%c0%ae/secret",
    "/%c0%ae%c0%ae%c0%afsecret",
    "/%e0%80%ae%e0%80%ae/secret",
    "/%uff0e%uff0e/secret",
    "/．．/secret",
    "/..%00/secret",
    "/..%00.txt",
    "/%00/../secret",
    "/top.txt%00/../../secret",
    "/..;/secret",
    "/..../secret",
    "/.../secret",
    "/./../secret",
    "//../secret",
    "/a//../../secret",
    "/~root/secret",
    "/SITE",
    "/secret",
    "/?../secret",
    "/#/../secret",
    "/api/v1/dir/../",
    "/api/v1/dir/%2e%2e/",
    "/../site/top.txt",
    "/file:///etc/passwd",
]


@pytest.mark.parametrize("path", WAYS_OUT)
def test_no_spelling_leads_out(site, path):
    for request in (path, f"{path}/", f"{path}?as_markdown=1"):
        answer = site.raw(f"GET {request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert SECRET not in answer
        assert b"root:" not in body
        assert b"private" not in body
        status = int(head.split()[1])
        assert status in (400, 404) or path.startswith(("/?", "/#"))


def test_no_absolute_path_leads_out(site):
    for path in (str(site.root.parent / "secret"), "/etc/passwd", "//etc/passwd", quote("/etc/passwd", safe="")):
        for request in (path, f"/{path}", f"http://127.0.0.1:{site.port}/{path}"):
            answer = site.raw(f"GET {request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert SECRET not in answer
            assert b"root:" not in answer


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_link_is_followed_where_it_leads_inside(root):
    (root / "file").symlink_to("a/b/c.txt")
    (root / "a" / "up").symlink_to("../top.txt")
    (root / "directory").symlink_to("a/b")
    (root / "absolute").symlink_to(root / "top.txt")
    (root / "chain").symlink_to("directory/c.txt")
    (root / "around").symlink_to("../site/top.txt")
    (root / "here").symlink_to(".")
    shared = tree(root)
    for names in ("file", "a/up", "directory/c.txt", "absolute", "chain", "around", "here/here/a/up", "here/chain"):
        assert content(shared, *names.split("/")) == INSIDE, names


def test_a_link_that_leads_out_is_not_there(root):
    outside = root.parent / "secret"
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../secret")
    (root / "directory").symlink_to("../private")
    (root / "parent").symlink_to("..")
    (root / "all").symlink_to("/")
    (root / "chain").symlink_to("relative")
    (root / "a" / "proc").symlink_to("/proc/self/cwd")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    sibling = root.parent / "site-too"
    sibling.mkdir()
    (sibling / "x").write_bytes(SECRET)
    (root / "prefix").symlink_to("../site-too/x")
    shared = tree(root)
    leading_out = """absolute relative directory directory/secret parent parent/secret all all/etc/passwd chain a/proc
        a/proc/pyproject.toml dangling loop loop/x one prefix parent/site-too/x"""
    for names in leading_out.split():
        assert content(shared, *names.split("/")) is None, names


def test_the_directory_itself_may_be_a_link_that_is_moved(root):
    other = root.parent / "other"
    other.mkdir()
    (other / "top.txt").write_bytes(b"other")
    (other / "link").symlink_to("top.txt")
    current = root.parent / "current"
    current.symlink_to("site")
    with serving(current) as site:
        assert site.get("/top.txt").body == INSIDE
        current.unlink()
        assert site.get("/top.txt").status == 503
        current.symlink_to("other")
        assert site.get("/top.txt").body == b"other"
        assert site.get("/a/b/c.txt").status == 404


def test_everything_can_be_shared(tmp_path):
    (tmp_path / "x").write_bytes(INSIDE)
    (tmp_path / "link").symlink_to("x")
    names = (*tmp_path.resolve().parts[1:], "link")
    assert content(tree(Path("/")), *names) == INSIDE


def test_a_link_swapped_in_while_files_are_fetched_leads_nowhere(root):
    """The directory on the way, and the file itself, become links to outside and back, all the time."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2

    def exchange(one: Path, other: Path) -> None:
        if renameat2(-100, bytes(one), -100, bytes(other), 2):  # RENAME_EXCHANGE
            raise OSError(ctypes.get_errno(), "renameat2")

    (root / "d").mkdir()
    (root / "d" / "secret").write_bytes(INSIDE)
    (root / "spare").symlink_to(root.parent / "private")
    (root / "secret").write_bytes(INSIDE)
    (root / "spare2").symlink_to("../secret")
    over = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not over.is_set():
            exchange(root / "d", root / "spare")
            exchange(root / "secret", root / "spare2")
            swaps += 1

    shared, seen = tree(root), {None: 0, INSIDE: 0}
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            for names in (("d", "secret"), ("secret",)):
                seen[content(shared, *names)] += 1  # a KeyError is a secret
    finally:
        over.set()
        swapper.join()
    assert swaps > 1000
    assert min(seen.values()) > 100


# ── what is no file ──────────────────────────────────────────────────────────────────────────────────────────


def test_pipes_sockets_and_devices_are_not_there_and_nobody_waits_for_them(root):
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener, serving(root) as site:
        listener.bind(str(root / "socket"))
        (root / "null").symlink_to("/dev/null")
        (root / "tty").symlink_to("/dev/tty")
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):
                os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        names = {entry.name for entry in root.iterdir()} - {"a", "top.txt"}
        assert len(names) >= 4
        for name in names:
            for path in (f"/{name}", f"/{name}/", f"/{name}?as_markdown=1"):
                assert site.get(path).status == 404
        listing = site.get("/").text
        assert not any(name in listing for name in names)


def test_a_pipe_that_somebody_writes_to_is_left_alone(root):
    os.mkfifo(root / "pipe")
    shared = tree(root)
    with pytest.raises(OSError, match="No such device"):  # nobody reads, after as before
        os.open(root / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    assert content(shared, "pipe") is None
    with pytest.raises(OSError, match="No such device"):
        os.open(root / "pipe", os.O_WRONLY | os.O_NONBLOCK)


# ── what must not be shown ───────────────────────────────────────────────────────────────────────────────────


def test_what_is_forbidden_is_not_there_under_any_name(root):
    """By its real path, and behind other names of the same file."""
    (root / "key").write_bytes(SECRET)
    (root / "link").symlink_to("key")
    os.link(root / "key", root / "hard")
    (root / "keys").mkdir()
    (root / "keys" / "one").write_bytes(SECRET)
    (root / "way").symlink_to("keys")
    (root / "page.html").write_bytes(b"x")
    (root / "page.html.gz").write_bytes(SECRET)
    (root / "home").mkdir()
    (root / "home" / "index.html").write_bytes(SECRET)
    key, keys = (root / "key").stat(), str(root.resolve() / "keys")
    others = {str(root.resolve() / name) for name in ("page.html.gz", "home/index.html")}

    def forbidden(path: str, facts: os.stat_result) -> bool:
        return os.path.samestat(facts, key) or path == keys or path.startswith(f"{keys}/") or path in others

    with serving(root, forbidden=forbidden) as site:
        for path in ("/key", "/link", "/hard", "/keys/one", "/keys/", "/keys", "/way", "/way/one", "/home/index.html"):
            for _ in range(3):
                assert site.get(path).status == 404, path
        for path in ("/", "/home/", "/api/v1/dir/"):
            listed = site.get(path)
            assert listed.status == 200
            assert not any(word in listed.text for word in ("key", "link", "hard", "way", "page.html.gz", "index"))
        assert SECRET not in site.get("/page.html", Accept_Encoding="gzip").body
        assert site.get("/home/").status == 200


def test_what_becomes_forbidden_is_not_there_any_more(root):
    secret = set()
    path = root / "top.txt"
    os.utime(path, (1, 1))
    with serving(root, forbidden=lambda real, facts: real in secret) as site:
        for _ in range(3):
            assert site.get("/top.txt").body == INSIDE
        secret.add(str(path.resolve()))
        assert site.get("/top.txt").status == 404


def test_what_is_locked_is_told_apart_from_what_is_not_there():
    """The daemon may not read it: that is the owner's to mend.  What is forbidden is not even locked."""
    with tempfile.TemporaryDirectory() as name:  # a way to it for everybody, which pytest's own directories have not
        root = Path(name).resolve()
        root.chmod(0o755)
        for path in ("room/x", "hall/x", "forbidden/key", "locked"):
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(INSIDE if path == "hall/x" else SECRET)
        for path, mode in (("locked", 0), ("room", 0), ("hall", 0o711), ("forbidden", 0)):
            (root / path).chmod(mode)
        shut = str(root / "forbidden")
        with as_nobody(), serving(root, forbidden=lambda real, facts: real.startswith(shut)) as site:
            for path in ("/locked", "/room/x", "/room/", "/room/nothing", "/hall/"):
                reply = site.get(path)
                assert reply.status == 403, path
                assert SECRET not in reply.body
            assert site.get("/hall/x").body == INSIDE  # passing is enough
            for path in ("/forbidden", "/forbidden/", "/forbidden/key", "/forbidden/nothing"):
                assert site.get(path).status == 404, path
            site.has_closed_everything()
        for path in ("room", "hall", "forbidden"):
            (root / path).chmod(0o755)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: become somebody who may not, with all threads."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_the_cache_keeps_for_itself_is_not_there(root):
    kept = ["foo@http", "foo@http.2", "foo@http.head", "page@mako", "x@data", "@http", "FOO@HTTP", "@http.long"]
    for name in kept:
        (root / name).write_bytes(SECRET)
    (root / "dir@data").mkdir()
    (root / "dir@data" / "x").write_bytes(SECRET)
    (root / "link").symlink_to("foo@http")
    (root / "me@example.com").write_bytes(INSIDE)
    with serving(root) as site:
        for name in [*kept, "dir@data/x", "dir@data/", "link"]:
            assert site.get(f"/{quote(name)}").status == 404, name
            assert site.get(f"/{name}").status == 404, name
        listing = site.get("/").text
        assert "me@example.com" in listing
        assert not any(word in listing for word in ("@http", "@HTTP", "@mako", "@data", "link"))


# ── names of any kind ────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_that_no_file_can_have_is_not_there(site):
    for name in ("x" * 256, "x" * 5000, "a/" * 3000, quote("é" * 200)):
        assert site.get(f"/{name}").status in (400, 404)
    assert site.get("/top.txt/x").status == 404
    assert site.get("/top.txt/").status == 404


def test_a_path_that_is_longer_than_the_system_takes_at_once_is_walked(tmp_path):
    names = [str(number) * 200 for number in range(9)] * 3  # 5,400 bytes: PATH_MAX is 4,096
    root = fd = os.open(tmp_path, os.O_DIRECTORY)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, root)
        for name in names:
            os.mkdir(name, dir_fd=fd)
            fd = os.open(name, os.O_DIRECTORY, dir_fd=fd)
            stack.callback(os.close, fd)
        file = os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
        os.write(file, INSIDE)
        os.close(file)
        assert content(tree(tmp_path), *names, "end") == INSIDE
        with serving(tmp_path) as site:
            for _ in range(2):
                assert site.get("/" + "/".join(names) + "/end").body == INSIDE


def test_a_directory_that_is_not_there_yet_is_served_when_it_is(tmp_path):
    root = tmp_path / "usb"
    with serving(root) as site:
        assert site.get("/").status == site.get("/x").status == 503
        root.mkdir()
        (root / "x").write_bytes(INSIDE)
        assert site.get("/x").body == INSIDE
        assert site.get("/").status == 200


def test_what_is_no_name_leads_nowhere_whoever_says_it(root):
    shared = tree(root)
    for names in (["..", "secret"], ["a", "..", "..", "secret"], ["../secret"], ["."], ["a", ""], ["a/b", "c.txt"]):
        assert content(shared, *names) is None


def test_nothing_stays_open_whatever_is_asked_for(root):
    (root / "out").symlink_to("../secret")
    (root / "in").symlink_to("a/b")
    os.mkfifo(root / "pipe")
    shared = tree(root, forbidden=lambda path, facts: path.endswith("top.txt"))
    before = len(os.listdir("/proc/self/fd"))
    for names in ("", "a", "a/b/c.txt", "in/c.txt", "out", "out/x", "pipe", "top.txt", "top.txt/x", "nothing", "x/y"):
        parts = names.split("/") if names else []
        content(shared, *parts)
        directory = shared.read_directory(parts)
        if directory is not None:
            list(directory.entries())
            directory.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_request_gets_a_secret_or_breaks_the_service(root):
    """Requests put together from what has ever been used against a file server."""
    (root / "out").symlink_to("../private")
    (root / "ünï <b>").mkdir()
    (root / "ünï <b>" / "README.md").write_bytes(b"# x")
    pieces = (
        "/ .. . %2e %2E%2e %2f %5c \\ %00 %c0%ae a b c.txt top.txt out secret ünï%20%3Cb%3E README.md api v1 dir ~ ; "
    )
    pieces += "private site // /../ ? # ? as_markdown=1 & = @http %25 %252e %ff é http:// 127.0.0.1 : * %0d%0a %"
    fields = [
        *(
            "Range: bytes=0-",
            "Range: bytes=-1,0-0,5-",
            "Range: x",
            "If-None-Match: *",
            'If-None-Match: "',
            "If-Match: x",
        ),
        *(
            "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
            "If-Range: x",
            "Accept: application/json",
            "Accept: ;q=,",
        ),
        *(
            "Accept-Encoding: gzip;q=x, br, *;q=0",
            "Host: y",
            "Content-Length: 0",
            "Expect: 100-continue",
            "Accept: \xff",
        ),
    ]
    chance = random.Random(7)
    allowed = {200, 204, 206, 301, 304, 400, 404, 405, 412, 416}
    seen = set()
    with serving(root) as site:
        for _ in range(1500):
            method = chance.choice(["GET"] * 6 + ["HEAD", "OPTIONS", "POST"])
            target = "/" + "".join(chance.choices(pieces.split(), k=chance.randrange(8)))
            lines = [f"{method} {target} HTTP/1.1", "Connection: close", *chance.sample(fields, chance.randrange(4))]
            answer = site.raw(("\r\n".join(lines) + "\r\nHost: x\r\n\r\n").encode("utf-8"))
            status = int(answer.split(None, 2)[1])
            seen.add(status)
            assert status in allowed, lines
            assert SECRET not in answer
            if status != 400:  # which repeats what was asked for
                assert b"private" not in answer, lines
        site.has_closed_everything()
    assert {200, 301, 304, 404, 405} <= seen
