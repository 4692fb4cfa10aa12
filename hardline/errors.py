"""Everything that can go wrong, as one tree.

    HardlineError
    ├── ConfigError            a file of the owner's: which one, which line, which key, what to do
    │   └── WrongArgument      what was typed after a command
    ├── NoDaemon               nobody runs on the data directory
    ├── CertificateError       a key, certificate or .hash file that cannot be used
    ├── BadKeyHash, BadLabel   a name that is not one
    ├── PeerError              the other end broke a rule of docs/PROTOCOL.md
    │   ├── WrongCertificate   it is not who was asked for
    │   └── EarlierVersion     it visits as builds before this one did
    ├── PasswordRefused        the host did not accept the label's free text
    ├── AccessRefused          the host does not let this visitor in
    ├── ConnectionLost         a pipe broke before its orderly end
    ├── LimitReached           one of our own limits, named
    ├── ServiceFailed          the host was reached, its local service was not
    └── NoRoute                nobody could be reached; `attempts` says why, in order

A message says what was seen and what was expected, in lower case and without a
full stop; `hint` says what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hardline.identity import KeyHash
    from hardline.routes import Attempt


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


class NoDaemon(HardlineError):
    """No daemon runs on the data directory that was asked."""

    code = 3


class CertificateError(HardlineError):
    """A certificate, private key or .hash file that is missing, unreadable, too open or does not fit the others."""


class BadKeyHash(HardlineError):
    """Text that is not the 40 hex digits of a key hash."""


class BadLabel(HardlineError):
    """Text that is not `KEYHASH` or `freetext-KEYHASH`."""


class PeerError(HardlineError):
    """The other end broke a rule of the protocol.  It is at fault, never we."""


class WrongCertificate(PeerError):
    """The certificate shown does not hash to the key hash that was asked for."""

    def __init__(self, expected: KeyHash, saw: KeyHash | None) -> None:
        shown = saw.short if saw else "none"
        super().__init__(f"certificate of {shown}, expected {expected.short}")
        self.expected, self.saw = expected, saw


class EarlierVersion(PeerError):
    """A visitor that knows the rolling name of `service` and not what is proven by its key hash."""

    def __init__(self, service: KeyHash) -> None:
        super().__init__(f"a visitor of {service.short} that runs an earlier hardline, or none")
        self.service = service


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


class NoRoute(HardlineError):
    """Every finder finished and every candidate failed.

    `attempts` are the candidates in the order they were tried, `reasons` what each finder said
    that found none.
    """

    def __init__(self, target: KeyHash, attempts: Sequence[Attempt], reasons: Sequence[str] = ()) -> None:
        tried = f"{len(attempts)} tried" if attempts else "no candidate found"
        super().__init__(f"no route to {target.short}: {tried}")
        self.target, self.attempts, self.reasons = target, tuple(attempts), tuple(reasons)


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
