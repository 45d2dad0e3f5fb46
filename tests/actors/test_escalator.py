"""transfers -> a human: once, recorded, and only while there is somebody to pass on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.actors.channels import WhenFull, open_channel
from agent.actors.escalator import ENDED, NOWHERE, RETRIES, STOPPED, TOO_MANY, Confirm, Escalator, TransferOrder
from agent.calls.handover import OPERATOR, Handover
from agent.core.budget import PerMinute
from agent.core.emotion import Emotion, Mood, Trend
from agent.core.rules import Decision
from agent.errors import AssistantRefused, AssistantUnavailable, CallGone

HUMAN = "+15550100100"
SHOWN = {"rule": "angry-transfer", "action": "transfer", "destination": "***00"}
DECISION = Decision(Mood(Emotion("angry", 0.9), Trend.RISING, 5, 0.0), transfer="angry-transfer")
Events = list[tuple[float, str, dict[str, object]]]


@pytest.fixture(autouse=True)
def exact_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the random part."""
    monkeypatch.setattr("agent.actors.publisher.jittered", float)


class Scene:
    """An escalator, its call, and a platform that does as it is told: an exception to raise, or seconds to take."""

    def __init__(self, *, allowance: int = 30, destination: str = HUMAN, confirm: Confirm | None = None) -> None:
        self.answers: list[Exception | float] = []
        self.tried: list[tuple[float, str]] = []
        self.events: Events = []
        self.spent: list[str] = []
        self.listening = True
        self.handover = Handover(self.record)
        self.orders, self._inbox = open_channel(TransferOrder, 1, WhenFull.REPLACE)
        self._escalator = Escalator(
            self,
            "CA1",
            self,
            destination=destination,
            patience_s=5.0,
            allowance=PerMinute(allowance),
            over_budget=self.spent.append,
            confirm=confirm,
            confirm_within_s=4.0,
        )
        self.scope = trio.CancelScope()

    def record(self, event: str, **fields: object) -> None:
        self.events.append((trio.current_time(), event.removeprefix("escalation."), fields))

    async def transfer(self, call_sid: str, destination: str) -> None:
        self.tried.append((trio.current_time(), destination))
        answer = self.answers.pop(0) if self.answers else 0.0
        if isinstance(answer, Exception):
            raise answer
        await trio.sleep(answer)

    @property
    def transfer_under_way(self) -> bool:
        return self.handover.under_way

    def transfer_begins(self, destination: str, why: str) -> None:
        self.handover.begin(destination)

    def transfer_confirmed(self) -> None:
        self.handover.succeeded()

    def transfer_failed(self, reason: str) -> None:
        self.handover.failed(reason)

    def transfer_unwanted(self) -> None:
        self.handover.release()

    def ask(self, rule: str = "angry-transfer", to: str = "") -> None:
        assert self.handover.claim(rule)
        self.orders.offer(TransferOrder(to, None if rule == OPERATOR else DECISION))

    async def run(self) -> None:
        with self.scope:
            await self._escalator.run(self._inbox)

    @property
    def said(self) -> list[tuple[float, str]]:
        return [(at, name) for at, name, _ in self.events]

    @property
    def reasons(self) -> list[object]:
        return [fields["reason"] for _, name, fields in self.events if name == "failed"]


@asynccontextmanager
async def escalating(**more: Any) -> AsyncIterator[Scene]:
    scene = Scene(**more)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        yield scene
        scene.orders.close()


async def test_a_caller_is_passed_on_and_the_timeline_says_so(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [1.5]
        scene.ask()
        await trio.sleep(10)
    assert scene.tried == [(0.0, HUMAN)]
    assert scene.events == [(0.0, "started", SHOWN), (1.5, "done", SHOWN)]
    assert scene.handover.done


async def test_an_operator_may_name_somebody_else_of_whom_only_the_host_is_shown(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.ask(OPERATOR, "sip:desk@example.com;transport=tls")
        await trio.sleep(1)
    assert scene.tried == [(0.0, "sip:desk@example.com;transport=tls")]
    shown = {"rule": "operator", "action": "transfer", "destination": "sip:example.com"}
    assert scene.events == [(0.0, "started", shown), (0.0, "done", shown)]
    assert "desk" not in repr(TransferOrder("sip:desk@example.com"))


async def test_without_a_destination_it_fails_once_and_says_why(autojump_clock: MockClock) -> None:
    async with escalating(destination="") as scene:
        scene.ask()
        await trio.sleep(1)
        assert not scene.handover.open_to_rules
        scene.ask(OPERATOR, HUMAN)
        await trio.sleep(1)
    assert scene.said == [(0.0, "failed"), (1.0, "started"), (1.0, "done")]
    assert scene.reasons == [NOWHERE]


async def test_an_outage_is_waited_out(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [AssistantUnavailable("down"), 60.0, AssistantUnavailable("busy", retry_after=7.0)]
        scene.ask()
        await trio.sleep(60)
    assert [at for at, _ in scene.tried] == [0.0, 0.25, 5.75, 12.75]
    assert scene.said == [(0.0, "started"), (12.75, "done")]


async def test_an_outage_that_does_not_end_is_given_up_after_a_few_tries(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [AssistantUnavailable("Twilio answered 503")] * 20
        scene.ask()
        await trio.sleep(600)
    assert len(scene.tried) == 1 + RETRIES
    assert scene.reasons == ["Twilio answered 503"]


@pytest.mark.parametrize("final", [AssistantRefused("no such number"), CallGone("the call is over")])
async def test_a_refusal_is_final(autojump_clock: MockClock, final: Exception) -> None:
    async with escalating() as scene:
        scene.answers = [final]
        scene.ask()
        await trio.sleep(60)
    assert (len(scene.tried), scene.reasons) == (1, [str(final)])


async def test_a_bug_of_the_ways_is_an_outage_of_theirs(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [RuntimeError("+15550100100 is secret")] * 9
        scene.ask()
        await trio.sleep(60)
    assert scene.reasons == ["it failed with RuntimeError"]


async def test_after_a_failure_an_operator_may_ask_again_and_a_rule_may_not(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [AssistantRefused("no")]
        scene.ask()
        await trio.sleep(1)
        assert not scene.handover.claim("angry-transfer")
        scene.ask(OPERATOR)
        await trio.sleep(1)
        assert not scene.handover.claim(OPERATOR), "a call is passed on once at most"
    assert [name for _, name in scene.said] == ["started", "failed", "started", "done"]


# --- The call ends first ---


async def test_a_call_that_ends_between_two_tries_is_passed_on_no_more(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [AssistantUnavailable("down", retry_after=30.0)]
        scene.ask()
        await trio.sleep(10)
    assert (scene.said, scene.reasons) == ([(0.0, "started"), (10.0, "failed")], [ENDED])


async def test_a_call_that_is_cancelled_meanwhile_says_that_it_ended_first(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [4.0]
        scene.ask()
        await trio.sleep(2)
        scene.scope.cancel()
    assert (scene.said, scene.reasons) == ([(0.0, "started"), (2.0, "failed")], [ENDED])


async def test_a_call_whose_stream_stops_because_it_is_passed_on_has_been_passed_on(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [1.0]
        scene.ask()
        await trio.sleep(0.5)
    assert scene.said == [(0.0, "started"), (1.0, "done")]


# --- Whatever else is learnt meanwhile ---


async def test_a_platform_that_confirms_before_it_answers_is_believed(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [AssistantUnavailable("timed out")]
        scene.ask()
        await trio.sleep(0.1)
        scene.transfer_confirmed()
        await trio.sleep(60)
    assert (len(scene.tried), scene.said) == (1, [(0.0, "started"), (0.1, "done")])


async def test_a_failure_that_is_told_before_the_answer_stays_one(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [2.0]
        scene.ask()
        await trio.sleep(1)
        scene.transfer_failed("nobody answered")
        await trio.sleep(60)
    assert (scene.said, scene.reasons) == ([(0.0, "started"), (1.0, "failed")], ["nobody answered"])


async def test_when_analysis_is_stopped_what_a_rule_wanted_is_not_done_any_more(autojump_clock: MockClock) -> None:
    async with escalating() as scene:
        scene.answers = [AssistantUnavailable("down", retry_after=5.0)]
        scene.ask()
        await trio.sleep(1)
        scene.listening = False
        await trio.sleep(60)
        assert (len(scene.tried), scene.reasons) == (1, [STOPPED])
        scene.ask(OPERATOR)
        await trio.sleep(1)
    assert len(scene.tried) == 2, "an operator still may"


# --- Limits, and a second opinion ---


async def test_no_more_calls_than_allowed_are_passed_on_in_a_minute(autojump_clock: MockClock) -> None:
    async with escalating(allowance=0) as scene:
        scene.ask()
        await trio.sleep(1)
    assert (scene.tried, scene.reasons, scene.spent) == ([], [TOO_MANY], ["transfers_per_minute"])


def test_an_allowance_is_of_any_sixty_seconds() -> None:
    allowance = PerMinute(2)
    assert [allowance.take(now) for now in (0.0, 30.0, 59.9, 60.0, 61.0, 89.9, 90.0)] == [
        True,
        True,
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(("says", "after_s", "at"), [(True, 1.0, 1.0), (False, 1.0, None), (False, 60.0, 4.0)])
async def test_a_second_opinion_is_waited_for_within_limits(
    autojump_clock: MockClock, says: bool, after_s: float, at: float | None
) -> None:
    async def confirm(decision: Decision) -> bool:
        assert decision is DECISION
        await trio.sleep(after_s)
        return says

    async with escalating(confirm=confirm) as scene:
        scene.ask()
        await trio.sleep(30)
    assert [when for when, _ in scene.tried] == ([] if at is None else [at])
    assert scene.handover.open_to_rules is (at is None), "a rule may ask again where somebody would rather not"


async def test_an_operator_needs_no_second_opinion(autojump_clock: MockClock) -> None:
    async def confirm(decision: Decision) -> bool:
        raise AssertionError("nobody asks")

    async with escalating(confirm=confirm) as scene:
        scene.ask(OPERATOR)
        await trio.sleep(1)
    assert len(scene.tried) == 1
