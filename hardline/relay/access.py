"""Which nodes a relay serves, without I/O.

Source: docs/PROTOCOL.md, sections 9.2 and 9.6; docs/SETTINGS.md, [Relay] allow and deny.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hardline.identity import KeyHash


@dataclass(frozen=True, slots=True)
class Access:
    """`allow` are nodes, `everybody` is all others, too; `deny` are not served whatever else is said.

    `ports` are those that may have a public port, `domains` says which node has which, `*.` being any one label: they
    are served, too, and nobody else ever has one.
    """

    allow: frozenset[KeyHash] = frozenset()
    everybody: bool = False
    deny: frozenset[KeyHash] = frozenset()
    ports: frozenset[KeyHash] = frozenset()
    domains: Mapping[str, KeyHash] = field(default_factory=dict)

    def serves(self, node: KeyHash | None) -> bool:
        """Whether `node` is served; None is one that has not said who it is."""
        if node is None:
            return self.everybody and not self.deny
        if node in self.deny:
            return False
        return self.everybody or node in self.allow or node in self.ports or node in self.domains.values()

    def may_have_port(self, node: KeyHash | None) -> bool:
        """Whether `node`, which has said who it is, may have a public port."""
        return node in self.ports and node not in self.deny

    def may_have_domain(self, node: KeyHash | None, domain: str) -> bool:
        """Whether `node`, which has said who it is, may have `domain`."""
        if node is None or node in self.deny:
            return False
        return self._owner(domain) == node

    def may_prove_domain(self, node: KeyHash | None, domain: str) -> bool:
        """Whether `node` may have `domain` if the DNS says so: no list gives it to anybody."""
        return bool(domain) and node is not None and self.serves(node) and self._owner(domain) is None

    def _owner(self, domain: str) -> KeyHash | None:
        return self.domains.get(domain) or self.domains.get(f"*.{domain.partition('.')[2]}")
