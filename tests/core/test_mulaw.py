import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.core import mulaw

SEGMENT_ENDS = (0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF, 0x1FFF, 0x3FFF, 0x7FFF)
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


def reference_encode(sample: int) -> int:
    """The segment search of Sun's g711.c, one sample at a time."""
    biased, mask = (0x84 - sample, 0x7F) if sample < 0 else (sample + 0x84, 0xFF)
    segment = next((at for at, end in enumerate(SEGMENT_ENDS) if biased <= end), 8)
    if segment == 8:
        return 0x7F ^ mask
    return ((segment << 4) | ((biased >> (segment + 3)) & 0x0F)) ^ mask


def reference_decode(code: int) -> int:
    inverted = ~code & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)
    return 0x84 - magnitude if inverted & 0x80 else magnitude - 0x84


def test_every_sample_is_encoded_as_the_reference_does():
    assert list(mulaw.encode(EVERY_SAMPLE)) == [reference_encode(sample) for sample in EVERY_SAMPLE.tolist()]


def test_every_code_is_decoded_as_the_reference_does():
    assert mulaw.decode(bytes(range(256))).tolist() == [reference_decode(code) for code in range(256)]


def test_every_code_but_negative_zero_survives_the_round_trip():
    codes = bytes(code for code in range(256) if code != 0x7F)
    assert mulaw.encode(mulaw.decode(codes)) == codes


def test_the_round_trip_is_off_by_at_most_half_a_step():
    """A step is a sixteenth of its segment, so at most a thirty-second of the biased value; clipping comes on top."""
    error = np.abs(mulaw.decode(mulaw.encode(EVERY_SAMPLE)).astype(int) - EVERY_SAMPLE)
    allowed = np.maximum(4, (np.abs(EVERY_SAMPLE.astype(int)) + 132) / 32)
    assert np.all(error <= np.where(np.abs(EVERY_SAMPLE.astype(int)) > 32635, 1000, allowed))


def test_silence_is_the_code_of_zero():
    assert mulaw.encode(np.zeros(3, np.int16)) == bytes([mulaw.SILENCE] * 3)
    assert mulaw.decode(bytes([mulaw.SILENCE])).tolist() == [0]


@given(st.binary(max_size=400), st.integers(0, 400))
def test_decoding_in_pieces_changes_nothing(payload: bytes, cut: int):
    pieces = np.concatenate((mulaw.decode(payload[:cut]), mulaw.decode(payload[cut:])))
    assert np.array_equal(pieces, mulaw.decode(payload))


def test_what_was_decoded_may_be_written_to():
    mulaw.decode(b"\x00\x01")[0] = 1
