"""One live call as the rest of the house sees it: who it is, what is believed, and its few ways in.

A call begins with the webhook that announces it and outlives its socket long enough to wrap up. Everything here is
plain state, changed from one thread without waiting; the work is done by the actors of `tree.py`.
"""

import re
import secrets
from collections import OrderedDict

import trio

from ..actors.aggregator import Heard, Verdict
from ..actors.channels import WhenFull, open_channel
from ..core.emotion import ANGER, NEUTRAL, EmotionReading, Mood, Outcome, Trend
from ..core.sameness import same
from ..errors import CallGone
from ..ports import Line
from .mailbox import Mailbox
from .timeline import CallTimeline

CALL_SID = re.compile(r"[0-9A-Za-z_.-]{1,40}", re.ASCII)
"""Hardly longer than Twilio's are: names and values of a form are signed run together, and a longer id could be two."""

READINGS_WAITING = 8
"""Depth of `readings`. Its sender waits: the aggregator is pure and quick, and no reading is lost."""

TOKENS_KEPT = 8
"""Webhooks may be repeated; so many tokens of one call can be good at once, the oldest giving way."""


def masked(number: str) -> str:
    """A telephone number or address with everything but its last two digits hidden."""
    return f"***{number[-2:]}" if number[-2:].isdigit() else "***" if number else ""


class Call:
    """Who it is, what is believed about the caller, and how it ended."""

    def __init__(self, call_sid: str, *, attach: str, caller: str, timeline: CallTimeline) -> None:
        self.call_sid, self.attach, self.caller, self.timeline = call_sid, attach, masked(caller), timeline
        self.mailbox = Mailbox()
        self.readings, self.readings_inbox = open_channel(Heard, READINGS_WAITING, WhenFull.WAIT)
        self.vapi_call_id: str | None = None
        self.stream_sid: str | None = None
        self.over = trio.Event()
        self.outcome: Outcome | None = None
        self.assistant_attached = False
        self.mood = Mood(NEUTRAL, Trend.STEADY, 0, trio.current_time())
        self.buffer_size = 0
        self.peak_anger = 0.0
        self._left_by: Outcome | None = None
        self._speaking_since: float | None = None
        self._touched_at = trio.current_time()
        self._tokens: OrderedDict[str, int] = OrderedDict()
        self._issued = 0
        self._asked: set[trio.MemorySendChannel[Verdict]] = set()

        timeline.opening = self.announce

    # --- life ---

    def announce(self) -> None:
        """The call's first event, once. It happens by itself before any other; where Vapi's id is to be in it, say so
        when that is known."""
        self.timeline.opening = None
        if not self.timeline.counts.total():
            self.timeline.record("call.started", attach=self.attach, vapiCallId=self.vapi_call_id, caller=self.caller)

    def touch(self) -> None:
        """A reading or a signed message of this call came in: it is alive."""
        self._touched_at = trio.current_time()

    @property
    def silent_s(self) -> float:
        """Seconds since anything was heard of it: a frame, a reading, a signed message."""
        return trio.current_time() - max(self._touched_at, self.mailbox.heard_at)

    def end(self, outcome: Outcome) -> None:
        """Let it wrap up. What ended it first is what the record says."""
        if self.outcome is None:
            left = outcome is Outcome.QUIET and not self.mailbox.has_line
            self.outcome = self._left_by or outcome if left else outcome
        self.mailbox.close()

    def close(self, code: int, reason: str) -> None:
        """Its tree is gone: hang up its line, and let nobody wait for it any more."""
        self.mailbox.hang_up(code, reason)
        self.readings.close()
        for answer in self._asked:
            answer.close()
        self.over.set()

    # --- its line ---

    def issue_token(self) -> str:
        """A token good for one socket. Issuing another does not spend it, but its socket will have to give way."""
        self._issued += 1
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self._issued
        while len(self._tokens) > TOKENS_KEPT:
            self._tokens.popitem(last=False)
        return token

    def line_ended(self, line: Line) -> None:
        """This line is gone. Where it was the one that counts, the caller has hung up; unless another line is on its
        way, as when the call was redirected: that has until the line counts as quiet."""
        if self.mailbox.disconnect(line, another_follows=self._another_follows):
            self.stream_ended()

    def stream_ended(self) -> None:
        """The carrier says that the stream is over, whatever its socket looks like."""
        if self._another_follows:
            self._left_by = Outcome.HANGUP
        else:
            self.end(Outcome.HANGUP)

    @property
    def _another_follows(self) -> bool:
        """A token newer than the present line's is still good."""
        return any(serial > self.mailbox.serial for serial in self._tokens.values())

    def redeem(self, token: str) -> int | None:
        """The token's place in the order of issue, once; None: it is not, or no longer, good."""
        for known in self._tokens:
            if same(token, known):
                return self._tokens.pop(known)
        return None

    # --- readings from outside, and the belief they share with ours ---

    async def hear(self, reading: EmotionReading) -> Verdict:
        """Fold in a reading from outside, and say what became of it. Raises CallGone when the call has ended."""
        self.touch()
        answer, verdict = trio.open_memory_channel[Verdict](1)
        self._asked.add(answer)
        try:
            await self.readings.send(Heard(reading, answer.send_nowait))
            return await verdict.receive()
        except (trio.ClosedResourceError, trio.BrokenResourceError, trio.EndOfChannel):
            raise CallGone(f"call {self.call_sid} has ended") from None
        finally:
            self._asked.discard(answer)

    def believe(self, verdict: Verdict) -> None:
        self.mood, self.buffer_size = verdict.mood, verdict.buffer_size
        if self.mood.emotion.label in ANGER:
            self.peak_anger = max(self.peak_anger, self.mood.emotion.score)

    # --- its assistant ---

    def attach_assistant(self, vapi_call_id: str | None) -> None:
        """There is an assistant that can be told."""
        self.assistant_attached = True
        self.vapi_call_id = vapi_call_id or self.vapi_call_id

    def assistant_speech(self, *, started: bool) -> None:
        """The assistant began or ended a turn of speech. Being told twice changes nothing."""
        if started == self.assistant_speaking:
            return
        self._speaking_since = trio.current_time() if started else None
        self.timeline.record("tts.started" if started else "tts.stopped")

    @property
    def assistant_speaking(self) -> bool:
        return self._speaking_since is not None

    def heard_ms(self) -> int | None:
        """How much of the assistant's present turn the caller can have heard, in milliseconds."""
        return None if self._speaking_since is None else round(1000 * (trio.current_time() - self._speaking_since))

    # --- what is told of it ---

    def entry(self) -> dict[str, object]:
        """This call as `GET /calls` lists it."""
        return {
            "callSid": self.call_sid,
            "vapiCallId": self.vapi_call_id,
            "state": "live",
            "startedAt": self.timeline.instant(0),
            "endedAt": None,
            "outcome": None,
            "attach": self.attach,
            "caller": self.caller,
            "mood": self._mood(),
            "bufferSize": self.buffer_size,
        }

    def summary(self) -> dict[str, object]:
        """What its last event says of it: the counts of its events, and what was believed at the end."""
        return {
            "vapiCallId": self.vapi_call_id,
            "mood": self._mood(),
            "bufferSize": self.buffer_size,
            "events": dict(self.timeline.counts),
            "peakAnger": round(self.peak_anger, 3),
        }

    def _mood(self) -> dict[str, object]:
        emotion = self.mood.emotion
        return {"label": emotion.label, "score": round(emotion.score, 3), "trend": self.mood.trend.value}
