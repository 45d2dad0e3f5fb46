"""What may go wrong while we are the media path: the caller always reaches somebody, analysis never costs a byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from bridging import Bridged, Office, noise, open_office

from agent.testing import Closed, Fault, Pace

if TYPE_CHECKING:
    from conftest import Start

SECOND = b"\xff" * 8_000


@pytest.fixture
async def office(start: Start) -> AsyncIterator[Office]:
    async with open_office(start) as office:
        yield office


async def closed_by_us(call: Bridged) -> Closed:
    """Our socket was closed, so that Twilio goes on with the fallback verb; and nobody hung the caller up."""
    closed = await call.stream.wait_closed()
    assert closed.by == "server"
    assert not call.twilio.over
    return closed


async def why(office: Office, call_sid: str) -> str:
    """What the timeline says of the fallback."""
    await office.callmood.ended(call_sid)
    return " ".join(event["reason"] for event in await office.events(call_sid, "context.failed"))


async def crash(office: Office, call: Bridged, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours ends the call's tree; its line stays."""

    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as patch:
        patch.setattr("agent.actors.decoder.Assembler.push", broken)
        heard_before = len(call.transport.heard)
        await call.stream.play(SECOND)
        await call.transport.wait_heard(heard_before + len(SECOND))
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "crashed"


async def both_ways(call: Bridged, seconds: float = 5) -> None:
    """So much goes through both ways, every byte."""
    said, answered = noise(seconds, 1), noise(seconds, 2)
    heard_before, played_before = len(call.transport.heard), len(call.stream.audio)
    async with trio.open_nursery() as both:
        both.start_soon(call.stream.play, said)
        both.start_soon(partial(call.transport.say, answered, speed=20))
    assert (await call.transport.wait_heard(heard_before + len(said)))[heard_before:] == said
    while len(call.stream.audio) < played_before + len(answered):  # noqa: ASYNC110
        await trio.sleep(0.01)
    assert bytes(call.stream.audio[played_before:]) == answered


# Vapi, when the call begins.


@pytest.mark.parametrize(
    "fault",
    [
        Fault("stall", path="/call"),
        Fault("status", path="/call"),
        Fault("status", status=401, path="/call"),
        Fault("reset", path="/call"),
        Fault("garbage", path="/call"),
        Fault("stall", path="/websocket"),
        Fault("status", status=404, path="/websocket"),
        Fault("status", status=403, path="/websocket"),
        Fault("reset", path="/websocket"),
        Fault("garbage", path="/websocket"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}{fault.path}",
)
async def test_when_vapi_is_slow_wrong_or_down_twilio_goes_on_with_the_fallback(
    office: Office, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.attach.bridged.ANSWER_S", 0.3)
    monkeypatch.setattr("agent.attach.bridged.DIAL_S", 0.3)
    office.vapi.fault = fault
    caller, _ = office.caller()
    result = await caller.call(SECOND * 40, callbacks=False)
    assert result.closed is not None
    assert result.closed.by == "server"
    assert "Vapi" in await why(office, caller.call_sid)
    for made in office.vapi.created:  # nobody came: it is told so
        await office.vapi.wait_for(lambda message: message.body == {"type": "end-call"})
        assert made.ended


async def test_a_call_that_vapi_makes_too_late_is_ended_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attach.bridged.ANSWER_S", 0.2)
    office.vapi.fault = Fault("delay", seconds=0.8, times=1, path="/call")
    caller, _ = office.caller()
    result = await caller.call(SECOND * 40, callbacks=False)
    assert result.closed is not None
    ended = await office.vapi.wait_for(lambda message: message.body == {"type": "end-call"})
    assert ended.call_id == office.vapi.created[-1].facts.call_id


@pytest.mark.parametrize(
    "address", ["ws://localhost:9/x", "wss://vapi.ai.example.com/x", "https://api.vapi.ai/x", "", "nonsense", 7, None]
)
async def test_an_address_that_is_none_of_vapis_is_not_dialled(
    office: Office, address: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(office.vapi.call().facts).created_socket
    monkeypatch.setattr(
        "agent.testing.vapi_contract.CallFacts.created_socket",
        lambda facts, transport: {**real(facts, transport), "transport": {"websocketCallUrl": address}},
    )
    dialled: list[object] = []
    monkeypatch.setattr("agent.attach.bridged.dialled", lambda *a, **k: dialled.append(a))
    caller, _ = office.caller()
    result = await caller.call(SECOND * 40, callbacks=False)
    assert result.closed is not None
    assert result.closed.by == "server"
    assert not dialled
    assert "Vapi" in await why(office, caller.call_sid)


async def test_a_caller_who_never_comes_costs_no_call_at_vapi(start: Start) -> None:
    async with open_office(start, connect_within_s=0.3) as office:
        caller, _ = office.caller()
        await caller.place()
        assert (await office.callmood.ended(caller.call_sid))["outcome"] == "expired"
        await office.vapi.wait_for(lambda message: message.body == {"type": "end-call"})
        assert office.vapi.created[-1].transport.opened == 0


async def test_a_voice_that_vapi_does_not_come_to_hear_is_not_lost_in_silence(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.ingress.relay.FRAMES_WAITING", 300)
    office.vapi.fault = Fault("delay", seconds=3, times=1, path="/websocket")
    caller, _ = office.caller()
    placed = await caller.place()
    assert placed.plan is not None
    async with caller.stream(placed.plan, Pace(speed=40)) as stream:
        await stream.play(noise(15))
        closed = await stream.wait_closed()
    assert closed.by == "server"
    assert "does not take" in await why(office, caller.call_sid)


# Vapi, in the middle of a word.


@pytest.mark.parametrize("code", [1001, 1011, 1012, 4000])
async def test_a_socket_of_vapis_that_ends_otherwise_than_by_hanging_up_sends_the_caller_on(
    office: Office, code: int
) -> None:
    async with office.call() as call:
        await call.transport.close(code)
        await closed_by_us(call)
        assert str(code) in await why(office, call.call_sid)


async def test_a_reset_in_the_middle_of_a_word_sends_the_caller_on(office: Office) -> None:
    async with office.call() as call, trio.open_nursery() as nursery:
        nursery.start_soon(call.transport.say, noise(5))
        await office.callmood.until(lambda: len(call.stream.audio) > 0)
        await call.transport.reset()
        await closed_by_us(call)
        assert "broke off" in await why(office, call.call_sid)


async def test_a_message_larger_than_any_sound_sends_the_caller_on(office: Office) -> None:
    async with office.call() as call:
        await call.transport.send(bytes(300_000))
        await closed_by_us(call)
        assert "1009" in await why(office, call.call_sid)


async def test_a_vapi_that_neither_reads_nor_answers_sends_the_caller_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.ingress.relay.TAKES_S", 0.3)
    async with open_office(start, heartbeat_s=0.2) as office, office.call() as call:
        call.transport.deaf = True
        await call.stream.play(SECOND * 20)
        await closed_by_us(call)
        assert "ping" in await why(office, call.call_sid)


@pytest.mark.parametrize(
    "text", ["", "hello", "{}", "[1]", '"x"', '{"type":7}', '{"type":"speech-update"}', "\ud7ff\x00", "[" * 5000]
)
async def test_text_that_means_nothing_changes_nothing(office: Office, text: str) -> None:
    async with office.call() as call:
        await call.transport.send(text)
        await call.transport.send(b"")
        await both_ways(call, 1)


async def test_a_failing_hang_up_over_rest_ends_the_call_all_the_same(office: Office) -> None:
    office.twilio.fault = Fault("status", status=500)
    async with office.call() as call:
        await call.transport.close(1000)
        assert (await call.stream.wait_closed()).by == "server"
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "hangup"


# Our analysis.


async def test_a_crash_of_the_analysis_costs_neither_side_a_byte(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.call() as call:
        await both_ways(call, 1)
        await crash(office, call, monkeypatch)
        await both_ways(call)
        assert call.stream.closed is None
        await call.stream.hang_up()
        await call.transport.ended.wait()
    await office.callmood.until(lambda: not office.callmood.ready.directory._relayed)


async def test_a_stalled_analyzer_costs_neither_side_a_byte(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stall(*arguments: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("agent.engines.local.session.LocalSession.read", stall)
    async with office.call() as call:
        await both_ways(call, 10)


async def test_a_call_that_was_swept_speaks_on(start: Start) -> None:
    async with open_office(start, session_ttl_s=0.2, sweep_every_s=0.1) as office, office.call() as call:
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "expired"
        await both_ways(call)


async def test_when_analysis_is_stopped_the_two_speak_on(start: Start) -> None:
    async with open_office(start, line_quiet_s=2.0) as office, office.call(speed=1) as call:
        call.call.withdraw_consent("key")
        said = noise(4)
        await call.stream.play(said)
        assert await call.transport.wait_heard(len(said)) == said
        assert call.stream.closed is None


async def test_a_crashed_call_keeps_its_slot_and_its_tokens_until_its_line_ends(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(start, max_calls=1) as office:
        directory = office.callmood.ready.directory
        async with office.call() as call:
            await crash(office, call, monkeypatch)
            assert (await office.caller()[0].place()).plan is None, "there was a slot"
            assert (await office.callmood.get("/readyz")).status_code == 503
            newer = await call.caller.place()
            assert newer.plan is not None
            async with call.caller.stream(newer.plan) as stream:
                assert (await call.stream.wait_closed()).reason == "Superseded"
                await call.transport.say(noise(0.5), speed=20)
                await office.callmood.until(lambda: bytes(stream.audio) == noise(0.5))
        await office.callmood.until(lambda: not directory.full)
        assert (await office.caller()[0].place()).plan is not None


# The caller's side.


async def test_a_caller_gone_half_open_is_let_go_of_at_vapi_too(start: Start) -> None:
    async with open_office(start, line_quiet_s=0.4) as office, office.call() as call:
        await call.stream.play(SECOND)
        call.stream.fall_silent()
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "quiet"
        await call.transport.ended.wait()


async def test_a_caller_gone_half_open_after_a_crash_is_let_go_of_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(start, line_quiet_s=0.4) as office, office.call() as call:
        await crash(office, call, monkeypatch)
        call.stream.fall_silent()
        await call.transport.ended.wait()


async def test_a_line_that_takes_nothing_for_seconds_is_ended(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.ingress.voice.TAKES_S", 0.3)
    monkeypatch.setattr("agent.ingress.voice.AHEAD_BYTES", 10**9)
    async with office.call() as call, trio.open_nursery() as nursery:
        call.stream.fall_silent()
        nursery.start_soon(partial(call.transport.say, noise(10) * 200, speed=1000, piece=8000))
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "hangup"
        await call.transport.ended.wait()


async def test_a_carriers_buffer_is_filled_to_its_bound_and_no_further(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.ingress.voice.AHEAD_BYTES", 16_000)
    monkeypatch.setattr("agent.ingress.voice.WAITING_BYTES", 16_000)
    async with office.call(speed=1) as call, trio.open_nursery() as nursery:
        nursery.start_soon(partial(call.transport.say, noise(60), speed=1000))
        await trio.sleep(1.0)
        assert 16_000 < len(call.stream.audio) < 16_000 + 8_000 * 2.5
        nursery.cancel_scope.cancel()


async def test_a_redirected_caller_finds_vapi_still_there(office: Office) -> None:
    """Twilio fetches TwiML anew: it tears the old stream down before it opens the new one."""
    async with office.call() as call:
        newer = await call.caller.place()
        assert newer.plan is not None
        await call.stream.hang_up()
        await call.transport.say(noise(0.2), speed=20)
        async with call.caller.stream(newer.plan) as stream:
            await office.callmood.until(lambda: bytes(stream.audio) == noise(0.2))
            assert call.transport.opened == 1


async def test_the_carriers_word_that_the_call_is_over_ends_both_sockets(office: Office) -> None:
    async with office.call() as call:
        await call.caller.complete(1)
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "hangup"
        await call.transport.ended.wait()
        await call.stream.wait_closed()


# The end of the service.


async def test_while_draining_the_two_speak_on_until_the_deadline(start: Start) -> None:
    async with open_office(start, drain_s=3.0) as office, office.call() as call:
        office.callmood.stop.set()
        await trio.sleep(0.1)
        await both_ways(call, 2)
        closed = await call.stream.wait_closed()
        assert (closed.code, closed.reason) == (1012, "Service restart")
        await office.callmood.returned.wait()


async def test_a_crashed_call_is_waited_for_while_draining_and_ended_at_the_deadline(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(start, drain_s=2.0) as office, office.call() as call:
        await crash(office, call, monkeypatch)
        office.callmood.stop.set()
        await both_ways(call, 2)
        assert (await call.stream.wait_closed()).code == 1012
        await office.callmood.returned.wait()


async def test_a_service_without_bridged_calls_drains_at_once(office: Office) -> None:
    async with office.call():
        pass
    office.callmood.stop.set()
    with trio.fail_after(2):
        await office.callmood.returned.wait()


async def test_full_or_draining_the_caller_is_sent_on_at_once(start: Start) -> None:
    async with open_office(start, max_calls=1) as office, office.call():
        placed = await office.caller()[0].place()
        assert placed.plan is None
        assert "<Dial>" in placed.twiml
        assert len(office.vapi.created) == 1
