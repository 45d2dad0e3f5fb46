"""Whatever comes in, and whenever: what the aggregator decided is decided again from what was recorded, bit for bit."""

from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock

from agent.actors.aggregator import aggregate
from agent.actors.channels import WhenFull, open_channel
from agent.actors.escalator import TransferOrder
from agent.actors.incoming import Heard, Incoming, Order, Verdict
from agent.actors.recording import Recorder
from agent.calls.stepcode import encode, read
from agent.core import replay as replaying
from agent.core.context import ContextUpdate
from agent.core.emotion import LABELS, Emotion, EmotionReading, Gated
from agent.core.record import Record
from agent.core.replay import replay
from agent.core.rulebook import RuleBook, parse
from agent.core.steps import Asked, Setup
from agent.ledger.memory import MemoryLedger

SETUP = Setup(0.7, 500, ("confused",), 3.0, 2, 30.0, 8, 5, 0.5, 1.5, 2, 4, 0.85)


@dataclass
class Moment:
    """Something that happens in a call, after so long."""

    after_s: float
    what: EmotionReading | Order | str
    """A reading, an order, or a switch of the call that is turned over."""


class Script:
    """A call in which moments happen one after the other, and nobody else is there."""

    def __init__(self, moments: list[Moment], books: list[RuleBook], confirm_s: float | None) -> None:
        self.assistant_attached = self.may_transfer = True
        self.assistant_speaking = self.handed_over = False
        self._moments, self._books, self._confirm_s = moments, books, confirm_s
        self.ledger = MemoryLedger()
        self.answers: list[Verdict] = []

    def claim_transfer(self, rule: str) -> bool:
        self.may_transfer = False
        self._released_at = trio.current_time() + (self._confirm_s or 0.0)
        return True

    def believe(self, verdict: Verdict) -> None: ...

    def record(self, event: str, **fields: object) -> None: ...

    async def main(self) -> None:
        readings_out, readings = open_channel(Incoming, 8, WhenFull.WAIT)
        updates_out, self.updates = open_channel(ContextUpdate, 1, WhenFull.REPLACE, merge=ContextUpdate.replacing)
        transfers_out, self.transfers = open_channel(TransferOrder, 1, WhenFull.REPLACE)
        recorder = Recorder(
            lambda step: self.ledger.keep("CA1", encode(step)), lambda text: self.ledger.know("CA1", "rules", text)
        )
        recorder.began(trio.current_time(), made_by="0", engine="none", model="none", setup=SETUP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._happen, readings_out)
            await aggregate(
                readings,
                updates_out,
                transfers_out,
                tracker=SETUP.tracker(),
                rules=SETUP.rules(self._books[0]),
                call=self,
                timeline=self,
                book=lambda: self._books[0],
                recorder=recorder,
            )
        recorder.ended(trio.current_time())

    async def _happen(self, readings: Any) -> None:
        with readings:
            for moment in self._moments:
                await trio.sleep(moment.after_s)
                if self._confirm_s is not None and not self.may_transfer and trio.current_time() > self._released_at:
                    self.may_transfer = True  # a second opinion would rather not
                if isinstance(moment.what, EmotionReading):
                    await readings.send(Heard(replace(moment.what, heard_at=trio.current_time())))
                elif isinstance(moment.what, Order):
                    await readings.send(moment.what)
                elif moment.what == "edit":
                    self._books.append(self._books.pop(0))
                else:
                    setattr(self, moment.what, not getattr(self, moment.what))
            await trio.sleep(3)

    def recorded(self) -> Record:
        trio.run(self.main, clock=MockClock(autojump_threshold=0))
        return read(self.ledger.steps_of("CA1"))


def rules_file(rules: list[dict[str, Any]]) -> RuleBook:
    lines = ["[context]", 'tell = "{emotion} {score:.4f} {trend}"']
    for place, rule in enumerate(rules):
        emotions = ", ".join(f'"{each}"' for each in sorted(rule["emotions"]))
        do = ", ".join(f'"{each}"' for each in sorted(rule["do"]))
        lines += ["[[rule]]", f'name = "rule-{place}"', f"emotions = [{emotions}]", f"do = [{do}]"]
        lines += [f"{key} = {rule[key]!r}" for key in ("at_least", "for_s", "cooldown_s")]
        lines += [f'trend = "{rule["trend"]}"']
    return parse("\n".join(lines), act_at=0.85, file="drawn.toml")


shares = st.floats(0, 1).filter(lambda p: p == 0 or p > 1e-6)
labels = st.sampled_from([*LABELS, "confused", "bored"])
readings = st.builds(
    EmotionReading,
    st.builds(Emotion, st.sampled_from(["angry", "angry", "frustrated", "sad", "neutral", "bored"]), st.floats(0.6, 1)),
    st.sampled_from(["local", "hume", "webhook", "fallback"]),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.just(0.0),
    st.one_of(
        st.just({}), st.lists(shares, min_size=6, max_size=6).map(lambda p: dict(zip(LABELS, p, strict=True))),
        st.dictionaries(labels, shares, max_size=3),
    ),
    st.none() | shares,
    st.none() | st.integers(0, 1500),
    st.none() | st.floats(0, 1e13),
    st.none() | st.builds(Emotion, labels, shares),
    st.sampled_from([None, None, None, Gated.CALIBRATING]),
    st.none() | shares,
)  # fmt: skip
switches = st.sampled_from(["assistant_speaking", "assistant_speaking", "assistant_attached", "handed_over", "edit"])
moments = st.builds(
    Moment,
    st.sampled_from([0.0, 0.2, 0.2, 0.3, 1.0, 4.0]) | st.floats(0, 2),
    st.one_of(
        readings,
        readings,
        readings,
        switches,
        st.sampled_from([Order("interrupt"), Order("context", "secret words"), Order("transfer")]),
    ),
)
books = st.lists(
    st.fixed_dictionaries(
        {
            "emotions": st.sets(st.sampled_from(["angry", "frustrated", "sad"]), min_size=1),
            "do": st.sets(st.sampled_from(["interrupt", "context:tell", "transfer"]), min_size=1),
            "at_least": st.sampled_from([0.7, 0.85]),
            "for_s": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
            "cooldown_s": st.sampled_from([0.0, 1.0, 20.0]),
            "trend": st.sampled_from(["any", "any", "rising"]),
        }
    ),
    max_size=3,
).map(rules_file)


def stretch(label: str, score: float, count: int, every_s: float) -> list[Moment]:
    """A caller who sounds like this for a while."""
    return [
        Moment(every_s, EmotionReading(Emotion(label, score - 0.01 * (place % 3)), "local", 0, 0, 0.0))
        for place in range(count)
    ]


stretches = st.builds(
    stretch,
    st.sampled_from(["angry", "angry", "frustrated", "sad", "neutral"]),
    st.floats(0.75, 1),
    st.integers(2, 15),
    st.sampled_from([0.2, 0.2, 0.37]),
)
calls = st.lists(stretches | moments.map(lambda moment: [moment]), min_size=2, max_size=20).map(
    lambda parts: [moment for part in parts for moment in part]
)


def own_of(script: Script) -> Any:
    return lambda name: parse(script.ledger.texts[name][1], act_at=0.85, file="kept")


ANGRY = stretch("angry", 0.9, 20, 0.2)


def passing_after(for_s: float) -> RuleBook:
    rule = {"emotions": {"angry"}, "do": {"transfer"}, "at_least": 0.8, "for_s": for_s, "cooldown_s": 1.0}
    return rules_file([rule | {"trend": "any"}])


@given(calls, st.lists(books, min_size=1, max_size=2), st.none() | st.floats(0, 2))
@example(ANGRY, [passing_after(1.0)], 0.5)
def test_what_was_decided_is_decided_again_bit_for_bit(
    happens: list[Moment], books: list[RuleBook], confirm_s: float | None
) -> None:
    script = Script(happens, list(books), confirm_s)
    record = script.recorded()
    assert record.flaw is None
    result = replay(record, own_of(script))
    assert result.differences == ()
    assert result.recorded == result.replayed
    assert not any(b"secret" in step for step in script.ledger.steps_of("CA1"))


@given(calls, books)
@example(ANGRY, passing_after(1.0))
def test_rules_that_are_tried_on_their_own_call_decide_what_they_decided(happens: list[Moment], book: RuleBook) -> None:
    script = Script([each for each in happens if each.what not in ("handed_over", "edit")], [book], None)
    result = replay(script.recorded(), own_of(script), book)
    assert result.differences == ()


@given(calls, books, books)
@example(ANGRY, passing_after(0.5), passing_after(2.0))  # a human had been asked for already
@example(ANGRY[:3], passing_after(1.0), passing_after(1.1))  # the clock had woken the others just before
def test_other_rules_decide_as_if_they_had_been_in_force(
    happens: list[Moment], book: RuleBook, other: RuleBook
) -> None:
    """Nothing but the clock and the rules' own transfers differs between two calls in which the same things happen. An
    operator's transfer is left out: whether it is still to be had depends on the rules, and is not theirs to say."""
    quiet = [each for each in happens if not isinstance(each.what, str) and each.what != Order("transfer")]
    with patch.object(replaying, "LATE_S", 0.0):  # this clock never wakes anybody late
        tried = replay(Script(quiet, [book], None).recorded(), {}.__getitem__, other)
    lived = replay(Script(quiet, [other], None).recorded(), {}.__getitem__, other)
    assert tried.replayed == lived.recorded


def test_a_step_that_cannot_be_written_costs_the_call_nothing_and_is_missed() -> None:
    odd = EmotionReading(Emotion("angry", 0.9), "local", 0, 0, 0.0, speech_ms=object())  # type: ignore[arg-type]
    kept: list[bytes] = []
    recorder = Recorder(lambda step: kept.append(encode(step)), lambda text: "hash")
    recorder.began(0.0, made_by="0", engine="none", model="none", setup=SETUP)
    recorder.took(odd, 1.0)
    recorder.ended(2.0)
    assert read(kept).flaw == "has lost its steps 1 to 1"


def test_a_ledger_that_fails_costs_the_call_nothing() -> None:
    def full(step: object) -> None:
        raise OSError("no space left")

    Recorder(full, lambda text: "hash").ended(2.0)


def test_rules_that_came_from_no_file_are_said_to() -> None:
    script = Script(list(ANGRY), [RuleBook()], None)
    first = next(step for step in script.recorded().steps if isinstance(step, Asked))
    assert first.rules == ""


def test_a_rules_file_without_rules_is_kept_as_any_other() -> None:
    script = Script(list(ANGRY), [rules_file([]), parse("", act_at=0.85, file="empty.toml")], None)
    script._moments.insert(10, Moment(0.0, "edit"))
    record = script.recorded()
    texts = [script.ledger.texts[step.rules][1] for step in record.steps if isinstance(step, Asked) and step.rules]
    assert texts[1:] == [""]
    assert replay(record, own_of(script)).differences == ()
