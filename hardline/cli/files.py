"""`hardline fileserver`: a directory of this machine, without any tunnel."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from hardline.cli.daemon import ask
from hardline.terminal import write

if TYPE_CHECKING:
    from hardline.cache.own import OwnFiles


def serve(options: argparse.Namespace) -> None:
    """Run it until Ctrl-C."""
    import asyncio  # only here: they take a while to load
    from pathlib import Path

    from hardline.cache.fileserver import serve_directory
    from hardline.target import refuse_everything

    if not options.yes:
        refuse_everything(os.path.realpath(options.directory))
    root = Path(options.directory).absolute()
    asyncio.run(
        serve_directory(
            root,
            options.bind,
            options.port,
            _own_files(options),
            allow_listing=not options.no_listing,
            hidden=options.hidden,
            names=options.name,
            ready=lambda url: _tell_url(options.directory, url),
        )
    )


def _own_files(options: argparse.Namespace) -> OwnFiles:
    """What is shown to nobody: the files of the node that runs here, else of the one that its settings describe."""
    from pathlib import Path

    from hardline.cache.own import OwnFiles
    from hardline.errors import HardlineError
    from hardline.places import Places, default_places
    from hardline.settings.directory import certificate_files, read_ini
    from hardline.settings.node import parse_node

    places = Places(Path(os.devnull), Path(os.devnull))  # of who has no home, and so no node
    with contextlib.suppress(HardlineError, OSError):
        places = default_places()
        if places.config is not None:
            node = parse_node(read_ini(places.config), str(places.config)).node
            places = places._replace(
                servicedir=node.servicedir or places.servicedir, datadir=node.datadir or places.datadir
            )
    with contextlib.suppress(HardlineError, OSError):
        running = ask(options, "status")["node"]
        places = places._replace(servicedir=Path(running["servicedir"]), datadir=Path(running["datadir"]))
    own = OwnFiles(places.servicedir, places.datadir)
    own.also([*certificate_files(places.servicedir), *filter(None, [places.config])])
    return own


def _tell_url(directory: str, url: str) -> None:
    from hardline.showable import plain

    write(f"serving {plain(directory)} at {url}")
    sys.stdout.flush()
