"""Hume's realtime expression measurement (https://dev.hume.ai/expression-measurement/reference/audio/stream-audio).

It hears speech by itself and measures every three seconds of it at best: what must be faster is the local engine's.
Unknown types, fields and names are passed over: Hume may add some at any time.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog

from ...core.emotion import Source
from ...errors import EngineRefused, EngineUnavailable
from ..expressions import Expressions, Score
from ..streamed import Alive, Fact, FrameRefused, Measured, Over, Ready, Send, code_word

log = structlog.get_logger()

PATH: Final = "/v1/expression/audio/realtime"
AUDIO: Final = {"type": "audio/pcm", "encoding": "s16le", "sample_rate": 16000, "channels": 1}
QUIET_MS: Final = 5_000
"""Speech beyond the measurement timer that it may take to say something."""
_REOPEN: Final = frozenset({1001, 1006, 1011, 1012, 1013})
"""Close codes after which a new connection is worth while."""
_REOPENED: Final = frozenset({"server_shutdown", "idle_timeout"})
_OURS: Final = frozenset({"config_invalid", "message_too_large"})
_COMPLAINTS_LOGGED: Final = 3
"""A connection."""


class _Measurement(msgspec.Struct):
    audio_start_ms: int
    audio_end_ms: int
    expressions: tuple[Score, ...] = ()
    """Only those it found. None found is a result too."""


class Hume:
    """The vendor (`streamed.Vendor`)."""

    name = "hume"
    source: Source = "hume"
    title = "Hume"
    subprotocols: Sequence[str] = ()
    goodbye = '{"type":"session.close"}'

    def __init__(
        self, *, base_url: str, api_key: str, expressions: Expressions, timer_ms: int = 3000, heartbeat_s: float = 30.0
    ) -> None:
        """`base_url` without a path, e.g. wss://api.cloud.hume.ai. `timer_ms`: 3000 to 10000."""
        self.url = base_url.rstrip("/") + PATH
        self.headers: Sequence[tuple[str, str]] = [("X-Hume-Api-Key", api_key)]
        self.ping_s, self.quiet_ms = heartbeat_s, timer_ms + QUIET_MS
        self.expressions, self._timer_ms = expressions, timer_ms

    def dialect(self) -> "HumeDialect":
        return HumeDialect(self.expressions, self._timer_ms)

    def refused(self, status: int) -> EngineUnavailable | EngineRefused:
        if status in (408, 429) or status >= 500:
            return EngineUnavailable(f"Hume answered {status}")
        if status == 401:
            return EngineRefused("Hume does not accept HUME_API_KEY (401): check it at cloud.hume.ai")
        return EngineRefused(f"Hume answered {status}: check HUME_BASE_URL, and that your account has access")


class HumeDialect:
    """One connection. Why it ends is said before it closes, and not by its close code."""

    def __init__(self, expressions: Expressions, timer_ms: int) -> None:
        self._expressions, self._timer_ms = expressions, timer_ms
        self._complaint = self._goodbye = ""
        self._complaints = 0

    def feed(self, message: str | bytes) -> Iterable[Fact]:
        try:
            return self._facts(msgspec.json.decode(message))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError, AttributeError):
            return ()  # a measurement less, and no reason to lose the session

    def _facts(self, body: Any) -> Iterable[Fact]:
        match body.get("type"):
            case "session.created":  # omitted fields fall back to defaults, so all of it is said
                update = {"type": "session.update", "audio": AUDIO, "measurement_timer_ms": self._timer_ms}
                return (Send(msgspec.json.encode(update).decode()),)
            case "session.updated":
                return (Ready(),)
            case "measurement.result":
                found = msgspec.convert(body, _Measurement)
                return (
                    Measured(found.audio_start_ms, found.audio_end_ms, self._expressions.scores(found.expressions)),
                )
            case "error":
                return self._complained(code_word(body.get("code")))
            case "session.closed":
                self._goodbye = code_word(body.get("reason"))
                return (Over(self.closed(1000)),)
        return (Alive(),)

    def _complained(self, code: str) -> Iterable[Fact]:
        self._complaints += 1
        if self._complaints <= _COMPLAINTS_LOGGED:
            log.warning("hume.complained", code=code)
        self._complaint = code
        if code in ("rate_limited", "invalid_audio_frame"):
            return (FrameRefused(too_fast=code == "rate_limited"),)
        return ()

    def closed(self, code: int) -> EngineUnavailable | EngineRefused:
        if self._complaint in _OURS:
            return EngineRefused(f"Hume ended the session ({self._complaint})")
        if self._complaint == "internal_error":
            return EngineUnavailable("Hume had an internal error")
        if self._goodbye in _REOPENED:
            return EngineUnavailable(f"Hume ended the session ({self._goodbye})")
        if code in _REOPEN:
            return EngineUnavailable(f"the connection to Hume was lost ({code})")
        return EngineRefused(f"Hume ended the session ({self._goodbye or code})")
