"""Start the original hardline 0.0.16, from the environment whose Python runs this.

`python original_daemon.py SERVICEDIR DOORPORT P2PPORT`.  Its own command does the same; this one also lends it the
module that its package imports under a name it does not install, and keeps it from asking routers and DHT proxies.
"""

import importlib.util
import pathlib
import sys
import types


def hardline_places() -> list[str]:
    """Where the package is, found without importing it."""
    found = importlib.util.find_spec("hardline")
    return list(found.submodule_search_locations or ()) if found else []


def main() -> None:
    """Run until killed."""
    services, door, p2p = sys.argv[1:]
    lent = types.ModuleType("upnpclient")
    lent.__path__ = [str(pathlib.Path(place) / "upnpclient") for place in hardline_places()]
    sys.modules["upnpclient"] = lent

    import hardline
    from hardline import upnpwrapper

    upnpwrapper.getWANAddresses = list
    hardline.DHT_PROXIES[:] = ["http://127.0.0.1:1/"]
    hardline.P2P_PORT = int(p2p)
    hardline.loadUserServices(services)
    hardline.start(int(door))


if __name__ == "__main__":
    main()
