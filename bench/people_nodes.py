"""For `--people`: a host with a few services, and commands as somebody types them."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from daemons import Broken
from load import median
from relay_nodes import Quiet

from tests.support.node import SCRIPTS
from tests.support.programs import running_origin

TITLES = ("Photos", "Home Assistant", "Wiki")


def sharing(place: Path, stack: ExitStack) -> Quiet:
    """A host whose services have these titles and answer; it ends with `stack`."""
    origin = stack.enter_context(running_origin())
    host = Quiet(place)
    for title in TITLES:
        host.share(title.partition(" ")[0].lower(), origin.port, title=title)
    return stack.enter_context(host)


def typed(node: Quiet | None, *words: str) -> tuple[float, str]:
    """Run `hardline`; the milliseconds that its person waits, and what it printed."""
    command = [str(SCRIPTS / "hardline"), *(("--datadir", str(node.data)) if node is not None else ()), *words]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise Broken(f"hardline {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return 1e3 * took, done.stdout


def usual(node: Quiet | None, times: int, *words: str) -> float:
    """The median of so many."""
    return median([typed(node, *words)[0] for _ in range(times)])
