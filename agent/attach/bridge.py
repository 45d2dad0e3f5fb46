"""Attach mode `bridge`: the call is given to our socket, and we carry its audio both ways to Vapi's.

The webhook is answered at once, while Vapi is being asked for a call. Without Vapi configured it only listens. The
TwiML says who takes the call when our socket closes, so that nothing of ours or Vapi's can leave a caller alone.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from ..apart import start_apart
from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..core.context import ContextUpdate, CutOff
from ..errors import AssistantRefused, AssistantUnavailable, CallGone
from ..ingress.relay import Relay
from ..ports import Assistant, AssistantSession
from ..telephony.twiml import Fallback, connect_stream, fallback_only
from .bridged import BridgedCall, Means
from .mode import Offer

FLUSH_S = 0.1
"""How long the carrier's socket may take to take the word that empties its buffer."""
SAY_S = 1.5
"""How long the sentence that takes the interrupted turn's place may take to be accepted."""


class Bridge:
    """The media path is ours. `relays` holds those of the calls that go on, by CallSid, for whoever interrupts."""

    name = "bridge"
    begins_here = True

    def __init__(
        self,
        fallback: Fallback,
        *,
        directory: CallDirectory,
        errands: trio.Nursery,
        relays: dict[str, Relay],
        means: Means | None = None,
    ) -> None:
        """`means`: None where no Vapi is configured."""
        self._fallback, self._directory, self._errands = fallback, directory, errands
        self._relays, self._means = relays, means

    async def answer(self, offer: Offer, call: Call | None) -> str:
        if call is None:
            return fallback_only(self._fallback)
        if self._means is None:
            call.announce()
        elif call.relay is None:
            bridged = BridgedCall(call, self._means)
            start_apart(self._errands, bridged.ask)
            start_apart(self._errands, self._serve, bridged)
        return connect_stream(**offer.stream(call), fallback=self._fallback)

    async def _serve(self, bridged: BridgedCall) -> None:
        call = bridged.call
        self._relays[call.call_sid] = bridged.relay
        try:
            await bridged.serve()
        finally:
            del self._relays[call.call_sid]
            self._directory.relay_ended(call)

    def knows(self, ids: Collection[str]) -> bool:
        return any(sid in self._relays for sid in ids)

    def learn(self, message: ServerMessage) -> None:
        """Calls begin at our webhook."""


class Flushing:
    """An assistant whose voice goes through our hands: what is to be cut off is silenced at once, wherever it is."""

    def __init__(self, assistant: Assistant, relays: Mapping[str, Relay]) -> None:
        self.name = assistant.name
        self._assistant, self._relays = assistant, relays

    def open(self, call_sid: str) -> AbstractAsyncContextManager[AssistantSession]:
        return self._open(call_sid)

    @asynccontextmanager
    async def _open(self, call_sid: str) -> AsyncIterator[AssistantSession]:
        async with self._assistant.open(call_sid) as session:
            yield FlushingSession(session, lambda: self._relays.get(call_sid))


class FlushingSession:
    """One call's way to it. `relay`: the call's, once there is one."""

    def __init__(self, session: AssistantSession, relay: Callable[[], Relay | None]) -> None:
        self._session, self._relay = session, relay

    async def tell(self, update: ContextUpdate) -> None:
        await self._session.tell(update)

    async def cut_off(self, sentence: str) -> CutOff | None:
        """The caller's silence does not wait for the platform; what it answers is news all the same."""
        relay = self._relay()
        cut = None if relay is None else relay.flush()
        if relay is None or cut is None:
            return await self._session.cut_off(sentence)
        with trio.move_on_after(FLUSH_S):  # nothing else is worth a millisecond before that
            await relay.wait_flushed()
        trouble = "it did not answer in time"
        with trio.move_on_after(SAY_S):
            try:
                await self._session.cut_off(sentence)
                return cut
            except (AssistantUnavailable, AssistantRefused, CallGone) as error:
                trouble = str(error)
        relay.call.timeline.record("context.failed", reason=f"interruption: {trouble}", willRetry=False)
        return cut
