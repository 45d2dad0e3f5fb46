"""oruk's realtime API (packages `oruk` and `pipecat-oruk`): transcription with the emotion of each phrase.

A connection is one turn of 590 s at the most, which a call outlives: it is left before that, and another one opened.
What the caller said comes along with the emotions; it is not looked at. The label names are not published, so ours are
found by their stems.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec

from ..core.emotion import Source
from ..errors import EngineRefused, EngineUnavailable
from .expressions import Expressions, Score
from .streamed import Alive, Fact, Measured, Over, Ready, Send, code_word

PATH: Final = "/v1/realtime?model=oruk-realtime"
LONGEST_TURN_MS: Final = 580_000
QUIET_MS: Final = 12_000
"""A phrase lasts eight seconds at the most."""
SESSION: Final = {
    "model": "oruk-realtime",
    "language": "auto",
    "sample_rate": 16000,
    "word_timestamps": False,
    "phrase_emotions": True,
    "phrase_silence_ms": 600,
    "phrase_max_ms": 8000,
    "diarize": False,
}
_UNUSABLE: Final = (ValueError, TypeError, AttributeError, OverflowError)
_AGAIN: Final = frozenset({"rate_limit_exceeded", "rate_limited", "realtime_upstream_unavailable"})


class _Found(msgspec.Struct):
    label: str
    score: float


class _Phrase(msgspec.Struct):
    start: float
    """Seconds of the turn."""
    end: float
    emotions: tuple[_Found, ...] = ()


class Oruk:
    """The vendor (`streamed.Vendor`)."""

    name = "oruk"
    source: Source = "oruk"
    title = "oruk"
    subprotocols: Sequence[str] = ("oruk-realtime",)
    ping_s = 15.0
    quiet_ms = QUIET_MS
    goodbye = '{"type":"input_audio_buffer.commit"}'

    def __init__(self, *, base_url: str, api_key: str, expressions: Expressions) -> None:
        """`base_url` without a path, e.g. wss://speech-api.oruk.ai."""
        self.url = base_url.rstrip("/") + PATH
        self._key = api_key
        self.expressions = expressions

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """With an id of its own for every connection."""
        return [("Authorization", f"Bearer {self._key}"), ("X-Request-ID", str(uuid4()))]

    def dialect(self) -> "OrukDialect":
        return OrukDialect(self.expressions)

    def refused(self, status: int) -> EngineUnavailable | EngineRefused:
        if status in (408, 429) or status >= 500:
            return EngineUnavailable(f"oruk answered {status}")
        return EngineRefused(f"oruk answered {status}: check ORUK_API_KEY")


class OrukDialect:
    """One connection, which is one turn."""

    def __init__(self, expressions: Expressions) -> None:
        self._expressions = expressions
        self._error = ""

    def feed(self, message: str | bytes) -> Iterable[Fact]:
        try:
            return self._facts(msgspec.json.decode(message))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, *_UNUSABLE):
            return ()

    def _facts(self, body: Any) -> Iterable[Fact]:
        match body.get("type"):
            case "session.created":
                return (Send(msgspec.json.encode({"type": "session.update", "session": SESSION}).decode()),)
            case "session.updated":
                return (Ready(),)
            case "conversation.item.input_audio_emotion.completed":
                return self._measured(msgspec.convert(body, _Phrase))
            case "error":
                self._error = code_word((body.get("error") or {}).get("code"))
                return (Over(self.closed(1000)),)
        return (Alive(),)

    def _measured(self, phrase: _Phrase) -> Iterable[Fact]:
        scores = self._expressions.scores(Score(found.label, found.score) for found in phrase.emotions)
        end_ms = round(1000 * phrase.end)
        measured = Measured(round(1000 * phrase.start), end_ms, scores)
        if end_ms > LONGEST_TURN_MS:
            return measured, Over(EngineUnavailable("the turn at oruk has become too long for one"))
        return (measured,)

    def closed(self, code: int) -> EngineUnavailable | EngineRefused:
        if self._error in _AGAIN or (not self._error and code != 1008):
            return EngineUnavailable(f"the connection to oruk has ended ({self._error or code})")
        return EngineRefused(f"oruk ended the turn ({self._error or code})")
