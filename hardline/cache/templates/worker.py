"""The process that renders templates: `python -m hardline.cache.templates.worker DIRECTORY MEGABYTES SECONDS`.

A template is a program that its author wrote for this computer: nothing keeps it from reading what its user may read.
What is kept from it is the daemon's life.  It has a process of its own (process.py): whatever the template does to
that, the daemon starts another one.

Only Mako and the standard library are loaded here.  What a template gets and gives is rendering.py's.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import Any
from urllib.parse import parse_qsl

from mako.exceptions import MakoException, RichTraceback, TopLevelLookupException  # type: ignore[import-untyped]
from mako.lookup import TemplateCollection  # type: ignore[import-untyped]
from mako.runtime import Context  # type: ignore[import-untyped]
from mako.template import Template  # type: ignore[import-untyped]

from hardline.cache.templates import process
from hardline.cache.templates.rendering import MAX_PAGE, MAX_PARAMETERS, Response, Values

_MAX_TEMPLATES = 256


class Output:
    """What a template has written, as far as there is room for it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._left = MAX_PAGE

    def write(self, text: object) -> None:
        """Append `text`."""
        piece = str(text)
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError(f"the page is longer than {MAX_PAGE >> 20} MB")
        self._pieces.append(piece)

    def getvalue(self) -> str:
        """All of it."""
        return "".join(self._pieces)


class Templates(TemplateCollection):  # type: ignore[misc]
    """Templates below `root`, compiled once for each state of their file."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = os.path.realpath(root)
        self._known: dict[str, tuple[tuple[int, ...], Template]] = {}

    def adjust_uri(self, uri: str, filename: str) -> str:
        """What `uri` means in the template that is called `filename`."""
        return uri if uri.startswith("/") else os.path.join(os.path.dirname(filename), uri)

    def get_template(self, uri: str, relativeto: str | None = None) -> Template:
        """The template of that name.  Raises TopLevelLookupException for what is not below the root."""
        if relativeto is not None:
            uri = self.adjust_uri(uri, relativeto)
        path = os.path.realpath(os.path.join(self._root, uri.lstrip("/")))
        if not path.startswith(self._root.rstrip("/") + "/"):
            raise TopLevelLookupException(f"{uri} is outside of the directory")
        try:
            facts = os.stat(path)
        except OSError as failure:
            raise TopLevelLookupException(f"{uri}: {failure.strerror}") from None
        if not stat.S_ISREG(facts.st_mode):
            raise TopLevelLookupException(f"{uri} is no plain file")
        version = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        known = self._known.pop(path, None)
        if known is None or known[0] != version:
            known = version, Template(filename=path, uri=uri, lookup=self, input_encoding="utf-8")
        self._known[path] = known
        while len(self._known) > _MAX_TEMPLATES:
            del self._known[next(iter(self._known))]
        return known[1]


def render(templates: Templates, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """A request as the page it leads to.  Raises whatever the template raises."""
    output, response = Output(), Response()
    template = templates.get_template(request["template"])
    query = parse_qsl(request["query"], keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    names = {
        "path": request["path"],
        "__file__": request["file"],
        "method": request["method"],
        "query": Values(query, str),
        "headers": Values([(name, value) for name, value in request["headers"]], str.lower),
        "body": body,
        "response": response,
    }
    template.render_context(Context(output, **names))
    headers = [
        (str(name), str(value))
        for name, values in response.headers.items()
        for value in (values if isinstance(values, list | tuple) else [values])
    ]
    data = output.getvalue().encode("utf-8", "replace")
    if len(data) > MAX_PAGE:
        raise ValueError(f"the page is longer than {MAX_PAGE >> 20} MB")
    return {"status": int(response.status), "headers": headers}, data


def failed(failure: BaseException) -> dict[str, Any]:
    """Where a template failed, and why; `over` when the process is better not used again."""
    file, line = getattr(failure, "filename", None), getattr(failure, "lineno", None)
    if not isinstance(failure, MakoException) or line is None:
        with contextlib.suppress(Exception):
            for record in RichTraceback(error=failure, traceback=failure.__traceback__).records:
                if record[4] is not None:
                    file, line = record[4], record[5]
    return {
        **process.failed(failure),
        "file": str(file or "")[: process.MAX_REASON],
        "line": line if isinstance(line, int) else 0,
    }


def main() -> None:
    """Serve the templates of a directory."""
    root, megabytes, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    templates = Templates(root)

    def made(request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        os.chdir(root)
        return render(templates, request, body)

    process.run(made, megabytes, seconds, failed)


if __name__ == "__main__":
    main()
