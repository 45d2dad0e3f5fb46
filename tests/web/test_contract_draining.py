"""The service is asked to stop while callers are on the line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from conftest import Callmood, Start

SECOND_OF_SILENCE = b"\xff" * 8_000
FORM = [("CallSid", "CA" + "0d" * 16), ("From", "+15550100001")]


async def draining(callmood: Callmood) -> None:
    callmood.stop.set()
    await callmood.until(lambda: callmood.ready.directory.draining)


async def test_while_draining_new_callers_are_sent_on_and_other_routes_are_503(start: Start) -> None:
    callmood = await start(drain_s=20.0, transfer_to="+15550100777")
    async with callmood.on_the_line() as line:
        await draining(callmood)
        answer = await callmood.signed("/voice/incoming", FORM)
        assert answer.status_code == 200
        assert [verb.tag for verb in ET.fromstring(answer.text)] == ["Dial"]
        for path in ("/readyz", "/calls", f"/calls/{line.call_sid}", "/events", "/live"):
            refused = await callmood.get(path)
            assert refused.status_code == 503, path
        assert set((await callmood.get("/calls")).json()["error"]) == {"code", "message"}
        assert (await callmood.get("/healthz", {})).status_code == 200
        assert (await callmood.get("/metrics", {})).status_code == 200


async def test_while_draining_a_live_call_goes_on_is_told_and_may_finish(start: Start) -> None:
    callmood = await start(drain_s=20.0)
    async with callmood.on_the_line() as line:
        await draining(callmood)
        assert await line.stream.play(SECOND_OF_SILENCE)
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        for _ in range(3):
            await callmood.emotion(line.call_sid, "frustrated", 0.8)
        await callmood.until(lambda: bool(callmood.told("add-message")))
        assert line.stream.closed is None
    await callmood.returned.wait()


async def test_while_draining_a_known_call_may_still_open_its_stream(start: Start) -> None:
    callmood = await start(drain_s=20.0)
    caller = callmood.caller()
    plan = (await caller.place()).plan
    assert plan is not None
    await draining(callmood)
    async with callmood.open(caller, plan) as line:
        await callmood.until(lambda: callmood.connected(line))


async def test_while_draining_a_call_nobody_knows_is_closed_1012(start: Start) -> None:
    callmood = await start(drain_s=20.0)
    stranger = callmood.caller()
    async with callmood.on_the_line() as line:
        await draining(callmood)
        plan = line.plan
        url = plan.url.replace(line.call_sid, stranger.call_sid)
        code, _ = await callmood.closing_of(stranger, replace(plan, url=url))
        assert code == 1012


async def test_while_draining_callbacks_still_end_calls(start: Start) -> None:
    callmood = await start(drain_s=20.0)
    async with callmood.on_the_line() as line:
        await draining(callmood)
        await line.caller.complete(1)
        await line.stream.wait_closed()
        await callmood.returned.wait()


async def test_a_call_that_does_not_finish_in_time_is_closed_1012_and_recorded_as_drained(start: Start) -> None:
    callmood = await start(drain_s=0.3)
    async with callmood.on_the_line() as line:
        callmood.stop.set()
        assert (await line.stream.wait_closed()).code == 1012
    await callmood.returned.wait()
    again = await start()
    assert (await again.entry(line.call_sid))["outcome"] == "drained"


@pytest.mark.parametrize("calls", [0, 1])
async def test_the_service_returns_and_listens_no_more(start: Start, calls: int) -> None:
    callmood = await start(drain_s=0.2)
    for _ in range(calls):
        await callmood.caller().place()
    callmood.stop.set()
    await callmood.returned.wait()
    caller = callmood.caller()
    assert (await caller.place()).status is None
    with pytest.raises(OSError, match="connect"):
        await callmood.raw()


async def test_whoever_watches_does_not_keep_the_service_from_ending(start: Start) -> None:
    callmood = await start(drain_s=0.2)
    async with callmood.watch(), callmood.watch("?view=summary"), callmood.on_the_line() as line:
        callmood.stop.set()
        await line.stream.wait_closed()
        await callmood.returned.wait()


async def test_connections_that_say_nothing_do_not_keep_the_service_from_ending(start: Start) -> None:
    callmood = await start(drain_s=0.2)
    async with await callmood.raw(), await callmood.raw() as half:
        await half.send_all(b"POST /webhook/emotion HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        callmood.stop.set()
        await callmood.returned.wait()
