"""The steps of a call as bytes: each is one MessagePack array, the number of its kind and then its fields."""

from collections.abc import Iterable

import msgspec

from ..core.record import Record, of_steps
from ..core.steps import KINDS, Step

_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[object]).decode


def encode(step: Step) -> bytes:
    """One step. Raises what it cannot be written for: only a fault of ours can be the cause."""
    return _encode((_NUMBERS[type(step)], *step))


def decode(data: bytes) -> Step:
    """Raises ValueError where it is no step we know; fields behind those we know were added later, and are left."""
    number, *fields = _decode(data) or [None]
    if not (type(number) is int and 0 <= number < len(KINDS)):
        raise ValueError("a step of no kind that we know")
    kind = KINDS[number]
    return msgspec.convert(fields[: len(kind._fields)], kind)


def read(data: Iterable[bytes]) -> Record:
    """The record in these bytes. Never raises: what is wrong with it is its flaw."""
    return of_steps(map(_readable, data))


def _readable(data: bytes) -> Step | None:
    try:
        return decode(data)
    except (ValueError, RecursionError):
        return None
