"""Where a phone finds a service away from home, and what it is told where that is nowhere."""

from __future__ import annotations

import pytest

from hardline.identity import Label
from hardline.node.away import away
from hardline.node.snapshot import HttpsState, Offered, ServiceState
from hardline.settings.gateway import GatewaySection, NamedSection

pytestmark = pytest.mark.pure

LABEL = Label.parse("ab" * 20)
OTHER = Label.parse(f"word-{'cd' * 20}")
PROXIED = GatewaySection(domain=("example.org", "example.net"), https=True)
NAMED = {"nas": NamedSection(label=LABEL), "wiki": NamedSection(label=OTHER)}


def ours(https: HttpsState | None = None) -> tuple[ServiceState, ...]:
    url = f"http://{LABEL}.localhost:7009/"
    offered = Offered("NAS", str(LABEL), url, "localhost:80", True, (), None, "", https=https)
    return (
        ServiceState("broken", "broken", "line 3", None, "/s/broken.ini", None),
        ServiceState("nas", "serving", None, None, "/s/nas.ini", offered),
    )


def https(state: str, problem: str = "") -> HttpsState:
    return HttpsState("nas.example.com", state, problem, 0, 0, "", (), ())


def test_a_public_name_with_its_certificate_is_the_address() -> None:
    found = away(LABEL, ours(https("serving")), PROXIED, NAMED)
    assert (found.url, found.advice) == ("https://nas.example.com/", "")


def test_a_name_without_one_says_what_is_missing_unless_a_gateway_has_another() -> None:
    found = away(LABEL, ours(https("waiting", "no relay brings visitors")), GatewaySection(), {})
    assert (found.url, found.advice) == (
        "",
        "https://nas.example.com/ is not there yet, waiting: no relay brings visitors",
    )
    assert away(LABEL, ours(https("refused")), PROXIED, NAMED).url == "https://nas.example.org/"


@pytest.mark.parametrize(("label", "url"), [(LABEL, "https://nas.example.org/"), (OTHER, "https://wiki.example.org/")])
def test_a_gateway_behind_https_leads_to_what_is_shared_and_what_is_visited(label: Label, url: str) -> None:
    assert away(label, ours(), PROXIED, NAMED).url == url


@pytest.mark.parametrize(
    ("gateway", "named"),
    [
        (GatewaySection(), NAMED),
        (GatewaySection(domain=("example.org",)), NAMED),
        (GatewaySection(https=True), NAMED),
        (PROXIED, {}),
        (PROXIED, {"nas": NamedSection(label=Label.parse(f"word-{'ab' * 20}"))}),
    ],
)
def test_without_https_a_domain_and_its_very_label_a_gateway_is_no_address(
    gateway: GatewaySection, named: dict[str, NamedSection]
) -> None:
    found = away(LABEL, ours(), gateway, named)
    assert found.url == ""
    assert "a domain of yours" in found.advice
    assert "HTTPS.md" in found.advice
    assert "its owner can give it" in away(OTHER, ours(), gateway, {}).advice
