"""A web server that somebody else runs: it keeps the head of every request.  A program of its own; prints its port.

    python -m tests.browser.recorder FILE      one JSON object a line: {"path": …, "headers": {…}}

Any page may read its answers.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Recorder(BaseHTTPRequestHandler):
    file: Path

    def do_GET(self) -> None:
        told = {"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}}
        with self.file.open("a") as kept:
            kept.write(json.dumps(told) + "\n")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "4")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(b"kept")

    def log_message(self, *_: object) -> None:
        """Nothing: stdout is for the port."""


if __name__ == "__main__":
    _Recorder.file = Path(sys.argv[1])
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Recorder)
    print(server.server_address[1], flush=True)
    server.serve_forever()
