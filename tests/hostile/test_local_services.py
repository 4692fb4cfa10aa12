"""Services that cost their host more than others: over TLS, and by a name that nobody answers for."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import LAST, NAMED, Field, patient_origin
from tests.hostile.siege import SECONDS, Attack
from tests.support import needs
from tests.support.tls_devices import certificate

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice", "openssl", "unshare"),
]


def by_visitor(field: Field, kind: str, label: str, seconds: float = SECONDS) -> Attack:
    return field.by_local("service_attacks.py", kind, label, field.visitor.localport, seconds)


def offers(field: Field, name: str, service: str) -> str:
    """Share `service`; returns its label."""
    field.host.write(name, f"[Service]\nservice = {service}\nverify = no\n[Info]\ntitle = {name}\n")
    return field.host.label(name)


def test_streams_to_an_https_service_make_nobody_wait(field: Field) -> None:
    made = certificate(field.directory, "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    with patient_origin(field.host_machine, *LAST, tls=made) as port:
        label = offers(field, "secure", f"https://127.0.0.1:{port}")
        assert field.curl(label).status == 200
        [report] = field.survives(by_visitor(field, "streams", label, 3 * SECONDS))
    assert report["HTTP/1.1 200"] >= 96


@pytest.mark.full
def test_visits_to_a_service_whose_name_nobody_knows_delay_no_service_with_a_name(field: Field) -> None:
    known = offers(field, "named", f"http://{NAMED}:{field.origin_port}")
    labels = [offers(field, f"dead-{number}", f"http://printer-{number}.example") for number in range(2)]
    quiet = [field.curl(known).first_byte for _ in range(4)]
    waited: list[float] = []

    def visit() -> None:
        for _ in range(4):
            answer = field.curl(known)
            assert answer.status == 200
            waited.append(answer.first_byte)

    reports = field.survives(*(by_visitor(field, "visits", label, 4 * SECONDS) for label in labels), meanwhile=visit)
    assert sum(report["given up"] for report in reports) >= 8
    print(
        f"a service with a name: {max(quiet):.3f} s, while two dead names are visited four at a time {max(waited):.3f}"
    )
