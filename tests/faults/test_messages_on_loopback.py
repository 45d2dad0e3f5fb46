"""What a socket may say that no Twilio should, and a control address that is away: the smaller tables, on loopback."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import trio

from agent.testing import Fault, twilio_messages
from agent.testing.pace import FRAME_MS

from ..calls.stage import VOICE
from ..web.conftest import Callmood, Line, Start

SECOND = VOICE[: 8000 * 1]


def malformed(line: Line) -> list[str | bytes]:
    """Thirty ways, and each so nearly right that it comes as far as it can."""
    sid = line.stream.stream_sid
    good = json.loads(twilio_messages.media(sid, 900, 900, 18_000, bytes(160)))
    media = [
        {"payload": "not base64!"},
        {"payload": ""},
        {"payload": None},
        {"payload": 7},
        {"payload": "A" * 20_000},
        {"timestamp": "-1"},
        {"timestamp": "1e3"},
        {"timestamp": "9" * 17},
        {"timestamp": ""},
        {"timestamp": "٣"},
        {"track": "sideways"},
        {"track": 1},
    ]
    whole = [
        {"sequenceNumber": "-1"},
        {"sequenceNumber": "1.5"},
        {"sequenceNumber": None},
        {"sequenceNumber": 2**60},
        {"streamSid": "MZ" + "0" * 32},
        {"streamSid": None},
        {"media": []},
        {"media": None},
        {"event": "mark"},
        {"event": "stop", "streamSid": "another"},
        {"event": None},
        {"event": ["media"]},
    ]
    texts = ["", "null", "[]", "{", "[" * 30_000, '{"event":"\\ud800"}']
    return [
        *(json.dumps(good | {"media": good["media"] | change}) for change in media),
        *(json.dumps(good | change) for change in whole),
        *texts,
    ]


def out_of_order(line: Line) -> list[str | bytes]:
    """Frames again that have been heard already, and one from before the stream began."""
    return [
        twilio_messages.media(line.stream.stream_sid, sequence, 1, sequence * FRAME_MS, bytes(160))
        for sequence in (0, 5, 4, 3)
    ]


def duplicate_start(line: Line) -> list[str | bytes]:
    return [twilio_messages.start(line.caller.who, line.plan, line.stream.stream_sid, 900)]


@dataclass(frozen=True)
class Row:
    what: str
    says: Callable[[Line], list[str | bytes]]
    closed: int | None = None
    """The code with which the line is closed over it; None: it goes on."""


ROWS = [
    Row("thirty malformed messages", malformed),
    Row("binary messages", lambda line: [bytes(160), b"\xff" * 60_000, b""]),
    Row("frames out of order", out_of_order),
    Row("a second start", duplicate_start),
    Row("a huge message", lambda line: ['{"event":"' + "x" * 70_000 + '"}'], closed=1009),
    Row("more rubbish than anybody has to hear", lambda line: ["rubbish"] * 60, closed=1008),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
async def test_whatever_a_socket_says_its_call_ends_as_a_hang_up_and_no_other_notices(row: Row, start: Start) -> None:
    callmood = await start()
    async with callmood.on_the_line() as beside:
        async with callmood.on_the_line() as line:
            await line.stream.play(SECOND)
            for message in row.says(line):
                await line.stream.send_raw(message)
            if row.closed is None:
                assert await line.stream.play(SECOND)
            else:
                assert (await line.stream.wait_closed()).code == row.closed
        ended = await callmood.ended(line.call_sid)
        assert await beside.stream.play(SECOND)
        assert beside.stream.closed is None
    assert ended["outcome"] == (await callmood.ended(beside.call_sid))["outcome"] == "hangup"
    for entry in (ended, await callmood.entry(beside.call_sid)):
        assert "audio.gap" not in [event["event"] for event in entry["timeline"]]
    heard_s = 1 if row.closed else 2
    assert max(event["endMs"] for event in ended["timeline"] if event["event"] == "audio.chunk") == heard_s * 1000
    assert len(callmood.ready.directory) == 0


@pytest.mark.parametrize(
    "fault",
    [Fault("refuse"), Fault("status", status=429), Fault("status", status=429, retry_after=0.2), Fault("reset")],
    ids=lambda fault: f"{fault.kind} {fault.retry_after or ''}",
)
async def test_a_control_address_that_comes_back_is_told_how_the_caller_feels_now(fault: Fault, start: Start) -> None:
    callmood = await start()
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        callmood.vapi.fault = fault
        await angry(callmood, line)
        assert (await callmood.event(line.call_sid, "context.failed"))["willRetry"] is True
        callmood.vapi.fault = None
        await angry(callmood, line)
        await callmood.event(line.call_sid, "context.updated")
    assert len(callmood.told("add-message")) == 1
    assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"


async def angry(callmood: Callmood, line: Line) -> None:
    for _ in range(3):
        await callmood.emotion(line.call_sid, "angry", 0.95)
        await trio.sleep(0.01)
