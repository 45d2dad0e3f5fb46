"""The model's file: believed only when it is what its checksum says."""

import hashlib
import shutil

import numpy as np
import pytest

from agent.engines.local import LocalEngine
from agent.engines.local.model import SHIPPED, load, save
from agent.errors import ConfigError


@pytest.fixture
def copied(tmp_path):
    for name in (SHIPPED.name, SHIPPED.name + ".sha256"):
        shutil.copy(SHIPPED.with_name(name), tmp_path / name)
    return tmp_path / SHIPPED.name


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_corrupted_model_stops_the_start_and_names_both_checksums(copied):
    expected = checksum(copied)
    content = bytearray(copied.read_bytes())
    content[len(content) // 2] ^= 1
    copied.write_bytes(content)
    with pytest.raises(ConfigError) as stopped:
        LocalEngine(model=copied)
    assert expected in str(stopped.value)
    assert checksum(copied) in str(stopped.value)


def test_a_missing_model_stops_the_start_and_names_what_was_expected(copied):
    expected = checksum(copied)
    copied.unlink()
    with pytest.raises(ConfigError, match=f"no file.*{expected}"):
        LocalEngine(model=copied)


def test_a_model_without_a_checksum_is_not_believed(copied):
    copied.with_name(copied.name + ".sha256").unlink()
    with pytest.raises(ConfigError, match="none"):
        LocalEngine(model=copied)


def test_what_is_no_model_is_not_believed_even_with_its_checksum(copied):
    copied.write_bytes(b"nothing of the kind")
    copied.with_name(copied.name + ".sha256").write_text(checksum(copied))
    with pytest.raises(ConfigError, match="made for another version"):
        load(copied)


def test_a_model_of_an_earlier_making_is_refused_and_says_what_to_do(copied):
    """Those were never to see loudness by itself: what they hold in its place means nothing."""
    with np.load(copied) as arrays:
        earlier = {name: values for name, values in arrays.items() if name != "making"}
    with copied.open("wb") as file:
        np.savez(file, **earlier)
    copied.with_name(copied.name + ".sha256").write_text(checksum(copied))
    with pytest.raises(ConfigError, match=r"made for another version.*callmood train"):
        load(copied)


def test_a_model_is_written_the_same_every_time_and_read_back_as_it_was(tmp_path):
    model = load(SHIPPED)
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    assert save(model, one, {"seed": 1}) == save(model, other, {"seed": 1})
    assert one.read_bytes() == other.read_bytes()
    again = load(one)
    assert again.evidence == model.evidence
    assert all(
        (weights == same).all() and (biases == alike).all()
        for layers, others in zip(model.networks, again.networks, strict=True)
        for (weights, biases), (same, alike) in zip(layers, others, strict=True)
    )


def test_the_shipped_model_is_small():
    assert SHIPPED.stat().st_size <= 5_000_000
