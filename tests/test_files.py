"""Small files: read with a limit, written whole or not at all, never over another."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from hardline.files import hint_for, probe, read_small, write_new


def test_a_file_is_read_together_with_its_mode(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "a").chmod(0o640)
    file = read_small(tmp_path / "a", limit=5)
    assert (file.data, file.mode) == (b"12345", 0o640)


def test_a_file_above_the_limit_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"123456")
    with pytest.raises(OSError, match="bigger than 5 bytes") as caught:
        read_small(tmp_path / "a", limit=5)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / "a")
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(OSError, match="no plain file"):
        read_small(tmp_path / "a", limit=5)
    assert not open_before or len(os.listdir("/proc/self/fd")) == open_before


def test_a_new_file_has_its_mode_and_leaves_nothing_beside_it(tmp_path):
    write_new(tmp_path / "key", b"secret", 0o600)
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"old"), lambda path: path.symlink_to("nowhere")])
def test_what_is_there_is_never_overwritten(tmp_path, make):
    make(tmp_path / "key")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "key", b"new", 0o600)
    assert os.listdir(tmp_path) == ["key"]
    assert (tmp_path / "key").is_symlink() or (tmp_path / "key").read_bytes() == b"old"


def test_a_write_that_fails_in_the_middle_leaves_no_file(tmp_path):
    program = (
        "import resource, signal, sys; from pathlib import Path; from hardline.files import write_new\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "write_new(Path(sys.argv[1]), bytes(200), 0o600)"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "key")], capture_output=True, text=True)
    assert "File too large" in run.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "part"), [(errno.ENOSPC, "room"), (errno.EROFS, "read-only"), (errno.EACCES, "user"), (errno.EIO, "")]
)
def test_hints_say_what_the_owner_can_do(number, part):
    assert part in hint_for(OSError(number, os.strerror(number)))


def test_the_probe_of_a_directory_leaves_nothing_and_touches_nothing(tmp_path, monkeypatch):
    """Others may write there: a link at the name that will be used must not lead to a file of ours."""
    precious = tmp_path / "precious"
    precious.write_text("keep")
    names = iter(["00000000", "11111111"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(names))
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / ".probe.00000000").symlink_to(precious)
    with pytest.raises(FileExistsError):
        probe(shared)
    probe(shared)
    assert precious.read_text() == "keep"
    assert [path.name for path in shared.iterdir()] == [".probe.00000000"]
