"""What a process does that makes pages, whatever it makes them of; how they go over its pipes is rendering.py's.

    daemon ── stdin: sizes, request (JSON), body ──▶ render ──▶ sizes, answer (JSON), page ── stdout ──▶ daemon

It has the pipes to the daemon under numbers nobody knows, and /dev/null for what is printed; its memory is limited; it
ends with the daemon.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from hardline.cache.templates.rendering import ANSWER, REQUEST

MAX_REASON = 500
_PR_SET_PDEATHSIG = 1

Render = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]
Failed = Callable[[BaseException], dict[str, Any]]


def failed(failure: BaseException) -> dict[str, Any]:
    """Why no page was made; `over` when the process is better not used again."""
    return {
        "failed": f"{type(failure).__name__}: {failure}"[:MAX_REASON],
        "over": isinstance(failure, MemoryError) or not isinstance(failure, Exception),
    }


def run(render: Render, megabytes: int, seconds: int, failed: Failed = failed) -> None:
    """Serve until there are no more requests, and end the process.

    `render` makes of a request and its body an answer and a page; what it raises is told as `failed` says.
    """
    _end_with_the_daemon()
    # Not every event loop closes in its child what other programs may inherit.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(3, most if most > 0 else 1 << 20)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipes = [os.dup(0), os.dup(1)]  # not inherited by programs that a template starts
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    requests, answers = os.fdopen(pipes[0], "rb"), os.fdopen(pipes[1], "wb", buffering=1 << 16)

    def leave_pipes() -> None:
        for pipe in pipes:
            with contextlib.suppress(OSError):
                os.close(pipe)

    os.register_at_fork(after_in_child=leave_pipes)
    sys.argv[1:] = []
    with contextlib.suppress(BrokenPipeError):
        _serve(render, failed, seconds, requests, answers)
    os._exit(0)  # whatever threads a template has left


def _serve(render: Render, failed: Failed, seconds: int, requests: BinaryIO, answers: BinaryIO) -> None:
    process = os.getpid()
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        size, length = REQUEST.unpack(head)
        request, body = json.loads(requests.read(size)), requests.read(length)
        page = b""
        # Should the daemon be gone, or too busy to keep the time.
        signal.alarm(seconds)
        try:
            answer, page = render(request, body)
        except BaseException as failure:
            answer = failed(failure)
        signal.alarm(0)
        if os.getpid() != process:  # the template forked, and this is the child
            os._exit(0)
        text = json.dumps(answer).encode()
        answers.write(ANSWER.pack(len(text), len(page)) + text)
        answers.write(page)
        answers.flush()
        if answer.get("over"):
            return
        del request, body, page, answer, text


def _end_with_the_daemon() -> None:
    """Be killed when the daemon dies, even in the middle of a page, where the system can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
