"""Many sounds through the ear, in as many processes as are asked for; what cannot be read is set aside.

A result depends on nothing but the recording, the condition and the seed: one process gives the same as ten.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

import numpy as np
import trio
from numpy.typing import NDArray

from ..errors import AudioUnreadable, CallmoodError, EngineRefused, EngineUnavailable
from ..groups import ungrouped
from ..ports import Engine
from ..settings import Secret, Settings
from .conditions import Named, Noises, heard_as
from .listening import Hearing, listen
from .manifest import Row
from .sounds import load

BATCH = 24
FEW = 48
"""Sounds that are heard sooner than another process has started."""

EngineFactory = Callable[[], Engine]
"""Makes an engine, in whichever process it is called; picklable: a function of a module, or a partial of one."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Heard(Generic[Item]):
    row: Item
    hearing: Hearing


@dataclass(frozen=True, slots=True)
class Unreadable(Generic[Item]):
    """What gave no result, and why."""

    row: Item
    sentence: str


@dataclass(frozen=True, slots=True)
class Ear:
    """What a process needs to hear with."""

    factory: EngineFactory
    condition: Named
    noises: Noises


Sound = Callable[[Any, Ear], NDArray[np.int16]]
"""An item's samples, 8 kHz, as they arrive; a function of a module. Raises AudioUnreadable."""


def configured(name: str) -> Engine:
    """The engine of this name, as the settings of the present folder have it."""
    from .. import wiring  # noqa: PLC0415 - it knows every provider, and not everybody needs them
    from ..config_sources import load as settings  # noqa: PLC0415

    return wiring.engine(replace(settings(), engine=name))


def without_secrets(settings: Settings) -> Settings:
    """What may be sent to another process, or kept."""
    known = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return Settings(**{name: value for name, value in known.items() if not isinstance(value, Secret)})


def of_row(row: Row, ear: Ear) -> NDArray[np.int16]:
    return heard_as(load(row.path), row, ear.condition, ear.noises)


def hear_all(
    items: Sequence[Item],
    ear: Ear,
    *,
    sound: Sound = of_row,
    workers: int | None = None,
    batch: int = BATCH,
    done: Callable[[int], None] = lambda count: None,
) -> list[Heard[Item] | Unreadable[Item]]:
    """A result for each, in their order. `workers`: None takes every core, 1 no other process; few items never do.
    `done` is told how many more there are."""
    batches = [items[start : start + batch] for start in range(0, len(items), batch)]
    workers = 1 if len(items) * BATCH <= FEW * batch else min(workers or os.cpu_count() or 1, len(batches))
    results: list[Heard[Item] | Unreadable[Item]] = []
    for found in _batches(batches, ear, sound, workers):
        results += found
        done(len(found))
    return results


def _batches(batches: Iterable[Sequence[Any]], ear: Ear, sound: Sound, workers: int) -> Iterator[list[Any]]:
    if workers == 1:
        yield from (hear_batch(batch, ear, sound) for batch in batches)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(ear, sound)) as pool:
        try:
            yield from pool.map(_hear_in_process, batches)
        except BrokenProcessPool:
            raise CallmoodError("a process that listened to recordings died: try again with --workers 1") from None
        finally:
            pool.shutdown(cancel_futures=True)


_process: list[tuple[Ear, Sound]] = []
"""What this process was started for."""


def _begin(ear: Ear, sound: Sound) -> None:
    _process[:] = [(ear, sound)]


def _hear_in_process(batch: Sequence[Any]) -> list[Any]:
    return hear_batch(batch, *_process[0])


def hear_batch(batch: Sequence[Any], ear: Ear, sound: Sound = of_row) -> list[Any]:
    """The results of some, one after the other, by one engine."""
    with ungrouped():
        return trio.run(_hear_batch, batch, ear, sound)


async def _hear_batch(batch: Sequence[Any], ear: Ear, sound: Sound) -> list[Any]:
    engine = ear.factory()
    return [await _hear(item, ear, sound, engine) for item in batch]


async def _hear(item: Any, ear: Ear, sound: Sound, engine: Engine) -> Any:
    try:
        return Heard(item, await listen(sound(item, ear), engine))
    except (AudioUnreadable, EngineUnavailable, EngineRefused) as error:
        return Unreadable(item, str(error))
