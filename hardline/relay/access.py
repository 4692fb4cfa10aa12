"""Which nodes a relay serves, without I/O.

Source: docs/PROTOCOL.md, sections 9.2 and 9.6; docs/SETTINGS.md, [Relay] allow and deny.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardline.identity import KeyHash


@dataclass(frozen=True, slots=True)
class Access:
    """`allow` are nodes, `everybody` is all others, too; `deny` are not served whatever else is said.

    `ports` are those that may have a public port: they are served, too, and nobody else ever has one.
    """

    allow: frozenset[KeyHash] = frozenset()
    everybody: bool = False
    deny: frozenset[KeyHash] = frozenset()
    ports: frozenset[KeyHash] = frozenset()

    def serves(self, node: KeyHash | None) -> bool:
        """Whether `node` is served; None is one that has not said who it is."""
        if node is None:
            return self.everybody and not self.deny
        return node not in self.deny and (self.everybody or node in self.allow or node in self.ports)

    def may_have_port(self, node: KeyHash | None) -> bool:
        """Whether `node`, which has said who it is, may have a public port."""
        return node in self.ports and node not in self.deny
