"""For `--people`: a host with a few services, and commands as somebody types them."""

from __future__ import annotations

import resource
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

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


class Ran(NamedTuple):
    """A command: the milliseconds that its person waited, and that it computed, and what it printed."""

    took: float
    computed: float
    text: str


def typed(node: Quiet | None, *words: str) -> Ran:
    """Run `hardline`."""
    command = [str(SCRIPTS / "hardline"), *(("--datadir", str(node.data)) if node is not None else ()), *words]
    computed, began = _children(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    took, computed = time.perf_counter() - began, _children() - computed
    if done.returncode:
        raise Broken(f"hardline {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return Ran(1e3 * took, 1e3 * computed, done.stdout)


def usual(node: Quiet | None, times: int, key: str, *words: str) -> dict[str, float]:
    """The medians of so many, as figures of the rows `key` and `key`_cpu."""
    ran = [typed(node, *words) for _ in range(times)]
    return {key: median([one.took for one in ran]), f"{key}_cpu": median([one.computed for one in ran])}


def _children() -> float:
    """Seconds of processor time of all that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
