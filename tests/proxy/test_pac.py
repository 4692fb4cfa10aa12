"""The proxy auto-config file, read by a JavaScript engine that nobody here wrote where there is one."""

from __future__ import annotations

import json
import subprocess

import pytest

from hardline.proxy import pac
from tests.support import needs

# The one function that a browser gives these files and that ours uses, as Netscape described it.
_BROWSER = "function dnsDomainIs(host, domain) { return host.endsWith(domain); }\n"


@pytest.mark.pure
def test_only_names_below_localhost_go_to_the_door():
    text = pac.script("127.0.0.1:7009")
    assert text.count("PROXY") == 1
    assert '"PROXY 127.0.0.1:7009"' in text


@needs.tools("node")
def test_a_script_engine_decides_as_it_should():
    hosts = ["abc.localhost", "a.B.LOCALHOST", "localhost", "evil-localhost", "example.com", "localhost.example.com"]
    calls = ",".join(f"FindProxyForURL('http://x/', {json.dumps(host)})" for host in hosts)
    code = f"{_BROWSER}{pac.script('[::1]:7010')}console.log(JSON.stringify([{calls}]))"
    out = subprocess.run(["node", "-e", code], capture_output=True, check=True, timeout=100).stdout
    assert json.loads(out) == ["PROXY [::1]:7010"] * 2 + ["DIRECT"] * 4
