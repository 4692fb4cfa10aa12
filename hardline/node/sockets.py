"""What this computer's kernel makes of the sockets that are set: said at start, and not when a link is slow."""

from __future__ import annotations

from hardline.errors import ConfigError
from hardline.settings.node import NodeSettings
from hardline.transport.socketoptions import SocketOptions, less_than_asked, why_not


def judged(settings: NodeSettings) -> list[str]:
    """Notes for the owner.  Raises ConfigError for a congestion control that cannot be had."""
    set_by = {"[Session]": settings.session.congestion}
    set_by |= {f"[Peer:{name}]": one.congestion for name, one in settings.peers.items()}
    for section, congestion in set_by.items():
        if congestion and (no := why_not(congestion)):
            wrong = f"{section} congestion: {congestion!r} cannot be used: {no}"
            raise ConfigError(wrong, key="congestion", hint="leave it out for the kernel's own choice")
    return [
        f"[Peer:{name}] {told}"
        for name, one in settings.peers.items()
        for told in less_than_asked(SocketOptions(send_buffer=one.send_buffer, receive_buffer=one.receive_buffer))
    ]
