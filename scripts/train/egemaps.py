#!/usr/bin/env python3
"""The yardstick: eGeMAPS functionals and a linear SVM on the splits our own model is tested on.

    python3 -m venv .yardstick && .yardstick/bin/pip install --require-hashes -r requirements/yardstick.lock
    PYTHONPATH=. .yardstick/bin/python scripts/train/egemaps.py --data ../shared/data --out baseline.json

eGeMAPS (Eyben et al., IEEE Trans. Affective Computing 7, 2016) is extracted by openSMILE from the same telephone
copies. openSMILE's licence is for research and evaluation only: it stays in an environment of its own, and out of the
product.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import opensmile  # type: ignore[import-not-found, import-untyped]
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline  # type: ignore[import-not-found, import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-not-found, import-untyped]
from sklearn.svm import LinearSVC  # type: ignore[import-not-found, import-untyped]

from agent.core.audio import SAMPLE_RATE
from agent.core.emotion import LABELS
from agent.errors import AudioUnreadable
from agent.evaluation import metrics
from agent.evaluation.conditions import CONDITIONS, TELEPHONE, heard_as
from agent.evaluation.folds import Fold, by_corpus, by_speaker
from agent.evaluation.manifest import NOISE, Row, read_manifest
from agent.evaluation.sounds import load

Floats = NDArray[np.float64]
C = 0.01
"""The best of 0.001, 0.01 and 0.1 on the splits themselves: to the yardstick's advantage."""


def features(rows: Sequence[Row], cache: Path | None) -> Floats:
    """Shape (rows, 88); zeros for what cannot be read, or gives none."""
    if cache is not None and cache.is_file():
        known: Floats = np.load(cache)
        if len(known) == len(rows):
            return known
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    table = np.zeros((len(rows), smile.num_features))
    for at, row in enumerate(rows):
        try:
            samples = heard_as(load(row.path), row, CONDITIONS[TELEPHONE], {})
        except AudioUnreadable:
            continue
        table[at] = np.nan_to_num(smile.process_signal(samples / 32768.0, SAMPLE_RATE).to_numpy()[0])
    if cache is not None:
        np.save(cache, table)
    return table


def machine(c: float) -> Any:
    return make_pipeline(StandardScaler(), LinearSVC(C=c, class_weight="balanced", dual=False, random_state=0))


def predicted(rows: Sequence[Row], table: Floats, folds: Sequence[Fold], c: float) -> tuple[Floats, NDArray[np.intp]]:
    """For every row its margin for anger and the label said, by the model of the fold that tests it (NaN, -1: none)."""
    place = {row.name: at for at, row in enumerate(rows)}
    margin, said = np.full(len(rows), math.nan), np.full(len(rows), -1, dtype=np.intp)
    for fold in folds:
        train = np.array([place[row.name] for row in fold.train])
        test = np.array([place[row.name] for row in fold.test])
        angry = np.array([row.angry for row in fold.train])
        margin[test] = machine(c).fit(table[train], angry).decision_function(table[test])
        labelled = np.array([row.label in LABELS for row in fold.train])
        labels = np.array([LABELS.index(row.label) for row in fold.train if row.label in LABELS])
        said[test] = machine(c).fit(table[train[labelled]], labels).predict(table[test])
    return margin, said


def figures(rows: Sequence[Row], margin: Floats, said: NDArray[np.intp], which: NDArray[np.bool_]) -> dict[str, Any]:
    """As `agent.evaluation.figures.figures` counts them, without intervals."""
    angry = np.array([row.angry for row in rows])
    truth = np.array([LABELS.index(row.label) if row.label in LABELS else -1 for row in rows])
    voices = which & np.array([row.label != NOISE for row in rows])

    def auc(*against: str) -> float:
        some = voices & (angry | np.isin(truth, [LABELS.index(label) for label in against]))
        return metrics.auc(margin[some], angry[some])

    labelled = which & (truth >= 0)
    found = {
        "uar_forced": metrics.uar(metrics.confusion(truth[labelled], said[labelled], len(LABELS))),
        "auc": metrics.auc(margin[voices], angry[voices]),
        "auc_calm": auc("neutral", "sad"),
        "auc_happy": auc("happy"),
        "recall_at_4": metrics.recall_at(margin[voices], angry[voices], 0.04),
        "recall_at_1": metrics.recall_at(margin[voices], angry[voices], 0.01),
    }
    return {
        "clips": int(which.sum()),
        **{k: round(float(v), 4) if math.isfinite(v) else None for k, v in found.items()},
    }


def split(rows: Sequence[Row], table: Floats, folds: Sequence[Fold], c: float) -> dict[str, Any]:
    margin, said = predicted(rows, table, folds, c)
    corpora = sorted({row.corpus for row in rows if row.angry})
    there = np.isfinite(margin)
    of = {corpus: there & np.array([row.corpus == corpus for row in rows]) for corpus in corpora}
    groups = {"all": np.logical_or.reduce(list(of.values())), **of}
    return {name: figures(rows, margin, said, which) for name, which in groups.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--data", type=Path, required=True, help="folder of the recordings, with manifest.csv")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--cache", type=Path, help="keep the features here (.npy)")
    arguments.add_argument("--c", type=float, default=C, help="the SVM's cost")
    chosen = arguments.parse_args()
    rows = read_manifest(chosen.data / "manifest.csv")
    table = features(rows, chosen.cache)
    found = {
        "speaker": split(rows, table, by_speaker(rows), chosen.c),
        "corpus": split(rows, table, by_corpus(rows), chosen.c),
    }
    chosen.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for name, groups in found.items():
        for group, line in groups.items():
            print(name, group, line)


if __name__ == "__main__":
    main()
