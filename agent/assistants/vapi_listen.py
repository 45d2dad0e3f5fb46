"""What Vapi's listen socket sends, without the socket: the caller's voice as frames of the telephone network.

Vapi documents neither rate nor channels. Reported, and the format of its custom transcribers, is 16-bit little-endian
PCM at 16 kHz, the customer on channel 0 and the assistant on channel 1
(https://docs.vapi.ai/customization/custom-transcriber); that is assumed, can be set, and gives way to what a JSON text
message says. Only the caller's channel is ever passed on. Where the assumption shows to be wrong (both channels carry
the same sound, as a mixture or one channel taken for two would), `doubt` says so: the assistant's own voice must never
be taken for the caller's mood.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..core import mulaw
from ..core.audio import SAMPLE_RATE, SAMPLES_PER_MS, MediaFrame
from ..errors import BadMessage

FRAME_MS = 20
FRAME_SAMPLES = FRAME_MS * SAMPLES_PER_MS
RATES = range(8_000, 48_001)
MOST_CHANNELS = 8

MOST_SHAPES = 20
"""How often one socket may say anew how the sound arrives."""

JUDGED_S = 3.0
"""Seconds of sound after which it is decided whether the channels differ."""
SOUNDING = 100.0
"""RMS on the 16-bit scale, below which nothing can be said of the channels: two silences are alike."""
ALIKE = 0.5
"""Energy of the difference, as a share of both channels' own, below which they carry the same sound. Bit-identical
channels have 0; speech taken for two channels, sample by sample in turn, 0.1 to 0.3; two persons about 1."""

SAME_SOUND = "both channels of Vapi's listen socket carry the same sound: correct [listen] in callmood.toml"
ONE_CHANNEL = "Vapi's listen socket sends both voices on one channel: set [listen] channels = 1 to analyse them mixed"


@dataclass(frozen=True, slots=True)
class ListenShape:
    """How the sound arrives."""

    sample_rate: int = 16_000
    """Hz."""
    channels: int = 2
    """1: configured as a mixture of both voices, which is then what is analysed."""
    caller_channel: int = 0


class ListenedAudio:
    """One call's listening: messages in, frames of 20 ms mu-law out, on one media clock whatever happens between."""

    def __init__(self, shape: ListenShape) -> None:
        self._configured = self._shape = shape
        self._rest = b""
        self._waiting: NDArray[np.int16] = np.empty(0, np.int16)
        self._sequence = 0
        self._media_ms = 0
        self._shapes = 0
        self.doubt: str | None = None
        """Why nothing that is heard here can be believed to be the caller's."""
        self._begin()

    def feed(self, message: str | bytes, heard_at: float) -> list[MediaFrame]:
        """The frames this message completes. Raises BadMessage for one that cannot be read, which changes nothing."""
        if isinstance(message, str):
            self._told(message)
            return []
        caller = self._caller(message)
        return [] if self.doubt else self._frames(caller, heard_at)

    def missed(self, ms: int) -> None:
        """So much was not heard: the socket was away. What comes next begins anew behind a gap."""
        self._sequence += 1
        self._media_ms += max(0, ms)
        self._begin()

    def _begin(self) -> None:
        """A new stretch of sound. Keeps the clock."""
        self._rest, self._waiting = b"", np.empty(0, np.int16)
        rate = self._shape.sample_rate
        self._resample = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="MQ")
        self._judged, self._energy, self._difference = 0, 0.0, 0.0

    def _told(self, text: str) -> None:
        """A text message may say how the sound arrives; any other is passed over."""
        try:
            said: Any = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise BadMessage("a text message of Vapi's listen socket is not JSON") from None
        if not isinstance(said, dict):
            raise BadMessage("a text message of Vapi's listen socket is not an object")
        rate, channels = said.get("sampleRate", self._shape.sample_rate), said.get("channels", self._shape.channels)
        if type(rate) is not int or type(channels) is not int or rate not in RATES or not 0 < channels <= MOST_CHANNELS:
            raise BadMessage("Vapi's listen socket names a sample rate or channels that cannot be")
        if channels == 1 and self._configured.channels != 1:
            self.doubt = ONE_CHANNEL
        if (rate, channels) != (self._shape.sample_rate, self._shape.channels):
            self._shapes += 1
            if self._shapes > MOST_SHAPES:
                raise BadMessage("Vapi's listen socket changes its sample rate or channels again and again")
            caller = min(self._configured.caller_channel, channels - 1)
            self._shape = ListenShape(rate, channels, caller)
            self._begin()

    def _caller(self, message: bytes) -> NDArray[np.int16]:
        """The caller's samples, shape (n,), at the rate they came in; a part of a sample waits for the rest."""
        data, group = self._rest + message, 2 * self._shape.channels
        whole = len(data) // group * group
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], dtype="<i2").reshape(-1, self._shape.channels)
        self._judge(samples)
        return np.ascontiguousarray(samples[:, self._shape.caller_channel], dtype=np.int16)

    def _judge(self, samples: NDArray[np.int16]) -> None:
        """Gather, over the first seconds of sound, how much the caller's channel and the next one differ."""
        enough = JUDGED_S * self._shape.sample_rate
        if self._shape.channels < 2 or self._judged >= enough or not len(samples):
            return
        caller = samples[:, self._shape.caller_channel].astype(np.float32)
        other = samples[:, (self._shape.caller_channel + 1) % self._shape.channels].astype(np.float32)
        energy = float(caller @ caller + other @ other)
        if energy < 2 * len(samples) * SOUNDING**2:
            return
        apart = caller - other
        self._judged += len(samples)
        self._energy += energy
        self._difference += float(apart @ apart)
        if self._judged >= enough and self._difference < ALIKE * self._energy:
            self.doubt = SAME_SOUND

    def _frames(self, samples: NDArray[np.int16], heard_at: float) -> list[MediaFrame]:
        if self._shape.sample_rate != SAMPLE_RATE:
            resampled = self._resample.resample_chunk(samples.astype(np.float32))
            samples = np.rint(resampled).clip(-32768, 32767).astype(np.int16)
        samples = np.concatenate((self._waiting, samples))
        whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
        self._waiting = samples[whole:].copy()
        frames = []
        for at in range(0, whole, FRAME_SAMPLES):
            self._sequence += 1
            payload = mulaw.encode(samples[at : at + FRAME_SAMPLES])
            frames.append(MediaFrame(self._sequence, self._media_ms, payload, heard_at))
            self._media_ms += FRAME_MS
        return frames
