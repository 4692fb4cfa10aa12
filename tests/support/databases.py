"""Databases that tests run against: PostgreSQL, which hears its client first and greets it then, and Redis.

Each is a program of Debian's with nothing in it, on a free port of 127.0.0.1 and with a password.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import free_port
from tests.support.waiting import wait_until

USER, PASSWORD = "ada", "correct horse"
_NOBODY = ("postgres", "nobody")  # who PostgreSQL may be, since root it refuses to be


def postgresql() -> pytest.MarkDecorator:
    """As needs.tools: its server is on no PATH."""
    reason = "needs postgresql: see tests/support/install.sh"
    return pytest.mark.skipif(_programs() is None or shutil.which("psql") is None, reason=reason)


@contextlib.contextmanager
def running_postgres() -> Iterator[int]:
    """The port of one."""
    programs, port = _programs(), free_port()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="hl-pg", ignore_cleanup_errors=True) as name, _log(name) as log:
        place = Path(name)
        (place / "password").write_text(PASSWORD)
        as_user = _as_nobody(place) if os.geteuid() == 0 else {}
        made = [programs / "initdb", "-D", place / "data", "-U", USER, "-A", "scram-sha-256", "--no-sync"]
        made += ["--pwfile", place / "password", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run(made, stdout=log, stderr=log, cwd="/", check=True, **as_user)
        run = [programs / "postgres", "-D", place / "data", "-p", str(port)]
        for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"):
            run += ["-c", setting]
        with subprocess.Popen(run, stdout=log, stderr=log, cwd="/", **as_user) as server:
            try:
                wait_until(lambda: "ready to accept connections" in (place / "log").read_text(), "PostgreSQL is ready")
                yield port
            finally:
                server.terminate()  # it waits for its clients, and there are none


@contextlib.contextmanager
def running_redis(place: Path) -> Iterator[int]:
    """The port of one; `place` is an empty directory."""
    port = free_port()
    run = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
    with _log(place) as log, subprocess.Popen(run, stdout=log, stderr=log, cwd=place) as server:
        try:
            wait_until(lambda: "Ready to accept connections" in (place / "log").read_text(), "Redis is ready")
            yield port
        finally:
            server.terminate()


def psql(port: int, *words: str) -> list[str]:
    """The command: one row a line, and the first mistake is its end.  Run it with `ENVIRONMENT`."""
    quiet = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
    return ["psql", *quiet, "-h", "127.0.0.1", "-p", str(port), "-U", USER, "-d", "postgres", *words]


def redis_cli(port: int, *words: str) -> list[str]:
    """The command.  Run it with `ENVIRONMENT`."""
    return ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *words]


ENVIRONMENT = {**os.environ, "PGPASSWORD": PASSWORD, "REDISCLI_AUTH": PASSWORD, "LC_ALL": "C"}


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _as_nobody(place: Path) -> dict[str, Any]:
    for name in _NOBODY:
        with contextlib.suppress(KeyError):
            who = pwd.getpwnam(name)
            for path in (place, place / "password"):
                os.chown(path, who.pw_uid, who.pw_gid)
            return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise AssertionError(f"there is no user {' or '.join(_NOBODY)}")


@contextlib.contextmanager
def _log(place: Path | str) -> Iterator[Any]:
    with Path(place, "log").open("ab") as log:
        yield log
