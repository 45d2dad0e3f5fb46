"""Calls that never end, or never start again."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from agent.core.emotion import EmotionReading
from agent.errors import CallGone
from agent.testing import Fault, ScriptedLine

from ..calls.stage import ANGRY, VOICE, open_stage
from ..web.conftest import Callmood, Start

MOMENT = VOICE[:1600]


async def test_a_caller_who_hangs_up_in_mid_speech_ends_the_call(autojump_clock: MockClock) -> None:
    """pipecat#3179: the pipeline was not cancelled when the caller hung up while somebody was speaking."""
    async with open_stage() as stage:
        call = stage.ring()
        call.assistant_speech(started=True)
        await stage.talk(call, 4.13)
        with trio.fail_after(stage.directory._settings.wrap_up_s):
            await stage.gone(call)
        assert stage.outcome(call) == "hangup"


async def test_ending_everything_finishes_although_nothing_answers_any_more(autojump_clock: MockClock) -> None:
    """pipecat#2423: `cancel()` did not finish."""
    with trio.fail_after(60):
        async with open_stage(drain_s=3) as stage, trio.open_nursery() as nursery:
            stage.engine.fault = stage.assistant.fault = Fault("stall")
            for number in range(5):
                nursery.start_soon(partial(stage.talk, stage.ring(f"CA{number}"), 20, hold=True))
            await trio.sleep(5)
            began = trio.current_time()
            await stage.directory.drain()
            assert trio.current_time() - began <= 3 + 1 + 0.1
            assert len(stage.directory) == 0


async def test_a_dangling_call_is_recorded_as_quiet_after_seconds_and_not_as_complete_after_many_minutes(
    autojump_clock: MockClock,
) -> None:
    """pipecat#3269: a call dangled for 1,200 s and was then marked complete."""
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(partial(stage.talk, call, 3, hold=True))
        with trio.fail_after(3 + 10 + 1):
            await stage.gone(call)
        assert stage.outcome(call) == "quiet"


async def test_of_many_calls_at_once_none_is_lost(autojump_clock: MockClock) -> None:
    """pipecat#2209: one call in ten was lost."""
    async with open_stage() as stage:
        calls = [stage.ring(f"CA{number}") for number in range(40)]
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(stage.talk, call, 1.0)
        for call in calls:
            await stage.gone(call)
            assert stage.outcome(call) == "hangup"
            assert stage.events(call, "audio.chunk")[-1]["endMs"] == 1000
            assert call.mailbox.dropped == 0


class Steps(trio.abc.Instrument):
    """How often anything ran."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


async def test_after_the_last_call_nothing_runs_but_the_sweep(autojump_clock: MockClock) -> None:
    """pipecat#2955: 100 % CPU for ever after Twilio had disconnected."""
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call, 3)
        await stage.gone(call)
        await trio.sleep(2)
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(3600)
        trio.lowlevel.remove_instrument(steps)
        assert steps.count <= 3600 / stage.directory._settings.sweep_every_s + 5


async def test_a_request_that_never_returns_does_not_hold_up_the_end_of_a_call(start: Start) -> None:
    """pipecat#4409: a synchronous REST request blocked the loop, so that the end was never processed."""
    callmood = await start(publisher_patience_s=60)
    callmood.vapi.fault = Fault("stall")
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.95)
        await line.stream.play(MOMENT)
    with trio.fail_after(2):
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"


async def test_hanging_up_a_call_that_has_ended_changes_nothing(callmood: Callmood) -> None:
    """pipecat#2145: hanging up an already dead call was an error."""
    async with callmood.on_the_line() as line:
        await line.stream.play(MOMENT)
    before = await callmood.ended(line.call_sid)
    for _ in range(3):
        answer = await line.caller.complete(1)
        assert answer is not None
        assert answer.status_code == 204
        assert (await callmood.stream_status(line, "stream-stopped")).status_code == 204
    assert await callmood.entry(line.call_sid) == before


async def test_whatever_is_said_or_closed_after_the_end_does_no_harm(autojump_clock: MockClock) -> None:
    """pipecat#1511: something was sent after the socket had been closed."""
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call, 2)
        await stage.gone(call)
        before, line = stage.events(call), ScriptedLine(MOMENT)
        assert not await line.play(call.mailbox, 99)
        call.mailbox.disconnect(line)
        call.stream_ended()
        call.close(1000, "")
        call.close(1011, "once more")
        with pytest.raises(CallGone):
            await call.hear(EmotionReading(ANGRY, "webhook", 0, 0, trio.current_time()))
        assert stage.events(call) == before


async def test_twenty_calls_in_a_row_are_served_by_one_process_in_one_slot(start: Start) -> None:
    """openclaw#65601, elevenlabs-docs#519: the handler worked once per process start."""
    callmood = await start(max_calls=1)
    for _ in range(20):
        async with callmood.on_the_line() as line:
            await line.stream.play(MOMENT)
        ended = await callmood.ended(line.call_sid)
        assert ended["outcome"] == "hangup"
        assert "audio.chunk" in [event["event"] for event in ended["timeline"]]


async def test_a_socket_that_looks_alive_gives_its_slot_back_when_it_goes_silent(start: Start) -> None:
    """Behind tunnels neither a close frame nor a FIN arrives: the socket looks alive minutes after the call."""
    callmood = await start(line_quiet_s=0.3, max_calls=1)
    async with callmood.on_the_line() as line:
        await line.stream.play(MOMENT)
        line.stream.fall_silent()
        assert (await callmood.ended(line.call_sid))["outcome"] == "quiet"
        async with callmood.on_the_line() as after:
            assert after.stream.closed is None


async def test_of_two_sockets_of_one_call_one_is_heard(autojump_clock: MockClock) -> None:
    """twilio-labs/call-gpt#61: Twilio opened a second socket for the same call, and two voices were heard."""
    async with open_stage() as stage:
        call = stage.ring()
        async with trio.open_nursery() as nursery:
            for serial in (1, 2):
                nursery.start_soon(ScriptedLine(VOICE[: 8000 * 4]).play, call.mailbox, serial)
        call.stream_ended()
        await stage.gone(call)
        assert len(stage.engine.sessions) == 1
        assert stage.engine.sessions[0].heard_ms == 4000


async def test_the_slot_is_taken_at_the_webhook_and_not_at_the_socket(start: Start) -> None:
    """QwenPaw#38: admission was checked at the webhook and counted at the socket, so that too many came in."""
    callmood = await start(max_calls=2)
    admitted: list[bool] = []

    async def place() -> None:
        admitted.append((await callmood.caller().place()).plan is not None)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(place)
    assert sorted(admitted) == [False] * 4 + [True] * 2
