"""ITU-T G.711 mu-law by table: one look-up a sample in either direction.

A code is the inverted byte `sign | segment | mantissa`. The value, biased by 132 on the 16-bit scale, lies in the
segment named by its highest set bit, and the four bits below that one are its mantissa. Louder than 32635 is clipped.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SILENCE: Final = 0xFF
"""The code of sample value 0."""

_BIAS: Final = 0x84
_CLIP: Final = 32635


def _decoder() -> NDArray[np.int16]:
    """The sample of each of the 256 codes."""
    code = ~np.arange(256, dtype=np.uint8)
    segment = (code >> 4) & 7
    mantissa = (code & 0x0F).astype(np.int32)
    magnitude = (((mantissa << 3) + _BIAS) << segment) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encoder() -> NDArray[np.uint8]:
    """The code of each of the 65,536 samples, in the order of their unsigned bit patterns."""
    sample = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), _CLIP) + _BIAS
    segment = np.floor(np.log2(biased)).astype(np.int32) - 7
    mantissa = (biased >> (segment + 3)) & 0x0F
    sign = np.where(sample < 0, 0x80, 0)
    code: NDArray[np.int32] = ~(sign | (segment << 4) | mantissa) & 0xFF
    return code.astype(np.uint8)


_DECODE: Final = _decoder()
_ENCODE: Final = _encoder()


def decode(payload: bytes) -> NDArray[np.int16]:
    """Linear samples, one for each byte."""
    return _DECODE.take(np.frombuffer(payload, dtype=np.uint8))


def encode(samples: NDArray[np.int16]) -> bytes:
    """Mu-law codes, one byte for each sample."""
    return _ENCODE[np.ascontiguousarray(samples, dtype=np.int16).view(np.uint16)].tobytes()
