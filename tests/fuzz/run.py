"""The search for bytes that break a parser: `make fuzz TIME=60 [TARGET=lpd]`.

    corpus/TARGET/ ──▶ atheris ──▶ build/fuzz/TARGET/        inputs that reach new code, for the next search
                               ──▶ corpus/TARGET/crash-…     what broke: replayed by test_corpus.py until it is mended

With MERGE=1 the corpus gets the smallest inputs that reach code which the others do not, named by their content;
what has a name of words was written by hand and stays.  One target is searched at a time, each in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CORPUS = Path(__file__).parent / "corpus"
SCRATCH = ROOT / "build" / "fuzz"

MAX_INPUT = 1024
MAX_KEPT_INPUT = 400  # every cut of it is replayed
MAX_KEPT = 30
_LIMITS = ("-timeout=5", "-rss_limit_mb=1024", f"-max_len={MAX_INPUT}", "-print_final_stats=1", "-verbosity=0")
_LIBRARIES = ("hardline", "configparser", "h11", "ipaddress", "json", "urllib", "zeroconf")


def main() -> int:
    arguments = _arguments()
    if arguments.inside:
        _search(arguments.target, arguments.rest)
    failed = []
    for name in [arguments.target] if arguments.target else _names():
        if arguments.merge:
            _merge(name)
        elif _run(name, f"-max_total_time={arguments.time}", *_searched(name)).returncode:
            failed.append(name)
    for name in failed:
        print(f"{name}: broken; its input is in {CORPUS / name}")
    return 1 if failed else 0


def _search(name: str, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(_LIBRARIES), enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    atheris.enabled_hooks.add("str")
    atheris.enabled_hooks.add("RegEx")
    # libFuzzer starts itself anew for a merge, by a shell.
    atheris.Setup([" ".join(_command(name)), *options], TARGETS[name])
    atheris.Fuzz()


def _names() -> list[str]:
    from tests.fuzz.targets import TARGETS

    return list(TARGETS)


def _searched(name: str) -> list[str]:
    found, kept = SCRATCH / name, CORPUS / name
    for directory in (found, kept):
        directory.mkdir(parents=True, exist_ok=True)
    return [f"-artifact_prefix={kept}/", str(found), str(kept)]


def _run(name: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    print(f"── {name}", flush=True)
    with tempfile.TemporaryDirectory() as own:  # libFuzzer ends without cleaning up
        environment = os.environ | {"TMPDIR": own}
        return subprocess.run([*_command(name), *_LIMITS, *options], cwd=ROOT, env=environment, check=False)


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.run", "--inside", "--target", name, "--"]


def _merge(name: str) -> None:
    """To what was written by hand, add the smallest inputs that reach more; those that do not any more go."""
    kept = CORPUS / name
    by_hand = [file for file in kept.iterdir() if not _is_hash(file.name)]
    with tempfile.TemporaryDirectory() as merged:
        for file in by_hand:
            shutil.copy(file, merged)
        _run(name, "-merge=1", merged, str(SCRATCH / name), str(kept))
        added = [file for file in Path(merged).iterdir() if file.name not in {each.name for each in by_hand}]
        new = [file.read_bytes() for file in added]
    for file in kept.iterdir():
        if _is_hash(file.name):
            file.unlink()
    for data in sorted((data for data in new if len(data) <= MAX_KEPT_INPUT), key=len)[:MAX_KEPT]:
        (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _is_hash(name: str) -> bool:
    return len(name) == 16 and set(name) <= set("0123456789abcdef")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--time", type=int, default=60, help="seconds for each target")
    parser.add_argument("--target", help="one target of tests/fuzz/targets.py; all, one after the other")
    parser.add_argument("--merge", action="store_true", help="keep the smallest inputs that reach the same code")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
