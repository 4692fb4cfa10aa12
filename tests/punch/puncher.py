"""Programs for machines of the laboratory, which know of punching what hardline must know, and nothing of hardline.

    python puncher.py rendezvous PORT...          tells whoever connects what it sees; brings `a` and `b` together
    python puncher.py peer NAME SERVER PORT WHICH SECONDS
                                                  punches; prints {"ok", "how", "tries", "seen", "local"}
    python puncher.py seen SERVER PORT...         from one port to several of a rendezvous; prints {"local", "seen"},
                                                  then a line for each that gets in at that port
    python puncher.py dial OWN ADDRESS PORT THEN  listens and dials from one port; prints a line when it has, and stays.
                                                  With "closes" it has ended the dial by then
    python puncher.py knock ADDRESS PORT WORD SECONDS [OWN]
                                                  says a word to whoever listens there; exit code 0 if it could

    a ── {"name", "local"} ─▶ rendezvous ◀─ {"name", "local"} ── b
    a ◀─ {"you", "peer", "local"}   … ── "ready" ─▶   "go" to both, so that it arrives at the same moment

A peer has one port for the rendezvous, a listener and its dials.  What is refused is dialled again after a random
pause; no dial is closed before the end.  A connection counts when a byte of the other side has come by it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_PAUSE = 0.04  # seconds, at most
_LISTENER, _DIAL = "listener", "dial"


def _bound(family: int, port: int = 0) -> socket.socket:
    one = socket.socket(family)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("", port))
    return one


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class _Caller:
    """At the rendezvous: one connection, and what it says of itself."""

    def __init__(self, connection: socket.socket, address: tuple[Any, ...]) -> None:
        self._connection = connection
        self._lines = connection.makefile("r")
        self.endpoint = [address[0].removeprefix("::ffff:"), address[1]]

    def told(self) -> Any:
        return json.loads(self._lines.readline())

    def tell(self, value: object) -> None:
        self._connection.sendall(json.dumps(value).encode() + b"\n")

    def way(self) -> float:
        """Half of its round trip, in seconds."""
        began = time.monotonic()
        self.tell("ready")
        self.told()
        return (time.monotonic() - began) / 2


def rendezvous(*ports: str) -> None:
    for port in ports:
        threading.Thread(target=_listen, args=(int(port),)).start()
    print("ready", flush=True)


def _listen(port: int) -> None:
    listening = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    here: dict[str, tuple[_Caller, Any]] = {}
    kept = []
    while True:
        caller = _Caller(*listening.accept())
        kept.append(caller)
        hello = caller.told()
        if hello["name"] == "nobody":
            caller.tell(caller.endpoint)
            continue
        here[hello["name"]] = caller, hello["local"]
        if len(here) == 2:
            _bring_together(here.pop("a"), here.pop("b"))


def _bring_together(a: tuple[_Caller, Any], b: tuple[_Caller, Any]) -> None:
    for (caller, _), (other, local) in ((a, b), (b, a)):
        caller.tell({"you": caller.endpoint, "peer": other.endpoint, "local": local})
    (far, farthest), (near, nearest) = sorted(
        ((caller, caller.way()) for caller, _ in (a, b)), key=lambda one: one[1], reverse=True
    )
    far.tell("go")
    time.sleep(farthest - nearest)
    near.tell("go")


def peer(name: str, server: str, port: str, which: str, seconds: str) -> None:
    family = _family(server)
    meeting = _bound(family)
    meeting.connect((server, int(port)))
    mine = meeting.getsockname()[:2]
    lines = meeting.makefile("rw")

    def tell(value: object) -> None:
        lines.write(json.dumps(value) + "\n")
        lines.flush()

    tell({"name": name, "local": mine})
    told = json.loads(lines.readline())
    listening = _bound(family, mine[1])
    if which != "deaf":
        listening.listen(8)
    while json.loads(lines.readline()) != "go":
        tell("ready")
    result = _Punch(name, family, mine[1], tuple(told["local" if which == "local" else "peer"]))
    print(json.dumps({**result.run(listening, float(seconds)), "seen": told["you"], "local": mine}), flush=True)


class _Punch:
    """One try to meet `target`."""

    def __init__(self, name: str, family: int, port: int, target: tuple[str, int]) -> None:
        self._name, self._family, self._port, self._target = name, family, port, target
        self._selector = selectors.DefaultSelector()
        self._next = 0.0  # when it is dialled, by the clock; never while it is being dialled
        self._tries = 0

    def run(self, listening: socket.socket, seconds: float) -> dict[str, object]:
        listening.setblocking(False)
        if listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._selector.register(listening, selectors.EVENT_READ, _LISTENER)
        end = time.monotonic() + seconds
        how = ""
        while not how and time.monotonic() < end:
            if self._next <= time.monotonic():
                self._dial()
            wait = max(0.0, min(end, self._next) - time.monotonic())
            for key, _ in self._selector.select(wait):
                how = how or self._look(key)
        return {"ok": bool(how), "how": how, "tries": self._tries}

    def _dial(self) -> None:
        dial = _bound(self._family, self._port)
        dial.setblocking(False)
        self._tries += 1
        failure = dial.connect_ex(self._target)
        if failure == errno.EINPROGRESS:
            self._selector.register(dial, selectors.EVENT_WRITE, _DIAL)
            self._next = float("inf")
        else:  # EADDRNOTAVAIL: the other side's connection is in the listener's queue
            dial.close()
            self._later()

    def _later(self) -> None:
        self._next = time.monotonic() + random.uniform(0, _PAUSE)

    def _look(self, key: selectors.SelectorKey) -> str:
        """Do what can be done with a socket; returns how they met, if they did."""
        one: Any = key.fileobj
        try:
            if key.data == _LISTENER:
                self._opened(one.accept()[0], "accept")
            elif key.data == _DIAL:
                if failure := one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(failure, "")
                self._selector.unregister(one)
                self._opened(one, "connect")
            elif one.recv(1):
                return str(key.data)
            else:
                self._ended(key)
        except OSError:
            if key.data != _LISTENER:
                self._ended(key)
        return ""

    def _opened(self, one: socket.socket, how: str) -> None:
        one.setblocking(False)
        self._selector.register(one, selectors.EVENT_READ, how)
        with contextlib.suppress(OSError):  # it is told when it is read from, too
            one.send(self._name.encode())

    def _ended(self, key: selectors.SelectorKey) -> None:
        one: Any = key.fileobj
        if one.fileno() in self._selector.get_map():
            self._selector.unregister(one)
        one.close()
        if key.data != "accept":
            self._later()


def seen(server: str, *ports: str) -> None:
    kept, endpoints, mine = [], [], 0
    for port in ports:
        one = _bound(_family(server), mine)
        mine = one.getsockname()[1]
        one.connect((server, int(port)))
        one.sendall(b'{"name": "nobody"}\n')
        endpoints.append(json.loads(one.makefile("r").readline()))
        kept.append(one)
    listening = _bound(_family(server), mine)
    listening.listen(8)
    print(json.dumps({"local": mine, "seen": endpoints}), flush=True)
    while True:
        came, _ = listening.accept()
        print(came.recv(99).decode(), flush=True)
        came.close()


def dial(own: str, address: str, port: str, then: str) -> None:
    listening, one = _bound(_family(address), int(own)), _bound(_family(address), int(own))
    listening.listen(8)
    one.setblocking(False)
    one.connect_ex((address, int(port)))
    if then == "closes":
        time.sleep(0.1)
        one.close()
    print("dialled", flush=True)
    signal.pause()


def knock(address: str, port: str, word: str, seconds: str, own: str = "0") -> None:
    try:
        with _bound(_family(address), int(own)) as one:
            one.settimeout(float(seconds))
            one.connect((address, int(port)))
            one.sendall(word.encode())
    except OSError:
        sys.exit(1)


if __name__ == "__main__":
    programs: dict[str, Callable[..., None]] = {one.__name__: one for one in (rendezvous, peer, seen, dial, knock)}
    programs[sys.argv[1]](*sys.argv[2:])
