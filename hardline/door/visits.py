"""How each session of a visitor is made, in a sentence or two; without I/O.

A session is a row of status (docs/STATUS.md, `sessions`).
"""

from __future__ import annotations

from collections.abc import Mapping

_WAYS = {
    "LAN": "in this network",
    "DIRECT": "straight",
    "PUNCHED": "straight, through the routers of both",
    "RELAYED": "by a relay",
}


def way(session: Mapping[str, object]) -> str:
    """The path that is taken: "by a relay, 203.0.113.9:7008, there and back in 105 ms"."""
    trip = session["round_trip_s"]
    took = f", there and back in {1000 * trip:.0f} ms" if isinstance(trip, float) and trip else ""
    ends = ", ends with what is under way" if session["draining"] else ""
    return f"{_WAYS.get(str(session['kind']), 'straight')}, {session['endpoint']}{took}{ends}"


def why_not_better(session: Mapping[str, object]) -> list[str]:
    """Why it is no better one, and when that is looked for."""
    reasons = session["passed_over"]
    said = [str(one) for one in reasons] if isinstance(reasons, list | tuple) else []
    look = session.get("next_look_s")
    if isinstance(look, int | float):
        said.append(f"looks for a better way {f'in {look:.0f} s' if look else 'now'}")
    return said
