"""Pebble, Let's Encrypt's authority for tests, and its DNS server, which says the same address for every name."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.https.certified import LittleAuthority, as_pem
from tests.support.node import free_port
from tests.support.programs import Place, placed
from tests.support.waiting import wait_until

LIFE = 90 * 86_400


@dataclass
class Pebble:
    """`trust` checks the authority itself, `roots` what it certifies; both are files."""

    url: str
    trust: Path
    roots: Path
    log: Path

    @property
    def settings(self) -> str:
        """Of a host."""
        return f"[ACME]\ndirectory = {self.url}\ntrust = {self.trust}\n"

    @property
    def looked(self) -> int:
        """How often it was at a name, to see who answers."""
        return self.log.read_text().count("Starting a validation")


@contextlib.contextmanager
def running_pebble(
    directory: Path,
    port: int,
    *,
    at: Place | None = None,
    address: str = "127.0.0.1",
    names: str = "127.0.0.1",
    life: int = LIFE,
) -> Iterator[Pebble]:
    """One at `address`, which looks for names at `port` of the address `names`; certificates last `life` seconds."""
    directory.mkdir(parents=True)
    listen, management, dns = (free_port() for _ in range(3))
    authority, key = LittleAuthority(), ec.generate_private_key(ec.SECP256R1())
    own, private, trust = directory / "own.pem", directory / "own.key", directory / "trust.pem"
    own.write_bytes(as_pem(authority.certify("localhost" if at is None else address, key)))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    trust.write_bytes(as_pem([authority.certificate]))
    config = directory / "config.json"
    said = {
        "listenAddress": f"{address}:{listen}",
        "managementListenAddress": f"{address}:{management}",
        "certificate": str(own),
        "privateKey": str(private),
        "httpPort": 1,
        "tlsPort": port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": life,
    }
    config.write_text(json.dumps({"pebble": said}))
    log = directory / "log"
    server = ["pebble-challtestsrv", "-defaultIPv4", names, "-defaultIPv6", "", "-http01", "", "-https01", ""]
    server += ["-tlsalpn01", "", "-dns01", f"{address}:{dns}", "-management", f"{address}:{free_port()}"]
    pebble = ["pebble", "-config", str(config), "-dnsserver", f"{address}:{dns}"]
    env = os.environ | {"PEBBLE_VA_NOSLEEP": "1"}
    with contextlib.ExitStack() as stack:
        for command, file in ((server, directory / "dns.log"), (pebble, log)):
            out = stack.enter_context(file.open("wb"))
            process = subprocess.Popen(placed(at, command), stdout=out, stderr=subprocess.STDOUT, env=env)
            stack.callback(process.wait)
            stack.callback(process.kill)
        host = "localhost" if at is None else address
        roots = directory / "roots.pem"

        def is_there() -> bool:
            command = ["curl", "-s", "-f", "--cacert", str(trust), f"https://{host}:{management}/roots/0"]
            done = subprocess.run(placed(at, command), capture_output=True, check=False)
            roots.write_bytes(done.stdout)
            return done.returncode == 0

        wait_until(is_there, "Pebble runs")
        yield Pebble(f"https://{host}:{listen}/dir", trust, roots, log)
