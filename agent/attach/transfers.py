"""Handing a caller over to a human, the way each attach mode allows (`ports.Transfers`).

Where the call reached Vapi through us (`tap`, `sip`, `bridge`) Vapi cannot transfer it, and Twilio does: the call is
updated to dial the human, and Twilio then asks us what comes next. Where the call is Vapi's own (`fork`, `listen`) its
control address does. https://docs.vapi.ai/calls/call-dynamic-transfers
"""

from typing import Any

from ..assistants.vapi import VapiControl
from ..core.destination import is_number, is_sip_address
from ..errors import AssistantRefused, AssistantUnavailable, CarrierRefused, CarrierUnavailable
from ..telephony.twilio_rest import TwilioRest
from ..telephony.twiml import dial
from .mode import after_dial


def checked_destination(text: str) -> str:
    """The same, if it is a number (E.164) or a SIP address. Raises AssistantRefused, without repeating it."""
    if not is_number(text) and not is_sip_address(text):
        raise AssistantRefused("the destination is neither a number like +15550100100 nor a SIP address like sip:a@b")
    return text


class TwilioTransfers:
    """Has Twilio connect the caller to somebody else; whatever the call was executing ends with that."""

    def __init__(self, rest: TwilioRest | None, origin: str) -> None:
        """`rest`: None where Twilio's credentials are not set. `origin`: where Twilio reaches us; empty: nowhere we
        know of, and then nobody takes the caller back if the human does not answer."""
        self._rest, self._origin = rest, origin

    async def transfer(self, call_sid: str, destination: str) -> None:
        if self._rest is None:
            raise AssistantRefused("Twilio is not to be reached for a transfer: set TWILIO_ACCOUNT_SID")
        action = after_dial(self._origin, leg="human") if self._origin else None
        try:
            await self._rest.update_call(call_sid, dial(checked_destination(destination), action=action))
        except CarrierUnavailable as outage:
            raise AssistantUnavailable(str(outage), retry_after=outage.retry_after) from None
        except CarrierRefused as refusal:
            raise AssistantRefused(str(refusal)) from None


class VapiTransfers:
    """Has Vapi hand its call over. Its messages tell what became of it."""

    def __init__(self, control: VapiControl) -> None:
        self._control = control

    async def transfer(self, call_sid: str, destination: str) -> None:
        await self._control.post(call_sid, {"type": "transfer", "destination": wanted(destination)})


def wanted(destination: str) -> dict[str, Any]:
    """Vapi's form of a destination."""
    if checked_destination(destination).startswith("+"):
        return {"type": "number", "number": destination}
    return {"type": "sip", "sipUri": destination}
