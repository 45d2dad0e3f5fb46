"""Media messages of many calls at once: numpy fills whole rows of them, masked and ready for the wire.

A thousand callers say fifty thousand messages a second. Made one by one they would cost the generator more than the
server that is measured; here a message is a row of a matrix, of which all but a few digits is copied. What stands in a
row is to the letter what `testing.twilio_messages.media` says, framed as RFC 6455 wants it of a client: final, text, 16
bits of length, masked with a key of its own.
"""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..audiofile import VOICES, bundled_voice
from ..core import mulaw
from ..core.audio import SAMPLE_RATE
from ..testing.pace import FRAME_BYTES, FRAME_MS
from ..testing.pace import frames_of as cut

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

PAUSES_S = (7.0, 11.0, 9.0)
"""After each voice, while the other side speaks."""
HUM = 6
"""Of 32768: what a quiet line carries."""

HEAD = 8
"""Bytes of a frame in front of its text: two, sixteen bits of length, and the key."""
STREAM_SID = 34
WORD = 4


@cache
def talk() -> bytes:
    """The bundled voices with the pauses of a call between them: mu-law, whole frames."""
    noise = np.random.default_rng(7)
    sound = b""
    for voice, pause_s in zip(VOICES, PAUSES_S, strict=True):
        hum = noise.integers(-HUM, HUM + 1, int(pause_s * SAMPLE_RATE)).astype(np.int16)
        sound += bundled_voice(voice) + mulaw.encode(hum)
    return sound[: len(sound) // FRAME_BYTES * FRAME_BYTES]


@cache
def conversation() -> Bytes:
    """The same as base64: shape (frames, 216)."""
    return np.stack([np.frombuffer(b64encode(frame), np.uint8) for frame in cut(talk())])


@dataclass(frozen=True, slots=True)
class Rows:
    """Messages side by side in one buffer."""

    data: memoryview
    stride: int
    """From one to the next."""
    size: int
    """Bytes of each that go on the wire."""


class Layout:
    """Where everything stands in messages whose three numbers have so many digits."""

    def __init__(self, digits: tuple[int, int, int], payload: int) -> None:
        sequence, chunk, timestamp = digits
        parts = (
            (b'{"event":"media","sequenceNumber":"', sequence),
            (b'","media":{"track":"inbound","chunk":"', chunk),
            (b'","timestamp":"', timestamp),
            (b'","payload":"', payload),
            (b'"},"streamSid":"', STREAM_SID),
        )
        text, places = b"", []
        for constant, blank in parts:
            text += constant + bytes(blank)
            places.append(slice(HEAD + len(text) - blank, HEAD + len(text)))
        text += b'"}'
        self.sequence, self.chunk, self.timestamp, self.payload, self.stream_sid = places
        self.size = HEAD + len(text)
        self.stride = -(-self.size // WORD) * WORD
        whole = b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text
        self._template = np.frombuffer(whole.ljust(self.stride, b"\0"), np.uint8)

    def fill(self, chunks: Numbers, stream_sids: Bytes, payloads: Bytes, keys: NDArray[np.uint32]) -> Rows:
        """One message a row: the number of the chunk in its call (from 1), whose it is, its sound, and its key."""
        rows = np.empty((len(chunks), self.stride), np.uint8)
        rows[:] = self._template
        rows[:, self.sequence] = _digits(chunks + 1, self.sequence)  # `start` was the first message
        rows[:, self.chunk] = _digits(chunks, self.chunk)
        rows[:, self.timestamp] = _digits((chunks - 1) * FRAME_MS, self.timestamp)
        rows[:, self.payload] = payloads
        rows[:, self.stream_sid] = stream_sids
        words = rows.view(np.uint32)
        words[:, 1] = keys
        words[:, 2:] ^= keys[:, None]
        return Rows(rows.reshape(-1).data, self.stride, self.size)


def _digits(numbers: Numbers, place: slice) -> Bytes:
    """In decimal, as many digits as there is room for: shape (numbers, digits)."""
    powers = 10 ** np.arange(place.stop - place.start - 1, -1, -1)
    digits: Bytes = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return digits


def digits_of(chunk: int) -> tuple[int, int, int]:
    """How many digits the three numbers of a message have."""
    sequence, chunks, timestamp = (len(str(number)) for number in (chunk + 1, chunk, (chunk - 1) * FRAME_MS))
    return sequence, chunks, timestamp


_TENS = [10**power for power in range(1, 9)]
CHANGES = np.array(sorted({chunk for ten in _TENS for chunk in (ten - 1, ten, -(-ten // FRAME_MS) + 1)}))
"""The chunks from which on one of the numbers has a digit more."""


@cache
def layout(chunk: int, payload: int) -> Layout:
    """That of messages with as many digits as this chunk's."""
    return Layout(digits_of(chunk), payload)


def fill(chunks: Numbers, stream_sids: Bytes, payloads: Bytes, random: np.random.Generator) -> Rows:
    """One message a row, all with as many digits: the number of the chunk in its call (from 1), whose it is, and its
    sound."""
    keys = random.integers(0, 1 << 32, len(chunks), np.uint32)
    return layout(int(CHANGES[np.searchsorted(CHANGES, chunks[0], side="right")]) - 1, payloads.shape[1]).fill(
        chunks, stream_sids, payloads, keys
    )
