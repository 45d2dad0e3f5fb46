"""A recording on its way through the telephone."""

import numpy as np
import pytest

from agent.core import mulaw
from agent.evaluation.phone import HANDSETS, Condition, babble, speech_level_db, telephone

SECONDS = np.arange(16_000) / 8000


def tone(hz: float, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * SECONDS)).astype(np.float32)


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples / 32768.0)) + 1e-12))


def test_the_network_lets_the_middle_of_the_band_through_and_nothing_beyond_its_edges():
    plain = Condition(codec="none")
    middle = level_db(telephone(tone(1000), plain, chance()))
    assert middle == pytest.approx(level_db(tone(1000) * 32768), abs=0.2)
    for hz in (100, 3900):
        assert level_db(telephone(tone(hz), plain, chance())) < middle - 30
        assert level_db(telephone(tone(hz), Condition(codec="none", band=False), chance())) > middle - 1


def test_mu_law_is_the_codec_we_decode():
    coded = telephone(tone(700), Condition(band=False), chance())
    linear = np.rint(tone(700) * 32768).astype(np.int16)
    assert (coded == mulaw.decode(mulaw.encode(linear))).all()


def test_a_law_has_256_values_and_is_close_to_what_it_was_given():
    ramp = np.linspace(-1, 1, 60_000).astype(np.float32)
    coded = telephone(ramp, Condition(codec="alaw", band=False), chance())
    assert len(np.unique(coded)) == 256
    assert coded.max() == 32256  # G.711, table 1a: 4032 in 13 bits
    loud = np.abs(ramp) > 0.01
    assert (np.abs(coded[loud] / 32768 - ramp[loud]) <= np.abs(ramp[loud]) * 0.04).all()


def test_speech_comes_out_at_the_level_asked_for_whatever_its_pauses():
    speech = tone(600) * (SECONDS % 1 < 0.5)
    for wanted in (-35.0, -20.0):
        heard = telephone(speech, Condition(codec="none", level_db=wanted), chance())
        assert speech_level_db((heard / 32768).astype(np.float32)) == pytest.approx(wanted, abs=0.5)


def test_noise_lies_as_far_below_speech_as_asked():
    speech, noise = tone(600), chance().normal(0, 0.3, 5000).astype(np.float32)
    clean = telephone(speech, Condition(codec="none"), chance()).astype(float)
    noisy = telephone(speech, Condition(codec="none", noise=noise, snr_db=15.0), chance()).astype(float)
    assert level_db(clean) - level_db(noisy - clean) == pytest.approx(15.0, abs=0.5)


def test_lost_frames_are_whole_silent_and_as_many_as_asked():
    steady = np.full(800_000, 0.1, dtype=np.float32)
    heard = telephone(steady, Condition(band=False, loss_percent=5.0), chance()).reshape(-1, 160)
    lost = ~heard.any(axis=1)
    assert lost.mean() == pytest.approx(0.05, abs=0.01)
    assert heard[~lost].all()
    bursts = int((lost[1:] & ~lost[:-1]).sum())
    assert 2.0 < lost.sum() / bursts < 4.0


def test_the_same_numbers_make_the_same_telephone():
    condition = Condition(handset=3, noise=tone(900), snr_db=10, loss_percent=3.0)
    first, second = (telephone(tone(500), condition, np.random.default_rng(4)) for _ in range(2))
    assert (first == second).all()


def test_handsets_differ():
    heard = [telephone(tone(350), Condition(handset=at, codec="none"), chance()) for at in range(len(HANDSETS))]
    assert max(map(level_db, heard)) - min(map(level_db, heard)) > 6


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(5000), np.full(5000, np.nan), np.full(5000, np.inf)])
def test_nothing_and_what_is_no_number_become_sound_of_the_same_length(samples):
    heard = telephone(samples.astype(np.float32), Condition(level_db=-20.0, noise=tone(500)), chance())
    assert heard.dtype == np.int16
    assert len(heard) == len(samples)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="codec"):
        telephone(tone(500), Condition(codec="opus"), chance())
    with pytest.raises(ValueError, match="handsets"):
        telephone(tone(500), Condition(handset=99), chance())


def test_babble_is_as_long_as_asked_and_everybody_is_in_it():
    mixed = babble([tone(500, 0.01), tone(900, 0.5)], 3.0, chance())
    assert len(mixed) == 24_000
    spectrum = np.abs(np.fft.rfft(mixed[:16_000]))
    assert spectrum[1000] == pytest.approx(spectrum[1800], rel=0.1)
