"""Each protection is taken away in turn, and the row that stands for it fails: the table is silent for a reason."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from structlog.contextvars import bound_contextvars
from trio.testing import MockClock

from agent.actors.channels import WhenFull, open_channel
from agent.calls import directory
from agent.calls.call import Call
from agent.core.audio import Window

from .table import check, check_kept, leave_at_once, play
from .what_breaks import EVERYTHING

ROW = {what.name: what for what in EVERYTHING}


@dataclass(frozen=True)
class Without:
    """A protection, how it is taken away, and the row that needs it."""

    protection: str
    what: str
    when: str
    settings: dict[str, float] = field(default_factory=dict)
    patches: dict[str, object] = field(default_factory=dict)


async def run_once(attempt: Callable[[], Awaitable[None]], *_: object, **__: object) -> None:
    await attempt()


async def serve_unguarded(calls: Any, call: Call) -> None:
    with bound_contextvars(call=call.call_sid):
        await directory.run_call(call, calls._engine, calls._assistant, calls._ledger, calls._settings)
        calls._finish(call)


def deep_windows(kind: type, depth: int, when_full: WhenFull, **more: Any) -> Any:
    return open_channel(kind, 1000 if kind is Window else depth, when_full, **more)


class SenderPays:
    DROP_OLDEST = WhenFull.WAIT


PROTECTIONS = [
    Without("patience with the engine", "engine stall", "mid-reading", {"analyzer_patience_s": 1000}),
    Without("patience with the assistant", "assistant stall", "publishing", {"publisher_patience_s": 1000}),
    Without("the wrap-up's limit", "assistant stall", "hanging up", {"wrap_up_s": 1000}),
    Without("the ear for a quiet line", "line goes silent", "mid-reading", {"line_quiet_s": 1000}),
    Without("the wait for a stream", "line never comes", "ringing", {"connect_within_s": 1000}),
    Without(
        "the limit of the last save",
        "ledger stalls for ever",
        "mid-reading",
        patches={"agent.calls.directory.LAST_SAVE_S": 30},
    ),
    Without(
        "the analyzer's supervision",
        "engine unavailable",
        "mid-reading",
        patches={"agent.actors.analyzer.keep_running": run_once},
    ),
    Without(
        "the publisher's supervision",
        "assistant refuse_open",
        "ringing",
        patches={"agent.actors.publisher.keep_running": run_once},
    ),
    Without(
        "the circle around a crash",
        "a bug in the decoder",
        "mid-reading",
        patches={"agent.calls.directory.CallDirectory._serve": serve_unguarded},
    ),
    Without(
        "windows of which only the newest count",
        "engine slow within our patience",
        "ringing",
        patches={"agent.calls.tree.open_channel": deep_windows},
    ),
    Without(
        "a line that never waits",
        "nothing",
        "first second",
        patches={"agent.calls.mailbox.WhenFull": SenderPays},
    ),
]


@pytest.mark.parametrize("without", PROTECTIONS, ids=lambda without: without.protection)
async def test_without_its_protection_a_row_fails(
    without: Without, undisturbed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    for target, replacement in without.patches.items():
        monkeypatch.setattr(target, replacement)
    what = ROW[without.what]
    with pytest.raises((AssertionError, ExceptionGroup, trio.TooSlowError)):
        check(await play(what, without.when, monkeypatch, **without.settings), what, without.when, undisturbed)


async def test_without_the_shield_of_the_last_save_the_end_of_a_call_is_lost(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    unshielded = SimpleNamespace(**{**vars(trio), "CancelScope": lambda shield: trio.CancelScope()})
    monkeypatch.setattr("agent.calls.directory.trio", unshielded)
    with pytest.raises(AssertionError):
        check_kept(await leave_at_once())
