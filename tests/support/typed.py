"""A command as a person types it: at a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
from collections.abc import Sequence

from tests.support.waiting import wait_until


class Typed:
    """A command at a terminal of its own, which is its controlling one."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.text = ""
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.execvpe(command[0], list(command), environment)
        os.set_blocking(self._terminal, False)

    def says(self, text: str) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self._terminal, 65_536):
                self.text += data.decode().replace("\r\n", "\n")
        return text in self.text

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def ended(self) -> int:
        """Wait for its end; returns its exit code."""

        def over() -> int | None:
            self.says("")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) + 1000 if pid else None

        code = wait_until(over, f"it has ended: {self.text}") - 1000
        self.pid = 0
        return code

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)
