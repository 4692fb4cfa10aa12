"""The settings of a node as its parts take them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace

from hardline.door.server import DoorLimits
from hardline.errors import ConfigError
from hardline.identity import KeyHash
from hardline.session.session import SessionLimits
from hardline.session.windows import Backlog, WindowBudget
from hardline.settings.node import NodeSection, NodeSettings, UpnpSection
from hardline.settings.peers import PeerSection
from hardline.settings.values import LONGEST_COMPUTER
from hardline.showable import one_line
from hardline.transport.socketoptions import SocketOptions
from hardline.tunnel.host import HostLimits
from hardline.tunnel.link import LinkLimits
from hardline.tunnel.visitor import VisitorLimits

# Those that can change while it runs, besides the gateway's.
LIVE = ("[Relay] allow", "[Relay] deny", "[Relay] public_allow", "[Relay] domains")

_FIRST_PERSON = 500  # the lowest number of a user who is somebody
# Of a stream of a warm link, which was paid for so that nothing is waited for: 50 Mbit/s at 160 ms, from the start.
FIRST_WINDOW = 1 << 20


def is_live(key: str) -> bool:
    """Whether `[Section] key` takes effect while it runs."""
    return key in LIVE or (key.startswith("[Gateway") and key != "[Gateway] listen")


def of_a_program() -> NodeSettings:
    """Those of a node that a program starts for itself: no door for browsers, and any port."""
    return NodeSettings(node=NodeSection(localport=0, p2pport=0))


def unheard(settings: NodeSettings) -> NodeSettings:
    """The same for a node of which nothing listens.  Raises ConfigError for what cannot be without a port."""
    listening = {
        "[Relay] enabled": settings.relay.enabled,
        "[Gateway] listen": settings.gateway.listen,
        "[Forward:NAME] listen": any(one.listen is not None for one in settings.forwards.values()),
        "[Peer:NAME] listen": any(one.listen is not None for one in settings.peers.values()),
        "[SOCKS] listen": settings.socks.listen is not None,
    }
    for key, is_set in listening.items():
        if is_set:
            raise ConfigError(f"{key} needs a port, and listen=False has none", key=key, hint="leave one of them out")
    return replace(
        settings,
        node=replace(settings.node, localport=0, public=(), ip_service=""),
        upnp=UpnpSection(enabled=False),
        relay=replace(settings.relay, when="always"),  # none of them could do without
    )


def computer_of(settings: NodeSettings) -> str:
    """What the network is told that this computer is called, "" for nothing: what is set, else its host name."""
    if settings.lan.computer is not None:
        return settings.lan.computer
    name = socket.gethostname().partition(".")[0]
    return "" if name == "localhost" else one_line(name, LONGEST_COMPUTER)


def keeps_to_own_user(settings: NodeSettings) -> bool:
    """Whether services that know this node are for the programs of its own user: root's and a system's has none."""
    return settings.door.users == "own" or (settings.door.users == "" and os.geteuid() >= _FIRST_PERSON)


def session_limits(settings: NodeSettings) -> SessionLimits:
    """Those of all sessions of a node, which share one budget."""
    session = settings.session
    return SessionLimits(
        streams=session.max_streams,
        stream_window=session.stream_window,
        session_window=session.session_window,
        ping_interval=session.ping_interval,
        ping_timeout=session.ping_timeout,
        process=WindowBudget(session.process_window),
        backlog=Backlog(session.process_window),
    )


def host_limits(settings: NodeSettings, of_sessions: SessionLimits) -> HostLimits:
    """Those of its host."""
    session = settings.session
    return HostLimits(
        session=of_sessions,
        sessions=session.max_sessions,
        handshakes_per_source=session.max_handshakes_per_source,
        streams_per_source=session.max_streams_per_source,
        hello_timeout=session.hello_timeout,
    )


def visitor_limits(settings: NodeSettings, of_sessions: SessionLimits) -> VisitorLimits:
    """Those of its visitor."""
    session = settings.session
    return VisitorLimits(
        session=of_sessions,
        sessions=session.max_sessions,
        keepwarm=session.keepwarm,
        bundle=session.bundle,
        negative_cache=settings.dial.negative_cache,
        hello_timeout=session.hello_timeout,
        own={one.label.key_hash: _link_limits(one, of_sessions) for one in settings.peers.values() if one.label},
    )


def _link_limits(peer: PeerSection, of_sessions: SessionLimits) -> LinkLimits:
    """Those of a warm link: what it does not set is as everywhere."""
    session = replace(
        of_sessions,
        streams=peer.max_streams or of_sessions.streams,
        stream_window=peer.stream_window or of_sessions.stream_window,
        session_window=peer.session_window or of_sessions.session_window,
        first_window=FIRST_WINDOW,
        ping_interval=peer.ping_interval,
        ping_timeout=peer.idle_timeout - peer.ping_interval,
    )
    return LinkLimits(session, peer.keepwarm, peer.bundle)


def socket_options(settings: NodeSettings) -> Callable[[KeyHash], SocketOptions]:
    """Those of the sockets to each host."""
    usual = SocketOptions(congestion=settings.session.congestion)
    own = {
        one.label.key_hash: SocketOptions(
            one.nodelay, one.send_buffer, one.receive_buffer, one.congestion or settings.session.congestion
        )
        for one in settings.peers.values()
        if one.label
    }
    return lambda target: own.get(target, usual)


def door_limits(settings: NodeSettings) -> DoorLimits:
    """Those of its door."""
    return DoorLimits(settings.door.head_timeout, settings.door.max_head, settings.door.idle_timeout)
