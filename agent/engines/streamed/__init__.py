"""Engines over the network, without what differs between them.

A vendor is a `Vendor`: where to dial, and a `Dialect` for each connection, which turns what the vendor says into facts
and does no I/O. Everything else (audio at its pace, time on its clock, patience, budgets) is the same for all and is
done here, so that another vendor is one file: see `engines/oruk.py`.
"""

from .dialect import Alive, Dialect, Fact, FrameRefused, Measured, Over, Ready, Send, Vendor, code_word
from .engine import StreamedEngine
from .knock import knock

__all__ = [
    "Alive",
    "Dialect",
    "Fact",
    "FrameRefused",
    "Measured",
    "Over",
    "Ready",
    "Send",
    "StreamedEngine",
    "Vendor",
    "code_word",
    "knock",
]
