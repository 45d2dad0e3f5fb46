"""What the routes may reach, in one place."""

from dataclasses import dataclass

from quart import Quart, current_app

from ..assistants.vapi import VapiControl
from ..attach.mode import AttachMode
from ..calls.directory import CallDirectory
from ..calls.history import History
from ..ports import Ledger
from ..settings import Settings
from ..telephony.signature import SignatureCheck
from ..telephony.twiml import Fallback
from .access import Access
from .metrics import Metrics


@dataclass(frozen=True, slots=True)
class House:
    """The running service as its web routes see it."""

    settings: Settings
    directory: CallDirectory
    history: History
    ledger: Ledger
    vapi: VapiControl
    signature: SignatureCheck
    access: Access
    metrics: Metrics
    mode: AttachMode
    fallback: Fallback


def move_in(app: Quart, house: House) -> None:
    app.extensions["callmood"] = house


def house() -> House:
    """The house of the request being served."""
    found: House = current_app.extensions["callmood"]
    return found
