"""`hardline backup`, `hardline restore`: a node in one file, for another computer, or for this one after a bad day."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
from pathlib import Path

from hardline.asking import ask
from hardline.backup import files
from hardline.backup.sealed import MOST, NONCE, SALT, SETTINGS, seal, unseal
from hardline.cli.daemon import datadir, talk
from hardline.errors import ConfigError, NoDaemon, WrongArgument
from hardline.files import hint_for, read_small, replace_whole, why
from hardline.places import Places, default_places
from hardline.showable import as_escapes
from hardline.terminal import is_asked, line_of_stdin

_SHORTEST, _LONGEST = 8, 4096  # characters of a passphrase; bytes


def run(options: argparse.Namespace) -> None:
    """Run one of these."""
    if options.command == "backup":
        _back_up(options)
    else:
        _restore(options)


def _back_up(options: argparse.Namespace) -> None:
    _check_is_file(options.file)
    places, file = _places(options), Path(options.file)
    if file.exists() and not options.yes:
        raise WrongArgument(f"{as_escapes(options.file)} is there already", hint="another name, or --yes to replace it")
    if file.exists() and not file.is_file():
        raise WrongArgument(f"{as_escapes(options.file)} is no plain file", hint="name a file that is not there yet")
    taken = files.take(places)
    passphrase = _passphrase(twice=True)
    data = seal(taken.files, passphrase, os.urandom(SALT), os.urandom(NONCE))
    try:
        replace_whole(file, data)
        os.chmod(file, 0o600)
    except OSError as failure:
        raise ConfigError(f"it cannot be written: {why(failure)}", file=options.file, hint=hint_for(failure)) from None
    files.note_made(places.datadir)
    talk(f"{len(taken.files)} files of {_named(taken.services)}; without the passphrase nobody opens it, you neither")
    for line in taken.left_out:
        talk(f"not in it: {as_escapes(line)}")


def _restore(options: argparse.Namespace) -> None:
    _check_is_file(options.file)
    places = _places(options)
    if _runs(options):
        hint = "stop it first (systemctl --user stop hardlined, or Ctrl-C), and start it when this is done"
        raise ConfigError("a hardlined runs on these directories", hint=hint)
    try:
        data = read_small(Path(options.file), 3 * MOST).data
    except OSError as failure:
        raise ConfigError(f"it cannot be read: {why(failure)}", file=options.file, hint=hint_for(failure)) from None
    found = unseal(data, _passphrase(twice=False))
    kept = files.put_back(found, places, replace=options.yes)
    if SETTINGS in found and places.config is None:
        talk(f"{SETTINGS} of the copy has no place here, and was left out: restore without --datadir brings it")
    for path in kept:
        talk(f"what was there is kept as {as_escapes(path)}")
    talk(f"{_named(files.services(found))} restored: start hardlined, and their URLs are what they were")
    talk("where another computer still shares them, visitors come to either, until you remove them there")


def _check_is_file(name: str) -> None:
    """Others take a dash for stdin and stdout.  Here stdin has the passphrase."""
    if name == "-":
        raise WrongArgument("a copy is a file, and - is none", hint="name a file; one that is called so is  ./-")


def _named(names: list[str]) -> str:
    shown = ", ".join(as_escapes(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    return f"{len(names)} service{'' if len(names) == 1 else 's'}{f' ({shown})' if shown else ''}"


def _passphrase(*, twice: bool) -> str:
    """Asked for, or the first line of stdin; never an argument, which others can see."""
    if sys.stdin is None:
        raise WrongArgument("there is no passphrase", hint="type it, or give it as the first line of stdin")
    if not is_asked():
        passphrase = line_of_stdin(_LONGEST)
    else:
        try:
            passphrase = getpass.getpass("passphrase: ")
            if twice and len(passphrase) >= _SHORTEST and getpass.getpass("again: ") != passphrase:
                raise WrongArgument("the two differ", hint="nothing was written")
        except EOFError:
            raise WrongArgument("there is no passphrase", hint="nothing was written") from None
    if twice and len(passphrase) < _SHORTEST:
        raise WrongArgument(f"a passphrase has {_SHORTEST} characters or more", hint="nothing was written")
    return passphrase


def _places(options: argparse.Namespace) -> Places:
    """Those that were named, else of the daemon that runs, else of the one that the settings describe."""
    named: str | None = getattr(options, "datadir", None)
    if named is not None and options.servicedir is not None:
        return Places(Path(options.servicedir), Path(named))
    with contextlib.suppress(NoDaemon):
        running = ask(datadir(options), "status")["node"]
        config = None if named else default_places().config
        places = Places(Path(running["servicedir"]), Path(running["datadir"]), config)
        return places if options.servicedir is None else places._replace(servicedir=Path(options.servicedir))
    if named is not None:
        raise WrongArgument("where are its services?", hint="name their directory, too: --servicedir DIR")
    places = files.places_of(default_places())
    return places if options.servicedir is None else places._replace(servicedir=Path(options.servicedir))


def _runs(options: argparse.Namespace) -> bool:
    """Raises HardlineError where it does not answer, or not to this user."""
    try:
        ask(datadir(options), "status")
    except NoDaemon:  # nothing else says that nobody writes there
        return False
    return True
