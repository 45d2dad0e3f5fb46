"""What the routes may reach, in one place."""

from dataclasses import dataclass
from typing import Protocol

import trio
from quart import Quart, current_app

from ..assistants.llm import Upstream
from ..assistants.vapi import VapiControl
from ..assistants.vapi_auth import WebhookAuth
from ..attach.mode import AttachMode
from ..calls.directory import CallDirectory
from ..calls.history import History
from ..calls.wall import Wall
from ..ports import Ledger
from ..settings import Settings
from ..telephony.signature import SignatureCheck
from ..telephony.twiml import Fallback
from .access import Access
from .metrics import Metrics


class Siblings(Protocol):
    """The other workers, where this process is one of several."""

    async def live(self) -> list[bytes]:
        """The entries of their live calls; what they had to write of others is in the ledger then."""

    async def forget(self, call_sid: str) -> None:
        """Show nothing of this call any more."""

    async def page(self, own: bytes) -> bytes:
        """The numbers of all workers."""

    async def room_elsewhere(self) -> bool:
        """Whether one of them takes new calls."""

    async def begin_events(self) -> None:
        """Somebody is about to watch all calls."""


@dataclass(frozen=True, slots=True)
class House:
    """The running service as its web routes see it."""

    settings: Settings
    directory: CallDirectory
    history: History
    wall: Wall
    ledger: Ledger
    vapi: VapiControl
    vapi_auth: WebhookAuth
    unproven: trio.CapacityLimiter
    """Large bodies that are read before their sender has proved itself."""
    watching: trio.CapacityLimiter
    """Whoever watches the events or the screen."""
    llm: Upstream
    signature: SignatureCheck
    access: Access
    metrics: Metrics
    mode: AttachMode
    fallback: Fallback
    siblings: Siblings | None = None


def move_in(app: Quart, house: House) -> None:
    app.extensions["callmood"] = house


def house() -> House:
    """The house of the request being served."""
    found: House = current_app.extensions["callmood"]
    return found
