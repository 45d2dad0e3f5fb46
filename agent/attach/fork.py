"""Attach mode `fork`: the number belongs to Vapi, and we have Twilio send us the caller's voice beside the call.

The call begins at Vapi, which tells us of it with Twilio's id. Then we ask Twilio, over REST, for a stream of that
call: nothing of the call itself changes, so nothing of ours can hurt it. Where no stream comes about the call goes on
unread: readings from outside still count, and Vapi's messages say when it is over.
"""

from collections.abc import Collection

import structlog
import trio

from ..actors.supervision import jittered
from ..apart import start_apart
from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..errors import CallGone, CarrierRefused, CarrierUnavailable
from ..telephony.twilio_rest import TwilioRest, is_call_sid
from ..telephony.twiml import Fallback, fallback_only
from .at_vapi import VapiBegun, over
from .mode import Offer

log = structlog.get_logger()

ATTEMPTS = 3
PATIENCE_S = 5.0
"""For one request to Twilio."""
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 10.0


class Fork:
    """Begins a call when Vapi says that it is under way, and asks Twilio for its audio."""

    name = "fork"
    begins_here = False

    def __init__(
        self,
        rest: TwilioRest,
        directory: CallDirectory,
        errands: trio.Nursery,
        fallback: Fallback,
        *,
        origin: str,
        engine: str,
        takes_audio: bool = True,
    ) -> None:
        """`origin`: where Twilio reaches us. `engine`: who is degraded where no audio comes."""
        self._rest, self._errands, self._fallback = rest, errands, fallback
        self._origin, self._engine, self._takes_audio = origin, engine, takes_audio
        self._begun = VapiBegun(directory)

    async def answer(self, offer: Offer, call: Call | None) -> str:
        log.warning(
            "fork.called_here",
            do="import the number into Vapi, and leave its voice webhook at Twilio as Vapi sets it",
        )
        return fallback_only(self._fallback)

    def knows(self, ids: Collection[str]) -> bool:
        return self._begun.knows(ids)

    def learn(self, message: ServerMessage) -> None:
        if over(message):
            self._begun.remember(message)
        elif self._begun.unknown(message):
            call_sid = next(filter(is_call_sid, message.call_sids), None)
            if call_sid is not None and (call := self._begun.begin(call_sid, message)) is not None:
                if self._takes_audio:
                    start_apart(self._errands, self._ask_for_audio, call)
                else:
                    call.awaits_audio = False

    async def _ask_for_audio(self, call: Call) -> None:
        """Ask until there is a stream, the call is over, or it is plain that there will be none."""
        reason = ""
        try:
            for attempt in range(1, ATTEMPTS + 1):
                wait_s = FIRST_BACKOFF_S * 2.0 ** (attempt - 1)
                try:
                    with trio.fail_after(PATIENCE_S):
                        await self._start_stream(call, attempt)
                    return
                except trio.TooSlowError:
                    reason = "Twilio did not answer in time"
                except CarrierUnavailable as outage:
                    reason, wait_s = str(outage), max(wait_s, outage.retry_after or 0.0)
                except (CarrierRefused, CallGone) as refusal:
                    reason = str(refusal)
                    break
                if attempt < ATTEMPTS and await settled_within(call, min(LONGEST_BACKOFF_S, wait_s)):
                    return
        except Exception as bug:
            log.error("fork.failed", call=call.call_sid, exc_info=bug)
            reason = "asking Twilio failed"
        if not settled(call):
            call.without_audio(self._engine, reason)

    async def _start_stream(self, call: Call, attempt: int) -> None:
        """A stream of its own name and token for each attempt: one may have come about although we were not told."""
        offer = Offer(call.call_sid, "", self._origin, "ws" + self._origin.removeprefix("http"))
        stream = offer.stream(call)
        await self._rest.start_stream(
            call.call_sid,
            url=stream["stream_url"],
            name=f"callmood-{attempt}",
            parameters={"callSid": call.call_sid, "token": stream["token"]},
            status_callback=stream["status_callback"],
        )


def settled(call: Call) -> bool:
    """It is over, or its audio has come after all: what Twilio did not get round to answering, it may have done."""
    return call.over.is_set() or call.mailbox.connected.is_set()


async def settled_within(call: Call, seconds: float) -> bool:
    """Wait, or until it is settled."""
    with trio.move_on_after(jittered(seconds)):
        await call.mailbox.connected.wait()  # it is set at the call's end too
    return settled(call)
