"""What the assistant is saying, as its platform tells us: beside the events of its turns, before or after them.

The whole text of a turn may be announced just before the turn or while it goes on; transcripts bring it in pieces. It
belongs to the turn that is being spoken, or to the one that begins next.
"""

import trio

ANNOUNCED_S = 2.0
"""A text announced longer than this before a turn begins is not that turn's."""
LONGEST = 4000
"""Characters kept of one turn."""


class Words:
    """One call's. Plain state, changed from one thread."""

    def __init__(self) -> None:
        self.turn: int | None = None
        """The number of the turn that began last, where the platform counts them."""
        self.text: str | None = None
        """Of the present turn, or of one that is announced."""
        self._whole = False
        self._came_at = 0.0

    def announced(self, text: str) -> None:
        """The whole of a turn, as far as it is known."""
        self.text, self._whole, self._came_at = text[:LONGEST], True, trio.current_time()

    def transcribed(self, piece: str) -> None:
        """A piece more of the turn that is being spoken."""
        if not self._whole:
            self.text = f"{self.text} {piece}"[:LONGEST] if self.text else piece[:LONGEST]

    def begin(self) -> str | None:
        """A turn begins; its text, where that is known already."""
        if not self._whole or trio.current_time() - self._came_at > ANNOUNCED_S:
            self.text, self._whole = None, False
        return self.text

    def end(self) -> str | None:
        """The turn is over; its text, where that has become known."""
        text, self.text, self._whole = self.text, None, False
        return text
