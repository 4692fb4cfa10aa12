"""`hardline backup` and `restore` from outside: a node goes to another computer, and is the same there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hardline.backup import files
from hardline.errors import ConfigError, WrongArgument
from hardline.places import Places
from tests.support.node import SCRIPTS, Node

PASSPHRASE = "correct horse battery"


def hardline(
    *arguments: str | Path, passphrase: str = PASSPHRASE, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / "hardline"), *map(str, arguments)]
    return subprocess.run(
        command, input=f"{passphrase}\n", capture_output=True, text=True, timeout=100, env={**os.environ, **environment}
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A node with two services and a name, and a backup of it that was made while it ran."""
    base = tmp_path_factory.mktemp("home")
    with Node(base / "a") as node:
        node.share("wiki", 8000)
        node.write("photos", "[Service]\nservice = 127.0.0.1\nport = 8001\n[Access]\nclients = invited\n")
        node.serves("photos")
        urls = [_label(node.url(name)) for name in ("wiki", "photos")]
        assert hardline("--datadir", node.data, "name", node.url("wiki"), "mine").returncode == 0
        invited = hardline("--datadir", node.data, "invite", "photos", "--to", "Anna")
        assert invited.returncode == 0
        made = hardline("--datadir", node.data, "backup", base / "copy")
        assert made.returncode == 0, made.stderr
        places = node.services, node.data
    return base, urls, places, made


def _label(url: str) -> str:
    return url.partition(".localhost")[0]


def there(node: Node) -> list[str]:
    return ["--datadir", str(node.data)]


def test_row_20_restored_on_another_computer_it_is_the_same(home, tmp_path):
    base, urls, (servicedir, datadir), made = home
    assert "2 services (photos, wiki)" in made.stderr
    assert made.stdout == ""
    assert stat.S_IMODE((base / "copy").stat().st_mode) == 0o600
    for secret in (b"PRIVATE", urls[0][7:20].encode(), b"wiki"):
        assert secret not in (base / "copy").read_bytes()
    node = Node(tmp_path / "b")
    where = [*there(node), "restore", "--servicedir", node.services, base / "copy"]
    wrong = hardline(*where, passphrase="another one")
    assert wrong.returncode == 2
    assert "passphrase" in wrong.stderr
    assert not list(node.services.glob("*.ini"))
    done = hardline(*where)
    assert done.returncode == 0, done.stderr
    assert "visitors come to either" in done.stderr
    for name in ("wiki.ini", "wiki.ini.cert.private", "photos.ini"):
        assert (node.services / name).read_bytes() == (servicedir / name).read_bytes()
        assert stat.S_IMODE((node.services / name).stat().st_mode) == 0o600
    assert (node.data / "invites").read_bytes() == (datadir / "invites").read_bytes()
    with node:
        assert [_label(node.url(name)) for name in ("wiki", "photos")] == urls
        assert hardline(*there(node), "open", "mine", "--print").stdout.startswith(urls[0])
        assert (node.data / "instance").read_text() != (datadir / "instance").read_text()
        assert (node.data / "node.cert").read_bytes() == (datadir / "node.cert").read_bytes()
        runs = hardline(*where, "--yes")
        assert runs.returncode == 1
        assert "stop it first" in runs.stderr
    again = hardline(*where)
    assert again.returncode == 0, again.stderr  # all of it is there, as it was


def test_what_is_there_is_not_replaced_unless_that_is_said(home, tmp_path):
    base, _, (servicedir, _), _ = home
    services, data = tmp_path / "services", tmp_path / "data"
    services.mkdir()
    (services / "wiki.ini").write_text("[Service]\nservice = localhost\nport = 1\n")
    where = ["--datadir", data, "restore", "--servicedir", services, base / "copy"]
    refused = hardline(*where)
    assert refused.returncode == 2
    assert str(services / "wiki.ini") in refused.stderr
    assert "--yes" in refused.stderr
    assert sorted(os.listdir(services)) == ["wiki.ini"]
    assert not data.exists()
    done = hardline(*where, "--yes")
    assert done.returncode == 0, done.stderr
    (kept,) = services.glob("wiki.ini.before-*")
    assert "port = 1" in kept.read_text()
    assert (services / "wiki.ini").read_bytes() == (servicedir / "wiki.ini").read_bytes()


def test_a_copy_is_not_written_over_another_file_nor_with_a_short_passphrase(home, tmp_path):
    _, _, (servicedir, datadir), _ = home
    where = ["--datadir", datadir, "backup", "--servicedir", servicedir]
    (tmp_path / "taken").write_text("mine")
    refused = hardline(*where, tmp_path / "taken")
    assert (refused.returncode, (tmp_path / "taken").read_text()) == (2, "mine")
    short = hardline(*where, tmp_path / "new", passphrase="short")
    assert short.returncode == 2
    assert not (tmp_path / "new").exists()


def test_a_copy_replaces_no_device_and_needs_a_stdin(home, tmp_path):
    _, _, (servicedir, datadir), _ = home
    os.mkfifo(tmp_path / "pipe")
    command = [*("--datadir", datadir, "backup", "--servicedir", servicedir)]
    refused = hardline(*command, "--yes", tmp_path / "pipe")
    assert (refused.returncode, "no plain file" in refused.stderr) == (2, True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    words = " ".join(map(str, [SCRIPTS / "hardline", *command, tmp_path / "none"]))
    closed = subprocess.run(["sh", "-c", f"{words} <&-"], capture_output=True, text=True, timeout=100)
    assert (closed.returncode, "no passphrase" in closed.stderr, "Traceback" in closed.stderr) == (2, True, False)


def test_what_is_too_large_to_be_of_a_node_is_left_out_and_said(tmp_path):
    services = tmp_path / "services"
    services.mkdir()
    (services / "a.ini").write_text("[Service]\nservice = localhost\nport = 1\n")
    (services / "film.mp4").write_bytes(bytes(2 << 20))
    done = hardline("--datadir", tmp_path / "data", "backup", "--servicedir", services, tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    assert f"not in it: {services / 'film.mp4'}" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led to what is not the user's")
def test_links_of_another_user_lead_root_to_nothing_of_roots():
    nobody = 65534
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to him
        os.chmod(directory, 0o755)
        follow_links_of(nobody, Path(directory))


def follow_links_of(nobody: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    services, data = tmp_path / "services", tmp_path / "data"
    for directory in (services, data):
        directory.mkdir(mode=0o700)
        os.chown(directory, nobody, nobody)
    (services / "a.ini").write_text("[Service]\nservice = localhost\nport = 1\n")
    places = Places(services, data)
    taken = files.take(places).files
    (services / "link.ini").symlink_to(secret)
    with pytest.raises(ConfigError, match="permission denied"):
        files.take(places)
    (services / "link.ini").unlink()
    (services / "a.ini").unlink()
    # What is there is another file: root would keep a copy of it beside, as the user's.
    (services / "a.ini").symlink_to(secret)
    with pytest.raises(ConfigError, match="permission denied"):
        files.put_back(taken, places, replace=True)
    assert not list(services.glob("*.before-*"))
    assert secret.read_text() == "of root"
    (services / "a.ini").unlink()
    (data / "keys").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="permission denied"):
        files.put_back({"data/keys/planted": b"x"}, places, replace=True)
    files.put_back(taken, places, replace=True)
    files.note_made(data)
    assert {path.lstat().st_uid for path in (*services.iterdir(), *data.iterdir())} == {nobody, 0}  # the link is root's
    assert (services / "a.ini").stat().st_uid == nobody
    assert (data / "backed-up").stat().st_uid == nobody
    assert (os.geteuid(), os.getegid()) == (0, os.getgid())


def test_a_path_that_steers_a_terminal_is_shown_as_text_and_a_directory_is_in_the_way(tmp_path):
    services = tmp_path / "s\x1b[2J"
    (services / "b.ini").mkdir(parents=True)
    places = Places(services, tmp_path / "data")
    with pytest.raises(WrongArgument) as refused:
        files.put_back({"services/a.ini": b"x", "services/b.ini": b"x"}, places, replace=True)
    assert "\x1b" not in refused.value.message
    assert not (services / "a.ini").exists()
    (services / "b.ini").rmdir()
    (services / "a.ini").write_text("another")
    with pytest.raises(WrongArgument) as refused:
        files.put_back({"services/a.ini": b"x"}, places, replace=False)
    assert "\x1b" not in refused.value.message


def test_what_is_no_backup_and_what_is_no_node_is_said(tmp_path):
    (tmp_path / "x").write_text("hello")
    where = ["--datadir", tmp_path / "data", "restore", "--servicedir", tmp_path / "s"]
    assert "no backup" in hardline(*where, tmp_path / "x").stderr
    assert "cannot be read" in hardline(*where, tmp_path / "y").stderr
    nothing = hardline("--datadir", tmp_path / "data", "backup", "--servicedir", tmp_path / "s", tmp_path / "z")
    assert nothing.returncode == 1
    assert "no node" in nothing.stderr


@pytest.mark.parametrize("does", ["backup", "restore"])
def test_a_dash_is_no_file(home, tmp_path, monkeypatch, does):
    monkeypatch.chdir(tmp_path)
    _, _, (servicedir, datadir), _ = home
    where = ["--datadir", datadir, does, "--servicedir", servicedir]
    refused = hardline(*where, "-")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "- is none" in refused.stderr
    assert not (tmp_path / "-").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
def test_on_a_terminal_the_passphrase_is_asked_for_twice_and_not_shown(home, tmp_path):
    import pty

    _, _, (servicedir, datadir), _ = home
    ours, theirs = pty.openpty()
    command = [SCRIPTS / "hardline", "--datadir", datadir, "backup", "--servicedir", servicedir, tmp_path / "t"]
    with subprocess.Popen(
        list(map(str, command)), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as child:
        os.close(theirs)
        seen = b""
        for asked, answer in ((b"passphrase: ", PASSPHRASE), (b"again: ", PASSPHRASE)):
            while asked not in seen:
                seen += os.read(ours, 1000)
            os.write(ours, f"{answer}\n".encode())
        while True:
            try:
                seen += os.read(ours, 1000)
            except OSError:
                break
        assert child.wait(100) == 0, seen
    os.close(ours)
    assert PASSPHRASE.encode() not in seen
    assert (tmp_path / "t").exists()
