"""What a person means by TARGET in `hardline share TARGET`, seen from where he stands.  The first that fits:

    ./photos, report.pdf      an existing directory or file        →  its whole path
    8000                      a port of this computer              →  8000
    unix:app.sock             a Unix socket                        →  unix:/whole/path/app.sock
    http://nas, nas:8080      a computer and its port              →  as it is

What is none of these is refused with both meanings named; whether a service can be so is the daemon's to judge.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from itertools import islice

from hardline.errors import ConfigError, WrongArgument
from hardline.showable import as_escapes

_SHOWN = 200  # characters of what was typed, in a message
_LONGEST_NAME = 253  # characters of a computer's name
_MOST_ENTRIES = 100_000
# Who holds one of these holds keys, passwords or a life in letters.
_SECRETS = frozenset(
    [
        *(".ssh", ".gnupg", ".pki", ".password-store", ".netrc", ".git-credentials", ".pgpass"),
        *(".aws", ".azure", ".docker", ".kube", ".config", ".local", ".mozilla", ".thunderbird"),
        *(".bash_history", ".zsh_history"),
    ]
)
# What projects have, too, beside what only a home has.
_OF_PROJECTS = frozenset([".azure", ".docker", ".config", ".local"])
_OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/")
_FIRST_PERSON = 500  # the lowest number of a user who is somebody; those of services have homes that are nobody's
_EXAMPLES = "for example 8000, nas:8080, http://nas, unix:/run/app.sock or a directory"


def read_target(typed: str) -> str:
    """`typed` as the daemon understands it, which runs elsewhere.  Raises WrongArgument saying what was missing."""
    if not typed:
        raise WrongArgument("what should be shared is empty", hint=_EXAMPLES)
    if typed.startswith("unix:"):
        path = typed.removeprefix("unix:")
        return typed if path.startswith("/") or not path else f"unix:{_whole(path)}"
    if (kind := _kind(typed)) is not None:
        return _path(typed, kind)
    if typed.isascii() and typed.isdigit():
        if not 1 <= int(typed[:9]) <= 65_535:
            raise WrongArgument(f"port is {_shown(typed)}, expected a number from 1 to 65535")
        return typed
    if "://" in typed:
        if typed.lower().startswith(("http://", "https://")):
            return typed
        raise WrongArgument(f"{_shown(typed)} cannot be shared: only http, https and unix can", hint=_EXAMPLES)
    if typed.startswith("-") and typed[1:].isascii() and typed[1:].isdigit():
        raise WrongArgument(f"port is {_shown(typed)}, expected a number from 1 to 65535")
    if "/" in typed or typed.startswith("~"):
        raise WrongArgument(f"there is no file or directory {_shown(typed)}", hint=_missing_hint(typed))
    if "@" in typed:
        # Without repeating it: there may be a password before it.
        address = typed.rpartition("@")[2]
        message = "there is no such file here, and a computer is named without user name and password"
        raise WrongArgument(message, hint=f"visitors are asked by the service itself: {_command(address)}")
    if typed.count(":") > 1 and not typed.startswith("["):
        raise WrongArgument(
            f"the port of {_shown(typed)} cannot be told from its address", hint=f"[{_plain(typed)}]:80"
        )
    host, _, port = typed.rpartition(":")
    if host and port.isascii() and port.isdigit():
        return typed
    if host and port and not typed.endswith("]"):
        message = f"there is no file {_shown(typed)} here, and {_shown(port)} is no port"
        raise WrongArgument(message, hint=_EXAMPLES)
    bare = typed.strip(":")
    if not bare or len(bare) > _LONGEST_NAME or port.isdigit():
        raise WrongArgument(f"there is no file {_shown(typed)} here", hint=_EXAMPLES)
    if bare[0].isdigit() and "." not in bare:
        message = f"there is no file {_shown(typed)} here, and a port has digits only"
        raise WrongArgument(message, hint=f"a computer of this name needs its port: {_plain(bare)}:80")
    raise WrongArgument(f'there is no file "{_plain(typed)}" here; a computer needs its port: {_plain(bare)}:80')


def refuse_everything(directory: str, *, hidden: bool = False) -> None:
    """Raise ConfigError where somebody is about to share a home, what holds one, or the whole computer; or one file
    of those that programs keep secrets in, or that is hidden, without `hidden`.

    `directory` is its real path.
    """
    hint = "share a directory inside it, or add --yes"
    if os.path.isfile(directory):
        _refuse_secret(directory, hidden=hidden)
        return
    if directory == "/":
        raise ConfigError(f"/ holds everything of this computer; {hint}")
    if f"{directory}/".startswith(_OF_THE_SYSTEM):
        raise ConfigError(f"{_plain(directory)} shows the insides of this computer; {hint}")
    for home, whose in _homes():
        if home == directory:
            raise ConfigError(f"{_plain(directory)} is {whose}; {hint}")
        if home.startswith(f"{directory}/"):
            raise ConfigError(f"{_plain(directory)} holds {_plain(home)}, {whose}; {hint}")
    names, below = _look_into(directory)
    if secrets := sorted(names & _SECRETS, key=_ssh_first):
        rest = len(names) - 1
        others = f" and {rest} other hidden name{'' if rest == 1 else 's'}" if rest else ""
        raise ConfigError(f"{_plain(directory)} holds {secrets[0]}{others}; {hint}")
    for each in sorted(below):
        found = (name for name in _SECRETS - _OF_PROJECTS if os.path.lexists(os.path.join(directory, each, name)))
        if secret := min(found, key=_ssh_first, default=None):
            raise ConfigError(f"{_plain(directory)} holds {_plain(each)}/{secret}; {hint}")


def _refuse_secret(file: str, *, hidden: bool) -> None:
    if f"{file}/".startswith(_OF_THE_SYSTEM):
        raise ConfigError(f"{_plain(file)} shows the insides of this computer; to share it all the same, add --yes")
    if secret := next((part for part in file.split("/") if part in _SECRETS - _OF_PROJECTS), None):
        raise ConfigError(f"{_plain(file)} is one of {secret}; to share it all the same, add --yes")
    if os.path.basename(file).startswith(".") and not hidden:
        raise ConfigError(f"{_plain(file)} is hidden; to share it all the same, add --hidden")


def _homes() -> Iterator[tuple[str, str]]:
    """Real paths of home directories, and what they are called: one's own, root's and those of other people."""
    if os.path.isabs(own := os.path.expanduser("~")):  # as it is where the system knows of none
        yield os.path.realpath(own), "your home with all that is yours"
    for user in pwd.getpwall():
        if (user.pw_uid == 0 or user.pw_uid >= _FIRST_PERSON) and os.path.isdir(user.pw_dir):
            yield os.path.realpath(user.pw_dir), f"the home of {_plain(user.pw_name)}"


def _look_into(directory: str) -> tuple[set[str], set[str]]:
    """The hidden names in it, and the directories; nothing where it cannot be read, which the daemon says better."""
    hidden, below = set(), set()
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in islice(entries, _MOST_ENTRIES):
            if entry.name[0] == ".":
                hidden.add(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                below.add(entry.name)
    return hidden, below


def _ssh_first(name: str) -> tuple[bool, str]:
    return name != ".ssh", name


def _path(typed: str, kind: int) -> str:
    whole = _whole(typed)
    if kind in (stat.S_IFDIR, stat.S_IFREG):
        return whole
    if kind == stat.S_IFSOCK:
        raise WrongArgument(f"{_shown(typed)} is a socket", hint=_command(f"unix:{whole}"))
    if kind == stat.S_IFLNK:
        raise WrongArgument(f"{_shown(typed)} is a link that leads nowhere", hint="mend it, or share what it was for")
    what = "a pipe" if kind == stat.S_IFIFO else "a device"
    raise WrongArgument(f"{_shown(typed)} is {what}, which cannot be shared", hint=_EXAMPLES)


def _kind(typed: str) -> int | None:
    """What is there, as the system's S_IFMT says it; None: nothing.  A link that leads nowhere is a link."""
    try:
        return stat.S_IFMT(os.stat(typed).st_mode)
    except (OSError, ValueError):
        return stat.S_IFLNK if os.path.islink(typed) else None


def _whole(path: str) -> str:
    try:
        return os.path.realpath(path)
    except OSError:
        raise WrongArgument("the directory that you are in is gone", hint="cd somewhere else") from None


def _missing_hint(typed: str) -> str:
    if typed.startswith("~"):
        return "~ is for the shell to replace: leave it without quotes"
    return _EXAMPLES if "://" in typed else ""


def _command(target: str) -> str:
    return f"hardline share {_shown(target)}"


def _shown(text: str) -> str:
    plain = _plain(text)
    return f"'{plain}'" if " " in plain else plain


def _plain(text: str) -> str:
    return as_escapes(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
