"""Every number of the page of results, from recordings and a way to train a model without some of them.

Each clip is heard by a model that never met its speaker (split `speaker`) and by one that never met its corpus (split
`corpus`); conversations by a model that never met the voice. All at one operating point: the settings'.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..settings import Settings
from . import conversations
from .clips import Clip, judge
from .conditions import CONDITIONS, TELEPHONE, Named, noises_for
from .conversations import Call, Conversation, judge_call
from .figures import (
    OVERALL,
    both_kinds,
    corpora_with_anger,
    curve_of,
    hourly,
    lengths,
    one_line,
    operating,
    ordinary_of,
    roc,
    split,
    turn_of,
)
from .folds import Fold, by_corpus, by_speaker
from .manifest import NOISE, Row
from .runner import Ear, EngineFactory, Heard, configured, hear_all
from .summary import Table, grouped, summarised

Trainer = Callable[[Fold], EngineFactory]
"""Trains on a fold's `train`; gives what makes engines with that model, in whichever process."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and with how much patience."""

    trainer: Trainer | None
    """None: one engine for all, and nothing is held out."""
    settings: Settings
    hours: float = 30.0
    """Of ordinary conversation."""
    conditions: Sequence[str] = tuple(CONDITIONS)
    every: int = 1
    """Take every n-th row in all conditions but the first."""
    workers: int | None = None
    say: Callable[[str], None] = lambda line: None


def study(rows: Sequence[Row], plan: Plan) -> dict[str, Any]:
    """The page's numbers, ready for JSON."""
    speakers = by_speaker(rows)
    factories = _models(speakers, plan)
    heard = _heard(speakers, factories, CONDITIONS[TELEPHONE], plan, rows)
    clips = [judge(h.row, h.hearing, plan.settings) for h in heard]
    acted = corpora_with_anger(clips)
    found = {
        "about": _about(clips, plan),
        "speaker": split(clips),
        "operating": operating(clips),
        "lengths": lengths(heard),
        "noise": hourly(clips, lambda c: c.row.label == NOISE),
        "talk": hourly(clips, lambda c: c.row.label != NOISE and c.row.corpus not in acted),
        "reliability": curve_of(clips),
        "roc": {name: roc(Table(some)) for name, some in grouped(clips, "corpus").items() if both_kinds(some)},
        "conditions": _conditions(speakers, factories, clips, plan, rows),
        "ordinary": _ordinary(speakers, factories, plan, rows),
        "turns": _turns(speakers, factories, plan, rows),
    }
    if plan.trainer is not None:
        corpora = by_corpus(rows)
        left_out = _heard(corpora, _models(corpora, plan), CONDITIONS[TELEPHONE], plan, rows)
        found["corpus"] = split([judge(h.row, h.hearing, plan.settings) for h in left_out])
    return found


def _models(folds: Sequence[Fold], plan: Plan) -> dict[str, EngineFactory]:
    return {fold.name: plan.trainer(fold) if plan.trainer else partial(configured, "local") for fold in folds}


def _about(clips: Sequence[Clip], plan: Plan) -> dict[str, Any]:
    overall = summarised(clips, draws=0)
    return {
        **{name: overall[name] for name in ("clips", "speakers", "hours", "without_opinion", "cpu_ms_per_s")},
        "gate": plan.settings.gate,
        "act_at": plan.settings.act_at,
        "every": plan.every,
    }


def _heard(
    folds: Sequence[Fold], factories: dict[str, EngineFactory], condition: Named, plan: Plan, rows: Sequence[Row]
) -> list[Heard[Row]]:
    heard: list[Heard[Row]] = []
    noises = noises_for([condition], rows)
    for fold in folds:
        plan.say(f"{condition.name}: {len(fold.test)} clips by {fold.name}")
        results = hear_all(fold.test, Ear(factories[fold.name], condition, noises), workers=plan.workers)
        heard += [result for result in results if isinstance(result, Heard)]
    return heard


def _conditions(
    folds: Sequence[Fold],
    factories: dict[str, EngineFactory],
    plain_clips: Sequence[Clip],
    plan: Plan,
    rows: Sequence[Row],
) -> list[dict[str, Any]]:
    lines = []
    some = [Fold(f.split, f.name, f.train, f.test[:: plan.every]) for f in folds]
    for name in plan.conditions:
        condition = CONDITIONS[name]
        clips = (
            plain_clips
            if name == TELEPHONE
            else [judge(h.row, h.hearing, plan.settings) for h in _heard(some, factories, condition, plan, rows)]
        )
        lines.append({"name": name, "means": condition.means, **one_line(clips)})
    return lines


def _calls(
    folds: Sequence[Fold], factories: dict[str, EngineFactory], plans: Sequence[Conversation], plan: Plan
) -> list[Call]:
    """Each conversation by the model that never met its voice."""
    home = {row.voice: fold.name for fold in folds for row in fold.test}
    calls: list[Call] = []
    for fold in folds:
        own = [one for one in plans if home[one.voice] == fold.name]
        ear = Ear(factories[fold.name], CONDITIONS[TELEPHONE], {})
        results = hear_all(own, ear, sound=conversations.sound_of, workers=plan.workers, batch=2)
        calls += [judge_call(r.row, r.hearing, plan.settings) for r in results if isinstance(r, Heard)]
    return calls


def _ordinary(
    folds: Sequence[Fold], factories: dict[str, EngineFactory], plan: Plan, rows: Sequence[Row]
) -> dict[str, Any]:
    plans = conversations.ordinary(rows, plan.hours)
    plan.say(f"{len(plans)} ordinary conversations")
    calls = _calls(folds, factories, plans, plan)

    corpora = sorted({call.plan.corpus for call in calls})
    return {
        name: ordinary_of([call for call in calls if name in (OVERALL, call.plan.corpus)])
        for name in ([OVERALL, *corpora] if calls else [])
    }


def _turns(
    folds: Sequence[Fold], factories: dict[str, EngineFactory], plan: Plan, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    lines = []
    for kind in conversations.TURNS:
        plans = conversations.turning(rows, kind)
        plan.say(f"{len(plans)} conversations that turn to {kind}")
        calls = _calls(folds, factories, plans, plan)
        for corpus in [OVERALL, *sorted({call.plan.corpus for call in calls})]:
            some = [call for call in calls if corpus in (OVERALL, call.plan.corpus)]
            if some:
                lines.append({"kind": kind, "corpus": corpus, **turn_of(some)})
    return lines
