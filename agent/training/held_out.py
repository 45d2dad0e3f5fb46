"""Models for checking: of a fold of the evaluation, made without the speakers or the corpus it is tested on."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from ..engines.local import LocalEngine
from ..evaluation.folds import Fold
from .making import make

CACHE: Final = Path(gettempdir()) / "callmood-training"


def fold_model(fold: Fold, folder: Path) -> Callable[[], LocalEngine]:
    """The whole way to a model, calibration included, on the fold's training rows alone; what makes its engines.

    The rows' folder must be the manifest's own. Features of all recordings are heard once, and kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{fold.name}.npz"
    data = _common(fold)
    allowed = frozenset(row.name for row in fold.train)
    if not out.is_file():
        make(data, out, 0, CACHE, partial(print, flush=True), allowed)
    return partial(_engine, out)


def _common(fold: Fold) -> Path:
    """The manifest's folder: a row's path without its name."""
    row = fold.train[0]
    return Path(str(row.path)[: -len(row.name)])


@cache
def _engine(model: Path) -> LocalEngine:
    return LocalEngine(model=model)
