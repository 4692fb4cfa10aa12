"""What a person means by TARGET in `hardline share TARGET`, seen from where he stands.  The first that fits:

    ./photos, report.pdf      an existing directory (or file)      →  its whole path
    8000                      a port of this computer              →  8000
    unix:app.sock             a Unix socket                        →  unix:/whole/path/app.sock
    http://nas, nas:8080      a computer and its port              →  as it is

What is none of these is refused with both meanings named; whether a service can be so is the daemon's to judge.
"""

from __future__ import annotations

import os
import stat

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
    if typed.startswith(("http://", "https://")):
        return typed
    if "/" in typed or typed.startswith("~"):
        raise WrongArgument(f"there is no file or directory {_shown(typed)}", hint=_missing_hint(typed))
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
    raise WrongArgument(f'there is no file "{_plain(typed)}" here; a computer needs its port: {_plain(bare)}:80')


def refuse_everything(directory: str) -> None:
    """Raise ConfigError where somebody is about to share a home, or the whole computer."""
    home = os.path.realpath(os.path.expanduser("~"))
    hint = "share a directory inside it, or add --yes"
    if directory == "/" or (home.startswith(f"{directory}/") and home != "/"):
        what = "everything of this computer" if directory == "/" else f"{home} with all that is yours"
        raise ConfigError(f"{_plain(directory)} holds {what}; {hint}")
    try:
        with os.scandir(directory) as entries:
            hidden = {
                entry.name for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False) if entry.name[0] == "."
            }
    except OSError:
        return  # the daemon says it better
    if secrets := sorted(hidden & _SECRETS, key=lambda name: (name != ".ssh", name)):
        rest = len(hidden) - 1
        others = f" and {rest} other hidden name{'' if rest == 1 else 's'}" if rest else ""
        raise ConfigError(f"{_plain(directory)} holds {secrets[0]}{others}; {hint}")


def _path(typed: str, kind: int) -> str:
    whole = _whole(typed)
    if kind == stat.S_IFDIR:
        return whole
    if kind == stat.S_IFREG:
        where = os.path.dirname(whole)
        raise WrongArgument(f"{_shown(typed)} is a file, and only directories can be shared yet", hint=_command(where))
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
