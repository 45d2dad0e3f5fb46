"""updates -> assistant: always the latest; its platform may be slow, wrong or gone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.actors.channels import WhenFull, open_channel
from agent.actors.publisher import LONGEST_BACKOFF_S, Publisher, backoff
from agent.core.context import ContextUpdate, CutOff
from agent.core.emotion import Emotion, Mood, Trend
from agent.errors import AssistantRefused, AssistantUnavailable
from agent.testing import Fault, RecordingAssistant

PATIENCE_S = 2.0
SORRY = "I'm sorry. Please go on."


@pytest.fixture(autouse=True)
def exact_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the random part."""
    monkeypatch.setattr("agent.actors.publisher.jittered", float)


class Scene:
    """A publisher, its timeline and the assistant it speaks to, of which 1200 ms of its turn have been heard."""

    def __init__(self) -> None:
        self.assistant = RecordingAssistant()
        self.heard_ms: int | None = 1_200
        self.may_tell, self.told_otherwise = True, False
        self.updates, self._inbox = open_channel(ContextUpdate, 1, WhenFull.REPLACE, merge=ContextUpdate.replacing)
        self.events: list[tuple[float, str, dict[str, object]]] = []
        self.ended_at = -1.0

    def record(self, event: str, **fields: object) -> None:
        self.events.append((trio.current_time(), event, fields))

    async def run(self) -> None:
        publisher = Publisher(
            self.assistant,
            "CA1",
            self,
            patience_s=PATIENCE_S,
            heard_ms=lambda: self.heard_ms,
            may_tell=lambda: self.may_tell,
            told_otherwise=lambda: self.told_otherwise,
        )
        await publisher.run(self._inbox)
        self.ended_at = trio.current_time()

    @property
    def told(self) -> list[tuple[float, str]]:
        """Notes and sentences the assistant accepted, and when."""
        return [
            (told.at, told.what.text if isinstance(told.what, ContextUpdate) else told.what)
            for told in self.assistant.told
        ]

    def named(self, event: str) -> list[tuple[float, dict[str, object]]]:
        return [(at, fields) for at, name, fields in self.events if name == event]


def update(note: str, *, say: str | None = None, heard_at: float = 0.0, **more: Any) -> ContextUpdate:
    return ContextUpdate(Mood(Emotion("angry", 0.9), Trend.RISING, 5, heard_at), note, say, **more)


@asynccontextmanager
async def publishing(fault: Fault | None = None) -> AsyncIterator[Scene]:
    """A publisher at work; leaving the block ends the call, after which it ends in time by itself."""
    scene = Scene()
    scene.assistant.fault = fault
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        yield scene
        ended_at = trio.current_time()
        scene.updates.close()
    assert scene.ended_at - ended_at <= PATIENCE_S


# --- All is well ---


async def test_a_note_is_told_at_once_and_its_age_is_recorded(autojump_clock: MockClock) -> None:
    async with publishing() as scene:
        await trio.sleep(10)
        scene.updates.offer(update("one", heard_at=9.75))
        await trio.sleep(1)
    assert scene.told == [(10.0, "one")]
    assert scene.named("context.updated") == [
        (
            10.0,
            {
                "dominantEmotion": "angry",
                "score": 0.9,
                "trend": "rising",
                "bargeInDetected": False,
                "latencyMs": 250.0,
                "via": "control",
            },
        )
    ]


async def test_the_latency_ends_when_the_update_is_sent_and_not_when_it_is_accepted(autojump_clock: MockClock) -> None:
    async with publishing(Fault("delay", seconds=1.5)) as scene:
        scene.updates.offer(update("one", heard_at=-0.1))
        await trio.sleep(3)
    ((at, fields),) = scene.named("context.updated")
    assert (at, fields["latencyMs"]) == (1.5, 100.0)


async def test_an_interruption_travels_beside_its_note(autojump_clock: MockClock) -> None:
    async with publishing(Fault("delay", seconds=1.0)) as scene:
        scene.updates.offer(update("one", say=SORRY))
        await trio.sleep(3)
    assert sorted(scene.told) == [(1.0, SORRY), (1.0, "one")]
    assert scene.named("tts.cancelled") == [(1.0, {"reason": "emotion_escalation", "heardMs": 1_200})]
    assert scene.named("context.updated")[0][1]["bargeInDetected"] is True


async def test_while_one_note_is_on_its_way_only_the_latest_of_the_others_waits(autojump_clock: MockClock) -> None:
    async with publishing(Fault("delay", seconds=1.0)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(0.5)
        for note in ("two", "three", "four"):
            scene.updates.offer(update(note))
        await trio.sleep(5)
    assert [note for _, note in scene.told] == ["one", "four"]


# --- Notes that fail ---


async def test_a_failed_note_is_tried_again_with_growing_pauses(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", times=4)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(60)
    assert scene.told == [(0.25 + 0.5 + 1.0 + 2.0, "one")]
    assert [fields["willRetry"] for _, fields in scene.named("context.failed")] == [True]


async def test_a_note_is_tried_now_and_then_for_as_long_as_the_outage_lasts(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable")) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(600)
        assert 600 / LONGEST_BACKOFF_S <= scene.assistant.attempts <= 600 / LONGEST_BACKOFF_S + 6
        scene.updates.offer(update("two"))
        scene.assistant.fault = None
        await trio.sleep(LONGEST_BACKOFF_S)
    assert [note for _, note in scene.told] == ["two"]
    assert [fields["willRetry"] for _, fields in scene.named("context.failed")] == [True]


async def test_a_newer_note_takes_the_place_of_one_that_is_being_tried_again(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", until=3.0)) as scene:
        scene.updates.offer(update("old"))
        await trio.sleep(2.5)
        scene.updates.offer(update("new"))
        await trio.sleep(30)
    assert [note for _, note in scene.told] == ["new"]


async def test_what_the_platform_asks_for_is_waited_for(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", retry_after=7.0, times=1)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(30)
    assert scene.told == [(7.0, "one")]


async def test_what_the_platform_asks_for_holds_for_a_newer_note_too(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", retry_after=7.0, times=1)) as scene:
        scene.updates.offer(update("old"))
        await trio.sleep(1)
        scene.updates.offer(update("new"))
        await trio.sleep(30)
    assert scene.told == [(7.0, "new")]


async def test_a_mood_that_keeps_changing_does_not_hammer_a_platform_that_is_down(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable")) as scene:
        for number in range(120):
            scene.updates.offer(update(str(number)))
            await trio.sleep(0.5)
    assert scene.assistant.attempts <= 60, "less than one a second"


async def test_a_refused_note_is_not_tried_again_and_the_next_one_is(autojump_clock: MockClock) -> None:
    async with publishing(Fault("refused", times=1)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(30)
        scene.updates.offer(update("two"))
        await trio.sleep(1)
    assert scene.told == [(30.0, "two")]
    assert [fields["willRetry"] for _, fields in scene.named("context.failed")] == [False]


async def test_a_platform_that_never_answers_costs_its_patience_each_time(autojump_clock: MockClock) -> None:
    async with publishing(Fault("stall", times=1)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(30)
    assert scene.told == [(PATIENCE_S + 0.25, "one")]


def test_a_backoff_doubles_up_to_its_longest_unless_the_platform_asked_for_another() -> None:
    down = AssistantUnavailable("down")
    assert [backoff(failures, down) for failures in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert backoff(1, AssistantUnavailable("busy", retry_after=30.0)) == 30.0
    assert backoff(4, AssistantUnavailable("busy", retry_after=0.0)) == 2
    assert backoff(1, AssistantRefused("no")) == 0.25


# --- Interruptions ---


@pytest.mark.parametrize("fault", [Fault("unavailable", times=2), Fault("stall", times=2)])
async def test_an_interruption_that_failed_is_never_tried_again(autojump_clock: MockClock, fault: Fault) -> None:
    async with publishing(fault) as scene:
        scene.updates.offer(update("one", say=SORRY))
        await trio.sleep(60)
    assert [note for _, note in scene.told] == ["one"]
    assert scene.named("tts.cancelled") == []
    assert any("interruption" in str(fields["reason"]) for _, fields in scene.named("context.failed"))


async def test_an_interruption_is_not_made_when_the_assistant_has_stopped_speaking_meanwhile(
    autojump_clock: MockClock,
) -> None:
    async with publishing() as scene:
        scene.heard_ms = None
        scene.updates.offer(update("one", say=SORRY))
        await trio.sleep(1)
    assert [note for _, note in scene.told] == ["one"]


async def test_an_interruption_decided_while_the_platform_is_down_is_not_made_later(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", retry_after=7.0, times=1)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(1)
        scene.updates.offer(update("two", say=SORRY))
        await trio.sleep(30)
    assert "two" in [note for _, note in scene.told]
    assert (7.0, SORRY) not in scene.told


async def test_an_interruption_decided_while_the_platform_could_not_be_opened_is_not_made_later(
    autojump_clock: MockClock,
) -> None:
    async with publishing(Fault("refuse_open", until=6.0)) as scene:
        await trio.sleep(1)
        scene.updates.offer(update("one", say=SORRY))
        await trio.sleep(30)
    assert [note for _, note in scene.told] == ["one"]


async def test_what_a_session_knows_of_a_turn_is_better_than_the_clock(autojump_clock: MockClock) -> None:
    async with publishing() as scene:
        scene.assistant.cut = CutOff(heard_ms=740, unheard="about our app")
        scene.updates.offer(update("one", say=SORRY))
        await trio.sleep(1)
    assert scene.named("tts.cancelled") == [
        (0.0, {"reason": "emotion_escalation", "heardMs": 740, "unheardText": "about our app"})
    ]
    assert "app" not in repr(scene.assistant.cut)


# --- What an operator says, and what is not to be said any more ---


async def test_an_operators_interruption_goes_out_without_a_note_and_says_whose_it_was(
    autojump_clock: MockClock,
) -> None:
    async with publishing() as scene:
        scene.updates.offer(update("", say=SORRY, reason="operator"))
        await trio.sleep(1)
    assert scene.told == [(0.0, SORRY)]
    why = "Somebody at the screen wanted it."
    assert scene.named("tts.cancelled") == [(0.0, {"reason": "operator", "heardMs": 1_200, "why": why})]
    assert scene.named("context.updated") == []


async def test_an_operators_words_outlast_an_outage_and_the_notes_of_the_meantime(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", until=5.0)) as scene:
        scene.updates.offer(update("", words=("VIP",)))
        await trio.sleep(1)
        scene.updates.offer(update("newer"))
        await trio.sleep(30)
    assert [text for _, text in scene.told] == ["newer\n\nVIP"]


async def test_an_operators_words_outlast_a_platform_that_does_not_open(autojump_clock: MockClock) -> None:
    async with publishing(Fault("refuse_open", until=5.0)) as scene:
        for each in (update("", words=("VIP",)), update("old"), update("new")):
            await trio.sleep(0.5)
            scene.updates.offer(each)
        await trio.sleep(30)
    assert [text for _, text in scene.told] == ["new\n\nVIP"]


async def test_a_model_that_learns_of_moods_another_way_gets_no_notes_but_the_rest(autojump_clock: MockClock) -> None:
    async with publishing() as scene:
        scene.told_otherwise = True
        for each in (update("one", say=SORRY), update("two", words=("VIP",)), update("three")):
            scene.updates.offer(each)
            await trio.sleep(1)
    assert scene.told == [(0.0, SORRY), (1.0, "VIP")]


async def test_what_is_waiting_when_moods_may_not_be_acted_on_any_more_is_not_said(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", until=5.0)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(2)
        scene.may_tell = False
        await trio.sleep(10)
        scene.updates.offer(update("two", say=SORRY))
        await trio.sleep(1)
        scene.updates.offer(update("", say=SORRY, reason="operator"))
        await trio.sleep(1)
    assert [text for _, text in scene.told] == [SORRY]
    assert [fields["reason"] for _, fields in scene.named("tts.cancelled")] == ["operator"]


# --- Ends ---


async def test_a_note_to_a_call_that_is_gone_is_not_tried_again_and_later_ones_are_still_taken(
    autojump_clock: MockClock,
) -> None:
    async with publishing(Fault("gone", times=1)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(60)
        assert (scene.assistant.attempts, scene.told) == (1, [])
        scene.updates.offer(update("two"))
        await trio.sleep(1)
    assert [note for _, note in scene.told] == ["two"]  # another assistant may have been attached meanwhile
    ((_, fields),) = scene.named("context.failed")
    assert fields["willRetry"] is False


async def test_a_call_that_ends_between_two_tries_makes_one_last_one_at_once(autojump_clock: MockClock) -> None:
    async with publishing(Fault("unavailable", times=6)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(10)
        assert scene.assistant.attempts == 6
    assert scene.told == [(10.0, "one")]
    assert scene.ended_at == 10.0


async def test_a_call_that_ends_while_nothing_is_to_be_told_ends_at_once(autojump_clock: MockClock) -> None:
    async with publishing() as scene:
        await trio.sleep(5)
    assert scene.ended_at == 5.0


async def test_what_was_waiting_when_the_call_ended_is_still_told(autojump_clock: MockClock) -> None:
    async with publishing(Fault("delay", seconds=0.5)) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(0.25)
        scene.updates.offer(update("two"))
    assert [note for _, note in scene.told] == ["one", "two"]


# --- Platforms that do not open, and bugs ---


async def test_a_platform_that_does_not_open_at_first_is_told_the_latest_when_it_does(
    autojump_clock: MockClock,
) -> None:
    async with publishing(Fault("refuse_open", until=5.0)) as scene:
        for note in ("one", "two"):
            scene.updates.offer(update(note))
            await trio.sleep(1)
        await trio.sleep(30)
    assert [note for _, note in scene.told] == ["two"]


async def test_a_call_that_ends_while_its_platform_does_not_open_ends_at_once(autojump_clock: MockClock) -> None:
    async with publishing(Fault("refuse_open")) as scene:
        scene.updates.offer(update("one"))
        await trio.sleep(20)
    assert scene.ended_at == 20.0


async def test_whatever_a_platforms_adapter_raises_is_its_outage_and_told_by_name(autojump_clock: MockClock) -> None:
    async with publishing(Fault("crash", times=2)) as scene:
        scene.updates.offer(update("one", say=SORRY))
        await trio.sleep(10)
    assert [note for _, note in scene.told] == ["one"]
    reasons = {str(fields["reason"]) for _, fields in scene.named("context.failed")}
    assert reasons == {"it failed with RuntimeError", "interruption: it failed with RuntimeError"}
