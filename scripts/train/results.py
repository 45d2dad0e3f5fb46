#!/usr/bin/env python3
"""The page of results, every number of it made anew: agent/engines/local/RESULTS.md and the pictures beside it.

    .venv/bin/python scripts/train/results.py --data ../shared/data [--baseline baseline.json]

With `--trainer`, a model is trained for every fold first, by the code that trains the shipped one; without, the engine
as it is hears everything. The yardstick's numbers come from `scripts/train/egemaps.py`, which needs an environment of
its own.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from agent.config_sources import load
from agent.evaluation.folds import Fold
from agent.evaluation.manifest import read_manifest
from agent.evaluation.page import page, pictures
from agent.evaluation.runner import EngineFactory, without_secrets
from agent.evaluation.study import Plan, Trainer, study

ROOT = Path(__file__).parents[2]
SAME_FOR_ALL = (
    "One engine heard everything: whoever set or trained it may have known any of these recordings, so nothing "
    "here shows how it does on new speakers."
)
HELD_OUT = "Every clip was heard by a model trained without its speaker, or without its corpus, as each section says."


def trainer_named(name: str, folder: Path) -> Trainer:
    """`FUNCTION(fold, folder)` trains on `fold.train`, keeps its model in the folder, and gives what makes engines."""
    module, _, function = name.partition(":")
    return partial(_trained, getattr(import_module(module), function), folder)


def _trained(train: Callable[[Fold, Path], EngineFactory], folder: Path, fold: Fold) -> EngineFactory:
    print(f"training {fold.name} on {len(fold.train)} clips", flush=True)
    return train(fold, folder)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--data", type=Path, required=True, help="folder of the recordings, with manifest.csv")
    arguments.add_argument("--out", type=Path, default=ROOT / "agent/engines/local", help="folder of RESULTS.md")
    arguments.add_argument("--baseline", type=Path, help="what scripts/train/egemaps.py wrote")
    arguments.add_argument(
        "--trainer", help="MODULE:FUNCTION that trains a fold's model; without it nothing is held out"
    )
    arguments.add_argument("--models", type=Path, default=Path("fold-models"), help="folder of the folds' models")
    arguments.add_argument("--hours", type=float, default=30.0, help="of ordinary conversation")
    arguments.add_argument("--every", type=int, default=1, help="in the other conditions every n-th clip only")
    arguments.add_argument("--workers", type=int)
    chosen = arguments.parse_args()
    rows = read_manifest(chosen.data / "manifest.csv")
    plan = Plan(
        trainer_named(chosen.trainer, chosen.models) if chosen.trainer else None,
        without_secrets(load()),
        hours=chosen.hours,
        every=chosen.every,
        workers=chosen.workers,
        say=partial(print, flush=True),
    )
    numbers = study(rows, plan)
    if chosen.baseline is not None:
        numbers["baseline"] = json.loads(chosen.baseline.read_text("utf-8"))
    trained = f" --trainer {chosen.trainer}" if chosen.trainer else ""
    beside_us = " --baseline baseline.json" if chosen.baseline else ""
    command = f"scripts/train/results.py --data DIR{beside_us}{trained} --hours {chosen.hours:g} --every {chosen.every}"
    about = HELD_OUT if chosen.trainer else SAME_FOR_ALL
    beside = chosen.out / "results"
    beside.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(numbers).items():
        (beside / name).write_text(picture, "utf-8")
    (beside / "results.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    (chosen.out / "RESULTS.md").write_text(page(numbers, command, about), "utf-8")


if __name__ == "__main__":
    main()
