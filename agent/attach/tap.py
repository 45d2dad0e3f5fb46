"""Attach mode `tap`: Vapi speaks with the caller, and we listen beside it.

Twilio's webhook waits while we ask Vapi for a call, and gets Vapi's TwiML with our stream in front. Twilio must have
its answer in five seconds whatever Vapi does: when it is slow, wrong or down, the caller goes to the fallback, and a
call that Vapi makes after that is ended again. A webhook that is repeated shares the call that was asked for first.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import structlog
import trio

from ..apart import start_apart
from ..assistants.vapi import BadControlUrl, VapiControl
from ..assistants.vapi_calls import BypassCall, VapiCalls
from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..core.emotion import Outcome
from ..errors import AssistantRefused, AssistantUnavailable, BadMessage, CallGone
from ..telephony.twiml import Fallback, check_forkable, fallback_only, fork_stream
from .mode import Offer

log = structlog.get_logger()

ANSWER_S = 4.0
"""How long Twilio's webhook waits for Vapi."""
LATE_S = 30.0
"""How long an answer is still waited for, in order to end the call it brings."""
REMEMBERED_S = 60.0
"""How long a call that has no slot here may still share its call at Vapi with a repeated webhook."""


@dataclass(slots=True)
class Asked:
    """One call asked for at Vapi."""

    call_sid: str
    answered: trio.Event = field(default_factory=trio.Event)
    call: BypassCall | None = None
    reason: str = "Vapi did not answer in time"
    given_up: bool = False
    """The caller has gone to the fallback meanwhile."""


class Tap:
    """Asks for one call at Vapi per caller. Its errands outlive the webhook that began them."""

    name = "tap"
    begins_here = True

    def __init__(
        self,
        calls: VapiCalls,
        control: VapiControl,
        directory: CallDirectory,
        errands: trio.Nursery,
        fallback: Fallback,
    ) -> None:
        self._calls, self._control, self._directory, self._errands = calls, control, directory, errands
        self._fallback = fallback
        self._asked: dict[str, Asked] = {}

    async def answer(self, offer: Offer, call: Call | None) -> str:
        """Vapi's TwiML for this caller, our stream in front; or the fallback. The call learns of its assistant."""
        asked = self._asked.get(offer.call_sid)
        if asked is None:
            asked = self._asked[offer.call_sid] = Asked(offer.call_sid)
            start_apart(self._errands, self._ask, asked, offer.caller)
        with trio.move_on_after(ANSWER_S):
            await asked.answered.wait()
        if asked.call is None or asked.given_up:
            self._give_up(asked, call)
            return fallback_only(self._fallback)
        if call is None:
            return asked.call.twiml
        self._introduce(call, asked.call)
        call.announce()
        return fork_stream(asked.call.twiml, **offer.stream(call))

    def knows(self, ids: Collection[str]) -> bool:
        return any(sid in self._asked for sid in ids)

    def learn(self, message: ServerMessage) -> None:
        """Calls begin at our webhook."""

    def _give_up(self, asked: Asked, call: Call | None) -> None:
        asked.given_up = True
        log.warning("tap.fallback", call=asked.call_sid, reason=asked.reason)
        if call is not None:
            call.timeline.record("context.failed", reason=asked.reason, willRetry=False)
            call.end(Outcome.EXPIRED)

    def _introduce(self, call: Call, made: BypassCall) -> None:
        call.vapi_call_id = made.vapi_call_id
        if made.control_url is None:
            return
        try:
            self._control.attach(call.call_sid, made.control_url)
        except BadControlUrl as error:
            log.warning("vapi.bad_control_url", call=call.call_sid, reason=str(error))
        else:
            call.attach_assistant(made.vapi_call_id)

    async def _ask(self, asked: Asked, caller: str) -> None:
        """Ask once, end what nobody can use, and remember the answer while it may be asked for again."""
        made = None
        try:
            with trio.move_on_after(LATE_S):
                made = await self._calls.create(caller)
                check_forkable(made.twiml)
                asked.call = made
        except (AssistantUnavailable, AssistantRefused, BadMessage) as trouble:
            asked.reason = str(trouble)
        except Exception as bug:
            log.error("tap.failed", call=asked.call_sid, exc_info=bug)
            asked.reason = "asking Vapi failed"
        asked.answered.set()
        used = asked.call is not None and not asked.given_up
        if used:
            await self._while_live(asked.call_sid)
        del self._asked[asked.call_sid]
        if made is not None and not used:
            await self._end(made)

    async def _while_live(self, call_sid: str) -> None:
        call = self._directory.find(call_sid)
        if call is not None:
            await call.over.wait()
        else:
            await trio.sleep(REMEMBERED_S)

    async def _end(self, made: BypassCall) -> None:
        """Nobody will come: end it at Vapi, which would wait for its caller and charge for it."""
        if made.control_url is None:
            return
        with trio.move_on_after(LATE_S):
            try:
                await self._control.end_call(made.control_url)
            except (AssistantUnavailable, AssistantRefused, CallGone, BadControlUrl) as trouble:
                log.warning("tap.not_ended", reason=str(trouble))
