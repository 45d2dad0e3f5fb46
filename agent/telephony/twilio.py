"""The messages of a Twilio media stream, without the socket.

Twilio opens a WebSocket for each stream and sends JSON: `connected`, `start`, then `media` about fifty times a second,
and `stop`. On a bidirectional stream it also sends `mark` (what we queued has been played) and `dtmf`, and takes
`media`, `mark` and `clear` from us (`twilio_said`; https://www.twilio.com/docs/voice/media-streams/websocket-messages).

Feed a `MediaStream` every message of one socket; each becomes one fact, or a BadMessage that leaves the stream as it
was, so that skipping a bad message is always safe. Media time is Twilio's own `timestamp`, never the time of arrival:
messages come in bursts. Where it falls back, it goes on from where it was. Sequence numbers count all messages, those
of other events included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from ..core.audio import MediaFrame
from ..errors import BadMessage
from . import wire


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket speaks Twilio's protocol; which call it is comes next."""


@dataclass(frozen=True, slots=True)
class LineStarted:
    """The stream has a name and a call."""

    stream_sid: str
    call_sid: str
    token: str | None = field(repr=False)
    """The custom parameter `token`: proves that the socket answers a TwiML of ours. Not shown in a repr."""
    parameters: Mapping[str, str] = field(repr=False)
    """Every `<Parameter>` of the TwiML, `token` included."""
    tracks: tuple[str, ...]
    """Of `inbound` (what the caller says) and `outbound` (what the caller hears)."""


@dataclass(frozen=True, slots=True)
class LineEnded:
    """The stream was stopped or the call is over."""

    stream_sid: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """Everything we sent before this mark has been played, or was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key."""

    digit: str
    """One of 0-9, *, #, A-D."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A valid message nobody needs: an event new to us, or media of the outbound track."""

    event: str


FRAME_MS = 20
"""What a frame holds, of every carrier that we know; others are read as well, if not as fast."""

_frame = partial(tuple.__new__, MediaFrame)
"""A MediaFrame of a tuple, without the call of Python's that a NamedTuple makes."""

Event = Connected | LineStarted | MediaFrame | LineEnded | MarkPlayed | KeyPressed | Ignored


class MediaStream:
    """One socket's conversation: what came before decides what may come next."""

    __slots__ = ("_epoch_ms", "_greeted", "_last_ms", "_last_sequence", "_over", "_stream_sid")

    def __init__(self) -> None:
        self._greeted = False
        self._over = False
        self._stream_sid: str | None = None  # None while no stream is open
        self._last_sequence = -1
        self._epoch_ms: int | None = None  # the first frame's timestamp: zero of the media clock
        self._last_ms = 0

    def feed(self, message: str | bytes, heard_at: float) -> Event:
        """What one message says. Raises BadMessage, and is then as if the message had never come."""
        read = wire.read(message)
        return self._media(read, heard_at) if isinstance(read, wire.Media) else self._rarer(read)

    def run_of_frames(self, messages: Sequence[str], heard_at: float) -> list[MediaFrame]:
        """What the first of these messages say, for as long as each is one more frame of the caller's with its numbers
        in order. The first that is anything else, and all behind it, have changed nothing, and are still to be fed.

        `feed` would say the same of every one of them. Nearly all that ever comes goes this way, at half the cost."""
        frames: list[MediaFrame] = []
        epoch, stream_sid, sequence = self._epoch_ms, self._stream_sid, self._last_sequence
        limit = wire.COUNTER_LIMIT - FRAME_MS * len(messages)  # counters that get so far are for `feed`
        if epoch is None or max(sequence, clock := epoch + self._last_ms) >= limit:
            return frames
        try:
            for message in messages:
                read = wire.parsed(message) if len(message) <= wire.MAX_MESSAGE else None
                if not isinstance(read, wire.Media) or read.stream_sid != stream_sid:
                    break
                body = read.media
                if body.track != "inbound":
                    break
                number, timestamp = sequence + 1, clock + FRAME_MS
                if read.sequence_number != str(number) or body.timestamp != str(timestamp):  # rarely
                    digits = f"{read.sequence_number}{body.timestamp}"
                    if not (digits.isdecimal() and digits.isascii()):
                        break
                    number, timestamp = int(read.sequence_number), int(body.timestamp)
                    if not (sequence < number < limit and clock <= timestamp < limit):
                        break
                sequence, clock = number, timestamp
                frames.append(_frame((sequence, clock - epoch, body.payload, heard_at)))
        except wire.UNREADABLE:
            pass
        self._last_sequence, self._last_ms = sequence, clock - epoch
        return frames

    def _rarer(self, read: wire.Hello | wire.Start | wire.Stop | wire.Mark | wire.Dtmf | wire.Unknown) -> Event:
        match read:
            case wire.Hello():
                return self._connected()
            case wire.Start():
                return self._started(read)
            case wire.Stop():
                return self._stopped(read)
            case wire.Mark():
                self._last_sequence = self._expected(read)
                return MarkPlayed(read.mark.name)
            case wire.Dtmf():
                self._last_sequence = self._expected(read)
                return KeyPressed(read.dtmf.digit)
            case wire.Unknown():
                return Ignored(read.event)

    def _connected(self) -> Connected:
        if self._greeted:
            raise BadMessage("Twilio said connected where it had already begun.")
        self._greeted = True
        return Connected()

    def _started(self, read: wire.Start) -> LineStarted:
        if self._over or self._stream_sid is not None:
            raise BadMessage("A Twilio stream started twice on one socket.")
        body = read.start
        if body.stream_sid != read.stream_sid:
            raise BadMessage("A Twilio start message names two different streams.")
        self._last_sequence = wire.counted(read.sequence_number)
        self._stream_sid = body.stream_sid
        self._greeted = True
        parameters = MappingProxyType(body.custom_parameters)
        return LineStarted(body.stream_sid, body.call_sid, parameters.get("token"), parameters, body.tracks)

    def _media(self, read: wire.Media, heard_at: float) -> MediaFrame | Ignored:
        sequence = self._expected(read)
        body = read.media
        timestamp = wire.counted(body.timestamp)
        if body.track != "inbound":
            self._last_sequence = sequence
            return Ignored("media")
        epoch = self._epoch_ms
        if epoch is None:
            epoch = self._epoch_ms = timestamp
        if timestamp - epoch < self._last_ms:  # it began anew, or was ahead for once: it goes on from where we are
            epoch = self._epoch_ms = timestamp - self._last_ms - FRAME_MS
        media_ms = timestamp - epoch
        self._last_sequence = sequence
        self._last_ms = media_ms
        return MediaFrame(sequence, media_ms, body.payload, heard_at)

    def _stopped(self, read: wire.Stop) -> LineEnded:
        # Whatever its number: an end that was overlooked would cost more than one believed too early.
        if read.stream_sid != self._stream_sid:
            raise self._misplaced()
        self._stream_sid = None
        self._over = True
        return LineEnded(read.stream_sid)

    def _expected(self, read: wire.Media | wire.Mark | wire.Dtmf) -> int:
        """The message's sequence number, when it belongs to the open stream and comes after the one before."""
        if read.stream_sid != self._stream_sid:
            raise self._misplaced()
        sequence = wire.counted(read.sequence_number)
        if sequence <= self._last_sequence:
            raise BadMessage("A Twilio message is repeated or out of order.")
        return sequence

    def _misplaced(self) -> BadMessage:
        if self._over:
            return BadMessage("A Twilio message came after its stream had stopped.")
        if self._stream_sid is None:
            return BadMessage("A Twilio message came before its stream had started.")
        return BadMessage("A Twilio message belongs to another stream.")
