"""The names under which what visitors bring is kept; without I/O.

    holiday.jpg, taken ──▶ holiday (2).jpg ──▶ holiday (3).jpg …      nothing that is there is ever replaced

A name is what a stranger says.  One that would not be shown, or that would change how other things are shown, is none.
"""

from __future__ import annotations

from hardline.cache import keys
from hardline.cache.kept import layout
from hardline.errors import WrongArgument

MOST = 1000  # names that are tried
_LONGEST = 255  # bytes
_SHOWN_FIRST = "index.html"  # what a directory shows in place of its list: it would hide what is there


def checked(name: str) -> str:
    """`name`, if a file may be brought under it.  Raises WrongArgument."""
    if not _stripped(name) or "/" in name or any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in name):
        raise WrongArgument("this is no name of a file", hint="letters, digits and what stands between them")
    if name.startswith("."):
        raise WrongArgument("names that begin with a dot are hidden, and not taken", hint="give it another name")
    if layout.reserved(_stripped(name).casefold()) or keys.marks_identity(name):
        raise WrongArgument("a name like this is hardline's own, and not taken", hint="give it another name")
    if len(_bytes(name)) > _LONGEST:
        raise WrongArgument(f"the name is longer than {_LONGEST} bytes", hint="give it a shorter one")
    return name


def basename(said: str) -> str:
    """The name of the file that a form names, which may say its whole path, in the way of any system."""
    return said.rpartition("/")[2].rpartition("\\")[2]


def numbered(name: str, number: int) -> str:
    """The name to try as the one of this `number`, from 1; what is too long with it loses its middle."""
    if number == 1 and _stripped(name).casefold() != _SHOWN_FIRST:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(_bytes(suffix)) > 20:
        stem, dot, suffix = name, "", ""
    behind = f" ({max(number, 2)}){dot}{suffix}"
    room = _LONGEST - len(_bytes(behind))
    return _bytes(stem)[:room].decode("utf-8", "ignore" if _is_text(stem) else "surrogateescape") + behind


def _stripped(name: str) -> str:
    """What is left of a name on the disks of Windows, also where Linux has them mounted."""
    return name.rstrip(". ")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _is_text(name: str) -> bool:
    return not any(0xDC80 <= ord(sign) <= 0xDCFF for sign in name)
