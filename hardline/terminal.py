"""How the two commands talk to whoever started them: results on stdout, talk on stderr, an exit code.

A result that cannot be delivered is a failure like any other: stdout may be closed, its disk full, its reader gone, and
its encoding may lack the letters of a title.  None of them is worth a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from hardline.errors import HardlineError

if TYPE_CHECKING:
    from typing import IO

    from _typeshed import SupportsWrite

READER_GONE = 141  # as a shell tells of a program that SIGPIPE ended: `hardline lan | head -1`
INTERRUPTED = 130  # the same of SIGINT


class Parser(argparse.ArgumentParser):
    """Its help and version are results, too: argparse itself is silent about what cannot be written."""

    hint = ""  # what else to say with an error

    def error(self, message: str) -> NoReturn:
        """Tell what was wrong with the arguments, and end."""
        from hardline.showable import as_escapes

        message = as_escapes(message)
        super().error(f"{message}\n{self.prog}: hint: {self.hint}" if self.hint else message)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is not None and file is sys.stdout:
            write(message.removesuffix("\n"))
        else:
            super()._print_message(message, file)


def run(program: str, work: Callable[[], int], *, results: bool = True) -> int:
    """Do `work`, which returns an exit code; returns it, or that of what went wrong, which was told on stderr.

    Without `results` it does not matter whether there is a stdout.
    """
    _occupy_the_first_three()
    if sys.stderr is None:  # or print(file=sys.stderr) would go to stdout
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for the life of the process
    try:
        if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        elif results and sys.stdout is None:
            raise HardlineError("there is no stdout to write the result to")
        code = _ended(work)
        if sys.stdout is not None:
            _delivered(sys.stdout.flush)
        return code
    except BrokenPipeError:
        _discard()
        return READER_GONE
    except KeyboardInterrupt:
        _discard()
        return INTERRUPTED
    except (OSError, UnicodeError) as failure:
        say(program, f"error: {failure}")
        return 1
    except HardlineError as failure:
        say(program, f"error: {failure.message}")
        if failure.hint:
            say(program, f"hint: {failure.hint}")
        return failure.code


def whole_path(text: str) -> str:
    """For argparse: a path as it is seen from where the command was typed."""
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    try:
        return text if text.startswith("/") else os.path.join(os.getcwd(), text)
    except FileNotFoundError:
        raise argparse.ArgumentTypeError("the directory that you are in is gone: cd somewhere else") from None


def write(text: str) -> None:
    """Write one line of the result to stdout."""
    _delivered(lambda: print(text))


def say(program: str, text: str) -> None:
    """Tell whoever sits there something that is no result; a line that begins with a space goes with the line before.

    It may repeat what was typed, or what another program said: nothing in it steers the terminal.
    """
    from hardline.showable import as_escapes

    text = "\n".join(map(as_escapes, text.split("\n")))
    with contextlib.suppress(OSError):  # nobody may be left to be told
        print(text if text.startswith(" ") else f"{program}: {text}", file=sys.stderr)


def line_of_stdin(most: int) -> str:
    """The first `most` bytes of its first line, without the line's end; "" where there is none or it was closed.

    As UTF-8 whatever the locale, bytes that are none as os.fsdecode has them: a passphrase is the same everywhere.
    """
    if sys.stdin is None:
        return ""
    line = sys.stdin.buffer.readline(most).removesuffix(b"\n").removesuffix(b"\r")
    return line.decode("utf-8", "surrogateescape")


def is_asked() -> bool:
    """Whether somebody sits at the other end of stdin."""
    return sys.stdin is not None and sys.stdin.isatty()


def is_watched() -> bool:
    """Whether the result goes to somebody who sits at a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def terminal_width() -> int | None:
    """Its columns; None where the result does not go to one."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None if is_watched() else None
    except OSError:
        return None


def styled(text: str) -> str:
    """`text` in bold, where that can be seen and is not unwanted (no-color.org)."""
    return f"\x1b[1m{text}\x1b[0m" if has_colours() else text


def has_colours() -> bool:
    """Whether the result is seen in colours, and they are not unwanted."""
    return is_steered(sys.stdout) and not os.environ.get("NO_COLOR")


def is_steered(stream: IO[str] | None) -> bool:
    """Whether `stream` goes to a terminal that knows control sequences: an editor's does not."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def progress(text: str) -> None:
    """What is waited for now, in place of what was said so before; "" for nothing.  Only where somebody watches."""
    if is_steered(sys.stderr):
        with contextlib.suppress(OSError, UnicodeError):
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _occupy_the_first_three() -> None:
    """Whoever started us may have closed them: what is opened next would be our stdin, or a child's stdout."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _ended(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as ended:  # argparse's way to end, for --help too
        return ended.code if isinstance(ended.code, int) else 1 if ended.code else 0


def _delivered(writing: Callable[[], object]) -> None:
    try:
        writing()
    except BrokenPipeError:
        raise
    except OSError as failure:
        _discard()
        _fail(failure)


def _fail(failure: OSError) -> NoReturn:
    reason = (failure.strerror or str(failure)).lower()
    raise HardlineError(f"the result cannot be written to stdout: {reason}") from None


def _discard() -> None:
    """Let nothing of what stdout still holds be tried once more at the end of the process."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
