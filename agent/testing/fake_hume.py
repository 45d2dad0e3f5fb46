"""A Hume on this machine, as strict as its contract, and with every way of failing that a call must not notice.

    async with FakeHume.serve(hears=lambda start_ms, end_ms: [("anger", 0.9)]) as hume:
        engine = HumeEngine(base_url=hume.url, api_key=hume.key, …)
        hume.fault = "stall"

What it refuses is in `refused`: frames of another shape, audio faster than real time, configuration that comes too
late. It hears speech by its loudness. Wire format: https://dev.hume.ai/expression-measurement/reference/audio/stream-audio
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Literal
from uuid import uuid4

import numpy as np
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

PATH: Final = "/v1/expression/audio/realtime"
BYTES_PER_MS: Final = 32
LONGEST_FRAME_MS: Final = 10_000
AHEAD_MS: Final = 150
"""How much more audio than time may have passed: a frame and a half. The real tolerance is not published."""
WINDOW_MS: Final = 10_000
LOUD: Final = 300.0
"""Root mean square, of 32768, from which a frame is speech."""
PAUSE_MS: Final = 600
"""Silence that ends an utterance."""
KEEP: Final = 10_000

Hears = Callable[[int, int], Sequence[tuple[str, float]]]
"""Expressions found between two times, in milliseconds of accepted audio."""
HumeFault = Literal[
    "stall",  # takes everything and says nothing
    "mute",  # configures the session, then measures nothing
    "refuse",  # 503 instead of a session
    "unauthorized",  # 401
    "drop",  # loses the connection half a second into the audio
    "restart",  # says that it shuts down, half a second into the audio
    "rate_limit",  # refuses every third frame
    "internal_error",
    "nonsense",  # answers with what nobody can read
]
_ENDS: Final[dict[str, tuple[str, int]]] = {"restart": ("server_shutdown", 1001), "internal_error": ("error", 1008)}


class FakeHume:
    """Open one with `FakeHume.serve`."""

    def __init__(self, hears: Hears) -> None:
        self.key = "key-of-the-fake-hume"
        self.hears = hears
        self.fault: HumeFault | None = None
        """Suffered by connections from now on, and by audio on those there are."""
        self.port = 0
        self.sessions: deque[FakeSession] = deque(maxlen=KEEP)
        """Every session opened, the newest last."""
        self.handshakes = 0
        self.refused: deque[str] = deque(maxlen=KEEP)
        """What it did not take, as error codes."""

    @classmethod
    @asynccontextmanager
    async def serve(cls, hears: Hears = lambda start_ms, end_ms: ()) -> "AsyncIterator[FakeHume]":
        """Serve on a free loopback port until the end of the block."""
        hume = cls(hears)
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                partial(serve_websocket, hume._answer, "127.0.0.1", 0, None, max_message_size=1 << 20)
            )
            hume.port = server.port
            yield hume
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Sessions open now."""
        return sum(1 for session in self.sessions if session.open)

    @property
    def audio_s(self) -> float:
        """Accepted so far, over all sessions: what would be billed."""
        return sum(session.accepted_ms for session in self.sessions) / 1000

    async def _answer(self, request: WebSocketRequest) -> None:
        self.handshakes += 1
        headers = dict(request.headers)
        known = headers.get(b"x-hume-api-key", b"").decode() == self.key
        if self.fault == "refuse" or request.path != PATH:
            await request.reject(503 if self.fault == "refuse" else 404, body=b"{}")
        elif not known or self.fault == "unauthorized":
            await request.reject(401, body=json.dumps({"message": "Unauthorized"}).encode())
        else:
            session = FakeSession(self, await request.accept())
            self.sessions.append(session)
            with suppress(ConnectionClosed):
                await session.run()
            session.open = False


class FakeSession:
    """One connection."""

    def __init__(self, hume: FakeHume, socket: WebSocketConnection) -> None:
        self._hume, self._socket = hume, socket
        self.id = str(uuid4())
        self.open = True
        self.timer_ms = 3000
        self.configured = 0
        self.frames = 0
        self.accepted_ms = 0.0
        self._first_at = 0.0
        self._utterance: tuple[int, float] | None = None
        """Its number, and when it began."""
        self._utterances = self._measurements = 0
        self._loud_until_ms = self._measured_ms = 0.0

    async def run(self) -> None:
        await self._stall()
        if self._hume.fault == "nonsense":
            for text in ("{", "[]", '{"type":7}', '{"type":"measurement.result","audio_end_ms":"x"}'):
                await self._socket.send_message(text)
        await self._say("session.created", session_id=self.id, audio=AUDIO, measurement_timer_ms=self.timer_ms)
        while self.open:
            message = await self._socket.get_message()
            await self._stall()
            if isinstance(message, str):
                await self._command(message)
            else:
                await self._audio(message)

    async def _stall(self) -> None:
        if self._hume.fault == "stall":
            await trio.sleep_forever()

    async def _command(self, text: str) -> None:
        try:
            body = json.loads(text)
            kind = body["type"]
        except (ValueError, KeyError, TypeError):
            await self._complain("message_invalid")
            return
        timer = body.get("measurement_timer_ms", 3000)
        if kind == "session.close":
            await self._close("client_request", 1000)
        elif kind != "session.update":
            await self._complain("message_invalid")
        elif self.frames or not 3000 <= timer <= 10_000 or body.get("audio", AUDIO) != AUDIO:
            await self._complain("config_invalid", ends=True)
        else:
            self.timer_ms, self.configured = timer, self.configured + 1
            await self._say("session.updated", audio=AUDIO, measurement_timer_ms=timer)

    async def _audio(self, pcm: bytes) -> None:
        now_ms, length_ms = 1000 * trio.current_time(), len(pcm) / BYTES_PER_MS
        if not pcm or len(pcm) % 2 or length_ms > LONGEST_FRAME_MS:
            await self._complain("invalid_audio_frame")
            return
        self._first_at = self._first_at or now_ms
        ahead_ms = self.accepted_ms + length_ms - (now_ms - self._first_at)
        self.frames += 1
        if ahead_ms > length_ms + AHEAD_MS or (self._hume.fault == "rate_limit" and self.frames % 3 == 0):
            await self._complain("rate_limited")
            return
        self.accepted_ms += length_ms
        if self.accepted_ms > 500 and self._hume.fault in ("drop", "restart", "internal_error"):
            await self._fail(self._hume.fault)
        elif self._hume.fault != "mute":
            await self._listen(np.frombuffer(pcm, dtype="<i2"), length_ms)

    async def _fail(self, how: str) -> None:
        if how == "drop":
            self.open = False
            await self._socket._stream.aclose()  # without a word, as networks do
            return
        if how == "internal_error":
            await self._say("error", code="internal_error", message="Internal error.", retryable=False)
        await self._close(*_ENDS[how])

    async def _listen(self, samples: Any, length_ms: float) -> None:
        loud = float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) > LOUD
        if loud:
            self._loud_until_ms = self.accepted_ms
        if self._utterance is None and loud:
            began = self.accepted_ms - length_ms
            self._utterance, self._measured_ms = (self._utterances, began), began
            self._utterances += 1
            await self._say("utterance.start", utterance_id=self._utterance[0], audio_start_ms=round(began))
        elif self._utterance is not None and self.accepted_ms - self._loud_until_ms > PAUSE_MS:
            if self.accepted_ms - self._measured_ms > 1000:
                await self._measure("speech_ended")
            number, began = self._utterance
            self._utterance = None
            await self._say(
                "utterance.end", utterance_id=number, audio_start_ms=round(began), audio_end_ms=round(self.accepted_ms)
            )
        elif self._utterance is not None and self.accepted_ms - self._measured_ms >= self.timer_ms:
            await self._measure("interval")

    async def _measure(self, trigger: str) -> None:
        assert self._utterance is not None
        number, began = self._utterance
        self._measured_ms = self.accepted_ms
        start_ms, end_ms = round(max(began, self.accepted_ms - WINDOW_MS)), round(self.accepted_ms)
        await self._say(
            "measurement.result",
            measurement_id=self._measurements,
            utterance_id=number,
            audio_start_ms=start_ms,
            audio_end_ms=end_ms,
            trigger=trigger,
            expressions=[{"name": name, "probability": p} for name, p in self._hume.hears(start_ms, end_ms)],
            voice_attributes=[],
        )
        self._measurements += 1

    async def _complain(self, code: str, *, ends: bool = False) -> None:
        self._hume.refused.append(code)
        await self._say("error", code=code, message="Refused by the fake Hume.", retryable=not ends)
        if ends:
            await self._close("error", 1008)

    async def _close(self, reason: str, code: int) -> None:
        received = {"audio_duration_ms": round(self.accepted_ms), "frames": self.frames}
        produced = {"utterances": self._utterances, "measurements": self._measurements}
        await self._say("session.closed", session_id=self.id, reason=reason, received=received, produced=produced)
        self.open = False
        await self._socket.aclose(code)

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._socket.send_message(json.dumps({"type": kind, **fields}))


AUDIO: Final = {"type": "audio/pcm", "encoding": "s16le", "sample_rate": 16000, "channels": 1}
