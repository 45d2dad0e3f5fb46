"""An oruk on this machine: one connection is one turn, and each phrase of it has its emotions.

    async with FakeOruk.serve(hears=lambda start_s, end_s: [("anger", 0.8)]) as oruk: …

Phrases are two seconds long here, wherever there is sound; words come along, as they do from the real one.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

PATH: Final = "/v1/realtime?model=oruk-realtime"
BYTES_PER_S: Final = 32_000
PHRASE_S: Final = 2.0
LOUD: Final = 600
"""Of 32768: a phrase in which nothing is louder is none."""
KEEP: Final = 1_000

Hears = Callable[[float, float], Sequence[tuple[str, float]]]
OrukFault = Literal["refuse", "unauthorized", "rate_limited", "drop"]


class FakeOruk:
    """Open one with `FakeOruk.serve`."""

    def __init__(self, hears: Hears) -> None:
        self.key = "key-of-the-fake-oruk"
        self.hears, self.port = hears, 0
        self.fault: OrukFault | None = None
        self.refused: deque[str] = deque(maxlen=KEEP)
        self.turns = 0

    @classmethod
    @asynccontextmanager
    async def serve(cls, hears: Hears = lambda start_s, end_s: ()) -> "AsyncIterator[FakeOruk]":
        """Serve on a free loopback port until the end of the block."""
        oruk = cls(hears)
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                partial(serve_websocket, oruk._answer, "127.0.0.1", 0, None, max_message_size=1 << 20)
            )
            oruk.port = server.port
            yield oruk
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def _answer(self, request: WebSocketRequest) -> None:
        headers = dict(request.headers)
        known = headers.get(b"authorization", b"").decode() == f"Bearer {self.key}"
        if self.fault == "refuse":
            await request.reject(503)
        elif not known or self.fault == "unauthorized" or b"x-request-id" not in headers:
            await request.reject(401)
        elif request.path != PATH or "oruk-realtime" not in request.proposed_subprotocols:
            await request.reject(404)
        else:
            socket = await request.accept(subprotocol="oruk-realtime")
            self.turns += 1
            with suppress(ConnectionClosed):
                await self._turn(socket)

    async def _turn(self, socket: WebSocketConnection) -> None:
        await say(socket, "session.created", request_id="req-1")
        configured, heard, phrase_s, loud = False, 0, 0.0, False
        while True:
            message = await socket.get_message()
            if isinstance(message, str):
                kind = json.loads(message)["type"]
                if kind == "session.update" and not configured:
                    configured = True
                    await say(socket, "session.updated")
                elif kind == "input_audio_buffer.commit":
                    await say(socket, "session.usage", usage={"audio_seconds": heard / BYTES_PER_S})
                    await socket.aclose(1000)
                    return
                else:
                    self.refused.append(kind)
                continue
            if not configured or len(message) % 2:
                self.refused.append("audio")
            heard += len(message)
            loud = loud or bool(np.abs(np.frombuffer(message, dtype="<i2")).max(initial=0) > LOUD)
            if self.fault == "rate_limited":
                await say(socket, "error", error={"code": "rate_limited", "message": "Try again later."})
                await socket.aclose(1008)
                return
            if self.fault == "drop":
                await trio.aclose_forcefully(socket._stream)
                return
            while heard / BYTES_PER_S - phrase_s >= PHRASE_S:
                start_s, phrase_s = phrase_s, phrase_s + PHRASE_S
                if loud:
                    await self._phrase(socket, start_s, phrase_s)
                loud = False

    async def _phrase(self, socket: WebSocketConnection, start_s: float, end_s: float) -> None:
        await say(socket, "conversation.item.input_audio_transcription.delta", delta="words nobody here looks at")
        emotions = [{"label": label, "score": score} for label, score in self.hears(start_s, end_s)]
        await say(
            socket,
            "conversation.item.input_audio_emotion.completed",
            phrase_id=f"ph-{start_s:g}",
            start=start_s,
            end=end_s,
            text="words nobody here looks at",
            emotions=emotions,
        )


async def say(socket: WebSocketConnection, kind: str, **fields: Any) -> None:
    await socket.send_message(json.dumps({"type": kind, **fields}))
