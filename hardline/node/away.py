"""Where a phone finds a service that is not in its network, or what would have it found; without I/O.

a public name of the service, with its certificate ──▶ https://nas.example.org/
a gateway here, behind a proxy that speaks HTTPS   ──▶ https://NAME.DOMAIN/
neither                                            ──▶ what to do for one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hardline.identity import Label
from hardline.node.snapshot import ServiceState
from hardline.settings.gateway import GatewaySection, NamedSection

SERVING = "serving"
_OF_OURS = "away from this network no phone finds it: a domain of yours gives it an https address (docs/HTTPS.md)"
_OF_OTHERS = (
    "away from this network no phone finds it: its owner can give it an https address (docs/HTTPS.md), "
    "and so can a gateway of yours (docs/GATEWAY.md)"
)


@dataclass(frozen=True, slots=True)
class Away:
    """The address, "" for none, and then what to do for one."""

    url: str
    advice: str = ""


def away(
    label: Label, services: Sequence[ServiceState], gateway: GatewaySection, named: Mapping[str, NamedSection]
) -> Away:
    """Of the service of `label`: one of this node's `services`, or somebody's."""
    offered = next((one.offered for one in services if one.offered and one.offered.label == str(label)), None)
    https = offered.https if offered is not None else None
    if https is not None and https.state == SERVING:
        return Away(f"https://{https.name}/")
    if gateway.https and gateway.domain:
        for name, section in named.items():
            if section.label == label:
                return Away(f"https://{name}.{gateway.domain[0]}/")
    if https is not None:
        why = f": {https.problem}" if https.problem else ""
        return Away("", f"https://{https.name}/ is not there yet, {https.state}{why}")
    return Away("", _OF_OURS if offered is not None else _OF_OTHERS)
