"""frames -> windows. Owns mu-law table and windows; feeds every sound to the ear; stops what holds no speech."""

from collections.abc import Callable

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
    """Decode until the frames end. `dropped` counts the blocks thrown away in front of us, each of which is a gap."""
    assembler, gate, windower = Assembler(), SpeechGate(), Windower()
    explained = 0
    with windows:
        async for block in frames:
            missing: dict[str, int] = {}
            for sound in assembler.push(block, dropped=dropped() > explained):
                if isinstance(sound, Gap) and sound.cause != "pause":
                    missing[sound.cause] = missing.get(sound.cause, 0) + sound.ms
                ear.hear(sound)
                for window in windower.push(sound, gate.push(sound)):
                    if window.speech_ms:
                        windows.offer(window)
            if "dropped" in missing:
                explained = dropped()
            for cause, ms in missing.items():
                timeline.record("audio.gap", ms=ms, cause=cause)
