"""Attach mode `sip`: our TwiML forks the caller's voice to us and dials the assistant's SIP address.

Twilio holds the call, so whatever becomes of the assistant's leg comes back to us (`/twilio/dial-status`), and the
caller is handed on. Vapi has another id for the call than Twilio; ours travels to it as the header `x-callsid`.
"""

from collections.abc import Collection

from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call
from ..telephony.twiml import dial_assistant, fork_stream
from .mode import Offer, after_dial


class Sip:
    """The assistant is one SIP address for all calls."""

    name = "sip"
    begins_here = True

    def __init__(self, sip_uri: str) -> None:
        self._sip_uri = sip_uri

    async def answer(self, offer: Offer, call: Call | None) -> str:
        twiml = dial_assistant(self._sip_uri, call_sid=offer.call_sid, action=after_dial(offer.origin, leg="assistant"))
        if call is None:
            return twiml
        call.announce()
        return fork_stream(twiml, **offer.stream(call))

    def knows(self, ids: Collection[str]) -> bool:
        return False

    def learn(self, message: ServerMessage) -> None:
        """Calls begin at our webhook."""
