"""What of the live calls is told to the screens: which of them have something new, and the message they become."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import trio

from ..core.curve import Anger
from ..core.instants import instant
from .call import Call

FEW = 100
"""Of so many calls all that changes is told, as it does. Where there are more, nobody could look at all of it."""
DIFFERS, SPREADS = 0.04, 0.1
"""By so much anger, or the ends of its band, must have moved then to be told anew."""
LARGE = 16 * 1024
"""Bytes from which compressing is a thread's work."""

encode = msgspec.json.Encoder().encode

Told = tuple[tuple[object, ...], float, Anger | None]
"""What was told of one call: what must be the same, and what may move a little."""


def as_told(before: Told | None, call: Call, anger: Anger | None, *, of: int) -> Told:
    """What there is to tell of this call, one `of` so many, now; the same object where that is nothing new."""
    emotion, found = call.mood.emotion, call.standing.attention
    facts: tuple[object, ...] = (
        *(emotion.label, call.mood.trend),
        *((found.level, found.why, found.confidence) if found else ()),
        *(call.assistant_speaking, call.handed_over, call.vapi_call_id, call.standing.last_action),
    )
    if of <= FEW:
        facts = (*facts, emotion.score, anger, call.buffer_size)
    if before is not None and before[0] == facts and not _moved(before, emotion.score, anger):
        return before
    return facts, emotion.score, anger


def _moved(before: Told, score: float, anger: Anger | None) -> bool:
    _, told_score, told = before
    if told is None or anger is None:
        return told is not anger or abs(told_score - score) >= DIFFERS
    ends = max(abs(told.low - anger.low), abs(told.high - anger.high), abs(told_score - score))
    return abs(told.p - anger.p) >= DIFFERS or ends >= SPREADS


@dataclass(frozen=True, slots=True)
class Message:
    """As it goes out."""

    plain: bytes
    packed: bytes
    """The same, compressed by itself: raw deflate that ends on a whole byte and refers to nothing before it. Empty:
    nobody wanted it."""


def message(calls: Sequence[object], live: int, *, full: bool) -> bytes:
    """One server-sent event."""
    body = {"calls": calls, "at": instant(datetime.now(UTC)), "live": live, "full": full}
    return b"data: " + encode(body) + b"\n\n"


async def ready(plain: bytes, pack: bool) -> Message | None:
    """The message as it goes out; None: there is none."""
    if not plain or not pack:
        return Message(plain, b"") if plain else None
    return Message(plain, await trio.to_thread.run_sync(packed, plain) if len(plain) > LARGE else packed(plain))


def packed(data: bytes) -> bytes:
    """Raw deflate that ends on a whole byte and refers to nothing before it."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush(zlib.Z_FULL_FLUSH)


class Others(Protocol):
    """The calls of other workers, for one screen of them all."""

    @property
    def live(self) -> int:
        """How many there are."""

    def news(self) -> list[msgspec.Raw]:
        """Those that changed or ended since this was asked last."""

    async def everything(self) -> list[msgspec.Raw]:
        """All that live, with the last minute. Comes back in bounded time."""
