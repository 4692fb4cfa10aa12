"""Everything that can go wrong, as one tree.

    HardlineError
    ├── ConfigError            a file of the owner's: which one, which line, which key, what to do
    │   └── WrongArgument      what was typed after a command
    │       └── NotKnown       there is nothing of that name
    ├── NoDaemon               nobody runs on the data directory
    ├── CertificateError       a key, certificate or .hash file that cannot be used
    ├── BadKeyHash, BadLabel   a name that is not one
    ├── PeerError              the other end broke a rule of docs/PROTOCOL.md
    │   ├── WrongCertificate   it is not who was asked for (identity.py)
    │   └── EarlierVersion     it visits as builds before this one did (identity.py)
    ├── PasswordRefused        the host did not accept the label's free text
    ├── AccessRefused          the host does not let this visitor in
    ├── ConnectionLost         a pipe broke before its orderly end
    ├── LimitReached           one of our own limits, named
    ├── ServiceFailed          the host was reached, its local service was not
    └── NoRoute                nobody could be reached; `attempts` says why, in order (routes.py)

A message says what was seen and what was expected, in lower case and without a
full stop; `hint` says what to do next.
"""

from __future__ import annotations

from typing import TypeVar


class HardlineError(Exception):
    """The root: `message` for people, `hint` when there is something they can do, `code` is a command's exit code."""

    code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(HardlineError):
    """A mistake in a settings file.  `line` counts from 1; 0 means the file as a whole."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, key: str = "", hint: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{message}", hint)
        self.file, self.line, self.key = file, line, key


class WrongArgument(ConfigError):
    """What a person typed after a command cannot be meant."""

    code = 2


class NotKnown(WrongArgument):
    """There is nothing of the name that was given."""


class NoDaemon(HardlineError):
    """No daemon runs on the data directory that was asked."""

    code = 3


class Deaf(HardlineError):
    """A daemon runs on the data directory that was asked, and does not answer."""


class CertificateError(HardlineError):
    """A certificate, private key or .hash file that is missing, unreadable, too open or does not fit the others."""


class BadKeyHash(HardlineError):
    """Text that is not the 40 hex digits of a key hash."""


class BadLabel(HardlineError):
    """Text that is not `KEYHASH` or `freetext-KEYHASH`."""


class PeerError(HardlineError):
    """The other end broke a rule of the protocol.  It is at fault, never we."""


class PasswordRefused(HardlineError):
    """The host wants another free text before the key hash than the label has."""


class AccessRefused(HardlineError):
    """The host knows who may visit the service, and this visitor is none of them."""


class ConnectionLost(HardlineError):
    """A pipe ended before its orderly end: bytes may be missing."""


class LimitReached(HardlineError):
    """A limit of this node, named in the message together with its setting."""


class ServiceFailed(HardlineError):
    """The host answered, its local service did not.

    `kind` is one of docs/PROTOCOL.md section 5.4: refused, timeout, limit, unavailable; or the refusal wait of 4.3.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail


E = TypeVar("E", bound=BaseException)


def afresh(failure: E) -> E:
    """A copy of a failure that somebody keeps, to be raised.

    Raising the one that is kept would tie it to the frames that it passes, and those to whoever keeps it: megabytes
    that only the garbage collector finds, some day.
    """
    copy = type(failure).__new__(type(failure), *failure.args)
    copy.args = failure.args
    copy.__dict__.update(failure.__dict__)
    return copy
