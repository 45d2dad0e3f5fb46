"""Made-up calls for the supervisor's screen: what the server would say of them once a second, without a server's work.

Each has a fate, and the same calls come every time, however many there are.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from ..core.attention import lasting
from ..core.instants import instant
from ..core.levels import ORDER, Level

Json = dict[str, Any]

FATES = ("rising", "angry", "poor", "calibrating", "off", "calming", "human", "calm", "calm", "calm", "calm", "lively")
WHY = {
    "rising": "Rising for {}; fair line; medium confidence",
    "angry": "Angry for {}, rising; clear line; high confidence",
    "poor": "Can't tell: the line is too poor; low confidence",
    "calibrating": "Not enough speech yet",
    "off": "Consent withdrawn: not analysed",
    "calming": "Calming for {}; clear line; high confidence",
    "human": "With a human: not analysed",
    "calm": "Calm; clear line; high confidence",
    "lively": "Happy for {}; clear line; high confidence",
}
LEVELS: dict[str, Level] = {
    "rising": "watch",
    "angry": "help",
    "poor": "unsure",
    "calibrating": "calibrating",
    "off": "off",
    "human": "off",
}
MIDDLE = {"rising": 0.62, "angry": 0.8, "poor": 0.45, "calming": 0.3, "calm": 0.08, "lively": 0.12}
TREND = {"rising": "rising", "angry": "rising", "calming": "falling"}
TURN_MS = 120_000
"""Whoever rises or falls does so within half of it, and is then where they began."""
SPREAD = {"poor": 0.3, "rising": 0.14}


def sid(number: int) -> str:
    return f"CA{number:032x}"


class MadeCall:
    """One caller: `entry` is what the server would say of them now."""

    def __init__(self, number: int, began: datetime, fate: str | None = None) -> None:
        self.number, self.began, self.fate = number, began, fate or FATES[number % len(FATES)]
        self.more: Json = {}
        """Fields that a test has changed."""

    @property
    def call_sid(self) -> str:
        return sid(self.number)

    def t(self, now: datetime) -> int:
        return int((now - self.began).total_seconds() * 1000)

    def anger(self, t: int) -> tuple[float, float, float] | None:
        if self.fate not in MIDDLE:
            return None
        turn = TREND.get(self.fate)
        swing, at = (0.05, self.number) if turn is None else (0.2 if turn == "rising" else -0.2, 0)
        wave = swing * math.sin(2 * math.pi * t / TURN_MS + at) + 0.03 * math.sin(t / 2300 + 2 * self.number)
        p = min(0.98, max(0.01, MIDDLE[self.fate] + wave))
        spread = SPREAD.get(self.fate, 0.07) * (1 + 0.4 * math.sin(t / 5000 + self.number))
        return round(p, 2), round(max(0.0, p - spread), 2), round(min(1.0, p + 0.8 * spread), 2)

    def entry(self, now: datetime, *, whole: bool = False) -> Json:
        t, level = self.t(now), LEVELS.get(self.fate, "ok")
        point, since_ms = self.anger(t), min(t, 1000 * (10 + 7 * self.number % 50))
        label = {"angry": "angry", "rising": "frustrated", "lively": "happy"}.get(self.fate, "neutral")
        entry: Json = {
            "callSid": self.call_sid,
            "vapiCallId": None,
            "state": "live",
            "startedAt": instant(self.began),
            "endedAt": None,
            "outcome": None,
            "attach": "tap",
            "caller": f"***{self.number % 100:02d}",
            "mood": {"label": label, "score": point[0] if point else 0.0, "trend": TREND.get(self.fate, "steady")},
            "bufferSize": 12,
            "attention": {
                "level": level,
                "rank": 1000 * ORDER[level] + (round(200 * point[0]) if point else 0),
                "why": WHY[self.fate].format(lasting(since_ms / 1000)),
                "confidence": "medium",
                "sinceT": t - since_ms,
            },
            "anger": dict(zip(("p", "low", "high"), point, strict=True)) if point else None,
            "assistantSpeaking": (t // 4000 + self.number) % 3 == 0,
            "transferred": self.fate == "human",
            "lastAction": self.last_action(t),
        }
        if whole:
            ago = [t - 1000 * back for back in range(59, -1, -1) if t >= 1000 * back]
            entry["curve"] = [[at, *point] for at in ago if (point := self.anger(at)) is not None]
        return {**entry, **self.more}

    def last_action(self, t: int) -> Json | None:
        deed = {
            "angry": {"event": "tts.cancelled", "reason": "emotion_escalation"},
            "rising": {"event": "context.updated"},
            "human": {"event": "escalation.done", "action": "transfer", "rule": "angry-transfer"},
        }.get(self.fate)
        return None if deed is None else {"t": max(0, t - 8000), **deed}


def made_calls(count: int, now: datetime | None = None) -> dict[str, MadeCall]:
    """So many calls, of all fates, that began within the last ten minutes."""
    now = now or datetime.now(UTC)
    calls = [MadeCall(n, now - timedelta(milliseconds=_lasted_ms(n))) for n in range(1, count + 1)]
    return {call.call_sid: call for call in calls}


def _lasted_ms(number: int) -> int:
    """At the end of a rise or a fall, where there is one: what is said of a caller is then what is drawn."""
    if FATES[number % len(FATES)] in TREND:
        return TURN_MS * (1 + number % 4) + TURN_MS // 5
    return 1000 * (45 + (number * 37) % 555)
