"""The fault table: what breaks, times when it breaks, on a clock that jumps."""

from typing import Any

import pytest
from trio.testing import MockClock

from .table import What, check, check_kept, leave_at_once, play
from .what_breaks import EVERYTHING


@pytest.mark.parametrize(
    ("what", "when"), [pytest.param(what, when, id=f"{what}-{when}") for what in EVERYTHING for when in what.when]
)
async def test_whatever_breaks_ends_as_promised_and_hurts_no_other_call(
    what: What,
    when: str,
    undisturbed: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    check(await play(what, when, monkeypatch), what, when, undisturbed)


async def test_the_end_of_a_call_is_kept_although_everything_is_torn_down_over_it(autojump_clock: MockClock) -> None:
    check_kept(await leave_at_once())
