"""What was recorded of a call is decided again as it was, to the last bit; and otherwise by other rules."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from agent.actors.incoming import Order
from agent.calls.call import Call
from agent.calls.policy import Policy
from agent.calls.stepcode import read
from agent.core.budget import PerMinute
from agent.core.emotion import Emotion, EmotionReading
from agent.core.following import Replay
from agent.core.keeping import again, kept
from agent.core.record import Record
from agent.core.replay import replay
from agent.core.rulebook import RuleBook, parse
from agent.core.steps import Asked, Began, Ended, Ordered, Took
from agent.testing import ScriptedEngine

from .stage import ANGRY, CALM, Stage, open_stage

PATIENT = """
[[rule]]
name = "patient"
emotions = ["angry", "frustrated"]
for_s = 5
do = ["context:tell", "transfer"]

[context]
tell = "Angry for a while: {score:.3f}, {trend}."
"""
CUT_AT_ONCE = '[[rule]]\nname = "cut"\nemotions = ["angry"]\ncooldown_s = 4\ndo = ["interrupt"]\n'
NOTHING = ""


class Human:
    async def transfer(self, call_sid: str, destination: str) -> None:
        await trio.sleep(0.5)


class Drawer:
    """The rules in force, which somebody edits."""

    def __init__(self, text: str) -> None:
        self.book = parsed(text)

    def current(self) -> RuleBook:
        return self.book


def parsed(text: str) -> RuleBook:
    return parse(text, act_at=0.85, file="rules.toml")


def record_of(stage: Stage, call: Call) -> Record:
    return read(stage.ledger.steps_of(call.call_sid))


def again_as_it_was(stage: Stage, call: Call) -> Replay:
    """The call decided again by its own rules."""
    record = record_of(stage, call)
    assert record.flaw is None
    return replay(record, lambda name: parsed(stage.ledger.texts[name][1]))


def kinds(record: Record) -> list[str]:
    return [type(step).__name__ for step in record.steps]


async def test_a_call_is_decided_again_as_it_was(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(7)
        call.assistant_speech(started=True)
        await stage.gone(call)
        result = again_as_it_was(stage, call)
        assert result.differences == ()
        assert result.recorded == result.replayed
        told = [deed.t_ms for deed in result.recorded if deed.made.note]
        assert told == [event["t"] for event in stage.events(call, "context.updated")]
        assert [deed.made.say is not None for deed in result.recorded] == [True, False]
        assert result.readings == len(stage.events(call, "audio.chunk"))


async def test_the_record_begins_with_what_is_needed_and_ends_with_its_end(autojump_clock: MockClock) -> None:
    async with open_stage(window_s=2.5, interrupts_per_call=3) as stage:
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        record = record_of(stage, call)
        assert isinstance(record.began, Began)
        assert (record.began.setup.window_s, record.began.setup.interrupts, record.began.engine) == (2.5, 3, "scripted")
        assert isinstance(record.steps[-1], Ended)
        first = next(step for step in record.steps if isinstance(step, Asked))
        assert first.rules is not None
        assert stage.ledger.texts[first.rules] == ("rules", stage.directory.policy.book().text)
        assert [step.rules for step in record.steps if isinstance(step, Asked) and step.rules] == [first.rules]


async def test_what_time_alone_made_due_is_replayed(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage, trio.open_nursery() as nursery:
        stage.directory.policy = Policy(
            Drawer(PATIENT.replace("for_s = 5", "for_s = 2")).current, Human(), PerMinute(9)
        )
        call = stage.ring()
        nursery.start_soon(lambda: stage.talk(call, 2.5, hold=True))
        await stage.gone(call)
        result = again_as_it_was(stage, call)
        steps = record_of(stage, call).steps
        alone = [
            step
            for before, step in pairwise(steps)
            if isinstance(step, Asked) and not isinstance(before, Took | Ordered)
        ]
        assert alone, "the clock asked the rules"
        assert result.differences == ()


async def test_rules_edited_in_the_middle_of_a_call_hold_from_there(autojump_clock: MockClock) -> None:
    drawer = Drawer(PATIENT)
    async with open_stage(transfer_to="+15550100100") as stage, trio.open_nursery() as nursery:
        stage.directory.policy = Policy(drawer.current, Human(), PerMinute(9))
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(10)
        call.assistant_speech(started=True)
        drawer.book = parsed(CUT_AT_ONCE)
        await trio.sleep(1)
        drawer.book = parsed(CUT_AT_ONCE)  # written again, as it was
        await stage.gone(call)
        result = again_as_it_was(stage, call)
        changes = [step.rules for step in record_of(stage, call).steps if isinstance(step, Asked) and step.rules]
        assert [stage.ledger.texts[name][1] for name in changes] == [PATIENT, CUT_AT_ONCE]
        assert result.differences == ()
        assert [fired.rule for deed in result.recorded for fired in deed.made.fired] == ["cut"]


async def test_what_an_operator_did_counts_and_what_they_wrote_is_not_kept(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(9.7)
        call.assistant_speech(started=True)
        await call.obey(Order("interrupt"))
        await call.obey(Order("context", "She is our largest customer."))
        await stage.gone(call)
        result, record = again_as_it_was(stage, call), record_of(stage, call)
        assert [step.action for step in record.steps if isinstance(step, Ordered)] == ["interrupt", "context"]
        assert result.differences == ()
        assert all(deed.made.say is None for deed in result.recorded), "the operator's apology is not cut off"
        assert not any(b"largest" in step for step in stage.ledger.steps_of(call.call_sid))
        without = Record(record.began, [step for step in record.steps if not isinstance(step, Ordered)])
        cut = replay(without, lambda name: parsed(stage.ledger.texts[name][1]))
        assert any(deed.made.say for deed in cut.replayed), "and would have been, had no operator ordered it"


async def test_a_reading_from_outside_is_replayed_with_the_rest(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: CALM})) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        for score in (1, 0.91, 0.97, 0.99):
            await trio.sleep(3.1)
            for _ in range(20):
                await call.hear(
                    EmotionReading(Emotion("frustrated", score), "webhook", 0, 0, trio.current_time(), timestamp=1.5e12)
                )
        await stage.gone(call)
        result = again_as_it_was(stage, call)
        sources = {step.reading.source for step in record_of(stage, call).steps if isinstance(step, Took)}
        assert sources == {"local", "webhook"}
        assert result.differences == ()
        assert "frustrated" in {deed.made.mood.label for deed in result.recorded}


async def test_nothing_of_a_caller_is_recorded_after_they_have_withdrawn(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(10)
        call.withdraw_consent("key")
        await call.obey(Order("context", "They know."))
        await stage.gone(call)
        names = kinds(record_of(stage, call))
        assert names[names.index("Forgotten") :] == ["Forgotten", "Ordered", "Ended"]
        assert again_as_it_was(stage, call).differences == ()


async def test_a_call_without_notice_has_no_readings_in_its_record(autojump_clock: MockClock) -> None:
    async with open_stage(require_notice=True) as stage:
        call = stage.ring()
        await stage.talk(call, 10)
        await stage.gone(call)
        assert kinds(record_of(stage, call)) == ["Ended"]


async def test_profiles_that_judge_nobody_record_nothing(autojump_clock: MockClock) -> None:
    for profile in ("physical-only", "off"):
        async with open_stage(profile=profile) as stage, trio.open_nursery() as nursery:
            call = stage.ring()
            nursery.start_soon(lambda: stage.talk(call, 10))  # noqa: B023 - the nursery ends with this turn
            await trio.sleep(5)
            await call.obey(Order("interrupt"))
            await stage.gone(call)
            assert stage.ledger.steps_of(call.call_sid) == []


async def test_a_call_that_crashes_has_no_end_in_its_record(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: object) -> EmotionReading:
        raise RuntimeError("a bug of ours")

    async with open_stage(ScriptedEngine({0: CALM})) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(5)
        monkeypatch.setattr(Call, "believe", judge)
        await stage.gone(call)
        assert stage.outcome(call) == "crashed"
        assert record_of(stage, call).flaw == "stops before the call's end"


async def test_other_rules_pass_the_caller_on_at_their_own_moment(autojump_clock: MockClock) -> None:
    async with open_stage(transfer_to="+15550100100") as stage:
        stage.directory.policy = Policy(Drawer(NOTHING).current, Human(), PerMinute(9))
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        record = record_of(stage, call)
        result = replay(record, {}.__getitem__, parsed(PATIENT))
        (passed,) = [deed for deed in result.replayed if deed.made.transfer]
        first = next(deed for deed in result.recorded)
        assert 5000 <= passed.t_ms - first.t_ms <= 5600
        assert passed.made.note is not None
        assert passed.made.note.startswith("Angry for a while: 0.9")
        assert [each.kind for each in result.differences] == ["added"]
        assert result.record_ends_ms is None


async def test_where_the_call_went_to_a_human_the_record_ends_for_other_rules(autojump_clock: MockClock) -> None:
    async with open_stage(transfer_to="+15550100100") as stage:
        quick = PATIENT.replace("for_s = 5", "for_s = 1")
        stage.directory.policy = Policy(Drawer(quick).current, Human(), PerMinute(9))
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        record = record_of(stage, call)
        (done,) = stage.events(call, "escalation.done")
        assert "HandedOver" in kinds(record)
        assert again_as_it_was(stage, call).differences == ()
        other = replay(record, {}.__getitem__, parsed(PATIENT))
        assert other.record_ends_ms == done["t"]
        assert [each.kind for each in other.differences] == ["missing"]
        sooner = replay(record, {}.__getitem__, parsed(quick.replace("for_s = 1", "for_s = 0.5")))
        assert sooner.record_ends_ms is None, "they would have asked for a human, too"
        assert [each.kind for each in sooner.differences] == ["added", "missing"]


async def test_where_nobody_took_the_call_other_rules_may_still_ask(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        quick = PATIENT.replace("for_s = 5", "for_s = 1")
        stage.directory.policy = Policy(Drawer(quick).current, Human(), PerMinute(9))
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        assert [event["event"] for event in stage.events(call, "escalation.failed")], "nobody is set to take it"
        other = replay(record_of(stage, call), {}.__getitem__, parsed(PATIENT))
        assert other.record_ends_ms is None
        (before,) = [deed.t_ms for deed in other.recorded if deed.made.transfer]
        (now,) = [deed.t_ms for deed in other.replayed if deed.made.transfer]
        assert 4000 <= now - before <= 4600


async def test_the_same_rules_tried_as_others_decide_the_same(autojump_clock: MockClock) -> None:
    for text in (PATIENT, CUT_AT_ONCE, PATIENT.replace("for_s = 5", "for_s = 1")):
        async with open_stage(transfer_to="+15550100100") as stage, trio.open_nursery() as nursery:
            stage.directory.policy = Policy(Drawer(text).current, Human(), PerMinute(9))
            call = stage.ring()
            nursery.start_soon(stage.talk, call)
            await trio.sleep(9)
            call.assistant_speech(started=True)
            await stage.gone(call)
            result = replay(record_of(stage, call), {}.__getitem__, parsed(text))
            assert (result.differences, result.record_ends_ms) == ((), None)
            assert result.recorded


async def test_a_refused_confirmation_leaves_other_rules_free_to_ask(autojump_clock: MockClock) -> None:
    async def no(decision: object) -> bool:
        await trio.sleep(0.3)
        return False

    async with open_stage(transfer_to="+15550100100") as stage:
        quick = PATIENT.replace("for_s = 5", "for_s = 1\ncooldown_s = 3")
        stage.directory.policy = Policy(Drawer(quick).current, Human(), PerMinute(9), no)
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        asked = [deed for deed in again_as_it_was(stage, call).recorded if deed.made.transfer]
        assert len(asked) > 1, "the rule has asked again"
        assert again_as_it_was(stage, call).differences == ()
        other = replay(record_of(stage, call), {}.__getitem__, parsed(PATIENT))
        assert len([deed for deed in other.replayed if deed.made.transfer]) == 1


def test_a_reading_is_kept_whole() -> None:
    reading = EmotionReading(
        Emotion("angry", 0.1 + 0.2),
        "local",
        1200,
        2700,
        1e6 / 3,
        {"angry": 1 / 3, "word": 2 / 3},
        0.1,
        900,
        1.5e12 + 0.25,
        Emotion("sad", 1 / 7),
        None,
        1 / 9,
    )
    assert again(kept(reading)) == reading
