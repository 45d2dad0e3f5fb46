"""What the files of the fault table share."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from ..web.conftest import start
from .table import play
from .what_breaks import NOTHING

__all__ = ["start"]


@pytest.fixture(scope="package")
def undisturbed() -> list[dict[str, Any]]:
    """The timeline of the call beside it, where nothing breaks."""
    with pytest.MonkeyPatch.context() as patch:
        clock = MockClock(autojump_threshold=0)
        return trio.run(partial(play, NOTHING, "mid-reading", patch), clock=clock).neighbour


@pytest.fixture(autouse=True)
def _unprinted() -> Iterator[None]:
    """Tracebacks of scripted bugs take longer to print than their calls to play."""
    with capture_logs():
        yield
