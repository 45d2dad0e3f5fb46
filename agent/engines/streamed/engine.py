"""A vendor as an engine (`ports.Engine`): opens at once, connects beside the call, and costs no more than it may.

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
from ...errors import EngineUnavailable
from ...groups import ungrouped
from .allowance import Allowance, Breaker, ShareSpent
from .dialect import Vendor
from .session import StreamedSession

log = structlog.get_logger()

CONNECT_S: Final = 5.0
GOODBYE_S: Final = 0.2
"""The grace for saying that we leave."""
MESSAGE_LIMIT: Final = 1 << 18
"""Bytes: a measurement of all of Hume's 415 expressions has some 20 kB."""


class StreamedEngine:
    """One vendor, shared by all calls."""

    def __init__(self, vendor: Vendor, allowance: Allowance) -> None:
        self.name = vendor.name
        self.allowance = allowance
        self._vendor, self._breaker = vendor, Breaker(vendor.title)

    @property
    def unseen(self) -> int:
        """Expressions found so far that belong to no label."""
        return self._vendor.expressions.unseen

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[StreamedSession]:
        """A session for one call; raises EngineUnavailable or EngineRefused while the vendor is not to be asked."""
        self._breaker.check()
        with self.allowance.session(call_sid), ungrouped():
            session = StreamedSession(call_sid, self._vendor, self.allowance)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, session)
                try:
                    yield session
                finally:
                    nursery.cancel_scope.cancel()
                    self.allowance.dropped_ms += session.dropped_ms
                    session.forget()

    async def _serve(self, session: StreamedSession) -> None:
        """One connection, from the handshake to its end. Nothing is raised: the session keeps what went wrong."""
        vendor = self._vendor
        try:
            with trio.move_on_after(CONNECT_S) as connecting:
                async with dialled(
                    vendor.url,
                    headers=vendor.headers,
                    subprotocols=vendor.subprotocols,
                    message_limit=MESSAGE_LIMIT,
                    queue=1,
                ) as socket:
                    connecting.deadline = inf
                    await self._talk(socket, session)
            if connecting.cancelled_caught:
                session.end(EngineUnavailable(f"{vendor.title} did not answer in time"))
        except DialFailed as failure:
            unanswered = EngineUnavailable(f"{vendor.title} cannot be used now: {failure}")
            session.end(unanswered if failure.status is None else vendor.refused(failure.status))
        except Exception as bug:
            log.error("engine.connection_failed", engine=self.name, exc_info=bug)
            session.end(EngineUnavailable(f"the connection to {vendor.title} failed"))
        if session.fault is not None and not isinstance(session.fault, ShareSpent):
            self._breaker.failed(session.fault)

    async def _talk(self, socket: WebSocketConnection, session: StreamedSession) -> None:
        """Until one of the tasks ends: each of them is needed."""
        try:
            async with trio.open_nursery() as nursery:

                async def needed(task: Callable[[], Awaitable[None]]) -> None:
                    await task()
                    nursery.cancel_scope.cancel()

                for task in (session.converse, session.speak, session.ping):
                    nursery.start_soon(needed, partial(task, socket))
                await session.ready.wait()
                self._breaker.worked()
        finally:
            with trio.move_on_after(GOODBYE_S, shield=True), suppress(ConnectionClosed):
                await socket.send_message(self._vendor.goodbye)
