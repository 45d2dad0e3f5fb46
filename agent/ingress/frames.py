"""The fast lane: the one shape of frame that a carrier's media stream is made of, and nothing else (RFC 6455, 5.2).

A whole text message in one frame: final, without reserved bits, masked, its length in 7 or 16 bits, and UTF-8. Each
such frame becomes a text. At the first that is anything else (a fragment, binary, a control frame, a length of 64 bits,
no mask, a length said at greater length than need be, a text too short to be JSON, bad UTF-8) the lane ends: that frame
and all behind it are for the full protocol, which has the last word on what is right. No message is read twice, and
none is passed over.
"""

from struct import Struct

import numpy as np

_FINAL_TEXT = 0x81
_MASKED = 0x80
_SHORTEST = _MASKED + 2
"""The second byte of the shortest frame taken here: so that any of them has eight bytes at least."""
_LONG = 0xFE
"""The second byte of a masked frame whose length is in the two behind it; 255: in the eight behind it."""
_SHORTEST_LONG = 126
"""Bytes. What is shorter has its length in 7 bits."""
_HEAD, _LONG_HEAD = bytes(6), bytes(8)
"""What stands in front of the text, as a mask that changes nothing. The last four bytes of it are the text's mask."""

_head = Struct("<HBB").unpack_from
"""Both first bytes; the length, high and low, where it is in two."""
_LONG_TEXT = _FINAL_TEXT | _LONG << 8

_BYTE = np.dtype(np.uint8)


def _whole(data: bytes) -> tuple[list[slice], list[bytes]]:
    """Where the texts are of the frames that are whole, up to the first of another shape; and the mask that lies over
    `data` as far as these go, in pieces."""
    texts: list[slice] = []
    masks: list[bytes] = []
    at, size = 0, len(data)
    while size - at >= len(_LONG_HEAD):
        shape, high, low = _head(data, at)
        if shape == _LONG_TEXT:
            head, length = _LONG_HEAD, high << 8 | low
            if length < _SHORTEST_LONG:
                break
        elif data[at] == _FINAL_TEXT and _SHORTEST <= data[at + 1] < _LONG:
            head, length = _HEAD, data[at + 1] - _MASKED
        else:
            break
        start = at + len(head)
        end = start + length
        if end > size:
            break
        texts.append(slice(start, end))
        masks += head, (data[start - 4 : start] * (length // 4 + 1))[:length]
        at = end
    return texts, masks


def _unmasked(data: bytes, masks: list[bytes]) -> bytes:
    """`data` as far as its mask goes, without it: in one step for all frames, the quickest without C of our own."""
    mask = b"".join(masks)
    return (np.frombuffer(data, _BYTE, len(mask)) ^ np.frombuffer(mask, _BYTE)).tobytes()


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
        texts, masks = _whole(data)
        at = 0
        if texts:
            plain = _unmasked(data, masks)
            try:
                for text in texts:
                    messages.append(plain[text].decode())
                    at = text.stop
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
