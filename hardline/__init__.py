"""hardline: a service on one computer, at http://KEYHASH.localhost:7009/ on any other.

Start reading at identity.py (what a name is), streams.py (what a pipe is) and
daemon.py (who exists and who knows whom).  ARCHITECTURE.md draws the house.
"""

__version__ = "1.0.0.dev0"  # pyproject.toml reads it here
