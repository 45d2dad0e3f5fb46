"""updates -> assistant; always the latest. The assistant's platform may be slow, wrong or gone: the call goes on.

The note and the interruption travel side by side. A note that failed is tried again with backoff until a newer one
takes its place. An interruption is never tried again: a late one cuts off the wrong sentence. Right before it is sent,
an update loses what has become pointless or is not to be said any more.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from functools import partial

import structlog
import trio

from ..core.because import OPERATOR
from ..core.context import ContextUpdate
from ..errors import AssistantRefused, AssistantUnavailable, CallGone
from ..ports import Assistant, AssistantSession, Timeline
from .channels import Inbox
from .supervision import Condition, jittered, keep_running

log = structlog.get_logger()

LONGEST_BACKOFF_S = 8.0
"""Seconds between attempts while an outage lasts. The note is the caller's present state: it never becomes too late."""


class Publisher:
    """One call's voice towards the assistant."""

    def __init__(
        self,
        assistant: Assistant,
        call_sid: str,
        timeline: Timeline,
        *,
        patience_s: float,
        heard_ms: Callable[[], int | None],
        may_tell: Callable[[], bool] = lambda: True,
        told_otherwise: Callable[[], bool] = lambda: False,
        while_listening: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`heard_ms` of the assistant's present turn, None while it is silent; `may_tell`: moods may still be acted on;
        `told_otherwise`: the model learns of moods another way, and needs no notes; `while_listening`: a block that is
        broken off when moods may not be acted on any more."""
        self._assistant, self._call_sid, self._timeline = assistant, call_sid, timeline
        self._patience_s, self._heard_ms = patience_s, heard_ms
        self._may_tell, self._told_otherwise = may_tell, told_otherwise
        self._while_listening = while_listening
        self._pending: ContextUpdate | None = None
        self.condition = Condition()

    async def run(self, updates: Inbox[ContextUpdate]) -> None:
        """Tell the assistant until the updates end, through every outage of its platform."""
        await keep_running(
            partial(self._attempt, updates),
            partial(self._without_assistant, updates),
            outages=(AssistantUnavailable,),
            final=(AssistantRefused, CallGone),
            note=self._note,
            condition=self.condition,
        )

    async def _attempt(self, updates: Inbox[ContextUpdate]) -> None:
        async with AsyncExitStack() as stack:
            try:
                session = await stack.enter_async_context(self._assistant.open(self._call_sid))
            except Exception as fault:
                raise as_assistant_error(fault) from fault
            if self._pending is not None:
                await self._publish(session, self._pending, updates)
            async for update in updates:
                await self._publish(session, update, updates)

    async def _without_assistant(self, updates: Inbox[ContextUpdate]) -> None:
        """Keep the latest for when there is one again."""
        async for update in updates:
            latest = update if self._pending is None else update.replacing(self._pending)
            self._pending = latest.without_interruption()

    def _note(self, outage: Exception) -> None:
        self._failed(str(outage), will_retry=isinstance(outage, AssistantUnavailable))

    async def _publish(self, session: AssistantSession, update: ContextUpdate, updates: Inbox[ContextUpdate]) -> None:
        """One update, until it or a newer one has been accepted or refused."""
        failures, self._pending = 0, None
        while True:
            trouble = await self._say_and_tell(session, update)
            self.condition.degraded = trouble is not None
            if trouble is None:
                return
            failures += 1
            will_retry = isinstance(trouble, AssistantUnavailable)
            if failures == 1 or not will_retry:
                self._failed(str(trouble), will_retry=will_retry)
            if not will_retry:
                return
            update = update.without_interruption()
            try:
                with trio.move_on_after(backoff(failures, trouble)):
                    while True:  # newer ones take its place, and wait as long: the platform is down for them too
                        update = (await updates.receive()).replacing(update).without_interruption()
            except trio.EndOfChannel:
                # The call is wrapping up: one last try with what is left of its grace.
                await self._say_and_tell(session, update)
                return

    async def _say_and_tell(self, session: AssistantSession, update: ContextUpdate) -> Exception | None:
        update = self._as_things_are(update)
        trouble: list[Exception] = []

        async def tell() -> None:
            if (failure := await self._tell(session, update)) is not None:
                trouble.append(failure)

        async with trio.open_nursery() as nursery:
            if update.text:
                nursery.start_soon(tell)
            if update.say is not None:  # this runs first: the caller is waiting for it
                await self._interrupt(session, update, update.say)
        return trouble[0] if trouble else None

    def _as_things_are(self, update: ContextUpdate) -> ContextUpdate:
        """What of it is to be said now."""
        may_tell = self._may_tell()
        if not may_tell or self._told_otherwise():
            update = replace(update, note="")
        if self._heard_ms() is None or not (may_tell or update.reason == "operator"):
            update = update.without_interruption()  # it has stopped speaking by itself, or nobody wants it any more
        return update

    async def _tell(self, session: AssistantSession, update: ContextUpdate) -> Exception | None:
        sent_at = trio.current_time()
        of_a_mood = bool(update.note)
        with trio.move_on_after(self._patience_s), self._while_listening() if of_a_mood else nullcontext():
            try:
                await session.tell(update)
            except Exception as fault:
                return as_assistant_error(fault)  # as a value: the nursery around us would wrap what is raised
            self._timeline.record(
                "context.updated",
                dominantEmotion=update.mood.emotion.label,
                score=round(update.mood.emotion.score, 3),
                trend=update.mood.trend.value,
                bargeInDetected=update.barge_in,
                latencyMs=round(1000 * (sent_at - update.mood.heard_at), 1),
                via="control",
                **since_decision(update),
                **_why(update.why),
            )
            return None
        if of_a_mood and not self._may_tell():  # it was broken off: an operator's words are still to be told
            return await self._tell(session, replace(update, note="")) if update.words else None
        return AssistantUnavailable("it did not answer in time")

    async def _interrupt(self, session: AssistantSession, update: ContextUpdate, sentence: str) -> None:
        heard_ms = self._heard_ms()
        within = nullcontext if update.reason == "operator" else self._while_listening
        with trio.move_on_after(self._patience_s) as patience, within():
            try:
                cut = await session.cut_off(sentence)
            except Exception as fault:
                self._failed(f"interruption: {as_assistant_error(fault)}", will_retry=False)
                return
            if cut is not None and cut.heard_ms is not None:
                heard_ms = cut.heard_ms
            unheard = {} if cut is None or cut.unheard is None else {"unheardText": cut.unheard}
            self._timeline.record(
                "tts.cancelled",
                reason=update.reason,
                heardMs=heard_ms,
                **unheard,
                **since_decision(update),
                **_why(OPERATOR if update.reason == "operator" else update.cut_why or update.why),
            )
        if patience.cancelled_caught:
            self._failed("interruption: it did not answer in time", will_retry=False)

    def _failed(self, reason: str, *, will_retry: bool) -> None:
        self._timeline.record("context.failed", reason=reason, willRetry=will_retry)


def since_decision(update: ContextUpdate) -> dict[str, float]:
    """How long after the last sample it rests on an update was decided, and how long after that its platform has
    accepted it; nothing where it is not known when it was decided."""
    if update.decided_at is None:
        return {}
    return {
        "decisionMs": round(1000 * (update.decided_at - update.mood.heard_at), 1),
        "acceptedMs": round(1000 * (trio.current_time() - update.decided_at), 1),
    }


def _why(why: str) -> dict[str, str]:
    """Why it was decided, where that is known."""
    return {"why": why} if why else {}


def as_assistant_error(fault: Exception) -> AssistantUnavailable | AssistantRefused | CallGone:
    """What an assistant's exception means to us. Its text is not repeated: it may hold the conversation."""
    if isinstance(fault, AssistantUnavailable | AssistantRefused | CallGone):
        return fault
    log.error("assistant.failed", exc_info=fault)
    return AssistantUnavailable(f"it failed with {type(fault).__name__}")


def backoff(failures: int, trouble: Exception) -> float:
    """Seconds to wait: doubling from a quarter of a second, a part of it random, and no less than was asked for."""
    asked = trouble.retry_after if isinstance(trouble, AssistantUnavailable) else None
    delay = min(LONGEST_BACKOFF_S, 0.25 * 2.0 ** min(failures - 1, 16))
    return max(asked or 0.0, jittered(delay))
