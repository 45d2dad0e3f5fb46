"""A Hume on this machine, as strict as its contract, and with every way of failing that a call must not notice.

    async with FakeHume.serve(hears=lambda start_ms, end_ms: [("anger", 0.9)]) as hume:
        engine = HumeEngine(base_url=hume.url, api_key=hume.key, …)
        hume.fault = "stall"

What it refuses is in `refused`: frames of another shape, audio faster than real time, configuration that comes too
late. It hears speech by its loudness. Recordings may be uploaded as well.
Wire format: https://dev.hume.ai/expression-measurement/reference/audio/stream-audio
"""

import io
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from email import message_from_bytes
from typing import Any, Final, Literal
from uuid import uuid4

import numpy as np
import soundfile  # type: ignore[import-untyped]
import trio
from wsproto.events import TextMessage

from .http_server import HttpRequest, HttpResponse, HttpServer, Misbehaviour, Upgrade
from .sockets import ClientSocket

PATH: Final = "/v1/expression/audio/realtime"
FILE_PATH: Final = "/v1/expression/audio/file"
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
    "throttle",  # 429
    "flap",  # drops one connection, restarts under the next, and so on
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
        self.sessions: deque[FakeSession] = deque(maxlen=KEEP)
        """Every session opened, the newest last."""
        self.most_open = 0
        """Sessions at once, at the most."""
        self.handshakes = 0
        self.refused: deque[str] = deque(maxlen=KEEP)
        """What it did not take, as error codes."""
        self.audio_bytes = 0
        """Of audio received, taken or not."""
        self._server = HttpServer(self._answer, max_body=25 << 20)

    @classmethod
    @asynccontextmanager
    async def serve(cls, hears: Hears = lambda start_ms, end_ms: ()) -> "AsyncIterator[FakeHume]":
        """Serve on a free loopback port until the end of the block."""
        hume = cls(hears)
        async with trio.open_nursery() as nursery:
            await nursery.start(hume._server.run)
            yield hume
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.port}"

    @property
    def open(self) -> int:
        """Sessions open now."""
        return sum(1 for session in self.sessions if session.open)

    @property
    def audio_s(self) -> float:
        """Accepted so far, over all sessions: what would be billed."""
        return sum(session.accepted_ms for session in self.sessions) / 1000

    def leave(self) -> None:
        """Be gone: nobody listens at the address, and every connection is lost."""
        self._server.refuse()

    def come_back(self) -> None:
        self._server.accept()

    async def _answer(self, request: HttpRequest) -> HttpResponse | Misbehaviour | Upgrade:
        self.handshakes += 1
        if self.fault == "throttle":
            return HttpResponse(429, b'{"message":"API rate limit exceeded"}')
        if self.fault == "refuse":
            return HttpResponse(503, b'{"type":"error","code":"server_busy","message":"Try again later."}')
        if request.header("x-hume-api-key") != self.key or self.fault == "unauthorized":
            return HttpResponse(401, b'{"message":"Unauthorized"}')
        if request.path == FILE_PATH and request.method == "POST":
            return self._measure_file(request)
        return Upgrade(self._session) if request.path == PATH else HttpResponse(404, b'{"code":"not_found"}')

    async def _session(self, socket: ClientSocket) -> None:
        session = FakeSession(self, socket)
        self.sessions.append(session)
        self.most_open = max(self.most_open, self.open)
        try:
            await session.run()
        finally:
            session.open = False

    def _measure_file(self, request: HttpRequest) -> HttpResponse:
        """The whole file as one utterance, measured every three seconds."""
        head = f"Content-Type: {request.header('content-type')}\r\n\r\n".encode()
        parts: dict[object, bytes] = {}
        for part in message_from_bytes(head + request.body).walk():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                parts[part.get_param("name", header="content-disposition")] = payload
        try:
            sound = soundfile.info(io.BytesIO(parts["file"]))
        except (KeyError, soundfile.SoundFileError):
            return HttpResponse(400, b'{"type":"error","code":"audio_decode_failed","message":"Not a WAV."}')
        if (sound.samplerate, sound.channels, sound.subtype, sound.format) != (16000, 1, "PCM_16", "WAV"):
            return HttpResponse(400, b'{"type":"error","code":"audio_decode_failed","message":"Another format."}')
        duration_ms = round(1000 * sound.duration)
        timer_ms = json.loads(parts.get("config", b"{}")).get("measurement_timer_ms", 3000)
        measured = [
            {
                "measurement_id": number,
                "utterance_id": 0,
                "audio_start_ms": max(0, end_ms - WINDOW_MS),
                "audio_end_ms": end_ms,
                "trigger": "interval",
                "expressions": [
                    {"name": name, "probability": p} for name, p in self.hears(max(0, end_ms - timer_ms), end_ms)
                ],
                "voice_attributes": [],
            }
            for number, end_ms in enumerate(range(timer_ms, duration_ms + 1, timer_ms))
        ]
        body = {"received": {"audio_duration_ms": duration_ms}, "utterances": [], "measurements": measured}
        return HttpResponse(200, json.dumps(body).encode(), (("Content-Type", "application/json"),))


class FakeSession:
    """One connection."""

    def __init__(self, hume: FakeHume, socket: ClientSocket) -> None:
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
                await self._socket.send(TextMessage(text))
        await self._say("session.created", session_id=self.id, audio=AUDIO, measurement_timer_ms=self.timer_ms)
        async with aclosing(self._socket.messages()) as messages:
            async for message in messages:
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
        self._hume.audio_bytes += len(pcm)
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
        if self.accepted_ms > 500 and self._hume.fault in ("drop", "restart", "internal_error", "flap"):
            await self._fail(self._hume.fault)
        elif self._hume.fault != "mute":
            await self._listen(np.frombuffer(pcm, dtype="<i2"), length_ms)

    async def _fail(self, how: str) -> None:
        if how == "flap":
            how = "drop" if len(self._hume.sessions) % 2 else "restart"
        if how == "drop":
            self.open = False
            await self._socket.reset()  # without a word, as networks do
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
        await self._socket.close(code)

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._socket.send(TextMessage(json.dumps({"type": kind, **fields})))


AUDIO: Final = {"type": "audio/pcm", "encoding": "s16le", "sample_rate": 16000, "channels": 1}
