"""What happened in one call: made once, shown live, kept without the words."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
import trio
from trio.testing import MockClock

from agent.calls.broadcast import Broadcast
from agent.calls.timeline import CallTimeline
from agent.ledger.memory import MemoryLedger

BEGAN = datetime(2026, 1, 1, 11, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))


class Scene:
    def __init__(self, *, keep_text: bool = False) -> None:
        self.ledger, self.audience = MemoryLedger(), Broadcast()
        self.timeline = CallTimeline(
            "CA1", began=BEGAN, ledger=self.ledger, audience=self.audience, keep_text=keep_text
        )

    @property
    def shown(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(shown.line) for shown in self.audience.since(0)]

    async def kept(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(line) for line in await self.ledger.timeline("CA1")]


async def test_an_event_says_when_in_the_call_and_when_in_the_world_it_was(autojump_clock: MockClock) -> None:
    scene = Scene()
    await trio.sleep(1.5)
    scene.timeline.record("audio.gap", ms=20, cause="lost")
    expected = {
        "t": 1_500,
        "at": "2026-01-01T10:00:01.750Z",
        "callSid": "CA1",
        "event": "audio.gap",
        "ms": 20,
        "cause": "lost",
    }
    assert scene.shown == [expected]
    assert await scene.kept() == [expected]
    assert scene.timeline.instant(0) == "2026-01-01T10:00:00.250Z"


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("tts.started", {"text": "Hello"}),
        ("tts.cancelled", {"unheardText": "and goodbye", "heardMs": 900}),
    ],
)
@pytest.mark.parametrize("keep_text", [False, True])
async def test_words_are_shown_live_and_kept_only_when_a_setting_says_so(
    keep_text: bool, event: str, fields: dict[str, object]
) -> None:
    scene = Scene(keep_text=keep_text)
    scene.timeline.record(event, **fields)
    assert fields.items() <= scene.shown[0].items()
    (kept,) = await scene.kept()
    assert ({"text", "unheardText"} & kept.keys() != set()) is keep_text
    assert kept.get("heardMs") == fields.get("heardMs")


async def test_events_are_counted_by_name_and_numbered_within_their_call() -> None:
    scene = Scene()
    for event in ("call.started", "audio.chunk", "audio.chunk"):
        scene.timeline.record(event)
    assert dict(scene.timeline.counts) == {"call.started": 1, "audio.chunk": 2}
    assert [shown.ordinal for shown in scene.audience.since(0)] == [1, 2, 3]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\x00\u2028", {"a": [1, None]}, b"x", datetime.now(UTC)])
async def test_recording_never_fails_and_is_one_line_whatever_the_field_holds(value: object) -> None:
    scene = Scene()
    scene.timeline.record("audio.chunk", value=value)
    (line,) = await scene.ledger.timeline("CA1")
    assert b"\n" not in line


@pytest.mark.parametrize("keep_text", [False, True])
async def test_numbers_in_what_is_said_are_masked_wherever_it_goes(keep_text: bool) -> None:
    scene = Scene(keep_text=keep_text)
    scene.timeline.record("tts.stopped", text="Please call +49 170 1234567 or 0123456789, or press 1")
    masked = "Please call ***67 or ***89, or press 1"
    assert [event.get("text") for event in scene.shown] == [masked]
    assert [event.get("text") for event in await scene.kept()] == [masked if keep_text else None]
    with scene.audience.watch() as events:
        scene.timeline.aside("transcript", role="caller", text="I said 0123456789")
        assert msgspec.json.decode(events.receive_nowait().line)["text"] == "I said ***89"
    assert len(await scene.kept()) == 1
