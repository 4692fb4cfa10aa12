"""The proxy auto-config file, read by a JavaScript engine that nobody here wrote where there is one."""

from __future__ import annotations

import json
import subprocess

import pytest

from hardline.door import pac
from tests.support import needs
from tests.support.node import SCRIPTS

# The one function that a browser gives these files and that ours uses, as Netscape described it.
_BROWSER = "function dnsDomainIs(host, domain) { return host.endsWith(domain); }\n"


def hardline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPTS / "hardline", *arguments], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.pure
def test_only_names_below_localhost_go_to_the_door():
    text = pac.script("127.0.0.1:7009")
    assert text.count("PROXY") == 1
    assert '"PROXY 127.0.0.1:7009"' in text


def test_the_command_writes_it_to_a_file_and_says_its_address(tmp_path):
    """For systems to be pointed at: a port can be taken by another user while no daemon runs."""
    file = tmp_path / "a b" / "proxy.pac"
    file.parent.mkdir()
    done = hardline("pac", str(file), "--localport", "7010")
    assert done.stdout == f"{file.as_uri()}\n"
    assert file.read_text() == pac.script("127.0.0.1:7010")
    assert hardline("pac").stdout == pac.script("127.0.0.1:7009")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    done = hardline("pac", str(tmp_path / "nowhere" / "proxy.pac"))
    assert done.returncode == 1
    assert f"{tmp_path}/nowhere/proxy.pac: no such file or directory" in done.stderr


@needs.tools("node")
def test_a_script_engine_decides_as_it_should():
    hosts = ["abc.localhost", "a.B.LOCALHOST", "localhost", "evil-localhost", "example.com", "localhost.example.com"]
    calls = ",".join(f"FindProxyForURL('http://x/', {json.dumps(host)})" for host in hosts)
    code = f"{_BROWSER}{pac.script('[::1]:7010')}console.log(JSON.stringify([{calls}]))"
    out = subprocess.run(["node", "-e", code], capture_output=True, check=True, timeout=100).stdout
    assert json.loads(out) == ["PROXY [::1]:7010"] * 2 + ["DIRECT"] * 4
