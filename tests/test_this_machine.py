"""Other users of the machine, and directories that others can write: what they see, and what they can make run."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from pathlib import Path

import pytest

from hardline.upnp import child
from tests.support import needs
from tests.support.node import SCRIPTS, Node, free_port
from tests.support.programs import RunningOrigin, curl
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("curl")]

WORD = "geheimnis"
HTML = ("-H", "Accept: text/html")
NOBODY = 65_534
SOMEBODY = 12_345

# Names of modules that the programs, their children and the interpreter itself import.
TRAPS = (
    *("asyncio", "json", "socket", "ssl", "ctypes", "queue", "sitecustomize", "usercustomize"),
    *("hardline", "opendht", "mako", "miniupnpc", "requests", "aiohttp", "uvloop", "platformdirs", "defusedxml"),
)


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A directory in which everything that is imported leaves its name in the directory `ran`."""
    directory, ran = tmp_path / "traps", tmp_path / "ran"
    directory.mkdir()
    ran.mkdir()
    for name in TRAPS:
        text = f"open({str(ran)!r} + '/{name}', 'w').close()\n"
        (directory / f"{name}.py").write_text(text)
        (directory / f"{name}_").mkdir()
    (directory / "hardline.py").rename(directory / "hardline_" / "__init__.py")
    (directory / "hardline_").rename(directory / "hardline")
    return directory


def trapped(traps: Path) -> list[str]:
    return sorted(os.listdir(traps.parent / "ran"))


# What runs.


def test_nothing_in_the_directory_that_a_node_is_started_in_runs(tmp_path: Path, traps: Path) -> None:
    settings = "[DHT]\nenabled = yes\nbootstrap = 127.0.0.1:9\nproxies = http://127.0.0.1:9\n[UPnP]\nenabled = no\n"
    node = Node(tmp_path / "node", settings=settings, before=("env", "-C", str(traps), "-u", "PYTHONPATH"))
    (traps / "page@mako").write_text("made by ${6 * 7}")
    node.write("pages", f"[Service]\nservice =\n[Cache]\ndirectory = {traps}\ndynamicContent = yes\n")
    with node:
        assert curl(node.url("pages", "page")).text == "made by 42"
        assert curl(node.url_of("ab" * 20)).status == 503  # nobody near has it: the DHT is asked

        def begun() -> bool:
            return bool(node.status()["outside"]["dht"]["node"]["phase"] not in ("idle", "starting"))

        wait_until(begun, "the DHT's process has begun", 60)
    assert trapped(traps) == []


@pytest.mark.parametrize("program", ["igd.py", "pinhole.py"])
def test_nothing_there_runs_when_a_router_is_asked(monkeypatch: pytest.MonkeyPatch, traps: Path, program: str) -> None:
    monkeypatch.chdir(traps)
    monkeypatch.delenv("PYTHONPATH", raising=False)

    async def story() -> None:
        with pytest.raises(child.RouterFailed):
            await child.ask(Path(child.__file__).parent / program, {"do": "nothing"}, 20)

    asyncio.run(story())
    assert trapped(traps) == []


@pytest.mark.parametrize("arguments", [("version",), ("status",), ("lan",), ("fileserver", "nowhere")])
def test_nothing_there_runs_when_the_command_is_used(tmp_path: Path, traps: Path, arguments: tuple[str, ...]) -> None:
    subprocess.run(
        [SCRIPTS / "hardline", "--datadir", tmp_path, *arguments],
        cwd=traps,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert trapped(traps) == []


# What is seen.


@needs.root()
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_own_services_are_shown_to_the_nodes_own_user_only(tmp_path: Path, origin: RunningOrigin, address: str) -> None:
    node = Node(tmp_path / "node")
    node.share("listed", origin.port, title="Everybodys")
    node.share("secret", origin.port, title="Nobodys business", password=WORD, listed=False)
    node.write("unreadable", "[Service]\nservice = unix:relative\n")
    with node:
        label, nobody = node.label("secret"), "ab" * 20
        assert curl(node.url_of(f"{WORD}-{nobody}")).status == 503
        home, tried = (f"http://{address}:{node.localport}/{path}" for path in ("", f"tried/{WORD}-{nobody}"))
        for options in ((), HTML):
            seen = curl(home, *options).text
            for ours in (label, "Everybodys", "Nobodys business", f"127.0.0.1:{origin.port}", "unreadable"):
                assert ours in seen
            assert "Where it was looked for" in curl(tried, *options).text
            for user in (NOBODY, SOMEBODY):
                page = _curl_as(user, home, *options)
                assert "What this computer shares is shown to the user that runs hardlined" in page
                page += _curl_as(user, tried, *options)
                for secret in (WORD, label, "Everybodys", "Nobodys", str(origin.port), "unreadable", "looked for"):
                    assert secret not in page
        assert label in node.hardline("status").stdout


@needs.root()
@needs.linux()
def test_what_was_shared_with_one_user_is_led_to_for_no_other(tmp_path: Path, origin: RunningOrigin) -> None:
    socks = free_port()
    settings = f"[Door]\nusers = own\n[SOCKS]\nlisten = 127.0.0.1:{socks}\n"
    with Node(tmp_path / "host") as host, Node(tmp_path / "visitor", settings=settings) as visitor:
        assert host.hardline("share", str(origin.port), "--name", "diary", "--invited").returncode == 0
        host.share("wiki", origin.port)
        label, wiki = host.label("diary"), host.label("wiki")
        link = host.hardline("invite", "diary", "--to", "Anna").stdout.strip()
        assert visitor.hardline("accept", link).returncode == 0
        url = visitor.url_of(label)
        by_socks = "--noproxy", "", "--socks5-hostname", f"127.0.0.1:{socks}"
        for _ in range(2):  # before there is a session, and by one that is warm
            assert "Shared with another user of this computer" in _curl_as(SOMEBODY, url)
            with pytest.raises(subprocess.CalledProcessError) as refused:
                _curl_as(SOMEBODY, f"http://{label}.localhost/", *by_socks)
            assert "(2)" in refused.value.stderr, "not allowed"
            assert curl(url).text == "hello from the origin\n"
            assert curl(f"http://{label}.localhost/", *by_socks).text == "hello from the origin\n"
        assert _curl_as(SOMEBODY, visitor.url_of(wiki)) == "hello from the origin\n", "what everybody may visit"
        assert visitor.last_visit(label)["status"] == "ok"


@pytest.mark.parametrize("cached", [False, True])
def test_a_node_that_shares_its_own_ends_lets_nobody_in_by_them(
    tmp_path: Path, origin: RunningOrigin, cached: bool
) -> None:
    """Its door would take visitors for programs of its owner's, and a visit would come back again and again."""
    node = Node(tmp_path / "node")
    node.share("secret", origin.port, title="Nobodys business", password=WORD, listed=False)
    cache = "[Cache]\ndirectory = kept\n" if cached else ""
    targets = [f"{host}\nport = {port}" for host, port in _ends(node)] + [f"unix:{node.data}/control.sock"]
    for number, target in enumerate(targets):
        node.write(f"own{number}", f"[Service]\nservice = {target}\n{cache}")
    with node:
        for number in range(len(targets)):
            row = node.serves(f"own{number}")
            assert "hardlined itself listens there" in row["problem"]
            door = ("-H", f"Host: localhost:{node.localport}", "--proxytunnel", "--proxy")
            plain = curl(row["url"], *HTML)
            tunnel = curl(f"http://{row['label']}.localhost/", *door, f"http://127.0.0.1:{node.localport}")
            for answer in (plain, tunnel):
                assert WORD not in answer.text
                assert "Nobodys business" not in answer.text
            assert plain.status == 502
            assert "hardlined itself listens there" in plain.text
        tasks = node.status()["process"]["tasks"]
        assert max(tasks.values()) <= 2 * len(targets), f"one session to each and no more of them: {tasks}"
        assert node.log.count("visitor.came") <= 2 * len(targets)
        assert curl(node.url("secret")).status == 200


def test_a_nodes_own_ends_are_not_shared_by_command_either(tmp_path: Path) -> None:
    with Node(tmp_path / "node") as node:
        targets = [str(node.localport), *(f"{host}:{port}" for host, port in _ends(node))]
        for target in (*targets, f"http://localhost:{node.localport}", f"unix:{node.data}/control.sock"):
            done = node.hardline("share", target)
            assert (done.returncode, done.stdout) == (2, "")
            assert "hardlined itself listens there" in done.stderr
        assert list(node.services.glob("*.ini")) == []


def _ends(node: Node) -> list[tuple[str, int]]:
    hosts = ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]")
    return [(host, port) for port in (node.localport, node.p2pport) for host in hosts]


def _curl_as(user: int, url: str, *options: str) -> str:
    command = ["curl", "-q", "-sS", "-m", "20", "--noproxy", "*", *options, url]
    done = subprocess.run(command, user=user, group=user, extra_groups=[], capture_output=True, text=True, check=True)
    return done.stdout


def _open_to_others(directory: Path) -> list[str]:
    files = [directory, *directory.rglob("*")]
    return [str(file) for file in files if not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) & 0o077]


def test_nothing_that_a_node_keeps_can_be_read_by_others_whatever_the_umask(
    tmp_path: Path, origin: RunningOrigin
) -> None:
    """Databases and what SQLite writes beside them, copies of sites, keys, settings; in directories open to all."""
    node, other = Node(tmp_path / "node", before=("sh", "-c", 'umask 000; exec "$@"', "sh")), Node(tmp_path / "other")
    for directory in (node.data, node.services):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)
    other.share("site", origin.port)
    with other, node:
        assert curl(node.url_of(other.label("site"))).status == 200
        wait_until(lambda: node.status()["peers"], "the host is remembered")
        assert node.hardline("share", str(origin.port), "--name", "mine").returncode == 0
        cached = f"[Service]\nservice = 127.0.0.1\nport = {origin.port}\n[Cache]\ndirectory = kept\n"
        draft = node.services / ".draft"
        draft.touch(0o600)
        draft.write_text(cached)
        draft.rename(node.services / "cached.ini")
        assert curl(node.url("cached")).status == 200
        wait_until(lambda: any((node.data / "cache" / "kept").iterdir()), "an answer is kept")
        assert (node.data / "routes.db-wal").exists()
        assert _open_to_others(node.data) == []
        assert _open_to_others(node.services) == []
    assert node.log.count("directory.closed") == 2
    assert _open_to_others(node.data) == []


@pytest.mark.parametrize(("mode", "reason"), [(0o1777, "sticky bit"), (0o755, "it holds other things, too")])
def test_a_directory_that_others_use_too_is_left_as_it_is_with_a_warning(
    tmp_path: Path, mode: int, reason: str
) -> None:
    """Somebody names /tmp, /etc or his home for the data: closing it would take it from everybody else."""
    node = Node(tmp_path / "node")
    node.data.mkdir(parents=True)
    if not mode & stat.S_ISVTX:
        (node.data / "elses").mkdir()
    node.data.chmod(mode)
    with node:
        assert stat.S_IMODE(node.data.stat().st_mode) == mode
        assert _open_to_others(node.data) == [str(node.data), *map(str, node.data.glob("elses"))]
    (line,) = [line for line in node.log.splitlines() if "directory.open " in line]
    assert f"directory={node.data}" in line
    assert reason in line


def test_a_database_of_an_earlier_version_is_closed_to_others(tmp_path: Path, origin: RunningOrigin) -> None:
    node = Node(tmp_path / "node")
    with node:
        pass
    for file in node.data.glob("routes.db*"):
        file.chmod(0o644)
    node.data.chmod(0o755)
    with node:
        assert _open_to_others(node.data) == []


def test_no_log_holds_an_address_or_a_password(tmp_path: Path, origin: RunningOrigin) -> None:
    """At debug level: a node that shares, one that visits it rightly, wrongly, and finds nobody."""
    host, visitor = Node(tmp_path / "host"), Node(tmp_path / "visitor")
    for number in range(3):
        host.share(f"s{number}", origin.port, password=WORD, listed=number > 0)
    with host, visitor:
        labels = [host.label(f"s{number}") for number in range(3)]
        for label in labels:
            key_hash = label.rpartition("-")[2]
            assert curl(visitor.url_of(label, "?token=4711")).status == 200
            assert curl(visitor.url_of(f"wrong{WORD}-{key_hash}")).status == 403
        curl(visitor.url_of(f"{WORD}-{'ab' * 20}"))
        visitor.hardline("lan")
        host.write("s1", "[Service]\nservice =\npassword = geheimnis-geheimnis\n")
        wait_until(lambda: host.service("s1", state="stale"), "the mistake was seen")
    for text in (host.log, visitor.log):
        assert WORD not in text
        assert "4711" not in text
        for label in labels:
            assert label.rpartition("-")[2] not in text
