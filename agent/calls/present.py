"""What is believed of the caller at this very moment, for whoever is about to let the assistant answer.

A mood is what readings of the last few seconds add up to, and is unknown again when there are none. But a caller who
listens is not a caller who has calmed down: what was last known holds for a while. Whoever asks may also wait a moment
for the reading that is being made of what the caller has just said.
"""

import trio

from ..core.emotion import Mood

HOLDS_S = 10.0
"""How long what was last known is still the present state. An answer of the assistant's, its tools included, rarely
begins later; after more than that nobody should speak of anger as if it were now."""


class Present:
    """One call's. Plain state, changed from one thread."""

    def __init__(self) -> None:
        self._mood: Mood | None = None
        self._since = 0.0
        self._under_way = False
        self._made: trio.Event | None = None
        """Somebody waits for the reading that is under way."""
        self.told: str | None = None
        """The emotion that the model was told of last, through the gateway."""

    def believe(self, mood: Mood) -> None:
        """Take note of the newest belief. Too few readings to be one change nothing."""
        if mood.support:
            self._mood, self._since = mood, trio.current_time()

    def mood(self) -> Mood | None:
        """The newest mood that enough readings made, unless that is too long ago."""
        if self._mood is None or trio.current_time() - self._since > HOLDS_S:
            return None
        return self._mood

    def forget(self) -> None:
        """Nothing is to be known any more."""
        self._mood = self.told = None

    # --- a reading that is under way ---

    def reading_begins(self) -> None:
        """A window is being judged."""
        self.reading_ends()
        self._under_way = True

    def reading_ends(self, _: object = None) -> None:
        """Its reading has been believed, or there will be none."""
        self._under_way = False
        if self._made is not None:
            self._made.set()
            self._made = None

    async def reading_made(self) -> None:
        """Return when no reading is under way, or the one that is has been made. Whoever waits sets the limit."""
        if self._under_way:
            self._made = self._made or trio.Event()
            await self._made.wait()
