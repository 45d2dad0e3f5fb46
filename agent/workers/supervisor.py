"""The supervisor of `callmood serve --workers N`: opens the port, starts the workers on it, and starts again what dies.

It loads no engine and touches no call. A worker's standard input is its tie to us: its place is written there, and
where it ends the worker drains, so that none is left over if we are killed. On its standard output it says when it
listens, and from then on that it is alive: one that says nothing any more hangs, and is killed. A worker that refuses
to start at first ends the service; one that dies later is started again, more slowly each time it dies young, and takes
up the calls of its place from then on: its open calls are over, and are recorded as crashed when it starts.
"""

import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import trio

from ..ingress.door import bracketed, listen
from ..ledger.folder import held, make_folder, usable
from ..settings import Settings
from ..signals import STOPS
from .berth import Berth, check_shared, encoded

log = structlog.get_logger()

READY_S = 60.0
"""How long a worker may take until it listens, on a machine that is busy."""
LOOK_S, LOOKS = 5.0, 3
"""A worker that says nothing for so many looks in a row hangs, and has lost its calls: their lines count as quiet by
then. Where the whole machine has stood still, that is one look, however long it was."""
YOUNG_S = 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
"""How long a worker that has died is waited with, doubled for each that died younger than `YOUNG_S`."""

REFUSED = 2
"""A worker's exit code where it cannot start with these settings."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asked for."""

    workers: int
    host: str
    config: Path | None
    insecure: bool


@dataclass(slots=True)
class Supervisor:
    """One run of the service."""

    settings: Settings
    asked: Asked
    folder: str
    """Where the workers' sockets lie."""
    lock: int | None
    """The ledger's lock, which the workers hold on to: calls are theirs until the last of them has ended. None: another
    service writes to this ledger."""
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    code: int = 0
    """Ours, when all is over."""
    _stopping: trio.Event = field(default_factory=trio.Event)
    _listeners: list[int] = field(default_factory=list)
    _alive: dict[int, trio.Process] = field(default_factory=dict)

    async def serve(self, ready: Callable[[str, str], None]) -> int:
        """Until all workers have ended; the exit code. `ready` is told the address and the token in use, once all
        listen. Raises ConfigError."""
        listeners = await listen(self.asked.host, self.settings.port)
        self._listeners = [listener.socket.fileno() for listener in listeners]
        address = f"http://{bracketed(self.asked.host)}:{listeners[0].socket.getsockname()[1]}"
        async with AsyncExitStack() as stack:
            for listener in listeners:
                await stack.enter_async_context(listener)
            nursery = await stack.enter_async_context(trio.open_nursery())
            await nursery.start(self._forward_signals)
            async with trio.open_nursery() as workers:
                # The first by itself: it brings the ledger up to date, and says what is wrong with the settings.
                await workers.start(self._keep, 0)
                async with trio.open_nursery() as starting:
                    for slot in range(1, self.asked.workers):
                        starting.start_soon(workers.start, self._keep, slot)
                if not self._stopping.is_set():
                    ready(address, self.settings.token.reveal() or self.token)
            nursery.cancel_scope.cancel()
        return self.code

    async def _keep(self, slot: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One place, always taken, until we stop. Reports when it is served, or never will be."""
        restarts, wait_s = 0, FIRST_WAIT_S
        while not self._stopping.is_set():
            began = trio.current_time()
            served, code = await self._run(slot, restarts, task_status.started if restarts == 0 else lambda: None)
            if self._stopping.is_set():
                self.code = self.code or int(code not in (0, -signal.SIGTERM))  # that one had not begun yet
                break
            if not served and restarts == 0:
                self.code = REFUSED if code == REFUSED else 1
                self._stop()
                break
            wait_s = FIRST_WAIT_S if trio.current_time() - began >= YOUNG_S else min(2 * wait_s, LONGEST_WAIT_S)
            restarts += 1
            if code:
                log.error("worker.died", worker=slot, code=code, restarts=restarts)
            with trio.move_on_after(wait_s):
                await self._stopping.wait()
        with suppress(RuntimeError):  # it has been said already
            task_status.started()

    async def _run(self, slot: int, restarts: int, listens: Callable[[], None]) -> tuple[bool, int]:
        """One worker, to its end: whether it ever listened, and its exit code."""
        held = [] if self.lock is None else [self.lock]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "agent.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(*self._listeners, *held),
            start_new_session=True,  # a terminal's Ctrl-C is for us to pass on
        )
        self._alive[slot] = process
        if self._stopping.is_set():  # while it was being made, when nobody could pass that on to it
            process.terminate()
        try:
            served = await self._introduced(process, self._berth(slot, restarts))
            if served:
                log.info("worker.started", worker=slot, pid=process.pid, restarts=restarts)
                listens()
                await self._watched(process, slot)
            else:
                process.kill()
            return served, await process.wait()
        finally:
            del self._alive[slot]
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def _introduced(self, process: trio.Process, berth: Berth) -> bool:
        """Tell a worker its place, and wait until it listens there."""
        assert process.stdin is not None
        assert process.stdout is not None
        with trio.move_on_after(READY_S), suppress(trio.BrokenResourceError):
            await process.stdin.send_all(encoded(berth))
            said = await process.stdout.receive_some(64)
            if not said:
                await process.wait()  # it has said on standard error why
            return bool(said)
        return False

    async def _watched(self, process: trio.Process, slot: int) -> None:
        """Listen to a worker until it ends, or hangs: then it is made to end."""
        assert process.stdout is not None
        silent = 0
        while silent < LOOKS:
            silent += 1
            with trio.move_on_after(LOOK_S):
                if not await process.stdout.receive_some(64):
                    return
                silent = 0
        log.error("worker.hung", worker=slot, pid=process.pid, silent_s=LOOKS * LOOK_S)
        process.kill()

    def _berth(self, slot: int, restarts: int) -> Berth:
        first = "all" if slot == 0 and self.lock is not None else ""
        return Berth(
            slot=slot,
            count=self.asked.workers,
            run=self.run,
            folder=self.folder,
            token=self.token,
            listeners=self._listeners,
            recovers="own" if restarts else first,
            restarts=restarts,
            host=self.asked.host,
            port=self.settings.port,
            config="" if self.asked.config is None else str(self.asked.config),
            insecure=self.asked.insecure,
        )

    async def _forward_signals(self, task_status: trio.TaskStatus[None]) -> None:
        """The first asks all workers to drain, the second to end at once; then we are no longer asking."""
        with trio.open_signal_receiver(*STOPS) as signals:
            task_status.started()
            count = 0
            async for number in signals:
                count += 1
                log.info("service.draining" if count == 1 else "service.stopping_at_once", signal=number)
                self._stop(signal.SIGTERM if count < 3 else signal.SIGKILL)

    def _stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._stopping.set()
        for process in self._alive.values():
            process.send_signal(number)


def supervise(settings: Settings, asked: Asked, ready: Callable[[str, str], None]) -> int:
    """Serve with so many workers until told to stop; the exit code. Raises ConfigError, LedgerUnavailable."""
    check_shared(settings, asked.workers)
    data = Path(settings.data).expanduser()
    with ExitStack() as stack:
        with usable(data):
            make_folder(data)
            lock = stack.enter_context(held(data))
        if lock is None:
            log.warning("ledger.shared", folder=str(data))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callmood-"))
        return trio.run(Supervisor(settings, asked, folder, lock).serve, ready)
