"""`scp` of 100 MB by `hardline nc`, beside the same by a pair of socat that speak TLS: what people would put there.

    scp ─▶ ssh ─▶ ProxyCommand ─┬▶ hardline nc ─▶ visitor ══▶ host ─────┬▶ sshd
                                └▶ socat ══ TLS, pinned ══▶ socat ──────┘
    scp ─▶ ssh ───────────────────────────────▶ visitor ══▶ host ───────▶ sshd      hardline nc --fdpass, and its end

All in turns, the ratio of each to the socat of its turn; the copy is compared with the original.
"""

from __future__ import annotations

import filecmp
import getpass
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import load
from contestants import Contestant, Hardline
from daemons import Broken, Daemon, free_port
from measures import Sizes
from others import make_certificate, ssh_server

_LIMIT = 120.0  # seconds of one copy


def scp(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """Seconds of one copy by each, and the median of the ratios; left out with a line where a program is missing."""
    if not isinstance(contestant, Hardline):
        return {}
    if missing := [name for name in ("socat", "scp", "ssh-keygen") if shutil.which(name) is None]:
        print(f"scp by hardline nc: left out: {', '.join(missing)} not installed", flush=True)
        return {}
    directory = contestant.directory / "scp"
    directory.mkdir()
    source = directory / "source"
    with contestant.origin.bulk.open("rb") as bulk:
        source.write_bytes(bulk.read(sizes.copied_bytes))
    daemons: list[Daemon] = []
    try:
        port = free_port()
        server = Daemon("sshd", ssh_server(directory, "127.0.0.1", port), directory / "sshd.log")
        daemons.append(server)
        server.wait_listening("127.0.0.1", port)
        ways = {"socat": _by_socat(directory, port, daemons), **_by_us(contestant, port)}
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(sizes.copies + 1):
            turn = list(ways.items()) if number % 2 else list(reversed(ways.items()))
            for name, options in turn:
                contestant.settle()
                seconds = _copy(directory, source, options)
                if number:  # the first finds the way, and fills caches
                    took[name].append(seconds)
    finally:
        for daemon in reversed(daemons):
            daemon.stop()
    seconds = {f"scp_{name}": load.median(each) for name, each in took.items()}
    return {"scp": _ratio(took, "nc"), "scp_passed": _ratio(took, "fdpass"), **seconds}


def _ratio(took: dict[str, list[float]], way: str) -> float:
    return load.median([ours / theirs for ours, theirs in zip(took[way], took["socat"], strict=True)])


def _by_us(contestant: Hardline, port: int) -> dict[str, dict[str, str]]:
    label = contestant.share("shell", f"[Service]\nservice = 127.0.0.1\nport = {port}\n")
    visitor = contestant.directory / "visitor"
    command = [sys.executable, "-m", "hardline.cli", "--datadir", str(visitor), "nc", label]
    return {
        "nc": {"ProxyCommand": shlex.join(command)},
        "fdpass": {"ProxyCommand": shlex.join([*command, "--fdpass"]), "ProxyUseFdpass": "yes"},
    }


def _by_socat(directory: Path, port: int, daemons: list[Daemon]) -> dict[str, str]:
    certificate, key = make_certificate(directory)
    outer = free_port()
    listen = f"OPENSSL-LISTEN:{outer},bind=127.0.0.1,reuseaddr,fork,nodelay,cert={certificate},key={key},verify=0"
    argv = ["socat", "-b", "65536", listen, f"TCP:127.0.0.1:{port},nodelay"]
    daemon = Daemon("socat", argv, directory / "socat.log")
    daemons.append(daemon)
    daemon.wait_listening("127.0.0.1", outer)
    to = f"OPENSSL:127.0.0.1:{outer},nodelay,cafile={certificate},commonname=bench"
    return {"ProxyCommand": shlex.join(["socat", "-b", "65536", "-", to])}


def _copy(directory: Path, source: Path, proxy: dict[str, str]) -> float:
    target = directory / "copy"
    target.unlink(missing_ok=True)
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": "bench",
        "UserKnownHostsFile": directory / "known",
        "LogLevel": "ERROR",
        **proxy,
    }
    argv = ["scp", "-F", "none", "-q", "-i", str(directory / "user_key")]
    argv += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    began = time.perf_counter()
    done = subprocess.run(
        [*argv, str(source), f"{getpass.getuser()}@bench:{target}"], capture_output=True, timeout=_LIMIT, check=False
    )
    took = time.perf_counter() - began
    if done.returncode or not filecmp.cmp(source, target, shallow=False):
        raise Broken(f"scp by {proxy['ProxyCommand']}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return took
