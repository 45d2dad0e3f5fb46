"""One bridged call: Vapi is asked for a call, its socket is dialled when the caller is there, and both are held
together until one of them goes. Everything here outlives the call's tree.

Whatever goes wrong on Vapi's side ends in the same way: our socket is closed, so that Twilio goes on with the verb
behind it, and the caller reaches somebody. An ordinary end must not end there: it is told to Twilio first.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from math import inf

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ..assistants.vapi import BadControlUrl, VapiControl
from ..assistants.vapi_calls import SocketCall, VapiCalls
from ..assistants.vapi_dial import checked_socket_url, dialled
from ..calls.call import Call
from ..core.emotion import Outcome
from ..errors import AssistantRefused, AssistantUnavailable, CallGone, CarrierRefused, CarrierUnavailable
from ..groups import alone
from ..ingress.relay import Parting, Relay

log = structlog.get_logger()

ANSWER_S = 5.0
"""How long Vapi is waited for when it is asked for a call, while the caller hears nothing."""
LATE_S = 30.0
"""How long its answer is still waited for, in order to end the call it brings."""
DIAL_S = 4.0
LAST_WORDS_S = 1.0
"""How long sound may still come from a socket whose call is said to be over."""
GOODBYE_S = 60.0
"""How long the caller may go on hearing what the assistant said last."""
HANG_UP_S = 5.0
HANDOVER_S = 10.0
"""How long a transfer may take to take the caller from us."""
MESSAGE_LIMIT = 256 * 1024
"""Bytes of one message of Vapi's: half a minute of sound."""

ORDINARY = frozenset({1000, 1005})
"""Close codes by which Vapi says that the call is over; any other, or none, is a broken socket."""
LOST = (1001, "Assistant lost")


@dataclass(frozen=True, slots=True)
class Means:
    """What a bridged call is made with."""

    calls: VapiCalls
    control: VapiControl
    hang_up: Callable[[str], Awaitable[None]] | None
    """Ends a call at the carrier (TwilioRest.complete); None where its credentials are not set."""
    hosts: Collection[str]
    """As VAPI_CONTROL_HOSTS."""
    connect_within_s: float
    line_quiet_s: float
    ping_every_s: float


class BridgedCall:
    """One call and its relay."""

    def __init__(self, call: Call, means: Means) -> None:
        self.call, self.relay = call, Relay(call)
        self._means = means
        self._answered = trio.Event()
        self._made: SocketCall | None = None
        self._trouble = "Vapi did not answer in time"
        self._socket: WebSocketConnection | None = None

    async def ask(self) -> None:
        """Ask Vapi for a call, once; end it again where nobody has waited for it."""
        try:
            with trio.move_on_after(LATE_S):
                self._made = await self._means.calls.create_socket()
        except (AssistantUnavailable, AssistantRefused) as trouble:
            self._trouble = str(trouble)
        except Exception as bug:
            log.error("bridge.failed", call=self.call.call_sid, exc_info=bug)
            self._trouble = "asking Vapi failed"
        self._answered.set()
        if self.relay.parting is not None:
            await self._end_at_vapi()

    async def serve(self) -> None:
        """Hold the two together until they part."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._assist)
                nursery.start_soon(self._watch_line)
                nursery.start_soon(self._watch_assistant)
                await self.relay.parted.wait()
                if self._parting.how == "assistant ended":
                    await self._see_off()
                nursery.cancel_scope.cancel()
        except* Exception as bugs:
            log.error("bridge.crashed", call=self.call.call_sid, exc_info=bugs)
            self.relay.part("assistant lost", "our relay failed")
        self._close()
        if self._made is not None and (self._socket is None or self._parting.how == "assistant lost"):
            await self._end_at_vapi()

    @property
    def _parting(self) -> Parting:
        return self.relay.parting or Parting("told to")

    async def _assist(self) -> None:
        """The assistant's side, from the answer to our question to the end of its socket."""
        with trio.move_on_after(ANSWER_S):
            await self._answered.wait()
        if self._made is None:
            self.relay.part("assistant lost", self._trouble)
            return
        self._introduce(self._made)
        await self.relay.line_came.wait()
        try:
            await self._speak(checked_socket_url(self._made.socket_url, self._means.hosts))
        except* (AssistantUnavailable, AssistantRefused, CallGone, BadControlUrl) as group:
            self.relay.part("assistant lost", str(alone(group)))
        except* ConnectionClosed:
            closed = self._socket.closed if self._socket is not None else None
            if self.relay.assistant_over.is_set() or (closed is not None and closed.code in ORDINARY):
                self.relay.part("assistant ended")
            code = "without a word" if closed is None else f"with code {closed.code}"
            self.relay.part("assistant lost", f"Vapi's socket broke off {code}")

    async def _speak(self, url: str) -> None:
        dialling = trio.CancelScope(deadline=trio.current_time() + DIAL_S)
        with dialling:
            async with dialled(url, message_limit=MESSAGE_LIMIT, queue=2) as self._socket:
                dialling.deadline = inf
                await self.relay.carry(self._socket, ping_every_s=self._means.ping_every_s)
        if dialling.cancelled_caught:
            raise AssistantUnavailable("Vapi's socket did not answer in time")

    def _introduce(self, made: SocketCall) -> None:
        """The call learns of its assistant."""
        call = self.call
        call.vapi_call_id = made.vapi_call_id
        try:
            if made.control_url is not None and not call.over.is_set():
                self._means.control.attach(call.call_sid, made.control_url)
                call.attach_assistant(made.vapi_call_id)
        except BadControlUrl as error:
            log.warning("vapi.bad_control_url", call=call.call_sid, reason=str(error))
        if call.timeline.opening is not None and not call.over.is_set():
            call.announce()

    async def _watch_line(self) -> None:
        with trio.move_on_after(self._means.connect_within_s):
            await self.relay.line_came.wait()
        if not self.relay.line_came.is_set():
            self.relay.part("caller never came")
            return
        await self.relay.wait_quiet(self._means.line_quiet_s)
        self.relay.part("line quiet", "quiet")

    async def _watch_assistant(self) -> None:
        """Its platform says that the call is over there: the socket should say so too."""
        await self.relay.assistant_over.wait()
        await trio.sleep(LAST_WORDS_S)
        self.relay.part("assistant ended")

    async def _see_off(self) -> None:
        """The caller hears the last words, and Twilio hangs up: otherwise it would go on with the fallback verb."""
        if self.call.transfer_under_way or self.call.handed_over:  # it is Twilio that ends our stream then
            with trio.move_on_after(HANDOVER_S):
                await self.relay.line_gone.wait()
            return
        with trio.move_on_after(GOODBYE_S):
            await self.relay.wait_heard()
        if self._means.hang_up is None or self.relay.line_gone.is_set():
            return
        trouble = "Twilio did not answer in time"
        with trio.move_on_after(HANG_UP_S):
            try:
                await self._means.hang_up(self.call.call_sid)
                return
            except CallGone:
                return
            except (CarrierUnavailable, CarrierRefused) as error:
                trouble = str(error)
        log.warning("bridge.not_hung_up", call=self.call.call_sid, reason=trouble)

    def _close(self) -> None:
        """Whatever is left of it. Never waits."""
        call, parting = self.call, self._parting
        lost = parting.how == "assistant lost"
        if lost:
            log.warning("bridge.fallback", call=call.call_sid, reason=parting.reason)
            if not call.over.is_set():
                call.timeline.record("context.failed", reason=parting.reason, willRetry=False)
        call.end(OUTCOMES.get(parting.how, Outcome.HANGUP if self.relay.line_came.is_set() else Outcome.EXPIRED))
        call.mailbox.release(*(LOST if lost else (parting.code, parting.reason)))

    async def _end_at_vapi(self) -> None:
        """Nobody speaks with it any more, and it might wait for that."""
        if self._made is None or self._made.control_url is None:
            return
        with trio.move_on_after(LATE_S):
            try:
                await self._means.control.end_call(self._made.control_url)
            except (AssistantUnavailable, AssistantRefused, CallGone, BadControlUrl) as trouble:
                log.warning("bridge.not_ended", call=self.call.call_sid, reason=str(trouble))


OUTCOMES = {
    "caller left": Outcome.HANGUP,
    "caller never came": Outcome.EXPIRED,
    "line quiet": Outcome.QUIET,
    "assistant ended": Outcome.HANGUP,
    "told to": Outcome.DRAINED,
}
