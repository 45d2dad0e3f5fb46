"""The messages of workers to each other, and their answers (MessagePack)."""

from collections.abc import Sequence

import msgspec


class Whose(msgspec.Struct, frozen=True, tag=True):
    """Is the call of one of these ids yours? Answered with `Standing`."""

    ids: tuple[str, ...]


class Take(msgspec.Struct, frozen=True, tag=True):
    """A connection whose request is yours: its socket is the first file, a long body the second. No answer."""

    head: bytes
    """The request's line and headers."""
    rest: bytes
    """What has been read behind them, where it is not in the second file."""


class Live(msgspec.Struct, frozen=True, tag=True):
    """Your live calls, as `GET /calls` lists them; what has ended is on the disk when it is answered. A list."""


class Page(msgspec.Struct, frozen=True, tag=True):
    """Your numbers, as `/metrics` shows them: answered with the page itself."""


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Show nothing of this call any more to who comes back to the events. Answered, with nothing in it, when it is
    done."""

    call_sid: str


class Watch(msgspec.Struct, frozen=True, tag=True):
    """Every event from now on, and before it what is still kept behind this one: answered with one `Passed` each, until
    one of us goes; one without a call stands between the two."""

    epoch: str
    number: int


class Screen(msgspec.Struct, frozen=True, tag=True):
    """Your live calls as the supervisor's screen shows them, with the last minute: answered with a list."""


class News(msgspec.Struct, frozen=True, tag=True):
    """The same of the calls that change or end, once a second, until one of us goes."""


Message = Whose | Take | Live | Page | Forget | Watch | Screen | News


class Standing(msgspec.Struct, frozen=True):
    """What a worker says of itself, and whether it has the call that was asked for."""

    has: tuple[str, ...]
    """Those of the ids that are of its calls."""
    room: bool
    """It takes new calls."""


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """One event of a worker's."""

    epoch: str
    """Tells its numbers from those of the one before it in its place."""
    number: int
    call_sid: str
    ordinal: int
    line: bytes


message = msgspec.msgpack.Decoder(Message)
standing = msgspec.msgpack.Decoder(Standing)
entries = msgspec.msgpack.Decoder(list[bytes])
passed = msgspec.msgpack.Decoder(Passed)
encode = msgspec.msgpack.Encoder().encode


def listed(shown: Sequence[object]) -> bytes:
    """Entries as JSON, in a list."""
    return encode([msgspec.json.encode(entry) for entry in shown])
