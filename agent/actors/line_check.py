"""Whether a line brings the encoding it promises, and what becomes of readings while it does not."""

import structlog

from ..core.audio import Block
from ..core.emotion import EmotionReading
from ..core.misread import LOOKS, CodecWatch, poor
from ..ports import Timeline

log = structlog.get_logger()

AT_FIRST = 3
"""So many seconds of a line's sound are looked at whole."""
THEN_EVERY = 4
"""And behind them one block in so many: a call's beginning costs less, and more of it is looked at."""


class LineCheck:
    """One call's. The decoder shows it every block, some of which it looks at; the analyzer has it temper readings."""

    def __init__(self, engine: str, timeline: Timeline) -> None:
        """`engine`: whose readings cannot be believed then."""
        self._engine, self._timeline = engine, timeline
        self._watch, self._line, self._blocks = CodecWatch(), 0, 0
        self._said: str | None = None

    def hear(self, block: Block) -> None:
        """Take the next block; another line is looked at anew. What is found is said once, and once that it has
        passed."""
        if block.line != self._line:
            self._watch.forget()
            self._watch, self._line, self._blocks = CodecWatch(), block.line, 0
        self._blocks += 1
        if not (self._said or self._is_looked_at()):
            return
        self._watch.push(b"".join([frame.payload for frame in block.frames]))
        found = self._watch.found
        if found and not self._said:
            log.warning("audio.misread", reason=found)
            self._timeline.record("analyzer.degraded", engine=self._engine, reason=f"misread audio: {found}")
        elif self._said and not found and self._watch.judged:
            self._timeline.record("analyzer.recovered", engine=self._engine, reason="the audio is mu-law again")
        elif not found:
            return
        self._said = found

    def _is_looked_at(self) -> bool:
        """This block, where nothing was found so far."""
        fine = self._watch.fine
        return fine < AT_FIRST or (fine < LOOKS and self._blocks % THEN_EVERY == 0)

    def tempered(self, reading: EmotionReading) -> EmotionReading:
        """The reading; of a roar that is no voice, that the line is too poor."""
        return poor(reading) if self._said else reading

    def forget(self) -> None:
        """Overwrite what is kept of the sound."""
        self._watch.forget()
