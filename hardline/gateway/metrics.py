"""What a gateway counts, as Prometheus reads it; without I/O.

    # HELP hardline_gateway_requests_total Requests that were answered.
    # TYPE hardline_gateway_requests_total counter
    hardline_gateway_requests_total{service="nas",status="2xx"} 17

Services stand under their public names.  Source: Prometheus, text exposition format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hardline.gateway.accesses import Count

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Process:
    """The process; `started` in seconds since 1970, `resident` in bytes, `cpu` in seconds, None where nobody tells."""

    version: str
    started: float
    cpu: float
    resident: int | None
    descriptors: int | None


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its values by their labels."""

    name: str
    kind: str  # counter or gauge
    help: str
    values: Sequence[tuple[Mapping[str, str], float]]


def exposition(process: Process, clients: int, online: Mapping[str, bool], counts: Mapping[str, Count]) -> str:
    """The whole text; `online` are the services that the gateway names, `clients` its connections."""
    return "".join(_written(_families(process, clients, online, counts)))


def _families(
    process: Process, clients: int, online: Mapping[str, bool], counts: Mapping[str, Count]
) -> Iterator[Family]:
    by_service = sorted(counts.items())
    yield Family("hardline_build_info", "gauge", "The version that runs.", [({"version": process.version}, 1)])
    yield Family(
        "hardline_gateway_requests_total",
        "counter",
        "Requests that were answered.",
        [
            ({"service": name, "status": f"{hundreds}xx"}, number)
            for name, count in by_service
            for hundreds, number in sorted(count.by_class.items())
        ],
    )
    yield Family(
        "hardline_gateway_sent_bytes_total",
        "counter",
        "Bytes of the bodies of answers.",
        [({"service": name}, count.sent) for name, count in by_service],
    )
    yield Family(
        "hardline_gateway_request_seconds_total",
        "counter",
        "Seconds from the heads of requests to the ends of their answers.",
        [({"service": name}, count.took) for name, count in by_service],
    )
    yield Family("hardline_gateway_clients", "gauge", "Connections of clients.", [({}, clients)])
    yield Family(
        "hardline_gateway_service_up",
        "gauge",
        "Whether a session to the host of the service is there.",
        [({"service": name}, float(up)) for name, up in sorted(online.items())],
    )
    yield Family("process_start_time_seconds", "gauge", "Start, since 1970.", [({}, process.started)])
    yield Family("process_cpu_seconds_total", "counter", "Processor time, user and system.", [({}, process.cpu)])
    if process.resident is not None:
        yield Family("process_resident_memory_bytes", "gauge", "Memory that is resident.", [({}, process.resident)])
    if process.descriptors is not None:
        yield Family("process_open_fds", "gauge", "Open descriptors.", [({}, process.descriptors)])


def _written(families: Iterable[Family]) -> Iterator[str]:
    for family in families:
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
        for labels, value in family.values:
            said = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
            number = int(value) if value == int(value) else round(value, 6)
            yield f"{family.name}{f'{{{said}}}' if said else ''} {number}\n"
