"""`load_telephone`: whatever people record with, and whatever is not a recording."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.audiofile import load_telephone
from agent.core import mulaw
from agent.errors import AudioUnreadable

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]
WIDTHS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def level_of(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean((samples.astype(np.float64) / 32768) ** 2)))


def hertz_of(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64)))
    return float(spectrum.argmax() * 8_000 / len(samples))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_wav_of_any_rate_width_and_channels_keeps_its_length_pitch_and_level(
    tmp_path: Path, rate: int, width: str, channels: int
) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.stack([tone(rate)] * channels, axis=1), rate, subtype=width)
    samples = mulaw.decode(load_telephone(path))
    assert abs(len(samples) - 8_000) <= 1
    assert hertz_of(samples) == pytest.approx(440, abs=1.5)
    assert level_of(samples[400:-400]) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff"])
def test_other_containers_are_read_as_well(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(44_100), 44_100)
    samples = mulaw.decode(load_telephone(path))
    assert len(samples) == pytest.approx(8_000, abs=600)
    assert hertz_of(samples) == pytest.approx(440, abs=10)


def test_an_eight_kilohertz_recording_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "phone.wav"
    samples = (tone(8_000) * 32767).astype(np.int16)
    soundfile.write(path, samples, 8_000)
    assert load_telephone(path) == mulaw.encode(samples)


def test_reading_block_by_block_equals_resampling_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 44_100 * 3), 44_100)
    whole = load_telephone(path)
    monkeypatch.setattr("agent.audiofile.BLOCK_FRAMES", 1_001)
    assert load_telephone(path) == whole


def test_channels_are_mixed(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone(8_000), np.zeros(8_000)], axis=1), 8_000)
    samples = mulaw.decode(load_telephone(path))
    assert level_of(samples) == pytest.approx(0.25 / np.sqrt(2), rel=0.03)


def test_audio_beyond_full_scale_is_turned_down_and_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, tone(8_000, level=20_000.0), 8_000, subtype="FLOAT")
    samples = mulaw.decode(load_telephone(path))
    assert level_of(samples) == pytest.approx(1 / np.sqrt(2), rel=0.03)


def test_samples_that_are_not_numbers_become_silence(tmp_path: Path) -> None:
    path = tmp_path / "holes.wav"
    samples = tone(8_000)
    samples[1_000:2_000] = np.nan
    samples[2_000:3_000] = np.inf
    soundfile.write(path, samples, 8_000, subtype="DOUBLE")
    heard = mulaw.decode(load_telephone(path))
    assert not heard[1_000:3_000].any()
    assert heard[3_000:].any()


@pytest.mark.parametrize("suffix", [".ul", ".mulaw", ".ULAW"])
def test_raw_mulaw_is_taken_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"raw{suffix}"
    path.write_bytes(bytes(range(256)))
    assert load_telephone(path) == bytes(range(256))


def test_a_truncated_wav_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, tone(8_000), 8_000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: 44 + 8_000])
    assert len(load_telephone(path)) == 4_000


BROKEN = {
    "missing.wav": None,
    "empty.wav": b"",
    "empty.ul": b"",
    "text.wav": b"this is a shopping list\n" * 50,
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "zeros.mp3": bytes(1_000),
    "half-a-header.wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "noise.raw": bytes(range(256)),
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize(("name", "content"), BROKEN.items(), ids=list(BROKEN))
def test_what_is_not_audio_is_one_sentence_with_the_name_and_a_cure(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioUnreadable) as caught:
        load_telephone(tmp_path / name)
    sentence = str(caught.value)
    assert name in sentence
    assert ": " in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert str(tmp_path) not in sentence


def test_a_recording_of_nothing_and_a_folder_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 44_100)
    for name in ("nothing.wav", "."):
        with pytest.raises(AudioUnreadable):
            load_telephone(tmp_path / name)


def test_hours_of_audio_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.audiofile.MAX_S", 0.5)
    soundfile.write(tmp_path / "long.wav", tone(8_000), 8_000)
    (tmp_path / "long.ul").write_bytes(bytes(8_000))
    for name in ("long.wav", "long.ul"):
        with pytest.raises(AudioUnreadable, match="cut it"):
            load_telephone(tmp_path / name)
