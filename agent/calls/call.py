"""One live call as the rest of the house sees it: who it is, what is believed, and its few ways in.

A call begins with the webhook that announces it and outlives its socket long enough to wrap up. Everything here is
plain state, changed from one thread without waiting; the work is done by the actors of `tree.py`.
"""

import re
from math import inf

import trio

from ..actors.channels import WhenFull, open_channel
from ..actors.incoming import Heard, Incoming, Order, Verdict
from ..core.destination import masked
from ..core.emotion import ANGER, NEUTRAL, EmotionReading, Mood, Outcome, Trend
from ..errors import CallGone
from ..ports import Line, Relay
from .consent import Consent
from .handover import Handover
from .mailbox import BLOCKS_A_SECOND, OF_A_RELAY, Mailbox
from .present import Present
from .standing import Standing
from .timeline import CallTimeline
from .tokens import Tokens
from .turns import Turns
from .words import Words
from .workings import Workings

CALL_SID = re.compile(r"[0-9A-Za-z_.-]{1,40}", re.ASCII)
"""Hardly longer than Twilio's are: names and values of a form are signed run together, and a longer id could be two."""

READINGS_WAITING = 8
"""Depth of `readings`. Its sender waits: the aggregator is pure and quick, and no reading is lost."""

NOTICE_BY_ASSISTANT = ("fork", "listen")
"""Ways in where the TwiML is not ours: the notice is part of the assistant's first message."""


class Call:
    """Who it is, what is believed about the caller, and how it ended."""

    __slots__ = (
        *("call_sid", "attach", "caller", "timeline", "profile", "consent", "handover", "mailbox", "readings"),
        *("readings_inbox", "vapi_call_id", "stream_sid", "relay", "over", "outcome", "ended_at", "assistant_attached"),
        *("awaits_audio", "mood", "buffer_size", "peak_anger", "present", "standing", "workings", "through_gateway"),
        *("ended_assistant", "_analyse_after_transfer", "_left_by", "_touched_at", "_tokens", "_turns", "_asked"),
    )

    def __init__(
        self,
        call_sid: str,
        *,
        attach: str,
        caller: str,
        timeline: CallTimeline,
        consent: Consent | None = None,
        profile: str = "acoustic",
        analyse_after_transfer: bool = False,
        relayed: bool = False,
    ) -> None:
        """`relayed`: its audio is carried to an assistant and back."""
        self.call_sid, self.attach, self.caller, self.timeline = call_sid, attach, masked(caller), timeline
        self.profile = profile
        self.consent = consent or Consent()
        self.handover, self._analyse_after_transfer = Handover(timeline.record), analyse_after_transfer
        self.mailbox = Mailbox(
            listening=self.consent.may_listen,
            on_line=self.consent.line_came,
            depth=OF_A_RELAY if relayed else BLOCKS_A_SECOND,
        )
        self.readings, self.readings_inbox = open_channel(Incoming, READINGS_WAITING, WhenFull.WAIT)
        self.vapi_call_id: str | None = None
        self.stream_sid: str | None = None
        self.relay: Relay | None = None
        self.over = trio.Event()
        self.outcome: Outcome | None = None
        self.ended_at = inf
        """Loop time at which it was over; what follows is its wrapping up."""
        self.assistant_attached = False
        self.awaits_audio = True
        """False: none will come, and that nothing is heard says nothing about the call."""
        self.mood = Mood(NEUTRAL, Trend.STEADY, 0, trio.current_time())
        self.buffer_size = 0
        self.peak_anger = 0.0
        self.present, self.standing = Present(), Standing()
        self.workings = Workings()
        self.through_gateway = False
        """The assistant's model is asked through our gateway, which tells it the caller's state: it needs no notes."""
        self.ended_assistant: str | None = None
        """The id of a call at Vapi that was this one's, and is over."""
        self._left_by: Outcome | None = None
        self._touched_at = trio.current_time()
        self._tokens, self._turns = Tokens(), Turns(timeline.record)
        self._asked: set[trio.MemorySendChannel[Verdict]] = set()

        timeline.opening = self.announce
        timeline.keep_to(profile)
        timeline.told = self.standing.note
        self.consent.recorded_by(timeline.record)
        self.consent.on_stop(self._forget)
        self.consent.on_stop(self.present.forget)
        self.consent.on_stop(self.standing.forget)

    # --- life ---

    def announce(self) -> None:
        """The call's first event, once. It happens by itself before any other; where Vapi's id is to be in it, say so
        when that is known."""
        self.timeline.opening = None
        if not self.timeline.counts.total():
            self.timeline.record(
                "call.started",
                attach=self.attach,
                vapiCallId=self.vapi_call_id,
                caller=self.caller,
                **({} if self.profile == "acoustic" else {"profile": self.profile}),
            )

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
            self.ended_at = trio.current_time()
            left = outcome is Outcome.QUIET and not self.mailbox.has_line
            self.outcome = self._left_by or outcome if left else outcome
        self.mailbox.close()
        if outcome is Outcome.HANGUP and self.relay is not None:
            self.relay.line_ended()

    def close(self, code: int, reason: str) -> None:
        """Its tree is gone: hang up its line, and let nobody wait for it any more."""
        self.mailbox.hang_up(code, reason)
        self.readings.close()
        self.consent.close()
        for answer in self._asked:
            answer.close()
        self.over.set()

    # --- its line ---

    def without_audio(self, engine: str, reason: str) -> None:
        """No audio will come: the call goes on unread, until its platform says that it is over."""
        if self.awaits_audio:
            self.awaits_audio = False
            self.timeline.record("analyzer.degraded", engine=engine, reason=f"no audio: {reason}")

    def issue_token(self) -> str:
        """A token good for one socket. Issuing another does not spend it, but its socket will have to give way."""
        return self._tokens.issue()

    def redeem(self, token: str) -> int | None:
        """The token's place in the order of issue, once; None: it is not, or no longer, good."""
        return self._tokens.redeem(token)

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
        return self._tokens.newer_than(self.mailbox.serial)

    # --- whether its caller may be listened to ---

    @property
    def listening(self) -> bool:
        """Something may be inferred from what the caller says now."""
        return self.consent.listening

    def notice_played(self, how: str) -> None:
        """The caller has been told that the call is analysed. Being told twice changes nothing."""
        self.consent.notice_played(how)

    def withdraw_consent(self, how: str) -> None:
        """The caller does not want to be analysed: from now on nothing is read, recorded or acted upon, and what is
        held of them is thrown away. The call goes on. Being asked twice changes nothing."""
        self.peak_anger = 0.0
        self.consent.withdraw(how)

    def stop_analysis(self) -> None:
        """The same where it is not the caller who asks: they speak with a human now, say."""
        self.consent.stop()

    def key_pressed(self, digit: str) -> None:
        """The caller pressed a key of their telephone."""
        if digit and digit == self.consent.opt_out_key:
            self.withdraw_consent("key")

    def _forget(self) -> None:
        self.mailbox.discard()
        self.present.reading_ends()
        self.mood, self.buffer_size = Mood(NEUTRAL, Trend.STEADY, 0, trio.current_time()), 0

    # --- readings from outside, and the belief they share with ours ---

    async def hear(self, reading: EmotionReading) -> Verdict:
        """Fold in a reading from outside, and say what became of it. Raises CallGone when the call has ended."""
        self.touch()
        if not self.listening:
            return self.refused()
        answer, verdict = trio.open_memory_channel[Verdict](1)
        self._asked.add(answer)
        try:
            await self.readings.send(Heard(reading, answer.send_nowait))
            return await verdict.receive()
        except (trio.ClosedResourceError, trio.BrokenResourceError, trio.EndOfChannel):
            raise CallGone(f"call {self.call_sid} has ended") from None
        finally:
            self._asked.discard(answer)

    def refused(self) -> Verdict:
        """What becomes of a reading while nobody may listen."""
        return Verdict(self.consent.refusal, self.mood, self.buffer_size)

    def believe(self, verdict: Verdict) -> None:
        if not self.listening:
            return
        self.mood, self.buffer_size = verdict.mood, verdict.buffer_size
        self.present.believe(verdict.mood)
        if self.mood.emotion.label in ANGER:
            self.peak_anger = max(self.peak_anger, self.mood.emotion.score)

    # --- what an operator orders, and passing the caller on to a human ---

    async def obey(self, order: Order) -> None:
        """Have it carried out as a decision is. Raises CallGone when the call has ended."""
        try:
            await self.readings.send(order)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise CallGone(f"call {self.call_sid} has ended") from None

    @property
    def handed_over(self) -> bool:
        return self.handover.done

    @property
    def may_transfer(self) -> bool:
        return self.handover.open_to_rules

    @property
    def transfer_under_way(self) -> bool:
        return self.handover.under_way

    def claim_transfer(self, rule: str) -> bool:
        return self.handover.claim(rule)

    def transfer_begins(self, destination: str, why: str = "") -> None:
        self.handover.begin(destination, why)

    def transfer_unwanted(self) -> None:
        self.handover.release()

    def transfer_confirmed(self) -> None:
        """The caller is passed on to a human, whom we do not analyse. Being told twice changes nothing."""
        if self.handover.succeeded() and not self._analyse_after_transfer:
            self.stop_analysis()

    def transfer_failed(self, reason: str) -> None:
        """Nobody took the caller over, or could be asked to. Being told twice changes nothing."""
        self.handover.failed(reason)

    # --- its assistant ---

    def attach_assistant(self, vapi_call_id: str | None) -> None:
        """There is an assistant that can be told."""
        self.assistant_attached = True
        self.vapi_call_id = vapi_call_id or self.vapi_call_id

    def assistant_speech(self, *, started: bool) -> None:
        """The assistant's platform says that a turn of its speech began or ended. A relay knows better than that what
        the caller hears."""
        if self.relay is not None:
            self.relay.turn(started=started)
        else:
            self.assistant_turn(started=started)

    def assistant_turn(self, *, started: bool) -> None:
        """The caller begins to hear a turn of the assistant's, or has heard it. Being told twice changes nothing."""
        self._turns.turn(started=started)

    def first_message_spoken(self) -> None:
        """The assistant's platform says that a turn of the assistant's has ended. Where no TwiML of ours says the
        notice, the assistant's first message does."""
        if self.attach in NOTICE_BY_ASSISTANT:
            self.notice_played("first message")

    def assistant_spoke(self, since: float, until: float) -> list[tuple[float, float]]:
        """When the assistant spoke, between two moments of the loop's clock; only its last few turns are known."""
        return self._turns.between(since, until)

    @property
    def turn_text(self) -> str | None:
        """What the assistant is saying now, where its platform has told us."""
        return self._turns.text

    @property
    def words(self) -> Words:
        """What the assistant is saying, as its platform tells us."""
        return self._turns.words

    @property
    def assistant_speaking(self) -> bool:
        return self._turns.speaking

    def heard_ms(self) -> int | None:
        """How much of the assistant's present turn the caller can have heard, in milliseconds."""
        if self.relay is not None:
            return self.relay.heard_ms()
        return self._turns.lasted_ms()
