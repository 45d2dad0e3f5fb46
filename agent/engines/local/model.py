"""The trained model: from the features of a stretch of speech, and what is usual for this caller, to a judgement.

A few small networks whose log-probabilities are averaged, and then sharpened or softened so that they mean what they
say (`temperature`). They tell apart our labels, other emotions, and sounds that are nobody's voice; the last two are no
label of ours, and count as neutral in what we say.

The file is made by `callmood train` and checked against the checksum beside it before anything in it is believed.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.emotion import ANGER, LABELS, Emotion
from ...errors import ConfigError
from .networks import Layers, Stack, log_softmax, mean_log_shares, stacked
from .pooling import FEATURES
from .spectrum import Floats

CLASSES: Final = (*LABELS, "other", "noise")
MAKING: Final = 2
"""Of the models this version understands. Those of the first making were never to see loudness by itself."""
SHIPPED: Final = Path(__file__).with_name("weights.npz")

_CUT: Final = np.float32(4.0)
"""Spreads at which a feature has said all it can say."""
_ANGRY, _FRUSTRATED, _NEUTRAL = (LABELS.index(label) for label in ("angry", "frustrated", "neutral"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """How what single stretches say becomes belief."""

    gain: float
    """How much surer several agreeing stretches are than one."""
    anger_bias: float
    """Added to the log-odds of anger, so that one operating point fits all: of a caller whose calm voice is known."""
    stranger_bias: float
    """The same of a caller of whom nothing is known. In between while the baseline grows."""
    follows_ms: float
    """New speech after which belief has gone two thirds of the way to what the stretches say."""
    fades_ms: float
    """The same for silence, on the way back to where belief starts."""


@dataclass(frozen=True, slots=True)
class Model:
    """See `judge`."""

    centre: Floats
    spread: Floats
    """Of the features in training, shape (len(FEATURES),)."""
    networks: tuple[Layers, ...]
    """Of each network its layers: weights (inputs, outputs) and biases (outputs,)."""
    temperature: float
    evidence: Evidence
    checksum: str = ""
    about: str = "{}"
    """JSON: seed, corpora, version."""
    _together: tuple[Stack, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_together", stacked(self.networks))

    def judge(self, features: Floats, usual: Floats, known: Floats) -> Floats:
        """Log-probabilities over CLASSES, shape (n, 8).

        `features` (n, D); `usual` (n, D), what they are when this caller is calm, as far as that is `known` (n,), from
        0 to 1.
        """
        return self._calibrated(self.logits(self.inputs(features, usual, known)))

    def inputs(self, features: Floats, usual: Floats, known: Floats) -> Floats:
        """What the networks see: the features by themselves, and against the caller's own."""
        count, width = features.shape
        inputs = np.empty((count, 2 * width + 1), dtype=np.float32)
        inputs[:, :width] = (features - self.centre) / self.spread
        inputs[:, width:-1] = (features - usual) / self.spread
        np.minimum(np.maximum(inputs, -_CUT, out=inputs), _CUT, out=inputs)
        inputs[:, -1] = known
        inputs[:, width:-1] *= known[:, np.newaxis]
        return inputs

    def logits(self, inputs: Floats) -> Floats:
        """Mean of what the networks say, shape (n, 8)."""
        return mean_log_shares(self._together, inputs)

    def _calibrated(self, logits: Floats) -> Floats:
        return log_softmax(logits / np.float32(self.temperature))


def labelled(log_probabilities: Floats) -> Floats:
    """Probabilities over LABELS, shape (n, 6): what is no label of ours is neutral."""
    shares = np.exp(log_probabilities)
    ours = shares[:, : len(LABELS)].copy()
    ours[:, _NEUTRAL] += shares[:, len(LABELS) :].sum(axis=1)
    return np.asarray(ours / ours.sum(axis=1, keepdims=True))


def strongest(shares: Sequence[float]) -> Emotion:
    """The label most believed in, anger and frustration counting together."""
    angry, frustrated = shares[_ANGRY], shares[_FRUSTRATED]
    anger_label = "angry" if angry >= frustrated else "frustrated"
    others = [Emotion(label, share) for label, share in zip(LABELS, shares, strict=True) if label not in ANGER]
    return max(*others, Emotion(anger_label, min(1.0, angry + frustrated)), key=lambda emotion: emotion.score)


def load(path: Path = SHIPPED) -> Model:
    """The model in this file. Raises ConfigError where it is missing, or not what its checksum says."""
    beside = path.with_name(path.name + ".sha256")
    expected = beside.read_text().split()[0] if beside.is_file() and beside.read_text().split() else "none"
    content = path.read_bytes() if path.is_file() else None
    found = hashlib.sha256(content).hexdigest() if content is not None else "no file"
    if content is None or found != expected:
        raise ConfigError(
            f"The model {path} is not usable (checksum found: {found}, expected in {beside.name}: {expected}): "
            "install Callmood again, or make the model with `callmood train`."
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _model(arrays, found)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"The model {path} (checksum {found}, as expected) was made for another version of Callmood: "
            "make it again with `callmood train`."
        ) from error


def _model(arrays: Mapping[str, NDArray[Any]], checksum: str) -> Model:
    if tuple(arrays["features"].tolist()) != FEATURES or tuple(arrays["classes"].tolist()) != CLASSES:
        raise ValueError("other features")
    if int(arrays["making"]) != MAKING:
        raise ValueError("another making")
    networks = tuple(
        tuple(
            (arrays[f"weights{network}_{layer}"].astype(np.float32), arrays[f"biases{network}_{layer}"])
            for layer in range(layers)
        )
        for network, layers in enumerate(arrays["layers"].tolist())
    )
    gain, anger_bias, stranger_bias, follows_ms, fades_ms = arrays["evidence"].tolist()
    return Model(
        arrays["centre"],
        arrays["spread"],
        networks,
        float(arrays["temperature"]),
        Evidence(gain, anger_bias, stranger_bias, follows_ms, fades_ms),
        checksum,
        str(arrays["about"]),
    )


def save(model: Model, path: Path, about: Mapping[str, object]) -> str:
    """Write the model and its checksum beside it; returns the checksum. The same model, the same bytes."""
    arrays: dict[str, NDArray[Any]] = {
        "features": np.array(FEATURES),
        "classes": np.array(CLASSES),
        "making": np.array(MAKING),
        "centre": model.centre,
        "spread": model.spread,
        "layers": np.array([len(layers) for layers in model.networks]),
        "temperature": np.array(model.temperature),
        "evidence": np.array(
            [
                model.evidence.gain,
                model.evidence.anger_bias,
                model.evidence.stranger_bias,
                model.evidence.follows_ms,
                model.evidence.fades_ms,
            ]
        ),
        "about": np.array(json.dumps(about, sort_keys=True)),
    }
    for network, layers in enumerate(model.networks):
        for layer, (weights, biases) in enumerate(layers):
            arrays[f"weights{network}_{layer}"] = weights.astype(np.float16)
            arrays[f"biases{network}_{layer}"] = biases
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    path.write_bytes(content.getvalue())
    checksum = hashlib.sha256(content.getvalue()).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{checksum}  {path.name}\n")
    return checksum


def verify_model(path: Path = SHIPPED) -> str:
    """The file's checksum, after it was compared with the one beside it. Raises ConfigError."""
    return load(path).checksum
