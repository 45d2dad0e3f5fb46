"""Sound whose encoding is not what it is said to be: noticed from its bytes, so that a roar is not taken for a voice.

What we hear should be mu-law at 8 kHz. Bytes of another encoding, read as mu-law, are still sound: loud and rough. They
give themselves away, because read as what they are the same bytes are softer and smoother. So they are read in every
way that is known to go wrong; where another way beats ours on both counts for a second of sound, that is what they are.
Real mu-law loses on at least one of them, however loud, noisy or clipped it is.

Only the beginning is looked at, which costs a call nothing later; once something was found, until it has passed.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import mulaw
from .emotion import NEUTRAL, EmotionReading, Gated

Floats = NDArray[np.float32]

FRAME: Final = 160
"""Bytes, 20 ms."""
BLOCK: Final = 25 * FRAME
"""Looked at together, because that is cheap."""
ENOUGH: Final = 50
"""Frames of sound that make a judgement: a second."""
LOOKS: Final = 10
"""Judgements in a row that must find nothing before nothing is looked for any more."""


@dataclass(frozen=True, slots=True)
class Way:
    """How bytes can be meant that we read as mu-law."""

    table: Floats | None
    """The sample of each byte; None: two bytes a sample."""
    order: str
    """Of the two bytes: `<` or `>`."""
    smoother: float
    """How much smaller the steps from sample to sample must be, for their level: natural logarithm of powers."""
    softer_db: float
    roughest: float
    """Steps, for their level, that are no voice any more: likewise a logarithm; white noise has 0.69."""
    loud_db: float
    """Such bytes, read as mu-law, are never softer than this, above the smallest step of sixteen bits."""
    reason: str


def _alaw() -> Floats:
    """ITU-T G.711 A-law, the sample of each byte."""
    code = np.arange(256) ^ 0x55
    segment, mantissa = (code >> 4) & 7, code & 0x0F
    magnitude = np.where(segment == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32)


_SAMPLE: Final = mulaw.decode(bytes(range(256)))
_SEND: Final = "have it sent as G.711 mu-law, 8000 Hz (a file: export it as WAV)"
_SIGNED: Final = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32) * 256
_UNSIGNED: Final = (np.arange(256, dtype=np.float32) - 128) * 256
_HIGH_BYTES: Final = (_SAMPLE.astype(np.int32) >> 8 & 0xFF).astype(np.uint8)
"""Of samples that were bytes of mu-law once: one byte of two has survived, nearly."""

WAYS: Final = (
    Way(None, "<", 0.6, 5.5, 0.3, 45.0, f"it is linear, 16 bits a sample, and not mu-law: {_SEND}"),
    Way(None, ">", 0.6, 5.5, 0.3, 45.0, f"it is linear, 16 bits a sample, and not mu-law: {_SEND}"),
    Way(_UNSIGNED, "", 0.1, 6.0, -0.1, 76.0, f"it is linear, 8 bits a sample, and not mu-law: {_SEND}"),
    Way(_SIGNED, "", 0.1, 6.0, -0.1, 76.0, f"it is linear, 8 bits a sample, and not mu-law: {_SEND}"),
    Way(_alaw(), "", 0.3, 3.0, -0.1, 45.0, f"it is A-law, and not mu-law: {_SEND}"),
    Way(
        mulaw.decode(_HIGH_BYTES.tobytes()).astype(np.float32),
        "",
        -0.6,  # every other sample is gone, and with it what is smooth
        8.5,
        0.5,
        78.0,
        "it is mu-law that was taken for linear samples before it came here: mend that step "
        "(a file: name it .ul if it has no header, or export it again)",
    ),
)
_OURS: Final = _SAMPLE.astype(np.float32)


class CodecWatch:
    """One line's: bytes in, in order, and what is wrong with them. Keeps two seconds of them at most."""

    def __init__(self) -> None:
        self.found: str | None = None
        """What the bytes are instead, and what to do about it; None: nothing is known against them."""
        self.judged = False
        """Enough sound has been heard to say so."""
        self.fine = 0
        """Judgements in a row, newest last, that found nothing."""
        self._waiting, self._sounding = bytearray(), bytearray()

    @property
    def done(self) -> bool:
        """Nothing was found, and nothing is looked for any more."""
        return self.fine >= LOOKS

    def push(self, payload: bytes) -> None:
        """Look at the next bytes, of any number."""
        if self.done:
            return
        self._waiting += payload
        while len(self._waiting) >= BLOCK and not self.done:
            codes = np.frombuffer(bytes(self._waiting[:BLOCK]), np.uint8).reshape(-1, FRAME)
            del self._waiting[:BLOCK]
            self._sounding += codes[_sounds(codes)].tobytes()
            if len(self._sounding) >= ENOUGH * FRAME:
                self._judge()
        if self.done:
            self.forget()

    def forget(self) -> None:
        """Overwrite what is kept of the sound."""
        for kept in (self._waiting, self._sounding):
            kept[:] = bytes(len(kept))
            kept.clear()

    def _judge(self) -> None:
        found, self.judged = _judged(np.frombuffer(bytes(self._sounding), np.uint8).reshape(-1, FRAME)), True
        self._sounding.clear()
        self.fine = 0 if found else self.fine + 1
        if found or self.done:
            self.found = found


def misread(payload: bytes) -> str | None:
    """What is wrong with a recording that is said to be mu-law: the first finding in it."""
    watch = CodecWatch()
    for at in range(0, len(payload), BLOCK):
        watch.push(payload[at : at + BLOCK])
        if watch.found:
            return watch.found
    return None


def poor(reading: EmotionReading) -> EmotionReading:
    """What is left of a reading of such sound: that the line is too poor."""
    return replace(reading, emotion=NEUTRAL, scores={}, own=None, quality=0.0, abstained=Gated.POOR_LINE)


def _sounds(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which frames have three different bytes at least, one between the smallest and the largest. Fewer are silence,
    whatever is said in it."""
    least, most = codes.min(axis=1, keepdims=True), codes.max(axis=1, keepdims=True)
    between: NDArray[np.bool_] = ((codes > least) & (codes < most)).any(axis=1)
    return between


def _powers(frames: Floats) -> Floats:
    """Of frames of samples, shape (n, samples), without what is constant in each: shape (n,)."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ij->i", centred, centred) / frames.shape[1] + 1)


def _level_db(power: Floats) -> float:
    """Mean over frames."""
    return 10 * float(np.log10(power).mean())


def _roughness(frames: Floats, power: Floats) -> float:
    """Mean over frames: logarithm of the power of the steps from sample to sample, by that of the samples."""
    steps = frames[:, 1:] - frames[:, :-1]
    step_power = np.einsum("ij,ij->i", steps, steps) / steps.shape[1] + 1
    return float(np.log(step_power / power).mean())


def _judged(codes: NDArray[np.uint8]) -> str | None:
    """The first way that beats ours on both counts, for these frames; those that cannot are not even tried. Level is
    looked at first: hardly ever is another way softer."""
    ours = _OURS.take(codes)
    our_power, our_rough = _powers(ours), None
    our_db = _level_db(our_power)
    for way in WAYS:
        if our_db <= way.loud_db:
            continue
        samples = codes.view(way.order + "i2").astype(np.float32) if way.table is None else way.table.take(codes)
        power = _powers(samples)
        if our_db - _level_db(power) <= way.softer_db:
            continue
        if our_rough is None:
            our_rough = _roughness(ours, our_power)
        rough = _roughness(samples, power)
        if our_rough - rough > way.smoother and rough < way.roughest:
            return way.reason
    return None
