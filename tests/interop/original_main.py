"""Runs the original hardline 0.0.16, unmodified, in its own virtual environment; nothing of ours is imported here.

    python original_main.py serve --p2pport PORT --localport PORT [--servicedir DIR] [--external ADDRESS]
                           [--dht-proxy URL]            what is put before a key of the DHT; none: it asks nobody
    python original_main.py browse                          prints what its LAN browser finds, as JSON

Its package needs two modules that it does not declare, so that it cannot serve after a plain `pip install`:

    upnpclient    it carries a copy of that package inside itself and imports it by the outer name
    ifaddr        for its router search, which finds no interface here and so sends nothing

The router's part is played here: `--external` is the address that the router would report, none means no router.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import types

BROWSE_WAIT = 1.0  # seconds; its own browser waits half of it


class Alias(types.ModuleType):
    """Its attributes are the submodules of the original's own copy of upnpclient."""

    def __getattr__(self, name: str) -> types.ModuleType:
        if name.startswith("__"):
            raise AttributeError(name)
        return importlib.import_module(f"hardline.upnpclient.{name}")


def stand_in_for_undeclared_modules() -> None:
    upnpclient = Alias("upnpclient")
    ifaddr = types.ModuleType("ifaddr")
    ifaddr.get_adapters = list
    sys.modules.update(upnpclient=upnpclient, ifaddr=ifaddr)


def serve(options: argparse.Namespace) -> None:
    import hardline
    from hardline import upnpwrapper

    hardline.DHT_PROXIES[:] = [options.dht_proxy] if options.dht_proxy else []
    hardline.P2P_PORT = options.p2pport
    upnpwrapper.getWANAddresses = lambda: [options.external] if options.external else []
    upnpwrapper.addMapping = lambda *ignored, **also_ignored: None
    if options.servicedir:
        hardline.loadUserServices(options.servicedir)
    hardline.start(options.localport)


def browse(options: argparse.Namespace) -> None:
    import hardline

    hardline.discoveryPeer.search("")
    time.sleep(BROWSE_WAIT)
    print(json.dumps(hardline.getAllDiscoveries()))


def main() -> None:
    stand_in_for_undeclared_modules()
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    serving = commands.add_parser("serve")
    serving.add_argument("--p2pport", type=int, required=True)
    serving.add_argument("--localport", type=int, required=True)
    serving.add_argument("--servicedir")
    serving.add_argument("--external")
    serving.add_argument("--dht-proxy")
    serving.set_defaults(run=serve)
    commands.add_parser("browse").set_defaults(run=browse)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
