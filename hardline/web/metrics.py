"""What Prometheus reads of this node, counted; without names or key hashes: anybody on this computer can ask.

The library is loaded by the first request for it.  Source: prometheus.io, "Writing exporters".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from hardline.errors import HardlineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

_HINT = "pip install 'hardline-tunnel[metrics]'"


class SaysHowManyWith(Protocol):
    """A session of a snapshot, as far as it is counted."""

    @property
    def role(self) -> str: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def streams(self) -> int: ...


def exposition(
    version: str, services: Sequence[str], sessions: Sequence[SaysHowManyWith], happened: Mapping[str, int]
) -> tuple[str, str]:
    """A type and a text.  `services` are their states, `happened` counts rows of the log by kind, since the start.

    Raises HardlineError where the library is not installed.
    """
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
    except ImportError:
        raise HardlineError("[Node] metrics needs prometheus_client", hint=_HINT) from None

    def collected() -> Iterator[Metric]:
        yield InfoMetricFamily("hardline", "The program.", value={"version": version})
        shared = GaugeMetricFamily("hardline_services", "Services that are shared here.", labels=["state"])
        for state, count in sorted(Counter(services).items()):
            shared.add_metric([state], count)
        yield shared
        open_sessions = GaugeMetricFamily("hardline_sessions", "Sessions with other nodes.", labels=["role", "path"])
        streams = GaugeMetricFamily("hardline_streams", "Streams that are open in them.", labels=["role"])
        by_path = Counter((one.role, (one.kind or "unknown").lower()) for one in sessions)
        for (role, path), count in sorted(by_path.items()):
            open_sessions.add_metric([role, path], count)
        for role in ("hosting", "visiting"):
            streams.add_metric([role], sum(one.streams for one in sessions if one.role == role))
        yield open_sessions
        yield streams
        told = CounterMetricFamily("hardline_happened", "What happened, by kind.", labels=["kind"])
        for kind, count in sorted(happened.items()):
            told.add_metric([kind], count)
        yield told

    class Node:
        def collect(self) -> Iterator[Metric]:
            return collected()

    registry = CollectorRegistry()
    registry.register(Node())
    return CONTENT_TYPE_LATEST, generate_latest(registry).decode()
