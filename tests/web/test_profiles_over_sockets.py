"""The profiles, seen from outside: where nobody's feelings are judged no page, answer or number names one."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import trio
from bridging import open_office

from agent.audiofile import bundled_voice
from agent.cli.serve import leaves
from agent.core.emotion import LABELS
from agent.settings import Secret
from agent.testing import PRIVATE_KEY, FakeVapi
from agent.web import live

if TYPE_CHECKING:
    from conftest import Callmood, Start

VOICE = bundled_voice()
EMOTION_WORDS = re.compile("|".join([*LABELS, "anger", "escalation"]), re.IGNORECASE)


def verbs(twiml: str) -> list[str]:
    return [verb.tag for verb in ET.fromstring(twiml)]


async def test_physical_only_names_no_emotion_anywhere(start: Start) -> None:
    callmood = await start(profile="physical-only")
    async with callmood.watch() as events, callmood.on_the_line() as line:
        assert await line.stream.play(VOICE[: 8000 * 10])
        await callmood.event(line.call_sid, "audio.chunk")
        seen = [event for _, event in await events.take(3)]
        pages = [await page(callmood, path) for path in ("/calls", f"/calls/{line.call_sid}", "/metrics", "/live")]
        pages += [await page(callmood, f"/live/{line.call_sid}"), await page(callmood, f"/debug/calls/{line.call_sid}")]
    ended = await callmood.ended(line.call_sid)
    assert ended["timeline"][0]["event"] == "call.started"
    assert ended["mood"] is None
    pages += [str(seen), str(ended), await page(callmood, "/calls"), await page(callmood, "/metrics")]
    for text in [*pages, *map(text_of, named_by("".join(pages)))]:
        assert EMOTION_WORDS.search(text) is None, text
    assert not callmood.vapi.messages
    physical = next(event["physical"] for event in ended["timeline"] if event["event"] == "audio.chunk")
    assert set(physical) == {"loudnessDb", "rate", "overlapMs"}


async def page(callmood: Callmood, path: str) -> str:
    return (await callmood.get(path)).text


def text_of(name: str) -> str:
    return (files(live) / live.served()[name]).read_text("utf-8")


def named_by(html: str) -> set[str]:
    """The files that the page asks for."""
    return {name for name in re.findall(r'/live/static/([\w.]+)"', html) if name not in ("icon.svg", "uplot.js")}


async def test_the_physical_page_finds_its_files_and_has_nothing_inline(start: Start) -> None:
    callmood = await start(profile="physical-only")
    for path, script in [("/live", "physical.js"), ("/live/CA1", "measured.js")]:
        html = await page(callmood, path)
        assert script in named_by(html)
        assert 'data-profile="physical-only"' in html
        for name in named_by(html):
            reply = await callmood.get(f"/live/static/{name}", headers={})
            assert (reply.status_code, reply.text) == (200, text_of(name))
            assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "style=" not in html


@pytest.mark.parametrize("profile", ["physical-only", "off"])
async def test_readings_from_outside_are_refused_with_a_reason(start: Start, profile: str) -> None:
    callmood = await start(profile=profile)
    caller = callmood.caller()
    await caller.place()
    body = f'{{"callSid":"{caller.call_sid}","emotion":{{"label":"angry","score":0.9}}}}'
    answer = await callmood.post("/webhook/emotion", body)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "profile"
    assert "CALLMOOD_PROFILE" in answer.json()["error"]["message"]
    assert (await callmood.post("/webhook/emotion", body, headers={})).status_code == 401


async def test_off_routes_a_tapped_call_without_a_stream_of_ours(start: Start) -> None:
    async with FakeVapi.serve() as vapi:
        callmood = await start(
            attach="tap",
            profile="off",
            require_notice=True,
            connect_within_s=0.3,
            vapi_api_key=Secret(PRIVATE_KEY),
            vapi_assistant_id="assistant-1",
            vapi_phone_number_id="number-1",
            vapi_base_url=vapi.url,
        )
        caller = callmood.caller()
        placed = await caller.place()
        (made,) = vapi.created
        assert placed.twiml == made.facts.created()["phoneCallProviderDetails"]["twiml"]  # type: ignore[index]
        await trio.sleep(0.5)  # longer than a stream would be waited for
        assert callmood.ready.directory.find(caller.call_sid) is not None
        await caller.complete(1.0)
        ended = await callmood.ended(caller.call_sid)
        assert [event["event"] for event in ended["timeline"]] == ["call.started", "call.ended"]
        assert (ended["outcome"], ended["mood"]) == ("hangup", None)


async def test_off_sends_a_caller_on_where_we_would_only_have_listened(start: Start) -> None:
    sip = await start(attach="sip", profile="off", vapi_sip_uri="sip:bot@sip.vapi.ai")
    assert verbs((await sip.caller().place()).twiml) == ["Dial"]
    bridge = await start(profile="off", vapi_sip_uri="sip:bot@sip.vapi.ai")
    assert verbs((await bridge.caller().place()).twiml) == ["Dial"]


async def test_off_still_carries_a_bridged_call(start: Start) -> None:
    async with open_office(start, profile="off") as office, office.call() as bridged:
        assert await bridged.stream.play(VOICE[:32_000])
        await office.callmood.until(lambda: VOICE[:32_000] in bytes(bridged.transport.heard))
        entry = await office.callmood.entry(bridged.call_sid)
        assert [event["event"] for event in entry["timeline"]] == ["call.started"]


async def test_off_ends_with_what_vapi_says_where_no_line_of_ours_tells(start: Start) -> None:
    callmood = await start(profile="off", vapi_sip_uri="sip:bot@sip.vapi.ai")
    caller = callmood.caller()
    await caller.place()
    await callmood.assistant(caller.call_sid).end()
    assert (await callmood.ended(caller.call_sid))["outcome"] == "hangup"


def test_serve_says_what_a_profile_does() -> None:
    assert "No voice leaves" in leaves("local", told=False)
    assert "nothing is inferred" in leaves("local", told=True, profile="physical-only")
    assert "Vapi" not in leaves("local", told=True, profile="physical-only")
    assert "nothing is heard" in leaves("hume", told=True, profile="off")
