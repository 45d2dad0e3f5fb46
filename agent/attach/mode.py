"""What every way in has in common: it answers the voice webhook, and learns from what Vapi tells of a call.

Whatever fails in here, the caller still reaches the assistant or a human: an answer is always valid TwiML, in time.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypedDict

from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call

DIAL_STATUS = "/twilio/dial-status"
"""Where Twilio asks what comes after a <Dial> of ours."""

Leg = Literal["assistant", "human", "last"]
"""Whom a <Dial> of ours went to; `last`: there is nobody after them."""


def after_dial(origin: str, *, leg: Leg) -> str:
    """The address that Twilio asks after a <Dial>: what comes then depends on who was dialled."""
    return f"{origin}{DIAL_STATUS}?leg={leg}"


class StreamArguments(TypedDict):
    """What a <Stream> of ours says; keywords of the builders in `telephony.twiml`."""

    stream_url: str
    call_sid: str
    token: str
    status_callback: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A caller at our voice webhook."""

    call_sid: str
    caller: str = field(repr=False)
    """The number or address that calls; empty where it is withheld."""
    origin: str
    """Where Twilio reaches us for callbacks, e.g. https://calls.example.com."""
    media_origin: str
    """The same for media: wss, or ws for simulators on this machine."""

    @property
    def stream_url(self) -> str:
        """Where our <Stream> of this call sends its audio."""
        return f"{self.media_origin}/audio-stream/{self.call_sid}"

    def stream(self, call: Call) -> StreamArguments:
        """What our <Stream> says, with a token of its own."""
        return {
            "stream_url": self.stream_url,
            "call_sid": call.call_sid,
            "token": call.issue_token(),
            "status_callback": f"{self.origin}/twilio/stream-status",
        }


class AttachMode(Protocol):
    """One way in."""

    name: str
    """As in CALLMOOD_ATTACH."""
    begins_here: bool
    """Calls begin at our voice webhook; otherwise at Vapi, and a caller who comes here anyway is only sent on."""

    async def answer(self, offer: Offer, call: Call | None) -> str:
        """TwiML for this caller, within five seconds. `call` is None where there is no slot: full, or draining."""

    def knows(self, ids: Collection[str]) -> bool:
        """A call of one of these ids has begun or ended here, live or not: what comes of it belongs here."""

    def learn(self, message: ServerMessage) -> None:
        """An authentic server message of Vapi's. Modes in which calls begin at Vapi begin them here. Never waits."""
