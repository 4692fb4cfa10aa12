"""The units by which systemd keeps a hardlined running: one user's, and a computer's; without I/O.

Source: systemd.service(5), systemd.exec(5), systemd.syntax(7) for how a word is quoted.
"""

from __future__ import annotations

from collections.abc import Sequence

NAME = "hardlined.service"
USER = "hardline"  # of the system's unit, and its group, whose members may ask it
SERVICES, DATA, SETTINGS = "/etc/hardline/services", "/var/lib/hardline", "/etc/hardline/hardline.ini"

_SERVICE = """\
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=60
Restart=on-failure
RestartSec=5
# A connection takes a descriptor or two, and what lets thousands in needs that many.
LimitNOFILE=65536
NoNewPrivileges=yes
"""

_OF_USER = """\
# Written by: hardline service install
[Unit]
Description=hardline: services of this computer on any other
Documentation=man:hardlined(1)

[Service]
{service}
[Install]
WantedBy=default.target
"""

# Directories that are shared lie anywhere, so nothing of them is hidden; who may read them is the user's rights.
_OF_SYSTEM = """\
# Written by: hardline service install --system
[Unit]
Description=hardline: services of this computer on any other
Documentation=man:hardlined(1)
Wants=network-online.target
After=network-online.target

[Service]
{service}User={user}
Group={user}
RuntimeDirectory=hardline
StateDirectory=hardline
StateDirectoryMode=0700
ConfigurationDirectory=hardline
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
ReadWritePaths=/etc/hardline

[Install]
WantedBy=multi-user.target
"""


def user_unit(command: Sequence[str]) -> str:
    """Of the user who installs it; `command` is hardlined with its arguments."""
    return _OF_USER.format(service=_SERVICE.format(command=_line(command)))


def system_unit(command: Sequence[str]) -> str:
    """Of the computer: a hardlined of a user of its own, at fixed places."""
    places = ["--servicedir", SERVICES, "--datadir", DATA, "--config", SETTINGS, "--group", USER]
    return _OF_SYSTEM.format(service=_SERVICE.format(command=_line([*command, *places])), user=USER)


def _line(command: Sequence[str]) -> str:
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    """A word that systemd takes as it is."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped and not set(escaped) & set(" \t'\";\\") else f'"{escaped}"'
