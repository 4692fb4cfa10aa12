"""What Python and C count together: the bases of the classes whose numbers the part in C goes by.

    windows.ReceiveWindow ── Window      yamux.Yamux ────── Frames     outbox.Outbox ── Box     one session
    yamux's streams ──────── Ways        holding.Holding ── Held       joint.Joint ──── Lane    a stream and its socket
    stream.Stream ────────── Use         liveness.Liveness ─ Marks     tls.TlsStream ── Wire    a connection
    brake.Brake ──────────── Reasons     frames.FrameTurns ─ Budget    records.Records ─ Sizes    what a pause means

Where there is a part in C these are its types, which keep the same numbers where it can read them; else those of
plain.py.  So each rule is in Python, in the class made of its base, and whichever of the two stops, the other one goes
on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardline.native.built import carry

if TYPE_CHECKING or carry is None:
    from hardline.native.plain import Box as Box
    from hardline.native.plain import Budget as Budget
    from hardline.native.plain import Frames as Frames
    from hardline.native.plain import Held as Held
    from hardline.native.plain import Lane as Lane
    from hardline.native.plain import Marks as Marks
    from hardline.native.plain import Reasons as Reasons
    from hardline.native.plain import Sizes as Sizes
    from hardline.native.plain import Use as Use
    from hardline.native.plain import Ways as Ways
    from hardline.native.plain import Window as Window
    from hardline.native.plain import Wire as Wire
else:
    Box = carry.Box
    Budget = carry.Budget
    Frames = carry.Frames
    Held = carry.Held
    Lane = carry.Lane
    Marks = carry.Marks
    Reasons = carry.Reasons
    Sizes = carry.Sizes
    Use = carry.Use
    Ways = carry.Ways
    Window = carry.Window
    Wire = carry.Wire
