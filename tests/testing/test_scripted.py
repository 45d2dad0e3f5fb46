"""The engine, assistant and line that follow a script; their clock jumps."""

from functools import partial

import pytest
import trio
import trio.testing

from agent.core.audio import Gap, MediaFrame, Window
from agent.core.context import ContextUpdate
from agent.core.emotion import NEUTRAL, Emotion, Mood, Trend
from agent.errors import AssistantRefused, AssistantUnavailable, CallGone, EngineRefused, EngineUnavailable
from agent.ports import Assistant, Engine, Line
from agent.testing import Fault, Pace, RecordingAssistant, ScriptedEngine, ScriptedLine
from agent.testing.engines import reading

ANGRY = Emotion("angry", 0.9)
Clock = trio.testing.MockClock


def window(end_ms: int) -> Window:
    return Window(end_ms - 1_000, end_ms, 900, 0, 7.0)


def update() -> ContextUpdate:
    return ContextUpdate(Mood(NEUTRAL, Trend.STEADY, 3, 0.0), "note")


async def read(engine: ScriptedEngine, end_ms: int = 1_000) -> Emotion:
    async with engine.open("CA1") as session:
        return (await session.read(window(end_ms))).emotion


async def tell(assistant: RecordingAssistant) -> None:
    async with assistant.open("CA1") as session:
        await session.tell(update())


async def test_a_script_maps_media_time_to_emotions() -> None:
    engine: Engine = ScriptedEngine({5_000: ANGRY, 1_000: Emotion("sad", 0.6)})
    async with engine.open("CA1") as session:
        heard = [(await session.read(window(end))).emotion.label for end in (999, 1_000, 4_999, 5_000, 90_000)]
    assert heard == ["neutral", "sad", "sad", "angry", "angry"]


async def test_a_callable_may_read_the_windows_itself() -> None:
    engine = ScriptedEngine(lambda window: reading(Emotion("happy", window.end_ms / 10_000), window))
    assert await read(engine, 5_000) == Emotion("happy", 0.5)


async def test_its_scores_sum_to_one_and_its_times_are_the_windows() -> None:
    made = reading(ANGRY, window(3_000))
    assert sum(made.scores.values()) == pytest.approx(1)
    assert made.scores["angry"] == 0.9
    assert (made.start_ms, made.end_ms, made.heard_at, made.speech_ms) == (2_000, 3_000, 7.0, 900)
    assert made.source == "local"


async def test_a_session_remembers_what_it_heard() -> None:
    engine = ScriptedEngine()
    async with engine.open("CA1") as session:
        session.hear(Gap(0, 120, "lost", 0.0))
        await session.read(window(1_000))
    assert [(s.call_sid, s.missing_ms, s.reads) for s in engine.sessions] == [("CA1", 120, 1)]


@pytest.mark.parametrize(
    ("kind", "error"), [("unavailable", EngineUnavailable), ("refused", EngineRefused), ("crash", RuntimeError)]
)
async def test_an_engine_raises_what_it_is_told_to_as_often_as_it_is_told_to(kind: str, error: type[Exception]) -> None:
    engine = ScriptedEngine()
    engine.fault = Fault(kind, times=2)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(error):
            await read(engine)
    assert await read(engine) == NEUTRAL


async def test_an_engine_that_does_not_open_is_unavailable() -> None:
    engine = ScriptedEngine()
    engine.fault = Fault("refuse_open", times=1)
    with pytest.raises(EngineUnavailable):
        await read(engine)
    assert await read(engine) == NEUTRAL


async def test_a_stalled_engine_recovers_for_new_reads_at_its_time(autojump_clock: Clock) -> None:
    engine = ScriptedEngine()
    engine.fault = Fault("stall", until=trio.current_time() + 30)
    with trio.move_on_after(10) as patience:
        await read(engine)
    assert patience.cancelled_caught
    await trio.sleep(20)
    assert await read(engine) == NEUTRAL
    assert trio.current_time() == 30


async def test_a_late_engine_answers_after_its_delay(autojump_clock: Clock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("delay", seconds=3)
    assert await read(engine) == ANGRY
    assert trio.current_time() == 3


async def test_an_assistant_remembers_what_it_was_told_and_when(autojump_clock: Clock) -> None:
    assistant = RecordingAssistant()
    plain: Assistant = assistant
    await trio.sleep(4)
    async with plain.open("CA1") as session:
        await session.tell(update())
        await session.cut_off("One moment.")
    assert [told.what for told in assistant.told] == [update(), "One moment."]
    told = await assistant.wait_for(lambda told: told.call_sid == "CA1")
    assert (told.what, told.at) == (update(), 4)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("unavailable", AssistantUnavailable),
        ("refused", AssistantRefused),
        ("gone", CallGone),
        ("crash", RuntimeError),
        ("refuse_open", AssistantUnavailable),
    ],
)
async def test_an_assistant_raises_what_it_is_told_to_and_forgets_the_update(kind: str, error: type[Exception]) -> None:
    assistant = RecordingAssistant()
    assistant.fault = Fault(kind, retry_after=2)  # type: ignore[arg-type]
    with pytest.raises(error) as caught:
        await tell(assistant)
    if isinstance(caught.value, AssistantUnavailable):
        assert caught.value.retry_after == 2
    assert not assistant.told
    assistant.fault = None
    await tell(assistant)
    assert len(assistant.told) == 1


@pytest.mark.parametrize(("fault", "told"), [(Fault("stall"), 0), (Fault("delay", seconds=3), 1)])
async def test_an_assistant_can_stall_or_be_slow(autojump_clock: Clock, fault: Fault, told: int) -> None:
    assistant = RecordingAssistant()
    assistant.fault = fault
    with trio.move_on_after(60):
        await tell(assistant)
    assert len(assistant.told) == told


class Box:
    """A mailbox that keeps everything."""

    def __init__(self, takes: bool = True) -> None:
        self.takes = takes
        self.frames: list[MediaFrame] = []
        self.ends: list[Line] = []

    def connect(self, line: Line, serial: int) -> bool:
        return self.takes

    def hear(self, line: Line, frame: MediaFrame) -> None:
        self.frames.append(frame)

    def disconnect(self, line: Line) -> bool:
        self.ends.append(line)
        return True


async def test_a_line_hands_each_frame_over_when_its_last_sample_is_spoken(autojump_clock: Clock) -> None:
    box, line = Box(), ScriptedLine(bytes(1_760))
    assert await line.play(box)
    assert [frame.heard_at for frame in box.frames] == [pytest.approx(0.02 * (k + 1)) for k in range(11)]
    assert [frame.media_ms for frame in box.frames] == list(range(0, 220, 20))
    assert [frame.sequence for frame in box.frames] == list(range(2, 13))
    assert box.ends == [line]
    assert line.max_lag_s == pytest.approx(0, abs=1e-6)


async def test_lost_frames_leave_a_hole_in_the_numbers(autojump_clock: Clock) -> None:
    box = Box()
    await ScriptedLine(bytes(80_000), Pace(loss=50)).play(box)
    assert 150 < len(box.frames) < 350
    assert all(frame.media_ms == 20 * (frame.sequence - 2) for frame in box.frames)


async def test_a_line_stops_when_its_call_hangs_up(autojump_clock: Clock) -> None:
    box, line = Box(), ScriptedLine(bytes(80_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.play, box)
        await trio.sleep(1.05)
        line.hang_up(1008, "Superseded")
        line.hang_up(1000, "again")
    assert len(box.frames) == 52
    assert line.hung_up == (1008, "Superseded")
    assert box.ends == [line]


async def test_a_line_can_go_quiet_instead_of_ending(autojump_clock: Clock) -> None:
    box, line = Box(), ScriptedLine(bytes(160))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(line.play, box, hold=True))
        await trio.sleep(600)
        assert (len(box.frames), box.ends) == (1, [])
        line.hang_up(1000, "quiet")
    assert box.ends == [line]


async def test_a_line_that_is_not_wanted_says_nothing(autojump_clock: Clock) -> None:
    box = Box(takes=False)
    assert not await ScriptedLine(bytes(160)).play(box)
    assert (box.frames, box.ends) == ([], [])
