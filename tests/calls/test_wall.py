"""The supervisor's screen as messages: made once for all, whole for who missed something, and only while watched."""

import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.calls import telling
from agent.calls import wall as module
from agent.calls.call import Call
from agent.calls.shown import look
from agent.calls.standing import CALMS_IN_S, Standing
from agent.calls.telling import message
from agent.calls.wall import EVERY_S, Viewer, Wall
from agent.core.attention import Attention
from agent.core.emotion import Emotion, EmotionReading, Outcome

from .stage import SETTINGS, Stage, open_stage


@dataclass
class Screen:
    """A wall of scripted calls."""

    stage: Stage
    wall: Wall

    async def say(self, call: Call, label: str, score: float, times: int = 3) -> None:
        for _ in range(times):
            t = call.timeline.elapsed_ms
            await call.hear(EmotionReading(Emotion(label, score), "webhook", t, t, trio.current_time()))


@asynccontextmanager
async def screen(**changed: Any) -> AsyncIterator[Screen]:
    async with open_stage(**changed) as stage, trio.open_nursery() as nursery:
        wall = Wall(stage.directory, replace(SETTINGS, **changed))
        nursery.start_soon(wall.run)
        yield Screen(stage, wall)
        nursery.cancel_scope.cancel()


def read(message: bytes) -> dict[str, Any]:
    assert message.startswith(b"data: ")
    assert message.endswith(b"\n\n")
    return dict(json.loads(message[6:]))


async def told(viewer: Viewer) -> dict[str, Any]:
    return read(await viewer.next())


def ids(message: dict[str, Any]) -> list[str]:
    return [entry["callSid"] for entry in message["calls"]]


async def test_who_comes_is_told_of_all_live_calls_at_once_and_then_once_a_second_of_what_changed(
    autojump_clock: MockClock,
) -> None:
    async with screen() as shown:
        first, second = shown.stage.ring("CA1"), shown.stage.ring("CA2")
        await trio.sleep(10.5)
        began = trio.current_time()
        with shown.wall.watch() as viewer:
            whole = await told(viewer)
            assert trio.current_time() == began
            assert (whole["full"], whole["live"], ids(whole)) == (True, 2, ["CA1", "CA2"])
            await shown.say(first, "angry", 0.9)
            news = await told(viewer)
            assert trio.current_time() - began <= 1.0
            assert (news["full"], news["live"], ids(news)) == (False, 2, ["CA1"])
            [entry] = news["calls"]
            assert entry["anger"] == {"p": 0.9, "low": 0.9, "high": 0.9}
            assert (entry["attention"]["level"], entry["attention"]["why"][:14]) == ("help", "Angry just now")
            assert abs(entry["attention"]["sinceT"] - 10_500) <= 1000 * EVERY_S
            nothing = await told(viewer)
            assert (nothing["calls"], nothing["live"]) == ([], 2), "and that nothing has changed is news as well"
            second.end(Outcome.HANGUP)
            await shown.stage.gone(second)
            gone = await told(viewer)
            assert [(e["callSid"], e["state"], e["outcome"]) for e in gone["calls"]] == [("CA2", "ended", "hangup")]
            assert gone["live"] == 1


async def test_of_few_calls_whatever_the_list_of_calls_would_show_is_told(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring("CA1")
        with shown.wall.watch() as viewer:
            await told(viewer)
            await shown.say(call, "neutral", 0.9, times=1)
            [entry] = (await told(viewer))["calls"]
            assert (entry["bufferSize"], entry["mood"]["label"]) == (1, "neutral")
            await shown.say(call, "neutral", 0.9, times=1)
            assert [entry["bufferSize"] for entry in (await told(viewer))["calls"]] == [2]


async def test_of_many_calls_what_nobody_could_see_is_not_told(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "FEW", 0)
    async with screen() as shown:
        call = shown.stage.ring("CA1")
        with shown.wall.watch() as viewer:
            await shown.say(call, "angry", 0.9, times=9)
            before = [(await told(viewer))["calls"] for _ in range(3)][-1]
            await shown.say(call, "angry", 0.89, times=1)
            after = (await told(viewer))["calls"]
            assert (before, after) == ([], [])
            await shown.say(call, "angry", 0.7, times=6)
            assert ids(await told(viewer)) == ["CA1"]


async def test_all_viewers_are_given_the_very_same_bytes(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch(takes_packed=True) as one, shown.wall.watch(takes_packed=True) as other:
            assert await one.next() is await other.next()
            await shown.say(call, "angry", 0.9)
            assert await one.next() is await other.next()


async def test_packed_messages_are_the_plain_ones_and_each_can_follow_any_other(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch() as plain, shown.wall.watch(takes_packed=True) as packed:
            pairs = []
            for score in (0.75, 0.85, 0.95):
                pairs.append((await plain.next(), await packed.next()))
                await shown.say(call, "angry", score)
        assert [zlib.decompressobj(wbits=-15).decompress(b) for _, b in pairs] == [a for a, _ in pairs]
        late = zlib.decompressobj(wbits=-15)
        assert b"".join(late.decompress(b) for _, b in reversed(pairs)) == b"".join(a for a, _ in reversed(pairs))


async def test_a_slow_viewer_is_given_the_newest_and_nothing_of_what_it_missed(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch() as slow, shown.wall.watch() as quick:
            for viewer in (slow, quick):
                await viewer.next()
            for number in range(20):
                await shown.say(call, "angry", 0.7 + number / 100)
                await quick.next()
            began = trio.current_time()
            newest = await told(slow)
            assert newest["full"]
            assert newest["calls"][0]["mood"]["score"] > 0.85
            assert trio.current_time() - began <= 1.0
            assert not (await told(slow))["full"]


async def test_everything_is_made_anew_no_more_than_once_a_second_however_many_come(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []

    def counted(calls: list[dict[str, object]], live: int, *, full: bool) -> bytes:
        made.extend([trio.current_time()] * full)
        return message(calls, live, full=full)

    monkeypatch.setattr(module, "message", counted)
    async with screen() as shown:
        shown.stage.ring()
        for _ in range(100):
            with shown.wall.watch() as viewer:
                await viewer.next()
            await trio.sleep(0.05)
    assert len(made) > 3
    assert min(after - before for before, after in pairwise(made)) >= EVERY_S - 1e-9


async def test_nothing_is_encoded_while_nobody_watches(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch() as viewer:
            await viewer.next()
        await trio.sleep(1)
        monkeypatch.setattr(module, "message", None)
        await shown.say(call, "angry", 0.9)
        await trio.sleep(10)
        assert call.standing.attention is not None
        assert call.standing.since_t < 3000, "but since when a caller has needed help is known"
        call.end(Outcome.HANGUP)
        await shown.stage.gone(call)
        assert not shown.wall._ended
        assert not shown.wall._failed


async def test_a_whole_message_brings_the_last_minute_and_others_do_not(autojump_clock: MockClock) -> None:
    async with screen(connect_within_s=1000.0) as shown:
        call = shown.stage.ring()
        for second in range(90):
            await shown.say(call, "angry", 0.75 + 0.002 * second, times=2)
            await trio.sleep(1)
        with shown.wall.watch() as viewer:
            [entry] = (await told(viewer))["calls"]
            await shown.say(call, "angry", 1.0)
            [news] = (await told(viewer))["calls"]
    curve = entry["curve"]
    assert 55 <= len(curve) <= 60
    assert all(low <= p <= high for _, p, low, high in curve)
    assert curve[0][0] >= 89_000 - 60_000
    assert curve[-1][1] > curve[0][1]
    assert "curve" not in news


async def test_a_call_that_is_forgotten_right_after_its_end_is_told_of_to_nobody(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch() as viewer:
            await viewer.next()
            call.end(Outcome.HANGUP)
            await shown.stage.gone(call)
            shown.stage.directory.broadcast.forget(call.call_sid)
            assert (await told(viewer))["calls"] == []


async def test_a_caller_who_withdraws_is_not_judged_and_not_remembered(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        await shown.say(call, "angry", 0.9)
        await trio.sleep(2)
        with shown.wall.watch() as viewer:
            assert (await told(viewer))["calls"][0]["attention"]["level"] == "help"
            call.withdraw_consent("key")
            [entry] = (await told(viewer))["calls"]
            assert entry["attention"]["why"] == "Consent withdrawn: not analysed"
            assert (entry["attention"]["level"], entry["anger"]) == ("off", None)
        await trio.sleep(1)
        with shown.wall.watch() as viewer:
            assert (await told(viewer))["calls"][0]["curve"] == []


async def test_what_was_done_last_is_told_with_its_reason(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch() as viewer:
            assert (await told(viewer))["calls"][0]["lastAction"] is None
            assert call.claim_transfer("angry-transfer")
            call.transfer_begins("+15550100199")
            [entry] = (await told(viewer))["calls"]
            assert entry["attention"]["why"].startswith("Being passed on to a human")
            assert entry["lastAction"]["event"] == "escalation.started"
            assert entry["lastAction"]["rule"] == "angry-transfer"
            call.transfer_failed("nobody answered")
            [entry] = (await told(viewer))["calls"]
            assert entry["attention"]["level"] == "help"
            assert (entry["lastAction"]["reason"], entry["transferred"]) == ("nobody answered", False)
            call.transfer_confirmed()
            [entry] = (await told(viewer))["calls"]
            assert (entry["transferred"], entry["attention"]["level"]) == (True, "off")
            call.assistant_turn(started=True)
            [entry] = (await told(viewer))["calls"]
            assert entry["assistantSpeaking"]
            assert "5550100199" not in json.dumps(entry)


async def test_of_several_things_done_between_two_looks_the_last_is_told(autojump_clock: MockClock) -> None:
    async with screen() as shown:
        call = shown.stage.ring()
        with shown.wall.watch() as viewer:
            await told(viewer)
            for t in range(0, 40, 2):
                for done in (t, t + 1):
                    call.standing.note({"event": "context.updated", "t": done}, trio.current_time())
                last = [entry["lastAction"] for entry in (await told(viewer))["calls"]]
                assert last == [{"event": "context.updated", "t": t + 1}]


async def test_a_fault_of_ours_costs_one_look_and_no_more(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with screen() as shown:
        shown.stage.ring()
        with shown.wall.watch() as viewer:
            await viewer.next()
            monkeypatch.setattr(module, "look", None)
            await trio.sleep(2 * EVERY_S)
            monkeypatch.setattr(module, "look", look)
            assert (await told(viewer))["live"] == 1


def test_a_caller_needs_more_attention_at_once_and_less_after_a_while() -> None:
    standing = Standing()
    needs_help, is_calm = Attention("help", 5000, "", "high"), Attention("ok", 1000, "", "high")
    standing.settle(is_calm, 0.0, 0)
    standing.settle(needs_help, 1.0, 1000)
    assert (standing.attention, standing.since_t) == (needs_help, 1000)
    standing.settle(is_calm, 1.0 + CALMS_IN_S / 2, 2500)
    assert standing.attention == needs_help
    standing.settle(needs_help, 3.0, 3000)
    standing.settle(is_calm, 2.9 + CALMS_IN_S, 5900)
    assert (standing.attention, standing.since_t) == (needs_help, 1000), "it begins anew"
    standing.settle(is_calm, 3.0 + CALMS_IN_S, 6000)
    assert (standing.attention, standing.since_t) == (is_calm, 6000)
    standing.settle(needs_help, 7.0, 7000)
    standing.settle(off := Attention("off", 0, "", "low"), 7.1, 7100)
    assert standing.attention == off, "who is not to be analysed is not, at once"
