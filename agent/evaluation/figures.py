"""The parts of the page of results: clips and calls in, figures ready for JSON out.

A figure with an interval is a list: value, lower and upper bound by speaker (null where it cannot be said).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import LABELS
from . import conversations, metrics
from .clips import Clip
from .conversations import Call
from .listening import Hearing
from .manifest import NOISE, Row
from .metrics import reliability
from .runner import Heard
from .summary import GROUPS, Figure, Table, grouped, plain

SPOKEN_MS = (500, 1000, 1500, 2000, 3000)
OVERALL, STRONG, MILD = "all", "strong anger", "mild anger"


def split(clips: Sequence[Clip]) -> dict[str, Any]:
    """Accuracy of all, and by corpus, language and sex of the speaker, with intervals."""
    acted = [clip for clip in clips if clip.row.corpus in corpora_with_anger(clips)]
    found: dict[str, Any] = {OVERALL: figures(acted)}
    for by in GROUPS:
        found[by] = {name: figures(some) for name, some in grouped(acted, by).items()}
    return found


def figures(clips: Sequence[Clip]) -> dict[str, Any]:
    table = Table(clips)
    everything = np.ones(len(clips), dtype=bool)
    calm = table.angry | np.isin(table.truth, [LABELS.index(label) for label in ("neutral", "sad")])
    return {
        "clips": len(clips),
        "speakers": len({clip.row.voice for clip in clips}),
        "uar": shown(table.uar(everything)),
        "uar_forced": shown(table.uar(everything, forced=True)),
        "auc": shown(table.auc(table.voices)),
        "auc_calm": shown(table.auc(calm)),
        "auc_happy": shown(table.auc(table.against("happy"))),
        "recall_at_4": shown(table.recall(table.voices, 0.04)),
        "recall_at_1": shown(table.recall(table.voices, 0.01)),
        "ece": shown(table.ece(everything)),
    }


def shown(figure: Figure) -> list[float | None]:
    """Value, lower and upper bound."""
    low, high = figure.bounds or (math.nan, math.nan)
    return [plain(figure.value), plain(low), plain(high)]


def operating(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """At the one operating point: the share of clips of each corpus and kind that is acted on."""
    lines = []
    for corpus, some in grouped(clips, "corpus").items():
        table = Table(some)
        kinds: dict[str, NDArray[np.bool_]] = {
            STRONG: np.array([c.row.angry and conversations.is_strong(c.row) for c in some], dtype=bool),
            MILD: np.array([c.row.angry and not conversations.is_strong(c.row) for c in some], dtype=bool),
            "neutral": table.truth == LABELS.index("neutral"),
            "happy": table.truth == LABELS.index("happy"),
            "fearful": table.truth == LABELS.index("fearful"),
            "sad": table.truth == LABELS.index("sad"),
            "all but anger": ~table.angry,
        }
        lines += [
            {"corpus": corpus, "kind": kind, "clips": int(which.sum()), "share": shown(table.alarm_rate(which))}
            for kind, which in kinds.items()
            if which.any()
        ]
    return lines


def lengths(heard: Sequence[Heard[Row]]) -> list[dict[str, Any]]:
    """How well anger is told from the rest by the first so much speech, whatever the engine would act on by then."""
    acted = corpora_of([h.row for h in heard])
    voices = [h for h in heard if h.row.corpus in acted and h.row.label != NOISE]
    lines = []
    for limit in SPOKEN_MS:
        some = [h for h in voices if h.hearing.spoken_ms and h.hearing.spoken_ms[-1] >= limit]
        anger = np.array([_anger_by(h.hearing, limit) for h in some])
        angry = np.array([h.row.angry for h in some], dtype=bool)
        lines.append(
            {
                "spoken_ms": limit,
                "clips": len(some),
                "auc": plain(metrics.auc(anger, angry)),
                "recall_at_4": plain(metrics.recall_at(anger, angry, 0.04)),
            }
        )
    return lines


def _anger_by(hearing: Hearing, spoken_ms: int) -> float:
    """The newest reading's P(angry) + P(frustrated), of the window alone, when so much had been spoken."""
    for reading, spoken in zip(hearing.readings, hearing.spoken_ms, strict=True):
        if spoken >= spoken_ms:
            return reading.scores.get("angry", 0.0) + reading.scores.get("frustrated", 0.0)
    return 0.0


def hourly(clips: Sequence[Clip], which: Callable[[Clip], bool]) -> list[dict[str, Any]]:
    """False alarms by corpus and kind, or channel."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if which(clip):
            kind = clip.row.others.get("emotion", "") if clip.row.label == NOISE else clip.row.speaker
            groups.setdefault((clip.row.corpus, kind), []).append(clip)
    return [
        {
            "corpus": corpus,
            "kind": kind,
            "clips": len(some),
            "alarmed": sum(bool(clip.alarms_ms) for clip in some),
            "minutes": round(sum(clip.duration_ms for clip in some) / 60_000, 2),
        }
        for (corpus, kind), some in groups.items()
    ]


def curve_of(clips: Sequence[Clip]) -> list[list[float]]:
    """Reliability: claimed, right, clips; of all clips with a label and an opinion."""
    table = Table([clip for clip in clips if clip.row.label in LABELS and clip.opinion])
    return [
        [plain(b.confidence) or 0.0, plain(b.accuracy) or 0.0, b.weight]
        for b in reliability(table.score, table.correct())
    ]


def roc(table: Table) -> list[list[float]]:
    """False alarms against recall at 26 places, densest where false alarms are few."""
    voices = table.voices
    rates = [round((step / 25) ** 2, 4) for step in range(26)]
    scores, angry = table.anger[voices], table.angry[voices]
    return [[rate, plain(metrics.recall_at(scores, angry, rate)) or 0.0] for rate in rates]


def one_line(clips: Sequence[Clip]) -> dict[str, Any]:
    acted = corpora_with_anger(clips)
    table = Table(clips)
    actors = np.array([clip.row.corpus in acted for clip in clips], dtype=bool) & table.voices
    strong = np.array([clip.row.angry and conversations.is_strong(clip.row) for clip in clips], dtype=bool)
    neutral = table.truth == LABELS.index("neutral")
    return {
        "clips": len(clips),
        "auc": shown(table.auc(actors)),
        "recall_at_4": shown(table.recall(actors, 0.04)),
        "strong": shown(table.alarm_rate(strong)),
        "neutral": shown(table.alarm_rate(neutral)),
        "other": shown(table.alarm_rate(table.voices & ~table.angry)),
        "noise": shown(table.alarm_rate(table.noise)),
    }


def ordinary_of(calls: Sequence[Call]) -> dict[str, Any]:
    """Calls without anger. Of what happened in them, a list: how often, per hour, and at most per hour (95 %)."""
    hours = sum(call.duration_ms for call in calls) / 3_600_000
    found: dict[str, Any] = {
        "calls": len(calls),
        "hours": round(hours, 2),
        "unique_hours": round(conversations.unique_hours([call.plan for call in calls]), 2),
    }
    for name in ("escalated", "interrupted"):
        count = sum(len(getattr(call, f"{name}_ms")) for call in calls)
        found[name] = [count, plain(count / hours), plain(metrics.poisson_upper(count) / hours)]
    return found


def turn_of(calls: Sequence[Call]) -> dict[str, Any]:
    line: dict[str, Any] = {"calls": len(calls), "voices": len({call.plan.voice for call in calls})}
    for name in ("interrupted", "escalated"):
        delays = [call.delay_ms(getattr(call, f"{name}_ms")) for call in calls]
        found = sorted(delay for delay in delays if delay is not None)
        line[name] = {
            "share": round(len(found) / len(calls), 4),
            "median_ms": float(np.median(found)) if found else None,
            "p95_ms": float(np.quantile(found, 0.95)) if found else None,
            "delays_ms": found,
        }
    return line


def corpora_of(rows: Sequence[Row]) -> set[str]:
    """Corpora that hold anger: the others have nothing to tell it from."""
    return {row.corpus for row in rows if row.angry}


def corpora_with_anger(clips: Sequence[Clip]) -> set[str]:
    return corpora_of([clip.row for clip in clips])


def both_kinds(clips: Sequence[Clip]) -> bool:
    return len({clip.row.angry for clip in clips}) == 2
