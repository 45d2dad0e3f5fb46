"""From a line to its windows: none waits for another block than its own, whatever the carrier's clock does."""

import pytest
import trio
from trio.testing import MockClock

from agent.actors import gathering
from agent.actors.analyzer import Ear
from agent.actors.channels import WhenFull, open_channel
from agent.actors.decoder import Decoder
from agent.calls.mailbox import Mailbox
from agent.core.audio import MediaFrame, Window
from agent.core.speech import SpeechGate

FRAME_MS = 20
HOP_MS = 200


class Line:
    def hang_up(self, code: int, reason: str) -> None: ...


class Unrecorded:
    def record(self, event: str, **fields: object) -> None: ...


def all_speech(gates: list[SpeechGate]) -> None:
    for gate in gates:
        if gate.next() is not None:
            gate.take([True] * 20, [150 * 1.03 ** (row % 6) for row in range(20)])


async def waits(holes: dict[int, int], frame_ms: int = FRAME_MS) -> list[int]:
    """For how many milliseconds each window waited, once its last frame had come. `holes`: by how much the carrier's
    clock goes on before a frame, no message missing."""
    mailbox, line = Mailbox(), Line()
    mailbox.connect(line, 1)
    windows_out, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    came: list[float] = []
    waited: list[int] = []

    async def speak() -> None:
        media_ms = 0
        for place in range(600):
            media_ms += holes.get(place, 0)
            await trio.sleep_until((media_ms + frame_ms) / 1000)
            came.append(trio.current_time())
            mailbox.hear(line, MediaFrame(2 + place, media_ms, b"\xff" * (8 * frame_ms), came[-1]))
            media_ms += frame_ms
        mailbox.close()

    async with trio.open_nursery() as nursery:
        decoder = Decoder(Ear(), Unrecorded())
        nursery.start_soon(
            lambda: decoder.run(mailbox.blocks, windows_out, dropped=lambda: 0, cut_later=mailbox.cut_later)
        )
        nursery.start_soon(speak)
        async for window in windows:
            waited.append(round(1000 * (trio.current_time() - came[-(-window.end_ms // frame_ms) - 1])))
    return waited


@pytest.mark.parametrize(
    "holes",
    [{}, {250: 20}, {250: 20, 400: 20}, {250: 60}, {250: 10, 300: 10}, {3: 40}],
    ids=["none", "one", "two", "a long one", "short ones", "at the beginning"],
)
async def test_after_holes_that_are_taken_for_jitter_windows_are_as_early_as_before(
    holes: dict[int, int], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(gathering, "judge", all_speech)
    found = await waits(holes)
    assert len(found) > 50
    late = [ms for ms in found if ms > FRAME_MS]
    assert len(late) <= len(holes), "but for the one in which the hole was found"


@pytest.mark.parametrize("frame_ms", [10, 30, 50, 60, 80, 100, 160])
async def test_frames_of_any_length_complete_a_window_with_the_frame_that_does(
    frame_ms: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(gathering, "judge", all_speech)
    assert set(await waits({}, frame_ms)) == {0}
