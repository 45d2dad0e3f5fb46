"""Recordings before the telephone, and in it: whatever they are stored as, and however they are not to be read."""

import numpy as np
import pytest
from made import row, voice, write

from agent.core import mulaw
from agent.errors import AudioUnreadable, ConfigError
from agent.evaluation.conditions import CONDITIONS, chosen, heard_as, noises_for
from agent.evaluation.manifest import Row
from agent.evaluation.sounds import load


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW"])
def test_any_rate_and_width_is_the_same_sound(tmp_path, rate, subtype):
    t = np.arange(rate) / rate
    write(tmp_path / "a.wav", np.stack([0.5 * np.sin(2 * np.pi * 440 * t)] * 2, axis=1), rate, subtype=subtype)
    samples = load(tmp_path / "a.wav")
    assert samples.dtype == np.float32
    assert abs(len(samples) - 8000) <= 2
    assert np.abs(np.fft.rfft(samples)).argmax() == pytest.approx(440 * len(samples) / 8000, abs=1)
    assert samples.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_samples_that_are_no_numbers_are_silence(tmp_path):
    write(tmp_path / "nan.wav", np.array([np.nan, np.inf, 0.25, -np.inf] * 2000), subtype="FLOAT")
    samples = load(tmp_path / "nan.wav")
    assert np.isfinite(samples).all()
    assert samples.max() == pytest.approx(0.25, abs=1e-3)


def disguised(path, codes: bytes, subtype: str):
    """Mu-law bytes behind a header that says PCM."""
    if subtype == "PCM_16":
        return write(path, np.frombuffer(codes[: len(codes) // 2 * 2], "<i2"), subtype=subtype)
    unsigned = np.frombuffer(codes, np.uint8).astype(np.int16)
    return write(path, ((unsigned - 128) * 256).astype(np.int16), subtype=subtype)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
def test_mu_law_behind_a_header_that_says_pcm_is_noticed_and_said(tmp_path, subtype):
    codes = mulaw.encode((voice(2) * 32767).astype(np.int16))
    with pytest.raises(AudioUnreadable, match=r"wrong\.wav says it is PCM and holds mu-law"):
        load(disguised(tmp_path / "wrong.wav", codes, subtype))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
def test_what_is_only_loud_or_noisy_is_not_taken_for_mu_law(tmp_path, subtype):
    rng = np.random.default_rng(1)
    loud = {
        "noise": rng.uniform(-0.99, 0.99, 16_000),
        "clipped": np.clip(8 * voice(2), -0.99, 0.99),
        "voice": voice(2),
        "silence": np.zeros(16_000),
    }
    for name, audio in loud.items():
        assert len(load(write(tmp_path / f"{name}.wav", audio, subtype=subtype))) == 16_000


@pytest.mark.parametrize("name", ["none.wav", "text.wav", "empty.wav", "empty.ul", "folder.wav"])
def test_what_cannot_be_read_is_one_sentence_with_its_name(tmp_path, name):
    if name == "text.wav":
        (tmp_path / name).write_text("Dear sirs,")
    elif name == "empty.wav":
        write(tmp_path / name, np.zeros(0))
    elif name == "empty.ul":
        (tmp_path / name).write_bytes(b"")
    elif name == "folder.wav":
        (tmp_path / name).mkdir()
    with pytest.raises(AudioUnreadable, match=name.replace(".", r"\.")) as error:
        load(tmp_path / name)
    assert "\n" not in str(error.value)


def speakers(tmp_path, count=8) -> list[Row]:
    rows = []
    for at in range(count):
        path = write(tmp_path / f"{at}.wav", voice(1.5, 120 + 10 * at, at))
        rows.append(Row(path.name, path, "neutral", f"s{at}", "c"))
    kitchen = write(tmp_path / "kitchen.wav", np.random.default_rng(2).normal(0, 0.05, 8000))
    return [*rows, Row("kitchen.wav", kitchen, "noise", "", "k", others={"emotion": "kitchen"})]


def test_a_recording_sounds_the_same_whoever_was_heard_before_it(tmp_path):
    rows = speakers(tmp_path)
    samples = load(rows[0].path)
    for condition in CONDITIONS.values():
        noises = noises_for([condition], rows)
        once = heard_as(samples, rows[0], condition, noises)
        heard_as(load(rows[1].path), rows[1], condition, noises)
        assert (heard_as(samples, rows[0], condition, noises_for([condition], rows)) == once).all()
        assert len(once) == len(samples)


def test_noise_lies_as_far_below_the_speech_as_the_condition_says(tmp_path):
    rows = speakers(tmp_path)
    samples = load(rows[0].path)
    plain = heard_as(samples, rows[0], CONDITIONS["telephone"], {}) / 32768
    for name, below_db in (("babble20", 20), ("babble10", 10), ("kitchen20", 20)):
        with_noise = heard_as(samples, rows[0], CONDITIONS[name], noises_for([CONDITIONS[name]], rows)) / 32768
        ratio_db = 10 * np.log10(np.mean(plain**2) / np.mean((with_noise - plain) ** 2))
        assert ratio_db == pytest.approx(below_db, abs=3)


def test_nobody_is_heard_in_front_of_a_babble_of_himself(tmp_path, monkeypatch):
    """Speakers fall into two halves, and each half talks behind the other."""
    rows = speakers(tmp_path)
    from agent.evaluation import conditions

    real = conditions._readable
    asked: list[set[str]] = []

    def listening(some):
        kept = list(some)
        asked.append({one.voice for one in kept})
        return real(kept)

    monkeypatch.setattr(conditions, "_readable", listening)
    noises_for([CONDITIONS["babble20"]], rows)
    assert len(asked) == 2
    t = np.arange(8000) / 8000
    tones = [np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (1000, 2000)]
    for side, voices in enumerate(asked):
        assert voices
        assert not voices & asked[1 - side]
        for name in voices:
            one = row("neutral", speaker=name)
            heard = heard_as(0.1 * np.sin(2 * np.pi * 500 * t), one, CONDITIONS["babble10"], {"babble": tones})
            spectrum = np.abs(np.fft.rfft(heard))
            assert spectrum[2000 if side == 0 else 1000] > 10 * spectrum[1000 if side == 0 else 2000]


@pytest.mark.parametrize("name", ["babble20", "kitchen20"])
def test_a_noise_the_manifest_does_not_hold_is_said(tmp_path, name):
    with pytest.raises(ConfigError, match="add"):
        noises_for([CONDITIONS[name]], speakers(tmp_path, 1)[:1])


def test_conditions_are_chosen_by_name_and_once_each():
    assert [one.name for one in chosen([])] == ["telephone"]
    assert [one.name for one in chosen(["wide", "alaw", "wide"])] == ["wide", "alaw"]
    with pytest.raises(ConfigError, match=r"moon.*babble20"):
        chosen(["moon"])
