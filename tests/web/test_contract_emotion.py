"""POST /webhook/emotion: the answers, word for word, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Callmood, Start

SID = "CA" + "0b" * 16
GOOD = {"callSid": SID, "emotion": {"label": "angry", "score": 0.9}}


@pytest.fixture
async def called(callmood: Callmood) -> Callmood:
    """A service with one call on the line."""
    await announce(callmood)
    return callmood


async def announce(callmood: Callmood) -> None:
    await callmood.caller(call_sid=SID).place()


async def test_an_accepted_reading_says_updated_with_mood_and_buffer(called: Callmood) -> None:
    answers = [await called.emotion(SID, "frustrated", 0.9) for _ in range(3)]
    assert answers == [
        {"status": "updated", "dominantEmotion": "neutral", "bufferSize": 1},
        {"status": "updated", "dominantEmotion": "neutral", "bufferSize": 2},
        {"status": "updated", "dominantEmotion": "frustrated", "bufferSize": 3},
    ]


async def test_a_reading_below_the_gate_is_ignored_with_its_reason(called: Callmood) -> None:
    answer = await called.emotion(SID, "angry", 0.69)
    assert answer == {"status": "ignored", "reason": "low_confidence", "dominantEmotion": "neutral", "bufferSize": 0}


async def test_a_score_equal_to_the_gate_passes(called: Callmood) -> None:
    assert (await called.emotion(SID, "angry", 0.7))["status"] == "updated"


@pytest.mark.parametrize("label", ["confused", "surprised", "Confused", " SURPRISED "])
async def test_an_ignored_label_is_ignored_with_its_reason(called: Callmood, label: str) -> None:
    answer = await called.emotion(SID, label, 0.99)
    assert answer == {"status": "ignored", "reason": "ignored_label", "dominantEmotion": "neutral", "bufferSize": 0}


async def test_labels_are_folded_to_lower_case(called: Callmood) -> None:
    for label in ("Angry", "ANGRY", "angry"):
        answer = await called.emotion(SID, label, 0.9)
    assert answer["dominantEmotion"] == "angry"


async def test_any_word_may_come_from_outside(called: Callmood) -> None:
    for _ in range(3):
        answer = await called.emotion(SID, "Überrascht", 0.9)
    assert answer["dominantEmotion"] == "überrascht"


async def test_scores_at_both_ends_of_the_scale_are_taken(called: Callmood) -> None:
    assert (await called.emotion(SID, "angry", 1))["status"] == "updated"
    assert (await called.emotion(SID, "angry", 0))["status"] == "ignored"


@pytest.mark.parametrize("timestamp", [0, 1_700_000_000_000, 1_700_000_000_000.5, -1])
async def test_a_timestamp_is_optional_and_only_recorded(called: Callmood, timestamp: float) -> None:
    assert (await called.emotion(SID, "angry", 0.9, timestamp=timestamp))["status"] == "updated"


async def test_fields_that_nobody_asked_for_are_passed_over(called: Callmood) -> None:
    assert (await called.emotion(SID, "angry", 0.9, more={"a": [1]}))["status"] == "updated"


async def test_the_larger_sum_wins(called: Callmood) -> None:
    for label in ("happy", "angry", "angry", "happy", "angry"):
        answer = await called.emotion(SID, label, 0.9)
    assert answer == {"status": "updated", "dominantEmotion": "angry", "bufferSize": 5}


async def test_the_buffer_is_cut_to_what_is_kept_when_it_grows_beyond_its_cap(start: Start) -> None:
    callmood = await start(buffer_cap=5, buffer_keep=3)
    await announce(callmood)
    sizes = [(await callmood.emotion(SID, "angry", 0.9))["bufferSize"] for _ in range(8)]
    assert sizes == [1, 2, 3, 4, 5, 3, 4, 5]


async def test_readings_outside_the_window_count_no_more(start: Start) -> None:
    callmood = await start(window_s=0.2)
    await announce(callmood)
    for _ in range(3):
        await callmood.emotion(SID, "angry", 0.9)
    await callmood.until(window_is_over(callmood))
    assert (await callmood.emotion(SID, "angry", 0.9))["dominantEmotion"] == "neutral"


def window_is_over(callmood: Callmood):
    call = callmood.ready.directory.find(SID)
    assert call is not None
    begun = call.timeline.elapsed_ms
    return lambda: call.timeline.elapsed_ms > begun + 250


async def test_every_reading_stands_in_the_timeline_with_why_it_was_refused(called: Callmood) -> None:
    await called.emotion(SID, "angry", 0.9)
    await called.emotion(SID, "angry", 0.1)
    await called.emotion(SID, "confused", 0.9)
    chunks = [event for event in (await called.entry(SID))["timeline"] if event["event"] == "audio.chunk"]
    assert [chunk.get("gated") for chunk in chunks] == [None, "low_confidence", "ignored_label"]
    assert {chunk["source"] for chunk in chunks} == {"webhook"}
    assert chunks[0]["emotion"] == {"label": "angry", "score": 0.9}


async def test_the_mood_shows_in_the_list_of_calls(called: Callmood) -> None:
    for _ in range(3):
        await called.emotion(SID, "angry", 0.9)
    entry = await called.entry(SID)
    assert entry["mood"]["label"] == "angry"
    assert entry["mood"]["score"] == pytest.approx(0.9, abs=0.01)
    assert entry["mood"]["trend"] in ("rising", "falling", "steady")
    assert entry["bufferSize"] == 3


# What is refused.


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}])
async def test_without_the_token_it_is_401(called: Callmood, headers: dict[str, str]) -> None:
    answer = await called.post("/webhook/emotion", json.dumps(GOOD), headers)
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"code", "message"}
    assert (await called.entry(SID))["bufferSize"] == 0


async def test_from_a_page_of_another_origin_it_is_403_even_with_the_token(called: Callmood) -> None:
    headers = {"Authorization": f"Bearer {called.ready.token}", "Origin": "https://evil.example"}
    assert (await called.post("/webhook/emotion", json.dumps(GOOD), headers)).status_code == 403


async def test_an_unknown_call_is_404(called: Callmood) -> None:
    answer = await called.post("/webhook/emotion", json.dumps(GOOD | {"callSid": "CA1"}))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"]


async def test_an_ended_call_is_404(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.emotion(line.call_sid, "angry", 0.9)
    await callmood.ended(line.call_sid)
    answer = await callmood.post("/webhook/emotion", json.dumps(GOOD | {"callSid": line.call_sid}))
    assert answer.status_code == 404


def emotion(**fields: object) -> bytes:
    return json.dumps(GOOD | {"emotion": {"label": "angry", "score": 0.9} | fields}).encode()


MALFORMED = [
    b"",
    b" ",
    b"null",
    b"7",
    b'"text"',
    b"[]",
    b"{}",
    b"{",
    b"not json",
    b"\xff\xfe{}",
    b'{"callSid":"CA\xff","emotion":{"label":"angry","score":0.9}}',
    b'{"callSid":"CA1","emotion":{"label":"\xff\xff","score":0.9}}',
    b'{"callSid":"CA1","emotion":{"label":"\\ud800","score":0.9}}',
    json.dumps(GOOD).encode() + b"trailing",
    json.dumps(GOOD).encode("utf-16"),
    b"[" * 10_000,
    json.dumps({"emotion": GOOD["emotion"]}).encode(),
    json.dumps({"callSid": SID}).encode(),
    json.dumps(GOOD | {"callSid": 7}).encode(),
    json.dumps(GOOD | {"callSid": None}).encode(),
    json.dumps(GOOD | {"emotion": None}).encode(),
    json.dumps(GOOD | {"emotion": "angry"}).encode(),
    json.dumps(GOOD | {"emotion": []}).encode(),
    json.dumps(GOOD | {"emotion": {}}).encode(),
    emotion(label=None),
    emotion(label=7),
    emotion(label=""),
    emotion(label="two words"),
    emotion(label="<script>"),
    emotion(label="line\nbreak"),
    emotion(label="x" * 1000),
    emotion(score=None),
    emotion(score="0.9"),
    emotion(score=True),
    emotion(score=1.01),
    emotion(score=-0.01),
    emotion(score=1e999),
    emotion(score=float("nan")),
    emotion(score=[0.9]),
    json.dumps(GOOD | {"timestamp": "now"}).encode(),
    json.dumps(GOOD | {"timestamp": {}}).encode(),
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_body_that_does_not_fit_is_400_with_one_sentence(called: Callmood, body: bytes) -> None:
    answer = await called.post("/webhook/emotion", body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"code", "message"}
    assert (await called.entry(SID))["bufferSize"] == 0


async def test_a_body_that_is_too_large_is_413(called: Callmood) -> None:
    answer = await called.post("/webhook/emotion", json.dumps(GOOD | {"padding": "x" * 100_000}))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"]


async def test_another_method_is_405_in_the_shape_of_errors(called: Callmood) -> None:
    answer = await called.get("/webhook/emotion")
    assert answer.status_code == 405
    assert set(answer.json()["error"]) == {"code", "message"}
