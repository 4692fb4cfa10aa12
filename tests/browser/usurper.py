"""A program that has taken this node's port and leaves a service worker: python -m tests.browser.usurper PORT"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_WORKER = """
self.addEventListener('install', () => skipWaiting());
self.addEventListener('activate', event => event.waitUntil(clients.claim()));
self.addEventListener('fetch', event => {
    const page = new Response('<title>usurped</title>', {headers: {'Content-Type': 'text/html'}});
    if (event.request.mode === 'navigate') event.respondWith(page);
});
"""
_PAGE = (
    "<title>waiting</title><script>navigator.serviceWorker.register('/deep/worker.js', {scope: '/'})"
    ".then(() => navigator.serviceWorker.ready).then(() => { document.title = 'usurped' })</script>"
)


class Usurper(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_worker = self.path.endswith(".js")
        body = (_WORKER if is_worker else _PAGE).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_worker else "text/html")
        self.send_header("Service-Worker-Allowed", "/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Usurper)
    print("listening", flush=True)
    server.serve_forever()
