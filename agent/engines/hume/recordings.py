"""Recordings at Hume: one upload, one answer (https://dev.hume.ai/expression-measurement/reference/audio/measure-file).

A body of 25 MB at the most, which is some thirteen minutes; longer recordings go in pieces.
"""

import io
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
import trio
from numpy.typing import NDArray

from ...core.audio import SAMPLE_RATE
from ...core.emotion import EmotionReading
from ...errors import EngineRefused, EngineUnavailable
from ...http import httpx
from ..expressions import Expressions, Score
from ..streamed.framing import VENDOR_RATE
from ..streamed.session import dominant

PATH: Final = "/v1/expression/audio/file"
PIECE_S: Final = 600
"""Of audio in one upload: 19 MB."""
PATIENCE_S: Final = 180.0
"""For one upload and its answer, which is made while we wait."""


class _Measurement(msgspec.Struct):
    audio_start_ms: int
    audio_end_ms: int
    expressions: tuple[Score, ...] = ()


class _Answer(msgspec.Struct):
    measurements: tuple[_Measurement, ...] = ()


async def measure(
    client: httpx.AsyncClient, base_url: str, api_key: str, expressions: Expressions, audio: NDArray[np.int16]
) -> AsyncIterator[EmotionReading]:
    """Hume's readings of a recording (8 kHz, one channel), in order. Raises EngineUnavailable or EngineRefused.

    `base_url`: as for the realtime API, wss://…
    """
    url = "http" + base_url.rstrip("/").removeprefix("ws") + PATH
    step = PIECE_S * SAMPLE_RATE
    for start in range(0, len(audio), step):
        piece, offset_ms = audio[start : start + step], 1000 * start // SAMPLE_RATE
        files = {"file": ("recording.wav", _wav(piece), "audio/wav")}
        try:
            with trio.fail_after(PATIENCE_S):
                response = await client.post(url, files=files, headers={"X-Hume-Api-Key": api_key})
        except trio.TooSlowError:
            raise EngineUnavailable(f"Hume did not answer within {PATIENCE_S:g} s: try again later") from None
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"Hume cannot be reached ({type(error).__name__})") from None
        for found in _answer(response).measurements:
            scores = expressions.scores(found.expressions)
            end_ms = offset_ms + found.audio_end_ms
            yield EmotionReading(
                dominant(scores), "hume", offset_ms + found.audio_start_ms, end_ms, end_ms / 1000, scores=scores
            )


def _wav(audio: NDArray[np.int16]) -> bytes:
    """16 kHz, 16 bit, one channel, plain header: Hume takes no other."""
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(audio, SAMPLE_RATE, VENDOR_RATE), VENDOR_RATE, "PCM_16", format="WAV")
    return file.getvalue()


def _answer(response: httpx.Response) -> _Answer:
    status = response.status_code
    if status == 401:
        raise EngineRefused("Hume does not accept HUME_API_KEY (401): check it at cloud.hume.ai")
    if status in (408, 429) or status >= 500:
        raise EngineUnavailable(f"Hume answered {status}: try again later")
    if status != 200:
        raise EngineRefused(f"Hume answered {status} to a recording")
    try:
        return msgspec.json.decode(response.content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EngineUnavailable("Hume's answer to a recording cannot be read") from None
