"""Hume's realtime expression messages, without the socket: what it says becomes a fact, what it means becomes an error.

Unknown types, fields and names are passed over: the vendor may add some at any time.
Wire format: https://dev.hume.ai/expression-measurement/reference/audio/stream-audio
"""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ...errors import EngineRefused, EngineUnavailable

REOPEN: Final = frozenset({1001, 1006, 1011, 1012, 1013})
"""Close codes after which a new connection is worth while."""
_REOPENED: Final = frozenset({"server_shutdown", "idle_timeout"})
_TEXT: Final = 200


class Score(msgspec.Struct, frozen=True):
    """How sure Hume is that an expression is present at all: not how strong it is."""

    name: str
    probability: float


class Measurement(msgspec.Struct, frozen=True):
    """What Hume heard in up to ten seconds of one stretch of speech."""

    audio_start_ms: int
    """Of accepted audio, as is the end."""
    audio_end_ms: int
    expressions: tuple[Score, ...] = ()
    """Only those it found. None found is a result too."""


@dataclass(frozen=True, slots=True)
class Created:
    """The session is there, and waits for its configuration."""


@dataclass(frozen=True, slots=True)
class Configured:
    """It has taken the configuration."""


@dataclass(frozen=True, slots=True)
class Speech:
    """It hears somebody speak, or has heard them finish."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something was not to its liking."""

    code: str
    ends: bool
    """The session is over with it."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last message of an orderly end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something newer than we are."""

    type: str = field(default="")


Event = Created | Configured | Speech | Measurement | Complaint | Goodbye | Unknown

_FACTS: Final[dict[str, Event]] = {
    "session.created": Created(),
    "session.updated": Configured(),
    "utterance.start": Speech(),
    "utterance.end": Speech(),
}


def session_update(timer_ms: int) -> str:
    """The configuration. Omitted fields would fall back to defaults, so all of it is said."""
    audio = {"type": "audio/pcm", "encoding": "s16le", "sample_rate": 16000, "channels": 1}
    return msgspec.json.encode({"type": "session.update", "audio": audio, "measurement_timer_ms": timer_ms}).decode()


SESSION_CLOSE: Final = '{"type":"session.close"}'


def read(message: str | bytes) -> Event:
    """One message. What cannot be read is Unknown: a measurement less, and no reason to lose the session."""
    try:
        body: Any = msgspec.json.decode(message)
        kind = body["type"]
        if kind == "measurement.result":
            return msgspec.convert(body, Measurement)
        if kind == "error":
            return Complaint(str(body.get("code", ""))[:_TEXT], ends=body.get("retryable") is False)
        if kind == "session.closed":
            return Goodbye(str(body.get("reason", ""))[:_TEXT])
        return _FACTS.get(kind) or Unknown(str(kind)[:_TEXT])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, KeyError, TypeError, AttributeError):
        return Unknown()


def ended(code: int, complaint: Complaint | None, goodbye: Goodbye | None) -> EngineUnavailable | EngineRefused:
    """What the end of a connection means, from its close code and from what was said before it."""
    if complaint is not None and complaint.code in ("config_invalid", "message_too_large"):
        return EngineRefused(f"Hume ended the session ({complaint.code})")
    if complaint is not None and complaint.code == "internal_error":
        return EngineUnavailable("Hume had an internal error")
    if goodbye is not None and goodbye.reason in _REOPENED:
        return EngineUnavailable(f"Hume ended the session ({goodbye.reason})")
    if code in REOPEN:
        return EngineUnavailable(f"the connection to Hume was lost ({code})")
    return EngineRefused(f"Hume ended the session ({code})")


def refused(status: int) -> EngineUnavailable | EngineRefused:
    """What another status than 101 means for a handshake."""
    if status in (408, 429) or status >= 500:
        return EngineUnavailable(f"Hume answered {status}")
    if status == 401:
        return EngineRefused("Hume does not accept HUME_API_KEY (401): check it at cloud.hume.ai")
    return EngineRefused(f"Hume answered {status}: check HUME_BASE_URL and that your account has access")
