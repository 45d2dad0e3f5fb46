"""frames -> windows. Owns mu-law table and windows; feeds every sound to the ear; stops what holds no speech."""

from collections.abc import Callable

import trio

from ..core.assembly import Assembler
from ..core.audio import Block, Gap, Window
from ..core.speech import SpeechGate
from ..core.windowing import Windower
from ..ports import Timeline
from .analyzer import Ear
from .channels import Inbox, Outbox


async def decode(
    frames: Inbox[Block],
    windows: Outbox[Window],
    *,
    ear: Ear,
    timeline: Timeline,
    dropped: Callable[[], int],
) -> None:
    """Decode until the frames end. `dropped` counts the blocks thrown away in front of us, which explains a gap."""
    assembler, gate, windower = Assembler(), SpeechGate(), Windower()
    dropped_before = 0
    with windows:
        async for block in frames:
            dropped_now = dropped()
            missing: dict[str, int] = {}
            for sound in assembler.push(block, dropped=dropped_now > dropped_before):
                if isinstance(sound, Gap) and sound.cause != "pause":
                    missing[sound.cause] = missing.get(sound.cause, 0) + sound.ms
                ear.hear(sound)
                for window in windower.push(sound, gate.push(sound)):
                    if window.speech_ms:
                        windows.offer(window)
            dropped_before = dropped_now
            for cause, ms in missing.items():
                timeline.record("audio.gap", ms=ms, cause=cause)
            await trio.lowlevel.checkpoint()
