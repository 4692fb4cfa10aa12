"""A DHT proxy that writes down what it is asked and has a lie for every key.  A program, for a stranger's machine.

python liar_proxy.py PORT LIE FILE          LIE is what every key holds: 203.0.113.5:443
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, LIE, FILE = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "node" in self.path:
            self.say(b'{"node_id":"00","ipv4":{"good":9,"dubious":0},"ipv6":{"good":9,"dubious":0}}')
        else:
            value = {"data": base64.b64encode(LIE.encode()).decode(), "id": "1", "seq": 0, "type": 0}
            self.say(json.dumps(value).encode() + b"\n")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.note(body)
        self.say(body)

    def say(self, body: bytes) -> None:
        self.note(b"")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def note(self, body: bytes) -> None:
        with FILE.open("ab") as file:
            file.write(f"{self.command} {self.path} {self.headers}".encode() + body + b"\n")

    def log_message(self, *arguments: object) -> None:
        pass


print("under way", flush=True)
ThreadingHTTPServer(("", PORT), Proxy).serve_forever()
