"""A recording at Hume: uploaded as it is, read by the same mood and rules as a call, on the recording's own clock."""

from collections.abc import AsyncIterator
from dataclasses import replace

from ..calls.setup import setup
from ..core import mulaw
from ..engines.expressions import load
from ..engines.hume.recordings import measure
from ..errors import ConfigError
from ..http import client
from ..offline import Folded, Follower
from ..settings import Settings


async def read_at_hume(payload: bytes, settings: Settings) -> AsyncIterator[Folded]:
    """Hume's readings of a recording (mu-law, 8 kHz, one channel), in order. Raises ConfigError, EngineUnavailable,
    EngineRefused."""
    if not settings.hume_api_key:
        raise ConfigError("HUME_API_KEY is not set, and --engine hume needs it: set it, or use local")
    settings = replace(settings, engine="hume")  # its window and minimum of samples
    follower = Follower(payload, setup(settings))
    expressions, key = load(settings.expressions_file), settings.hume_api_key.reveal()
    async with client() as http:
        async for reading in measure(http, settings.hume_base_url, key, expressions, mulaw.decode(payload)):
            yield follower.take(reading)
