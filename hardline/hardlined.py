"""`hardlined`: the daemon's command line and its exit codes.

0    stopped in order          1   could not start: stderr says what and what to do
2    wrong arguments         130   interrupted, or a second signal while stopping
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from hardline import __version__, log, terminal
from hardline.errors import HardlineError
from hardline.notify import notify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop."""
    return terminal.run("hardlined", lambda: _begin(arguments), results=False)


def _begin(arguments: Sequence[str] | None) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is somebody to hear it
    options = parser().parse_args(arguments)
    from hardline.process import run_daemon  # half a second, in which somebody may press Ctrl-C

    try:
        return run_daemon(options)
    except HardlineError as failure:
        notify(STATUS=failure.message)  # which `systemctl status` shows
        raise


def parser() -> argparse.ArgumentParser:
    """What it may be told."""
    parser = terminal.Parser(
        prog="hardlined",
        description="Share local services under the hash of their certificates, and open others' in a browser.",
        epilog="Settings: docs/SETTINGS.md.  A flag wins over the settings file.",
    )
    parser.add_argument("--servicedir", type=_path, metavar="DIR", help="directory of the services' INI files")
    parser.add_argument("--datadir", type=_path, metavar="DIR", help="directory of what the node keeps")
    parser.add_argument("--localport", type=_port, metavar="PORT", help="the browser's door (7009; 0: none)")
    parser.add_argument("--p2pport", type=_port, metavar="PORT", help="where other nodes connect (7008; 0: any free)")
    parser.add_argument(
        "--bind",
        action="append",
        metavar="ADDRESS",
        help="address to listen on and to find others by (all); repeatable",
    )
    parser.add_argument("--config", type=_path, metavar="FILE", help="settings file (DIR/hardline.ini if it exists)")
    parser.add_argument("--group", metavar="NAME", help="its members may use hardline with this daemon, too")
    parser.add_argument("--log-level", choices=log.LEVELS, help="how much is said (info)")
    parser.add_argument("--log-format", choices=("text", "json"), help="lines for people or for programs (text)")
    parser.add_argument("--version", action="version", version=f"hardlined {__version__}")
    return parser


def _path(text: str) -> Path:
    return Path(terminal.whole_path(text))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"port is {text!r}, expected a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
