"""A worker that hangs: its process is there, and its loop stands still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from agent.settings import Settings
from agent.workers import supervisor as module
from agent.workers.supervisor import Asked, Supervisor


async def test_who_is_told_to_stop_while_a_worker_is_being_made_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLMOOD_DATA", str(tmp_path / "data"))
    service = Supervisor(Settings(port=0), Asked(2, "127.0.0.1", None, insecure=True), str(tmp_path), None)
    make = trio.lowlevel.open_process

    async def make_slowly(*args: Any, **more: Any) -> trio.Process:
        process = await make(*args, **more)
        os.kill(os.getpid(), signal.SIGTERM)
        await service._stopping.wait()
        return process

    monkeypatch.setattr(trio.lowlevel, "open_process", make_slowly)
    said: list[str] = []
    with trio.fail_after(30):
        assert await service.serve(lambda url, _: said.append(url)) == 0
    assert not said


@asynccontextmanager
async def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervisor]:
    """One worker, which is looked at every three seconds."""
    monkeypatch.setattr(module, "LOOK_S", 3.0)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CALLMOOD_DATA", str(folder / "data"))
    service = Supervisor(Settings(port=0), Asked(1, "127.0.0.1", None, insecure=True), str(folder), None)
    begun = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.serve, lambda *_: begun.set())
        await begun.wait()
        yield service
        nursery.cancel_scope.cancel()


async def test_a_worker_that_hangs_is_killed_and_another_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(90), capture_logs() as logs:
        async with serving(tmp_path, monkeypatch) as service:
            first = service._alive[0]
            os.kill(first.pid, signal.SIGSTOP)
            await first.wait()
            assert first.returncode == -signal.SIGKILL
            while not [1 for line in logs if line["event"] == "worker.started" and line["restarts"]]:  # noqa: ASYNC110
                await trio.sleep(0.1)
            second = service._alive[0]
            assert second.pid != first.pid
            # It is alive for longer than a silent one would be.
            await trio.sleep(1.5 * module.LOOKS * module.LOOK_S)
            assert second.returncode is None
    assert [(line["worker"], line["pid"]) for line in logs if line["event"] == "worker.hung"] == [(0, first.pid)]


async def test_when_the_whole_machine_stands_still_nobody_is_taken_to_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(90), capture_logs() as logs:
        async with serving(tmp_path, monkeypatch) as service:
            worker = service._alive[0]
            os.kill(worker.pid, signal.SIGSTOP)
            await trio.sleep(0.5)  # what it has said is heard
            time.sleep(1.2 * module.LOOKS * module.LOOK_S)  # noqa: ASYNC251 - we stand still as well
            os.kill(worker.pid, signal.SIGCONT)
            await trio.sleep(1.2 * module.LOOKS * module.LOOK_S)
            assert worker.returncode is None
    assert not [line for line in logs if line["event"] == "worker.hung"]
