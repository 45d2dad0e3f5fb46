"""Bytes that are not the mu-law they are said to be; and everything else, which must never be taken for that."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.audiofile import load_linear, load_telephone
from agent.core import mulaw
from agent.core.misread import BLOCK, ENOUGH, FRAME, LOOKS, WAYS, CodecWatch, misread

DEMO = Path(__file__).parents[2] / "agent/demo"
SPOKEN = sorted([*DEMO.glob("voices/*.wav"), *DEMO.glob("prompts/*.wav")])
DATA = Path(__file__).parents[2].parent / "shared/data"

SECONDS = np.arange(40_000) / 8000
RNG = np.random.default_rng(7)
HARMLESS = {
    "silence": np.zeros(40_000),
    "an offset": np.full(40_000, 0.4),
    "an offset with hiss": np.full(40_000, -0.95) + RNG.normal(0, 0.02, 40_000),
    "an offset with a little hiss": np.full(40_000, 0.004) + RNG.normal(0, 0.0005, 40_000),
    "a soft tone near the highest": 0.1 * np.sin(2 * np.pi * 3950 * SECONDS),
    "hiss": RNG.normal(0, 0.0002, 40_000),
    "noise": RNG.normal(0, 0.2, 40_000),
    "noise beyond full scale": RNG.normal(0, 3, 40_000),
    "even noise at full scale": RNG.uniform(-1, 1, 40_000),
    "a tone": 0.5 * np.sin(2 * np.pi * 440 * SECONDS),
    "a tone at full scale": np.sin(2 * np.pi * 440 * SECONDS),
    "a high tone at full scale": np.sin(2 * np.pi * 3333 * SECONDS),
    "a clipped tone": np.clip(3 * np.sin(2 * np.pi * 441.3 * SECONDS), -1, 1),
    "clipped noise": np.sign(RNG.normal(0, 1, 40_000)),
    "hum": 0.9 * np.sin(2 * np.pi * 50 * SECONDS) + RNG.normal(0, 0.001, 40_000),
    "a key of the telephone": 0.4 * np.sin(2 * np.pi * 770 * SECONDS) + 0.4 * np.sin(2 * np.pi * 1336 * SECONDS),
    "clicks": (RNG.random(40_000) < 0.01).astype(float),
    "a line that dies": np.concatenate((RNG.normal(0, 0.1, 20_000), np.zeros(20_000))),
}


def sent(audio: np.ndarray) -> bytes:
    """As mu-law; full scale is 1.0."""
    return mulaw.encode(np.clip(audio * 32768, -32768, 32767).astype(np.int16))


def alaw(linear: np.ndarray) -> bytes:
    """By the codec of libsndfile, which is not ours."""
    import io

    file = io.BytesIO()
    soundfile.write(file, linear, 8000, format="RAW", subtype="ALAW")
    return file.getvalue()


def ways(linear: np.ndarray) -> dict[str, bytes]:
    """What a carrier or a file might hold instead of mu-law, and what a header that lies makes of mu-law."""
    codes = mulaw.encode(linear)
    wide = np.frombuffer(codes[: len(codes) // 2 * 2], "<i2")
    narrow = (np.frombuffer(codes, np.uint8).astype(np.int16) - 128) * 256
    return {
        "linear, little end first": linear.astype("<i2").tobytes(),
        "linear, big end first": linear.astype(">i2").tobytes(),
        "linear, one byte more in front": b"\0" + linear.astype("<i2").tobytes(),
        "linear, eight bits": ((linear >> 8) + 128).astype(np.uint8).tobytes(),
        "linear, eight bits, signed": (linear >> 8).astype(np.int8).tobytes(),
        "A-law": alaw(linear),
        "mu-law taken for sixteen bits": mulaw.encode(wide),
        "mu-law taken for eight bits": mulaw.encode(narrow.astype(np.int16)),
    }


@pytest.mark.parametrize("file", SPOKEN, ids=lambda file: file.stem)
def test_every_other_encoding_is_noticed_and_mu_law_itself_never_is(file):
    linear = load_linear(file)
    assert misread(load_telephone(file)) is None
    unnoticed = [way for way, payload in ways(linear).items() if misread(payload) is None]
    assert not unnoticed


def test_what_it_is_and_what_to_do_is_said_for_each():
    said = {way: misread(payload) or "" for way, payload in ways(load_linear(SPOKEN[-1])).items()}
    assert "16 bits" in said["linear, little end first"]
    assert "8 bits" in said["linear, eight bits"]
    assert "A-law" in said["A-law"]
    assert ".ul" in said["mu-law taken for sixteen bits"]
    assert {reason for reason in said.values()} <= {way.reason for way in WAYS}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_only_loud_or_noisy_or_nothing_is_left_alone(name):
    watch = CodecWatch()
    watch.push(sent(HARMLESS[name]))
    assert watch.found is None


@pytest.mark.parametrize("gain_db", [-30, -12, 9, 18])
def test_a_voice_that_is_soft_or_clipped_is_left_alone(gain_db):
    for file in SPOKEN:
        assert misread(sent(load_linear(file) / 32768 * 10 ** (gain_db / 20))) is None


def test_the_pieces_it_comes_in_make_no_difference():
    payload = ways(load_linear(SPOKEN[-1]))["linear, little end first"][: 8 * BLOCK]
    for step in (1, 7, 160, 4321):
        watch, whole = CodecWatch(), CodecWatch()
        whole.push(payload)
        for at in range(0, len(payload), step):
            watch.push(payload[at : at + step])
        assert watch.found == whole.found is not None


def test_once_found_it_stands_through_pauses_and_passes_with_ten_seconds_of_mu_law():
    watch = CodecWatch()
    watch.push(ways(load_linear(SPOKEN[-1]))["linear, little end first"][: 8 * BLOCK])
    assert watch.found
    noise = sent(RNG.normal(0, 0.1, FRAME * ENOUGH * (LOOKS - 1)))
    watch.push(noise)
    assert watch.found
    watch.push(noise)
    assert watch.found is None


def test_after_the_beginning_nothing_is_kept_and_nothing_looked_at():
    watch = CodecWatch()
    watch.push(sent(RNG.normal(0, 0.1, FRAME * ENOUGH * (LOOKS + 1))))
    watch.push(ways(load_linear(SPOKEN[-1]))["linear, little end first"])
    assert watch.found is None
    assert not watch._waiting


def test_what_is_kept_can_be_overwritten():
    watch = CodecWatch()
    watch.push(load_telephone(SPOKEN[-1])[: 2 * BLOCK - 1])
    kept = (watch._waiting, watch._sounding)
    assert all(kept)
    watch.forget()
    assert not any(kept)
    assert watch.found is None


def test_real_voices_are_never_taken_for_misread_and_nearly_all_misread_ones_are_noticed():
    """Every twentieth recording, joined by speaker until there are some seconds: all of them take minutes."""
    if not (DATA / "manifest.csv").is_file():
        pytest.skip(f"There are no recordings in {DATA}: put some there with a manifest.csv.")
    import csv

    with (DATA / "manifest.csv").open(newline="") as manifest:
        rows = [row for row in csv.DictReader(manifest) if row["label"] != "noise"][::20]
    spoken: dict[str, list[np.ndarray]] = {}
    for row in rows:
        spoken.setdefault(row["speaker"] or row["file"], []).append(load_linear(DATA / row["file"]))
    voices = [voice for parts in spoken.values() if len(voice := np.concatenate(parts)) >= 4 * 8000]
    assert len(voices) > 20
    assert not [voice for voice in voices if misread(mulaw.encode(voice))]
    noticed = [misread(payload) is not None for voice in voices for payload in ways(voice[: 6 * 8000]).values()]
    assert np.mean(noticed) > 0.95
