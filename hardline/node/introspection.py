"""What a node knows of itself: its state for whoever asks, facts for the doctor, a service's requests as they pass.

What few ask for is loaded when somebody does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hardline.certificates import Identity
from hardline.node.fronts import Fronts
from hardline.node.hosting import Hosting
from hardline.node.offering import Offering
from hardline.node.snapshot import Itself, Snapshot
from hardline.node.telling import Telling
from hardline.node.visiting import Visiting
from hardline.places import Places
from hardline.settings.node import NodeSettings
from hardline.transport.own import OwnListeners

if TYPE_CHECKING:
    from hardline.node.examined import Examined
    from hardline.node.inspecting import Inspecting


class Introspection:
    """That of one node, from `begin` to `end`; `notes` are what was odd in its settings."""

    def __init__(
        self,
        settings: NodeSettings,
        places: Places,
        offering: Offering,
        hosting: Hosting,
        visiting: Visiting,
        own_listeners: OwnListeners,
        notes: Callable[[], Sequence[str]],
    ) -> None:
        self._settings, self._places, self._offering = settings, places, offering
        self._hosting, self._visiting, self._own_listeners, self._notes = hosting, visiting, own_listeners, notes
        self.telling: Telling | None = None
        self._examined: Examined | None = None
        self._inspecting: Inspecting | None = None

    def begin(self, identity: Identity, fronts: Fronts) -> None:
        """The parts are there: they can be told of."""
        self._identity = identity
        self.telling = Telling(
            itself=self._itself,
            notes=self._notes,
            offering=self._offering,
            own_listeners=self._own_listeners,
            names=self._visiting.names,
            reach=self._hosting.reach,
            relays=self._hosting.relays,
            host=self._hosting.host,
            sites=self._hosting.sites,
            remembered=self._visiting.remembered,
            visitor=self._visiting.visitor,
            door=self._visiting.door,
            door_port=lambda: self._visiting.door_port,
            fronts=fronts,
            https=lambda: self._hosting.public_names.https,
        )

    def end(self) -> None:
        """They are not any more."""
        self.telling = self._examined = self._inspecting = None

    async def snapshot(self) -> Snapshot:
        """The node as it is now."""
        assert self.telling is not None, "who asks waits until the node is ready"
        return await self.telling.snapshot()

    def examined(self) -> Examined:
        """What only it knows of how it is."""
        if self._examined is None:
            from hardline.node.examined import Examined

            assert self.telling is not None, "actions are there when it runs"
            self._examined = Examined(
                self._settings,
                self._places,
                offering=self._offering,
                services=self.telling.services,
                reach=self._hosting.reach,
                relays=self._hosting.relays,
                remembered=self._visiting.remembered,
                near=self._visiting.near.ways,
                finders=self._visiting.finders,
                visitor=self._visiting.visitor,
                listening=lambda: [*self._visiting.door_endpoints, *self._hosting.endpoints],
            )
        return self._examined

    def inspecting(self) -> Inspecting:
        """Who looks at the requests of which service."""
        if self._inspecting is None:
            from hardline.node.inspecting import Inspecting

            self._inspecting = Inspecting(lambda: self._hosting.host)
        return self._inspecting

    def _itself(self) -> Itself:
        return Itself(
            key_hash=str(self._identity.key_hash),
            servicedir=str(self._places.servicedir),
            datadir=str(self._places.datadir),
            door=tuple(map(str, self._visiting.door_endpoints)),
            p2p=tuple(map(str, (*self._hosting.endpoints, *self._hosting.relays.endpoints))),
            computer=self._visiting.near.computer,
        )
