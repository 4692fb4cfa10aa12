"""The versions of routes.db, and how each is made of the one before.

0   `via`: the finder LAN, REMEMBERED, DIRECT or RELAY by which the last visit came, which hides what the path is
1   `kind`: what the path is; nothing of how it is known
2   `relayed`: the relays by which the host says that it is reached, as JSON
"""

from __future__ import annotations

import sqlite3

from hardline.addresses import Way
from hardline.errors import HardlineError
from hardline.peers.database import Migration
from hardline.routes import Endpoint
from hardline.transport.ways import way_to

_VERSION_0 = """
CREATE TABLE IF NOT EXISTS routes (
    key_hash   TEXT PRIMARY KEY,
    title      TEXT NOT NULL DEFAULT '',
    wan_hosts  TEXT NOT NULL DEFAULT '',
    endpoint   TEXT NOT NULL DEFAULT '',
    via        TEXT NOT NULL DEFAULT '',
    protocol   TEXT NOT NULL DEFAULT '',
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) WITHOUT ROWID
"""
_KINDS_OF_0 = """
UPDATE routes SET kind = CASE kind
    WHEN 'LAN' THEN 'LAN' WHEN 'DIRECT' THEN 'DIRECT' WHEN 'RELAY' THEN 'RELAYED' ELSE '' END
"""


def _kinds(database: sqlite3.Connection) -> None:
    """Where a visit by memory overwrote the kind: LAN if the address is in a network that this machine is in now."""
    database.execute(_VERSION_0)
    database.execute("ALTER TABLE routes RENAME COLUMN via TO kind")
    database.execute(_KINDS_OF_0)
    lost = "SELECT key_hash, endpoint FROM routes WHERE kind = '' AND endpoint <> ''"
    for key_hash, endpoint in database.execute(lost).fetchall():
        kind = "LAN" if _is_attached(endpoint) else "DIRECT"
        database.execute("UPDATE routes SET kind = ? WHERE key_hash = ?", (kind, key_hash))


def _is_attached(text: object) -> bool:
    try:
        address = Endpoint.parse(str(text)).address
    except HardlineError:
        return False
    return address is not None and way_to(address) is Way.ATTACHED


def _relays(database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE routes ADD COLUMN relayed TEXT NOT NULL DEFAULT ''")


MIGRATIONS: tuple[Migration, ...] = (_kinds, _relays)
