"""readings -> updates: verdicts at once, updates when they are earned, none announced while nobody can be told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from agent.actors.aggregator import aggregate
from agent.actors.channels import WhenFull, open_channel
from agent.actors.deeds import NOBODY_TO_TELL
from agent.actors.escalator import TransferOrder
from agent.actors.incoming import Heard, Incoming, Order, Verdict
from agent.core.context import ContextUpdate
from agent.core.emotion import Emotion, EmotionReading, Gated
from agent.core.rulebook import SORRY, Rule, RuleBook
from agent.core.rules import Budgets, Rules
from agent.core.tracking import MoodTracker
from agent.rulefile import shipped

ANGRY = frozenset({"angry"})
PASS = Rule("pass", ANGRY, 0.85, for_s=1.0, transfer=True)


class Scene:
    """An aggregator, its call and its timeline in one, and a publisher and an escalator that take at once."""

    def __init__(self, *, attached: bool = True, book: RuleBook | None = None, budgets: Budgets | None = None) -> None:
        self.assistant_attached, self.assistant_speaking = attached, False
        self.handed_over, self.may_transfer, self.listening = False, True, True
        self.claimed: list[str] = []
        self.book, self.budgets, self.spent = book or shipped(0.85), budgets, list[str]()
        self.believed: list[Verdict] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.readings, self._readings = open_channel(Incoming, 8, WhenFull.WAIT)
        self._updates, self.updates = open_channel(ContextUpdate, 1, WhenFull.REPLACE, merge=ContextUpdate.replacing)
        self._transfers, self.transfers = open_channel(TransferOrder, 1, WhenFull.REPLACE)
        self.offered: list[tuple[float, str, bool]] = []
        self.told: list[ContextUpdate] = []
        self.passed: list[tuple[float, TransferOrder]] = []
        self.tracker = MoodTracker(min_samples=1)

    def believe(self, verdict: Verdict) -> None:
        self.believed.append(verdict)

    def record(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take)
            nursery.start_soon(self._pass_on)
            await aggregate(
                self._readings,
                self._updates,
                self._transfers,
                tracker=self.tracker,
                rules=Rules(self.book, budgets=self.budgets),
                call=self,
                timeline=self,
                listening=lambda: self.listening,
                book=lambda: self.book,
                over_budget=self.spent.append,
            )

    async def _take(self) -> None:
        async for update in self.updates:
            self.offered.append((trio.current_time(), update.mood.emotion.label, update.barge_in))
            self.told.append(update)

    async def _pass_on(self) -> None:
        async for order in self.transfers:
            self.passed.append((trio.current_time(), order))

    def claim_transfer(self, rule: str) -> bool:
        self.claimed.append(rule)
        self.may_transfer = False
        return len(self.claimed) == 1

    async def hear(self, label: str, score: float = 0.9, **facts: object) -> Verdict:
        """Send one reading and wait for its verdict."""
        answer, verdict = trio.open_memory_channel[Verdict](1)
        reading = EmotionReading(Emotion(label, score), "webhook", 0, 0, trio.current_time(), **facts)  # type: ignore[arg-type]
        await self.readings.send(Heard(reading, answer.send_nowait))
        with trio.fail_after(1):
            return await verdict.receive()


@asynccontextmanager
async def aggregating(scene: Scene) -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        yield scene
        scene.readings.close()


async def test_whoever_waits_is_told_at_once_what_became_of_a_reading(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        accepted, refused = await scene.hear("sad"), await scene.hear("angry", 0.2)
    assert (accepted.refused, accepted.mood.emotion.label, accepted.buffer_size) == (None, "sad", 1)
    assert (refused.refused, refused.mood.emotion.label, refused.buffer_size) == (Gated.LOW_CONFIDENCE, "sad", 1)
    assert scene.believed == [accepted, refused]
    assert trio.current_time() == 0


async def test_every_reading_is_recorded_and_a_refused_one_says_why(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        await scene.hear("sad", scores={"sad": 0.9, "neutral": 0.1}, quality=0.876, speech_ms=900)
        await scene.hear("confused")
    fields, gated = (fields for event, fields in scene.events if event == "audio.chunk")
    assert fields == {
        "emotion": {"label": "sad", "score": 0.9},
        "scores": {"sad": 0.9, "neutral": 0.1},
        "startMs": 0,
        "endMs": 0,
        "quality": 0.88,
        "source": "webhook",
    }
    assert gated["gated"] == "ignored_label"


async def test_an_update_goes_out_with_the_reading_that_earned_it(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        for label in ("neutral", "sad", "sad"):
            await trio.sleep(1)
            await scene.hear(label)
    assert scene.offered == [(2.0, "sad", False)]


async def test_an_update_held_back_by_spacing_goes_out_without_another_reading(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        await scene.hear("sad", 0.7)
        await trio.sleep(0.1)
        await scene.hear("happy", 1.0)
        await trio.sleep(2)
    (first, *_), (second, label, _) = scene.offered
    assert (first, label) == (0.0, "happy")
    assert 0.5 <= second <= 0.75


async def test_an_update_held_back_is_dropped_when_the_mood_has_turned_back(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        await scene.hear("sad", 0.7)
        await trio.sleep(0.1)
        await scene.hear("happy", 1.0)
        for _ in range(3):
            await scene.hear("sad", 1.0)
        await trio.sleep(2)
    assert [label for _, label, _ in scene.offered] == ["sad"]


async def test_while_nothing_comes_it_does_nothing(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        await scene.hear("sad")
        await trio.sleep(3600)
    assert len(scene.offered) == 1


async def test_an_angry_caller_cuts_off_an_assistant_that_speaks(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        scene.assistant_speaking = True
        await scene.hear("angry", 0.9)
    assert scene.offered == [(0.0, "angry", True)]


async def test_while_nobody_can_be_told_it_is_said_once_and_nothing_counts_as_announced(
    autojump_clock: MockClock,
) -> None:
    async with aggregating(Scene(attached=False)) as scene:
        for _ in range(5):
            await scene.hear("angry")
            await trio.sleep(1)
        assert scene.offered == []
        scene.assistant_attached = True
        await scene.hear("angry")
    failures = [fields for name, fields in scene.events if name == "context.failed"]
    assert failures == [{"reason": NOBODY_TO_TELL, "willRetry": True}]
    assert scene.offered == [(5.0, "angry", False)]


async def test_the_end_of_the_readings_is_the_end_of_the_updates(autojump_clock: MockClock) -> None:
    scene = Scene()
    with trio.fail_after(1):
        async with aggregating(scene):
            await scene.hear("sad", 0.7)
            await scene.hear("happy", 1.0)
    assert trio.current_time() == 0, "an update held back is not waited for"


# --- A human ---


async def test_a_rule_that_asks_for_a_human_is_passed_on_once_with_its_evidence(autojump_clock: MockClock) -> None:
    async with aggregating(Scene(book=RuleBook((PASS,)))) as scene:
        for _ in range(20):
            await scene.hear("angry")
            await trio.sleep(0.2)
    ((at, order),) = scene.passed
    assert (at, scene.claimed, order.destination) == (1.0, ["pass"], "")
    assert order.decision is not None
    assert order.decision.mood.emotion.label == "angry"


async def test_a_rule_becomes_due_between_two_readings(autojump_clock: MockClock) -> None:
    async with aggregating(Scene(book=RuleBook((PASS,)))) as scene:
        await scene.hear("angry")
        await trio.sleep(10)
    assert [at for at, _ in scene.passed] == [1.25]


async def test_once_the_caller_speaks_with_a_human_nothing_more_is_decided(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        scene.handed_over = scene.assistant_speaking = True
        for _ in range(5):
            verdict = await scene.hear("angry")
            await trio.sleep(1)
    assert verdict.mood.emotion.label == "angry"
    assert (scene.offered, scene.passed) == ([], [])


# --- Rules that change, budgets ---


async def test_rules_that_are_edited_hold_from_the_next_decision_on(autojump_clock: MockClock) -> None:
    async with aggregating(Scene(book=RuleBook())) as scene:
        scene.assistant_speaking = True
        await scene.hear("angry")
        await trio.sleep(1)
        scene.book = shipped(0.85)
        await scene.hear("angry")
    assert scene.offered == [(0.0, "angry", False), (1.0, "angry", True)]


async def test_a_spent_budget_is_told_of_once(autojump_clock: MockClock) -> None:
    async with aggregating(Scene(budgets=Budgets(interrupts=0))) as scene:
        scene.assistant_speaking = True
        for _ in range(5):
            await scene.hear("angry")
            await trio.sleep(1)
    assert scene.spent == ["interrupts_per_call"]


# --- What an operator orders ---


async def test_an_operators_orders_need_no_mood(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        await trio.sleep(9)
        await scene.readings.send(Order("interrupt"))
        await trio.sleep(1)
        await scene.readings.send(Order("context", "She is a member of the board."))
        await trio.sleep(1)
        await scene.readings.send(Order("transfer", "+15550100199"))
        await trio.sleep(1)
    cut, words = scene.told
    assert (cut.say, cut.reason, cut.text) == (SORRY, "operator", "")
    assert (words.say, words.text, words.mood.heard_at) == (None, "She is a member of the board.", 10.0)
    assert scene.passed == [(11.0, TransferOrder("+15550100199"))]
    assert scene.claimed == [], "whoever asked has claimed it"


async def test_the_apology_that_an_operator_caused_is_not_the_next_thing_cut_off(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        scene.assistant_speaking = True
        await scene.readings.send(Order("interrupt"))
        for _ in range(16):
            await trio.sleep(1)
            await scene.hear("angry")
    assert [at for at, _, cut in scene.offered if cut] == [0.0, 15.0]


async def test_an_operators_words_wait_for_an_assistant_and_an_interruption_does_not(autojump_clock: MockClock) -> None:
    async with aggregating(Scene(attached=False)) as scene:
        await scene.readings.send(Order("interrupt"))
        await scene.readings.send(Order("context", "VIP"))
    assert [update.text for update in scene.told] == ["VIP"]  # the publisher keeps it until there is an assistant
    assert [name for name, _ in scene.events] == ["context.failed"]


async def test_an_operator_is_obeyed_though_nobody_may_listen(autojump_clock: MockClock) -> None:
    async with aggregating(Scene()) as scene:
        scene.listening = False
        await scene.readings.send(Order("context", "VIP"))
        verdict = await scene.hear("angry")
    assert [update.text for update in scene.told] == ["VIP"]
    assert verdict.refused is Gated.STOPPED
    assert "VIP" not in repr(Order("context", "VIP"))
