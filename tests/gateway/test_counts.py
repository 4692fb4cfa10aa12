"""A row and a count for each request, in the status and as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hardline.gateway.accesses import LAST, Access, Accesses
from hardline.gateway.metrics import Process, exposition

pytestmark = pytest.mark.pure

PROCESS = Process('1.0 "odd"\\\n', 1_800_000_000.25, 1.5, 30_000_000, None)


def access(number: int, status: int = 200) -> Access:
    return Access(float(number), "192.0.2.7", "", "", "nas", "GET", f"/{number}", status, 10, 0.5)


def test_the_last_ones_are_rows_and_all_are_counted():
    accesses = Accesses(1.0)
    for number in range(LAST + 20):
        accesses.add(access(number, 404 if number % 2 else 206))
    assert [one.target for one in accesses.last] == [f"/{number}" for number in range(20, LAST + 20)]
    count = accesses.counts["nas"]
    assert (dict(count.by_class), count.sent, count.took) == ({2: 35, 4: 35}, 700, 35.0)


def test_a_parser_of_others_reads_what_was_counted():
    accesses = Accesses(1.0)
    accesses.add(access(1))
    accesses.add(access(2, 503))
    text = exposition(PROCESS, 3, {"nas": True, "wiki": False}, accesses.counts)
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert all(one.documentation and one.type in ("counter", "gauge") for one in families.values())
    samples = {(one.name, *one.labels.values()): one.value for family in families.values() for one in family.samples}
    assert samples["hardline_gateway_requests_total", "nas", "2xx"] == 1
    assert samples["hardline_gateway_requests_total", "nas", "5xx"] == 1
    assert samples["hardline_gateway_sent_bytes_total", "nas"] == 20
    assert samples["hardline_gateway_request_seconds_total", "nas"] == 1.0
    assert samples["hardline_gateway_service_up", "wiki"] == 0
    assert samples[("hardline_gateway_clients",)] == 3
    assert samples[("process_start_time_seconds",)] == 1_800_000_000.25
    assert samples["hardline_build_info", '1.0 "odd"\\\n'] == 1
    assert "process_open_fds" not in families
