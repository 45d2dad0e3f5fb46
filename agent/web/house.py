"""What the routes may reach, in one place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from ..workers.crew import Crew


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
    llm: Upstream
    signature: SignatureCheck
    access: Access
    metrics: Metrics
    mode: AttachMode
    fallback: Fallback
    crew: "Crew | None" = None
    """The other workers, where there are any."""


def move_in(app: Quart, house: House) -> None:
    app.extensions["callmood"] = house


def house() -> House:
    """The house of the request being served."""
    found: House = current_app.extensions["callmood"]
    return found
