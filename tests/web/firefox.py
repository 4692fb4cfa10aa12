"""A Firefox that is driven by its own protocol, Marionette, and speaks to nobody but this computer.

    test ── [0, number, command, parameters] ──▶ 127.0.0.1, the port in the profile's MarionetteActivePort
         ◀── [1, number, error, result] ────────

Source: Firefox Source Docs, "Marionette: Protocol"; WebDriver, section 6 (what the commands do).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver, section 12
# Everything that is not of this computer goes to a port where nobody is.
_SETTINGS: dict[str, object] = {
    "marionette.port": 0,
    "network.proxy.type": 1,
    **{f"network.proxy.{kind}": "127.0.0.1" for kind in ("http", "ssl")},
    **{f"network.proxy.{kind}_port": 9 for kind in ("http", "ssl")},
    "network.proxy.no_proxies_on": "localhost, .localhost",
    "network.captive-portal-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}


class Firefox:
    """One window of it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._heard = self._socket.makefile("rb")
        self._number = 0
        self._read()  # its greeting
        self._do("WebDriver:NewSession", {"capabilities": {}})

    def close(self) -> None:
        self._heard.close()
        self._socket.close()

    def goto(self, url: str) -> None:
        self._do("WebDriver:Navigate", {"url": url})

    def run(self, script: str, *args: object) -> Any:
        """What `script`, the body of a function, returns."""
        return self._do("WebDriver:ExecuteScript", {"script": script, "args": list(args)})["value"]

    def click(self, text: str, within: str = "button") -> None:
        """The first that can be seen and has this text, as a mouse does."""
        wait_until(lambda: self._found(text, within) is not None, f"{text} is there")
        self._do("WebDriver:ElementClick", {"id": self._found(text, within)})

    def type(self, selector: str, text: str) -> None:
        """Into a field."""
        found = self._do("WebDriver:FindElement", {"using": "css selector", "value": selector})["value"][_ELEMENT]
        self._do("WebDriver:ElementSendKeys", {"id": found, "text": text})

    def shows(self, text: str) -> bool:
        """Whether the page has this text where it can be seen."""
        return text in str(self.run("return document.body.innerText"))

    def picture(self, file: Path) -> None:
        """Keep how it looks."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._do("WebDriver:TakeScreenshot", {"full": True})["value"]))

    def _found(self, text: str, within: str) -> str | None:
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".find(one => one.innerText.trim() === arguments[1] && one.checkVisibility()) || null"
        )
        found = self.run(script, within, text)
        return found and str(found[_ELEMENT])

    def _do(self, command: str, parameters: object) -> Any:
        self._number += 1
        said = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(said), said))
        _, _, error, result = self._read()
        assert error is None, f"{command}: {error}"
        return result

    def _read(self) -> Any:
        size = b""
        while not size.endswith(b":"):
            size += (more := self._heard.read(1))
            assert more, "Firefox has gone"
        return json.loads(self._heard.read(int(size[:-1])))


@contextlib.contextmanager
def running_firefox(directory: Path) -> Iterator[Firefox]:
    """One with a fresh profile below `directory`."""
    profile = directory / "firefox"
    profile.mkdir()
    settings = "".join(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in _SETTINGS.items())
    (profile / "user.js").write_text(settings)
    with (directory / "firefox.log").open("wb") as said:
        process = subprocess.Popen(
            ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "HOME": str(directory)},
        )
    try:
        port = profile / "MarionetteActivePort"
        wait_until(lambda: port.exists() and bool(port.read_text()), "Firefox listens")
        with contextlib.closing(Firefox(int(port.read_text()))) as firefox:
            yield firefox
    finally:
        process.terminate()
        process.wait()
