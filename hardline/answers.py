"""What the daemon's answers look like: each is looked at before anything is made of it; without I/O.

    {"sessions": [{"role": 7, …}], …}   ─▶ ConfigError: … status.sessions[0].role is 7, expected a text

A daemon of another version may say other things, and root may ask one of a user whom he does not trust.  What is
missing is found out where it is looked for (asking.py), and what is new is nobody's harm.  The shapes are those of
node/snapshot.py, which tests/test_answers.py holds them against, written so that nobody waits for dataclasses:

    name     a text                  name:Kind    an object, or a text of a form of its own
    name#    a number                name…[]      a list of that
    name!    yes or no               name…?       or null
    name%    numbers by their names  name*        anything
"""

from __future__ import annotations

import functools
import re
from typing import Any

from hardline.errors import ConfigError

_FURTHEST = 1e15  # of numbers: what is beyond is no moment, no size and no count of anything
_SHOWN = 60  # characters of what is wrong

_SHAPES = """
Snapshot version pid# node:Itself outside:Outside relays:Relays services:ServiceState[] sessions:SessionState[]
    peers:Peer[] visits:VisitState[] unreached:Unreached[] forwards:ForwardState[] socks:SocksState?
    gateway:GatewayState? links:LinkState[] phones:PhoneOpened[] process:ProcessState notes[] names:NamedPeer[]
Itself key_hash servicedir:path datadir:path door[] p2p[] computer
Outside state sentence endpoints:Told[] reached[] only_here! advice? upnp*? dht:Dht?
Told endpoint by
Dht used? node:DhtNode? proxies:DhtProxy[]
DhtNode phase good# reason?
DhtProxy url state
Relays used:RelayUsed[] nat? served:RelayServed?
RelayUsed endpoint key_hash state problem? since# names# tested# saw? contact?
RelayServed nodes# names# pairs# waiting# parked# passed# refused% draining! used_up! this_month# public_ports#
    tlsrelay#
ServiceState name state problem? hint? file? title label url:url target listed! notes[] dht*? announced public[]
    not_public[] https:HttpsState? for_invited! until#?
HttpsState name state problem until# again# account relays[] refused[]
SessionState role key_hash label title protocol via kind? found_by? endpoint draining! streams# sent#? received#?
    round_trip_s#? since_s# instance? spare!? passed_over[]? steps_s:StepTimes? next_look_s#? client?
StepTimes resolve#? tcp#? tls#? hello#?
Peer key_hash title protocol? endpoint? via? kind? wan_hosts[] first_seen# last_seen#
NamedPeer name key_hash label url:url
VisitState label key_hash status via? kind? found_by? endpoint? protocol?
Unreached label attempts:AttemptState[] reasons[]
AttemptState endpoint via kind found_by took_s# failure
ForwardState name listen label open# problem?
SocksState listen open# problem?
GatewayState listen[] clients# keys# services:NamedState[] requests:AccessState[]
NamedState name label online! last_reached_s#? requests% sent# took_s#
AccessState when# client user? key? service? method target status# sent# took_s#
LinkState name label state since# reason? attempts# listen? open# streams# kind? endpoint? round_trip_s#?
    ping_interval_s# idle_timeout_s# connect_interval_s# max_streams# stream_window# session_window# nodelay!?
    send_buffer#? receive_buffer#? congestion?
PhoneOpened title label urls:url[] until# away advice
ProcessState tasks% descriptors#? engine engine_note?
LanOffer title label url:url source endpoint host heard_s#
Match name? title key_hash label url:url how
Visitors name for_invited! let_in:LetIn[] invited:Invited[]
LetIn key_hash who since? invitation? last_visit#? kind? read#?
Invited number who until# state
Invitation number name title who until# link:url
AcceptedInvitation label url:url title waits?
Pinged name? title label kind endpoint found_by round_trip_s#? steps_s:StepTimes
Failed failure tried[] why? step?
Shared name title target url:url file lists! listed! for_invited! probed:Probed? until#? already!? back!?
Probed answers! said
Removed name file forgotten[]
Happening number# when# kind count# sentence
Passed number# began# method target status# kind asked_size# heard_size# first_byte_s#? took_s#? replay_of#? note
PassedWhole passed:Passed asked_head asked_body:base64 asked_whole! heard_head heard_body:base64 heard_whole!
Names mine[] named[]
Key key
Door door:address host:host
OpenPage url:url file:path?
Revoked revoked#
Listens listen
Nothing
"""

# What is answered to each question, and what follows; of two kinds it is the one whose first word is there.
_ANSWERS = {
    **dict.fromkeys(("share", "share_until", "share_for_fewer", "share_once", "change", "change_until"), ":Shared"),
    **dict.fromkeys(("name", "find"), ":Match"),
    **dict.fromkeys(("drain_relay", "no_phone", "forget", "changes", "trace"), ":Nothing"),
    "status": ":Snapshot",
    "lan": ":LanOffer[]",
    "remove": ":Removed",
    "names": ":Names",
    "key": ":Key",
    "invite": ":Invitation",
    "accept": ":AcceptedInvitation",
    "who": ":Visitors",
    "revoke": ":LetIn[]",
    "ping": ":Failed|Pinged",
    "log": ":Happening[]",
    "phone": ":PhoneOpened",
    "door": ":Door",
    "open_page": ":OpenPage",
    "revoke_pages": ":Revoked",
    "forward": ":Listens",
    "inspect": ":Nothing",
    "inspected": ":PassedWhole",
    "replay": ":Passed",
}
_NEWS = {"share_once": "", "forward": "", "inspect": ":Passed", "changes": "*", "trace": ":Nothing"}

_FORMS = {
    "url": (re.compile(r"https?://[!-~]+"), "an address"),
    "path": (re.compile(r"/[^\0]*"), "a whole path"),
    "address": (re.compile(r"[0-9A-Fa-f.:\[\]]+:[0-9]{1,5}"), "an IP address and a port"),
    "host": (re.compile(r"[A-Za-z0-9.-]+"), "a host name"),
    "base64": (re.compile(r"(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?", re.ASCII), "base64"),
}
_WORD = re.compile(r"([a-z_0-9]+)(.*)")


def check(do: str, said: Any, *, is_news: bool = False) -> None:
    """Raise ConfigError where `said`, out of JSON, cannot be an answer to `do`, or what follows it."""
    if (kind := (_NEWS if is_news else _ANSWERS).get(do)) is not None:
        _check(said, kind, do)


def shapes() -> dict[str, dict[str, str]]:
    """Every kind of object: its keys, and what each of them is."""
    return {kind: dict(_words(rest)) for kind, rest in _lines().items()}


def answers() -> tuple[dict[str, str], dict[str, str]]:
    """What is answered to each question, and what follows."""
    return dict(_ANSWERS), dict(_NEWS)


def _check(said: Any, kind: str, where: str) -> None:
    if kind.endswith("?"):
        if said is None:
            return
        kind = kind[:-1]
    if kind.endswith("[]"):
        if not isinstance(said, list):
            _refuse(said, "a list", where)
        for number, one in enumerate(said):
            _check(one, kind[:-2], f"{where}[{number}]")
    elif not kind:
        _expect(isinstance(said, str), said, "a text", where)
    elif kind == "#":
        _expect(_is_number(said), said, "a number", where)
    elif kind == "!":
        _expect(isinstance(said, bool), said, "yes or no", where)
    elif kind == "%":
        _expect(isinstance(said, dict) and all(map(_is_number, said.values())), said, "numbers by their names", where)
    elif kind != "*":
        _check_named(said, kind[1:], where)


def _check_named(said: Any, kind: str, where: str) -> None:
    if kind in _FORMS:
        form, called = _FORMS[kind]
        _expect(isinstance(said, str) and form.fullmatch(said) is not None, said, called, where)
        return
    _expect(isinstance(said, dict), said, "an object", where)
    *others, last = kind.split("|")
    shape = next((one for one in others if next(iter(_shape(one))) in said), last)
    for name, of in _shape(shape).items():
        if name in said:
            _check(said[name], of, f"{where}.{name}")


def _is_number(said: Any) -> bool:
    return isinstance(said, int | float) and not isinstance(said, bool) and abs(said) <= _FURTHEST


def _expect(holds: bool, said: Any, expected: str, where: str) -> None:
    if not holds:
        _refuse(said, expected, where)


def _refuse(said: Any, expected: str, where: str) -> None:
    what = "an object" if isinstance(said, dict) else "a list" if isinstance(said, list) else repr(said)[:_SHOWN]
    message = f"the daemon answers something that this version does not understand: {where} is {what}"
    raise ConfigError(f"{message}, expected {expected}", hint="is it of another version?  restart it")


@functools.cache
def _lines() -> dict[str, str]:
    lines = _SHAPES.replace("\n    ", " ").strip().split("\n")
    return {kind: rest for kind, _, rest in (line.partition(" ") for line in lines)}


@functools.cache
def _shape(kind: str) -> dict[str, str]:
    return dict(_words(_lines()[kind]))


def _words(text: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for word in text.split() if (found := _WORD.fullmatch(word))]
