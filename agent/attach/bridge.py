"""Attach mode `bridge`: the call is given to our socket. Without Vapi it only listens."""

from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call
from ..telephony.twiml import Fallback, connect_stream, fallback_only
from .mode import Offer


class Bridge:
    """The media path is ours; the TwiML says who takes the call when our socket closes."""

    name = "bridge"

    def __init__(self, fallback: Fallback) -> None:
        self._fallback = fallback

    async def answer(self, offer: Offer, call: Call | None) -> str:
        if call is None:
            return fallback_only(self._fallback)
        call.announce()
        return connect_stream(**offer.stream(call), fallback=self._fallback)

    def learn(self, message: ServerMessage) -> None:
        """Calls begin at our webhook."""
