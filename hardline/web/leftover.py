"""What another program has left in a browser in this page's name, and how it ends; without I/O.

    another program takes port 7009 while hardlined is away ──▶ its service worker answers for this page from then on
    the browser looks for a newer worker, and that comes here ──▶ one that unregisters itself, and loads the pages anew

A browser asks a worker's own address for a newer one past every cache and past the worker itself, and this page has no
worker: whoever is asked for one is asked by one that is not ours.
Source: Service Workers, "Update" (`Service-Worker: script`) and 'Service-Worker-Allowed'.
"""

from __future__ import annotations

from hardline.door.responses import response

_ASKS = b"\r\nservice-worker:"
_TYPE = "text/javascript; charset=utf-8"
# Without it a worker with a script further below could not be replaced.
_ANYWHERE = "Service-Worker-Allowed: /\r\n"
_LAST = """\
"use strict";
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(end()));
async function end() {
  for (const name of await caches.keys()) await caches.delete(name);
  const pages = await clients.matchAll({ type: "window" });
  await registration.unregister();
  for (const page of pages) page.navigate(page.url);
}
"""

TOLD = (
    "a browser had a worker of another program for this page: it was taken out "
    "(hardline open --revoke ends what it may have learned)"
)


def is_asked_for(head: bytes) -> bool:
    """Whether `head`, a whole request head, asks for a newer worker."""
    return _ASKS in head.lower()


def last_worker(*, head_only: bool) -> bytes:
    """The response with the worker that ends it."""
    return response(200, _LAST, kind=_TYPE, head_only=head_only, extra=_ANYWHERE)
