"""hardline: a service on one computer, at http://KEYHASH.localhost:7009/ on any other.

Start reading at identity.py (what a name is), streams.py (what a pipe is) and
daemon.py (who exists and who knows whom).  ARCHITECTURE.md draws the house.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("hardline")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
