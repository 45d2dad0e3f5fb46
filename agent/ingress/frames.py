"""The fast lane: the one shape of frame that a carrier's media stream is made of, and nothing else (RFC 6455, 5.2).

A whole text message in one frame: final, without reserved bits, masked, its length in 7 or 16 bits, and UTF-8. Each
such frame becomes a text. At the first that is anything else (a fragment, binary, a control frame, a length of 64 bits,
no mask, a length said at greater length than need be, a text too short to be JSON, bad UTF-8) the lane ends: that frame
and all behind it are for the full protocol, which has the last word on what is right. No message is read twice, and
none is passed over.
"""

from struct import Struct

_FINAL_TEXT = 0x81
_MASKED = 0x80
_SHORTEST = _MASKED + 2
"""The second byte of the shortest frame taken here: so that any of them has eight bytes at least."""
_LONG = 0xFE
"""The second byte of a masked frame whose length is in the two behind it; 255: in the eight behind it."""
_SHORTEST_LONG = 126
"""Bytes. What is shorter has its length in 7 bits."""
_HEAD, _LONG_HEAD = 6, 8
"""Bytes in front of the text, mask included."""

_long_head = Struct("<HBBI").unpack_from
"""Both first bytes; the length, high and low; the mask, first byte lowest."""
_LONG_TEXT = _FINAL_TEXT | _LONG << 8
_short_mask = Struct("<xxI").unpack_from


def _ones(words: int) -> int:
    """A 1 in each of so many words of four bytes: multiplied by it, a mask lies over all of them."""
    return int.from_bytes(b"\x01\x00\x00\x00" * words, "little")


_ONES = [_ones(words) for words in range(256)]


def unmasked(data: bytes, start: int, end: int, mask: int) -> bytes:
    """`data[start:end]` without its mask: as one long number, which is the quickest way there is in plain Python."""
    size = end - start
    words = size // 4 + 1
    ones = _ONES[words] if words < len(_ONES) else _ones(words)
    return (int.from_bytes(data[start:end], "little") ^ mask * ones).to_bytes(4 * words, "little")[:size]


class Frames:
    """One socket's. `rest` is what has come and is no whole frame yet. When `ended`, `rest` begins with the frame that
    ended the lane, and nothing more is to be fed."""

    __slots__ = ("ended", "rest")

    def __init__(self, rest: bytes = b"") -> None:
        """`rest`: what came behind the handshake."""
        self.rest = rest
        self.ended = False

    def feed(self, data: bytes) -> list[str]:
        """The messages that are whole now. No more than one of 64 KiB waits for the rest of it."""
        if self.rest:
            data = self.rest + data
        messages: list[str] = []
        at, size = 0, len(data)
        try:
            while size - at >= _LONG_HEAD:
                shape, high, low, mask = _long_head(data, at)
                if shape == _LONG_TEXT:
                    start, length = at + _LONG_HEAD, high << 8 | low
                    if length < _SHORTEST_LONG:
                        break
                elif data[at] == _FINAL_TEXT and _SHORTEST <= data[at + 1] < _LONG:
                    start, length = at + _HEAD, data[at + 1] - _MASKED
                    (mask,) = _short_mask(data, at)
                else:
                    break
                end = start + length
                if end > size:
                    break
                messages.append(unmasked(data, start, end, mask).decode())
                at = end
        except UnicodeDecodeError:
            self.ended = True
        self.rest = data[at:]
        if self.rest and not _may_be_one(self.rest):
            self.ended = True
        return messages


def _may_be_one(rest: bytes) -> bool:
    """Whether what is there can still become a frame of this lane, as far as it has come."""
    if rest[0] != _FINAL_TEXT or len(rest) == 1:
        return rest[0] == _FINAL_TEXT
    if rest[1] == _LONG:
        return len(rest) < 4 or (rest[2] << 8 | rest[3]) >= _SHORTEST_LONG
    return _SHORTEST <= rest[1] < _LONG
