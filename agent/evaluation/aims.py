"""What the ear is meant to reach, beside what it does reach."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .figures import MILD, OVERALL, STRONG

Study = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Aim:
    what: str
    aim: float
    reached: float | None
    """None: it could not be measured here."""
    at_least: bool = True
    """Otherwise at most."""

    @property
    def met(self) -> bool | None:
        if self.reached is None:
            return None
        return self.reached >= self.aim if self.at_least else self.reached <= self.aim


def aims(study: Study) -> list[Aim]:
    """All that can be read off these numbers. Of several groups the worst counts, where the aim holds for each."""
    return [*_ranking(study), *_operating(study), *_calls(study)]


def _ranking(study: Study) -> Iterator[Aim]:
    who = "new speakers" if "corpus" in study else "speakers it may know"
    for corpus, found in study["speaker"]["corpus"].items():
        if found["speakers"] < 5:
            continue
        yield Aim(f"{corpus}, {who}: AUC against the rest", 0.95, found["auc"][0])
        yield Aim(f"{corpus}, {who}: anger found at 4 % false alarms", 0.80, found["recall_at_4"][0])
        yield Aim(f"{corpus}, {who}: anger found at 1 % false alarms", 0.55, found["recall_at_1"][0])
        yield Aim(f"{corpus}, {who}: AUC against joy", 0.93, found["auc_happy"][0])
        yardstick = study.get("baseline", {}).get("speaker", {}).get(corpus)
        if yardstick and found["uar_forced"][0] is not None:  # the yardstick says something of every clip
            lead = found["uar_forced"][0] - yardstick["uar_forced"]
            yield Aim(f"{corpus}, {who}: UAR of every clip, above the yardstick's", 0.08, round(lead, 4))
    yield Aim(f"all corpora, {who}: calibration error", 0.05, study["speaker"][OVERALL]["ece"][0], at_least=False)
    if "corpus" in study:
        found = list(study["corpus"]["corpus"].values())
        yield Aim("new corpora: AUC against the rest, on average", 0.87, _mean([f["auc"][0] for f in found]))
        yield Aim(
            "new corpora: AUC against neutral and sad, on average", 0.95, _mean([f["auc_calm"][0] for f in found])
        )


def _operating(study: Study) -> Iterator[Aim]:
    lines = study["operating"]

    def shares(kind: str) -> list[float]:
        return [line["share"][0] for line in lines if line["kind"] == kind]

    strong = [line for line in lines if line["kind"] == STRONG]
    clips = sum(line["clips"] for line in strong)
    recall = sum(line["share"][0] * line["clips"] for line in strong) / clips if clips else None
    acted = {line["corpus"] for line in strong}
    others = [line["share"][0] for line in lines if line["kind"] == "all but anger" and line["corpus"] in acted]
    yield Aim("clips by themselves: strong anger acted on", 0.85, recall)
    yield Aim("clips by themselves: mild anger acted on", 0.60, _mean(shares(MILD)))
    yield Aim("clips by themselves: neutral that alarms, worst corpus", 0.02, _worst(shares("neutral")), at_least=False)
    yield Aim("clips by themselves: all but anger that alarms, worst corpus", 0.04, _worst(others), at_least=False)
    for line in study["conditions"]:
        if line["name"] in ("babble20", "kitchen20"):
            yield Aim(f"{line['name']}: all but anger that alarms", 0.04, line["other"][0], at_least=False)
    talk = [line for line in study["talk"] if line["corpus"] == "calls"]
    if talk:
        share = sum(line["alarmed"] for line in talk) / sum(line["clips"] for line in talk)
        small = [line["alarmed"] for line in talk if line["clips"] < 34]
        yield Aim("ordinary calls: clips that alarm", 0.03, round(share, 4), at_least=False)
        yield Aim("ordinary calls: clips that alarm on one small channel, most", 1, _worst(small), at_least=False)
    if study["noise"]:
        alarmed = sum(line["alarmed"] for line in study["noise"])
        yield Aim("noise: clips that alarm", 0, alarmed, at_least=False)


def _calls(study: Study) -> Iterator[Aim]:
    ordinary = study["ordinary"].get(OVERALL)
    if ordinary:
        yield Aim("conversations: false escalations an hour", 0.1, ordinary["escalated"][1], at_least=False)
    for line in study["turns"]:
        if line["kind"] == STRONG and line["corpus"] == OVERALL:
            for name, most in (("median", 2.0), ("p95", 3.5)):
                delay = line["interrupted"][f"{name}_ms"]
                seconds = None if delay is None else delay / 1000
                yield Aim(
                    f"strong anger after calm: seconds of it until acted on, {name}", most, seconds, at_least=False
                )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(math.fsum(known) / len(known), 4) if known else None


def _worst(values: Sequence[float]) -> float | None:
    return max(values, default=None)
