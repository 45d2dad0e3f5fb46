"""From a folder of recordings to a model: a small artificial one, since real voices may not be in this repository."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from agent.cli import app
from agent.core.audio import PcmChunk, Window
from agent.engines.local import LocalEngine
from agent.engines.local.model import load
from agent.engines.local.pooling import FEATURES, LOUDNESS
from agent.errors import ConfigError
from agent.training import corpora, extraction, fitting
from agent.training.copies import generator
from agent.training.dataset import LEVEL_DB, Deck, intercepts, usual
from agent.training.figures import area, recall
from agent.training.making import make
from agent.training.network import Batch, Intercepts, fit


def voice(hz: float, bright: float, seconds: float, seed: int) -> np.ndarray:
    """Syllables of harmonics that rise and fall: nobody's voice, but one to the ear."""
    chance = np.random.default_rng(seed)
    at = np.arange(int(8000 * seconds)) / 8000
    pitch = hz * (1 + 0.15 * np.sin(2 * np.pi * 1.3 * at + chance.uniform(0, 6)))
    turns = 2 * np.pi * np.cumsum(pitch) / 8000
    sound = sum(np.sin(order * turns) * order**-bright for order in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * at), 0, None) ** 0.5
    return (0.1 * sound * syllables + chance.normal(0, 0.001, len(at))).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Six speakers, calm and angry, and a noise."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = []
    for speaker in range(6):
        for number in range(3):
            for label, higher, bright in (("neutral", 1.0, 1.8), ("angry", 1.6, 0.6)):
                name = f"{speaker}-{number}-{label}.wav"
                sound = voice(110 * higher * (1 + 0.1 * speaker), bright, 2.5, speaker * 10 + number)
                soundfile.write(folder / name, sound, 8000)
                rows.append((name, label, f"s{speaker}", "made", label, ""))
    soundfile.write(folder / "hiss.wav", np.random.default_rng(0).normal(0, 0.05, 16_000), 8000)
    rows.append(("hiss.wav", "noise", "", "noises", "kitchen", ""))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "speaker", "corpus", "emotion", "intensity"), *rows])
    return folder


@pytest.fixture
def quick(monkeypatch):
    """A small model, soon done."""
    small = replace(fitting.WIDE, hidden=(8,), dropout=(0.1, 0.1), steps=60, batch=64)
    monkeypatch.setattr(fitting, "FINAL", (small,))
    monkeypatch.setattr(extraction, "COPIES", 1)


def test_the_same_seed_makes_the_same_file_to_the_byte(recordings, tmp_path, quick):
    said: list[str] = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        make(recordings, tmp_path / name / "weights.npz", 3, tmp_path / f"cache-{name}", said.append)
    one, other = ((tmp_path / name / "weights.npz").read_bytes() for name in ("one", "other"))
    assert one == other
    make(recordings, tmp_path / "weights.npz", 4, tmp_path / "cache-third", said.append)
    assert (tmp_path / "weights.npz").read_bytes() != one


async def test_the_rebuilt_model_runs_and_its_card_says_what_it_is_made_of(recordings, tmp_path, quick):
    checksum, found = make(recordings, tmp_path / "mine.npz", 0, tmp_path / "cache", lambda line: None)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert checksum in card
    assert "| made | 36 | yours |" in card
    assert any(figure.corpus == "made" and figure.recordings == 36 for figure in found)
    async with LocalEngine(model=tmp_path / "mine.npz").open("CA0") as session:
        session.hear(PcmChunk(np.zeros(16_000, dtype=np.int16), 0, 2.0))
        reading = await session.read(Window(500, 2000, 0, 0, 2.0))
    assert sum(reading.scores.values()) == pytest.approx(1.0)


def test_features_are_kept_for_the_next_run(recordings, tmp_path, quick):
    said: list[str] = []
    chosen = corpora.clips(recordings)
    first = extraction.extract(chosen, tmp_path, 0, said.append)
    again = extraction.extract(chosen, tmp_path, 0, said.append)
    assert said[-1].startswith("features from")
    assert (first.features == again.features).all()


def test_recordings_that_cannot_make_a_model_are_refused_in_a_sentence(recordings, tmp_path):
    with pytest.raises(ConfigError, match=r"There is no .*manifest\.csv"):
        corpora.clips(tmp_path)
    manifest = tmp_path / "manifest.csv"
    (tmp_path / "a.wav").write_bytes((recordings / "hiss.wav").read_bytes())
    for rows, complaint in (
        ("a.wav,furious,s,c", "line 2: label must be one of"),
        ("b.wav,angry,s,c", r"line 2: there is no"),
        ("a.wav,neutral,s,c", "names no angry recording"),
        ("a.wav,angry,s,c", "names no neutral recording"),
    ):
        manifest.write_text(f"file,label,speaker,corpus\n{rows}\n")
        with pytest.raises(ConfigError, match=complaint):
            corpora.clips(tmp_path)
    manifest.write_text("name,label\na.wav,angry\n")
    with pytest.raises(ConfigError, match="line 2: it needs file, label, speaker and corpus"):
        corpora.clips(tmp_path)


def test_a_noise_is_compared_with_a_caller_it_is_heard_beside():
    """By itself a cat was known for what it is, and beside a calm caller taken for the caller's anger."""
    told = [
        ("a", "neutral", 1.0),
        ("a", "neutral", 3.0),
        ("b", "neutral", 50.0),
        ("", "noise", 9.0),
        ("a", "angry", 5.0),
    ]
    chosen = [
        corpora.Clip(Path(f"{at}.wav"), f"{at}.wav", label, speaker, "made")
        for at, (speaker, label, _) in enumerate(told)
    ]
    at = np.repeat(np.arange(len(told), dtype=np.int32), 2)  # every recording over two telephones
    features = np.array([[value] for _, _, value in told for _ in range(2)], dtype=np.float32)
    copy = np.tile(np.arange(2, dtype=np.int32), len(told))
    features[copy == 1] += 100
    heard = extraction.Heard(features, at, copy, np.full(len(at), 50, dtype=np.int32))
    found = usual(chosen, heard)
    two_clips = 1
    of_noise = found.features[found.of[at == 3], two_clips, 0]
    assert of_noise.tolist() == [
        2.0,
        102.0,
    ]  # the only caller of whom there are several calm recordings, same telephone
    assert (found.known[found.of[at == 3], two_clips] > 0).all()
    assert not found.known[found.of[at == 2]].any()  # a speaker with nothing else to be compared with


def test_the_command_makes_a_model(recordings, tmp_path, quick):
    out = tmp_path / "w.npz"
    done = CliRunner().invoke(
        app, ["train", "--data", str(recordings), "--out", str(out), "--cache", str(tmp_path / "cache")]
    )
    assert done.exit_code == 0, done.output
    assert load(out).checksum in done.output


def test_a_speaker_belongs_to_one_part_only(recordings):
    chosen = corpora.clips(recordings)
    parts = fitting.folds(chosen)
    for clip, part in zip(chosen, parts, strict=True):
        assert {int(other) for one, other in zip(chosen, parts, strict=True) if one.who == clip.who} == {int(part)}
    assert len(set(parts.tolist())) == fitting.FOLDS


def test_a_network_learns_what_only_a_curve_can_tell_and_heeds_what_is_allowed():
    """Three classes; the third is only ever allowed together with the second, and never by itself."""

    def draw(chance, count):
        points = chance.normal(size=(count, 2)).astype(np.float32)
        inside = np.square(points).sum(axis=1) < 1.2
        allowed = np.stack((inside, ~inside, ~inside), axis=1).astype(np.float32)
        nowhere = np.zeros(count, dtype=np.intp)
        return Batch(points, allowed, allowed, np.ones((count, 1), np.float32), nowhere, nowhere)

    none = Intercepts(np.zeros((1, 3), np.float32), np.ones(1, np.float32))
    layers = fit(draw, 2, none, fitting.Recipe((16,), (0.0, 0.0), steps=800, rate=1e-2), 1)
    check = draw(generator("check"), 500)
    points, allowed = check.inputs, check.allowed
    inner = np.maximum(points @ layers[0][0] + layers[0][1], 0)
    chosen = (inner @ layers[1][0] + layers[1][1]).argmax(axis=1)
    assert allowed[np.arange(500), chosen].mean() > 0.95


def of_two_languages(chance: np.random.Generator, count: int) -> Batch:
    """Two corpora. The first input is louder anger, the second the language; in the second language nobody is angry."""
    home = chance.integers(0, 2, count).astype(np.intp)
    angry = (chance.random(count) < 0.5) & (home == 0)
    points = np.stack((angry + chance.normal(0, 0.7, count), home + chance.normal(0, 0.1, count)), axis=1)
    allowed = np.stack((~angry, angry), axis=1).astype(np.float32)
    return Batch(points.astype(np.float32), allowed, allowed, np.ones((count, 1), np.float32), home, home)


def anger_by_language(own_intercepts: bool, blind: tuple[int, ...] = ()) -> tuple[float, float]:
    """What a step in the first input, and one in the second, do to the log-odds of anger."""
    both = Intercepts(np.ones((2, 2), np.float32), np.array([1.0, 0.0], np.float32))
    recipe = fitting.Recipe((), (0.0,), steps=1500, rate=1e-2, intercepts=own_intercepts, blind=blind)
    [(weights, _)] = fit(of_two_languages, 2, both, recipe, 1)
    louder, language = (weights[:, 1] - weights[:, 0]).tolist()
    return louder, language


def test_a_language_in_which_nobody_was_angry_does_not_become_a_sign_of_calm():
    louder, language = anger_by_language(own_intercepts=True)
    assert louder > 1
    assert abs(language) < louder / 2
    louder, language = anger_by_language(own_intercepts=False)
    assert language < -1.5 * louder


def test_what_a_network_is_not_to_see_changes_nothing():
    louder, language = anger_by_language(own_intercepts=False, blind=(1,))
    assert louder > 1
    assert language == 0


def test_an_unknown_corpus_is_taken_to_be_like_those_in_which_somebody_is_angry(recordings):
    chosen = corpora.clips(recordings)
    found, home = intercepts(chosen)
    made, noises = home[0], home[[clip.corpus for clip in chosen].index("noises")]
    assert found.expected[made] == 1
    assert found.expected[noises] == 0
    noise = corpora.CLASSES.index("noise")
    assert not found.free[noises].any()
    assert not found.free[:, noise].any()
    assert np.delete(found.free[made], noise).all()


def test_loudness_by_itself_is_heard_but_blurred(recordings, tmp_path, quick):
    chosen = corpora.clips(recordings)
    heard = extraction.extract(chosen, tmp_path, 0, lambda line: None)
    one = np.flatnonzero(heard.clip == heard.clip[0])[:1]
    deck = Deck(chosen, heard, usual(chosen, heard), np.arange(len(heard.clip)))
    seen = deck._inputs(np.repeat(one, 4000), np.random.default_rng(0))
    spread_db = (seen[:, LOUDNESS] * deck.spread[LOUDNESS]).std()
    assert spread_db == pytest.approx(LEVEL_DB, rel=0.1)
    assert not np.delete(np.ptp(seen[:, : len(FEATURES)], axis=0), LOUDNESS).any()


def test_areas_and_recalls_are_what_the_definitions_say():
    positives, negatives = np.array([3.0, 2.0, 1.0]), np.array([0.0, 1.0, 2.5, -1.0])
    assert area(positives, negatives) == pytest.approx((4 + 3 + 2.5) / 12)
    assert recall(positives, negatives, 0.0) == pytest.approx(1 / 3)
    assert np.isnan(area(positives, np.zeros(0)))
