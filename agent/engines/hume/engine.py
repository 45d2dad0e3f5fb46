"""Hume as an engine (`ports.Engine`): opens at once, connects beside the call, and costs no more than it may.

Opening never waits for the network: until there is a connection nothing is read, and if there is none the session says
so when it is asked. Whoever supervises it opens another.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import Final

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ...dialling import DialFailed, dialled
from ...errors import EngineUnavailable, alone
from ..allowance import Allowance, Breaker, ShareSpent
from . import messages
from .expressions import Expressions
from .session import HumeSession

log = structlog.get_logger()

PATH: Final = "/v1/expression/audio/realtime"
CONNECT_S: Final = 5.0
GOODBYE_S: Final = 0.2
"""The grace for saying that we leave."""
MESSAGE_LIMIT: Final = 1 << 18
"""Bytes: a measurement of all 415 expressions has some 20 kB."""


class HumeEngine:
    """One, shared by all calls."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        allowance: Allowance,
        expressions: Expressions,
        timer_ms: int = 3000,
        heartbeat_s: float = 30.0,
        name: str = "hume",
    ) -> None:
        """`base_url` without a path, e.g. wss://api.cloud.hume.ai. `timer_ms`: 3000 to 10000."""
        self.name = name
        self.allowance, self.expressions = allowance, expressions
        self._url = base_url.rstrip("/") + PATH
        self._headers = [("X-Hume-Api-Key", api_key)]
        self._timer_ms, self._heartbeat_s = timer_ms, heartbeat_s
        self._breaker = Breaker("Hume")

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[HumeSession]:
        """A session for one call; raises EngineUnavailable or EngineRefused while Hume is not to be asked."""
        self._breaker.check()
        with self.allowance.session(call_sid):
            session = HumeSession(call_sid, self.allowance, self.expressions, timer_ms=self._timer_ms)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._serve, session)
                    try:
                        yield session
                    finally:
                        nursery.cancel_scope.cancel()
                        session.forget()
            except BaseExceptionGroup as group:  # of one: what was raised in the block
                raise alone(group) from None

    async def _serve(self, session: HumeSession) -> None:
        """One connection, from the handshake to its end. Nothing is raised: the session keeps what went wrong."""
        try:
            with trio.move_on_after(CONNECT_S) as connecting:
                async with dialled(self._url, headers=self._headers, message_limit=MESSAGE_LIMIT) as socket:
                    connecting.deadline = inf
                    await self._talk(socket, session)
            if connecting.cancelled_caught:
                session.end(EngineUnavailable("Hume did not answer in time"))
        except DialFailed as failure:
            unanswered = EngineUnavailable(f"Hume cannot be used now: {failure}")
            session.end(unanswered if failure.status is None else messages.refused(failure.status))
        except Exception as bug:
            log.error("hume.failed", exc_info=bug)
            session.end(EngineUnavailable("the connection to Hume failed"))
        if session.fault is not None and not isinstance(session.fault, ShareSpent):
            self._breaker.failed(session.fault)

    async def _talk(self, socket: WebSocketConnection, session: HumeSession) -> None:
        """Until one of the tasks ends: each of them is needed."""
        try:
            async with trio.open_nursery() as nursery:

                async def needed(task: Callable[[], Awaitable[None]]) -> None:
                    await task()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(needed, partial(session.converse, socket))
                nursery.start_soon(needed, partial(session.speak, socket))
                nursery.start_soon(needed, partial(session.ping, socket, self._heartbeat_s))
                await session.configured.wait()
                self._breaker.worked()
        finally:
            with trio.move_on_after(GOODBYE_S, shield=True), suppress(ConnectionClosed):
                await socket.send_message(messages.SESSION_CLOSE)
