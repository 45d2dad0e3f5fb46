"""Whole calls that end with a human: who asks, what is said of it, and what is heard afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.actors.escalator import NOWHERE
from agent.actors.incoming import Order
from agent.calls.call import Call
from agent.calls.handover import OPERATOR
from agent.calls.policy import Policy
from agent.core.budget import PerMinute
from agent.core.context import ContextUpdate
from agent.errors import AssistantUnavailable
from agent.testing import Fault

from .stage import Stage, open_stage

HUMAN = "+15550100100"


class Human:
    """Somebody calls can be passed on to, after so many failures."""

    def __init__(self, failures: int = 0, takes_s: float = 0.0) -> None:
        self.failures, self.takes_s = failures, takes_s
        self.taken: list[tuple[str, str]] = []

    async def transfer(self, call_sid: str, destination: str) -> None:
        await trio.sleep(self.takes_s)
        if self.failures:
            self.failures -= 1
            raise AssistantUnavailable("Twilio answered 503")
        self.taken.append((call_sid, destination))


@asynccontextmanager
async def stage_with(human: Human, per_minute: int = 30, **changed: Any) -> AsyncIterator[Stage]:
    async with open_stage(**{"transfer_to": HUMAN, **changed}) as stage:
        stage.directory.policy = Policy(stage.directory.policy.book, human, PerMinute(per_minute))
        yield stage


def escalations(stage: Stage, call: Call) -> list[str]:
    return [name.removeprefix("escalation.") for name in stage.names(call) if name.startswith("escalation.")]


async def test_a_caller_who_stays_angry_is_passed_on_and_not_analysed_any_more(autojump_clock: MockClock) -> None:
    human = Human()
    async with stage_with(human) as stage:
        call = stage.ring()
        call.assistant_speech(started=True)
        await stage.talk(call)
        await stage.gone(call)
        assert escalations(stage, call) == ["started", "done"]
        (done,) = stage.events(call, "escalation.done")
        assert (done["rule"], done["action"], done["destination"]) == ("angry-transfer", "transfer", "***00")
        after = [event["event"] for event in stage.events(call) if event["t"] > done["t"]]
        assert after == ["call.ended"]
        assert human.taken == [("CA1", HUMAN)]
        assert not any(HUMAN in str(event) for event in stage.events(call))


async def test_where_it_is_wanted_a_caller_is_listened_to_further_and_nothing_is_done(
    autojump_clock: MockClock,
) -> None:
    human = Human()
    async with stage_with(human, analyse_after_transfer=True) as stage:
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        (done,) = stage.events(call, "escalation.done")
        after = {event["event"] for event in stage.events(call) if event["t"] > done["t"]}
        assert after == {"audio.chunk", "call.ended"}


async def test_the_word_that_goes_with_a_transfer_is_told_as_well(autojump_clock: MockClock) -> None:
    async with stage_with(Human(takes_s=1.0)) as stage:
        call = stage.ring()
        await stage.talk(call)
        notes = [told.what.note for told in stage.assistant.told if isinstance(told.what, ContextUpdate)]
        assert "then help" in notes[-1]
        assert "apologise" not in notes[-1]


@pytest.mark.parametrize("listens_on", [False, True])
async def test_what_could_not_be_told_before_a_transfer_is_not_told_after_it(
    autojump_clock: MockClock, listens_on: bool
) -> None:
    async with stage_with(Human(), analyse_after_transfer=listens_on) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        stage.assistant.fault = Fault("unavailable", until=12.0)
        nursery.start_soon(stage.talk, call)
        await stage.gone(call)
        (done,) = stage.events(call, "escalation.done")
        assert done["t"] < 12_000
        assert stage.assistant.attempts > 1
        assert not stage.assistant.told


async def test_an_outage_of_the_carriers_is_waited_out(autojump_clock: MockClock) -> None:
    human = Human(failures=2)
    async with stage_with(human) as stage:
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        assert (escalations(stage, call), len(human.taken)) == (["started", "done"], 1)


@pytest.mark.parametrize("ends_after_s", [0.1, 2.0])
async def test_a_caller_who_hangs_up_first_is_not_passed_on(autojump_clock: MockClock, ends_after_s: float) -> None:
    human = Human(failures=99, takes_s=1.5)
    async with stage_with(human) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        while not escalations(stage, call):  # noqa: ASYNC110 - a clock that jumps polls for nothing
            await trio.sleep(0.01)
        await trio.sleep(ends_after_s)
        call.stream_ended()
        await stage.gone(call)
        (failed,) = stage.events(call, "escalation.failed")
        assert failed["reason"] == "the call ended first"
        assert stage.names(call)[-1] == "call.ended"
        nursery.cancel_scope.cancel()


async def test_without_a_destination_it_is_said_once_a_call(autojump_clock: MockClock) -> None:
    async with stage_with(Human(), transfer_to="") as stage:
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        assert escalations(stage, call) == ["failed"]
        assert stage.events(call, "escalation.failed")[0]["reason"] == NOWHERE


async def test_all_calls_share_one_limit(autojump_clock: MockClock) -> None:
    human = Human()
    async with stage_with(human, per_minute=2) as stage, trio.open_nursery() as nursery:
        calls = [stage.ring(f"CA{number}") for number in range(5)]
        for call in calls:
            nursery.start_soon(stage.talk, call)
        for call in calls:
            await stage.gone(call)
        assert len(human.taken) == 2
        assert sorted(escalations(stage, call)[-1] for call in calls) == ["done"] * 2 + ["failed"] * 3
        assert stage.directory.policy.spent["transfers_per_minute"] == 3


async def test_a_caller_who_wants_no_analysis_is_passed_on_only_by_an_operator(autojump_clock: MockClock) -> None:
    human = Human(failures=1, takes_s=0.5)
    async with stage_with(human) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        while not escalations(stage, call):  # noqa: ASYNC110 - a clock that jumps polls for nothing
            await trio.sleep(0.01)
        call.withdraw_consent("tool")
        await trio.sleep(3)
        assert (escalations(stage, call), human.taken) == (["started", "failed"], [])
        assert call.claim_transfer(OPERATOR)
        await call.obey(Order("transfer"))
        await stage.gone(call)
        assert human.taken == [("CA1", HUMAN)]


async def test_a_human_who_does_not_answer_is_said_in_the_timeline(autojump_clock: MockClock) -> None:
    async with stage_with(Human()) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(15)
        for _ in range(2):
            call.transfer_failed("no answer")
        await stage.gone(call)
        assert escalations(stage, call) == ["started", "done", "failed"]
        (failed,) = stage.events(call, "escalation.failed")
        assert (failed["rule"], failed["destination"], failed["reason"]) == ("angry-transfer", "***00", "no answer")


async def test_a_call_that_the_assistant_passed_on_by_itself_is_not_analysed_either(autojump_clock: MockClock) -> None:
    human = Human()
    async with stage_with(human) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(5)
        call.transfer_confirmed()
        await stage.gone(call)
        assert (escalations(stage, call), human.taken) == (["done"], [])
        assert [event["rule"] for event in stage.events(call, "escalation.done")] == ["assistant"]
        assert max(event["t"] for event in stage.events(call, "audio.chunk")) <= 5000
