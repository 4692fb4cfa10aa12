"""`make bench`: every kind of measurement, one after the other, and at the end which targets were missed.

    python bench/families.py [FAMILY …]        those named, else all, in this order

Each is bench/run.py with an option, prints its table and verdicts when it is done, and keeps its figures as ever.
Exit code 0: all did their work, whatever the verdicts; 1: one did not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

FAMILIES = ("loopback", "relay", "faults", "lab", "gateway", "apps", "links", "people", "reach", "hostile")
_LOOPBACK = ("hardline", "hardline-python", "hardline-before", "nginx", "stunnel", "haproxy", "ssh")
_RUN = Path(__file__).with_name("run.py")
_PASS, _MISS = "PASS  ", "MISS  "  # as table.verdicts begins its lines


def measure(family: str) -> tuple[int, list[str]]:
    """Run one; its exit code and its verdicts."""
    options = ["--contestants", *_LOOPBACK] if family == "loopback" else [f"--{family}"]
    verdicts = []
    with subprocess.Popen([sys.executable, _RUN, *options], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            for line in running.stdout:
                print(line, end="", flush=True)
                if line.startswith((_PASS, _MISS)):
                    verdicts.append(line.strip())
        except KeyboardInterrupt:
            running.wait()
            raise
    return running.returncode, verdicts


def summary(family: str, code: int, took: float, verdicts: list[str]) -> str:
    """What is said of one in the end."""
    passed = sum(line.startswith(_PASS) for line in verdicts)
    lines = [f"{family}: {passed} of {len(verdicts)} targets reached, {took / 60:.0f} min"]
    lines += [f"  {line}" for line in verdicts if line.startswith(_MISS)]
    return "\n".join([*lines, *(["  something did not do its work: see above"] if code else [])])


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)}")
    wanted = parser.parse_args().families or FAMILIES
    if unknown := sorted(set(wanted) - set(FAMILIES)):
        parser.error(f"no {', '.join(unknown)}: there are {', '.join(FAMILIES)}")
    told, failed = [], False
    for family in wanted:
        print(f"\n── {family} ──\n", flush=True)
        began = time.monotonic()
        code, verdicts = measure(family)
        told.append(summary(family, code, time.monotonic() - began, verdicts))
        failed |= code != 0
    print("\n── all ──\n\n" + "\n".join(told))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
