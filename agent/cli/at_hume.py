"""A recording at Hume: uploaded as it is, read by the same mood and rules as a call, on the recording's own clock."""

from collections.abc import AsyncIterator
from dataclasses import replace

from ..calls.setup import tracker
from ..core import mulaw
from ..core.misread import misread, poor
from ..core.rules import Rules
from ..engines.expressions import load
from ..engines.hume.recordings import measure
from ..errors import ConfigError
from ..http import client
from ..offline import Step
from ..rulefile import shipped
from ..settings import Settings


async def read_at_hume(payload: bytes, settings: Settings) -> AsyncIterator[Step]:
    """Hume's readings of a recording (mu-law, 8 kHz, one channel), in order. Raises ConfigError, EngineUnavailable,
    EngineRefused."""
    if not settings.hume_api_key:
        raise ConfigError("HUME_API_KEY is not set, and --engine hume needs it: set it, or use local")
    settings = replace(settings, engine="hume")  # its window and minimum of samples
    own = settings.for_engine("hume")
    fresh_s = (own.window_s or settings.window_s) / (own.min_samples or settings.min_samples)
    mood_of, rules = tracker(settings), Rules(shipped(settings.act_at), fresh_s=fresh_s)
    roar = misread(payload) is not None
    expressions, key = load(settings.expressions_file), settings.hume_api_key.reveal()
    async with client() as http:
        async for said in measure(http, settings.hume_base_url, key, expressions, mulaw.decode(payload)):
            reading = poor(said) if roar else said
            now = reading.end_ms / 1000
            refused = mood_of.take(reading, now)
            mood = mood_of.mood(now)
            decision = rules.decide(mood, now, assistant_speaking=False)
            yield Step(reading, refused, mood, decision)
