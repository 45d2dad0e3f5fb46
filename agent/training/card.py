"""The card beside a model: what it was made of, what may be done with it, and what held-out speakers showed."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from ..engines.local.model import Model
from .corpora import Clip
from .dataset import LEVEL_DB
from .figures import Figures

_LICENCES: Final[Mapping[str, str]] = {
    "ravdess": "acted English, 18 speakers; RAVDESS (Livingstone & Russo 2018), CC BY-NC-SA 4.0",
    "nemo": "acted Polish, 7 speakers; nEMO (Christop 2024), CC BY-NC-SA 4.0",
    "ased": "acted Amharic, 52 speakers; ASED (Retta et al. 2023), no licence stated",
    "pico_commands": "spoken commands; Picovoice, Apache-2.0",
    "pico_wake": "spoken words; Picovoice, Apache-2.0",
    "pico_noise": "kitchen; Picovoice, Apache-2.0",
    "asterisk_en": "telephone prompts by Allison Smith, CC BY-SA 3.0",
    "calls": "call-centre and service samples, unlabelled; Apache-2.0 and MIT",
    "animals": "animals; mixed licences, partly none stated",
    "babycry": "babies, noise, silence; mixed licences, partly none stated",
    "keystrokes": "typing; mixed licences, partly none stated",
    "paa": "music, speech, silence; mixed licences, partly none stated",
}


def card(
    name: str,
    checksum: str,
    seed: int,
    clips: Sequence[Clip],
    model: Model,
    found: Sequence[Figures],
    calibration_error: float,
) -> str:
    counts: dict[str, int] = defaultdict(int)
    for clip in clips:
        counts[clip.corpus] += 1
    shapes = ", ".join(
        " x ".join(str(weights.shape[0]) for weights, _ in layers) + f" x {layers[-1][0].shape[1]}"
        for layers in model.networks
    )
    seen = ", ".join(str(int(layers[0][0].any(axis=1).sum())) for layers in model.networks)
    parameters = sum(weights.size + biases.size for layers in model.networks for weights, biases in layers)
    evidence = model.evidence
    return "\n".join(
        (
            "# The local engine's model",
            "",
            f"`{name}`, sha256 `{checksum}`, made by `callmood train --data DIR --seed {seed}`. The",
            "same recordings and seed give the same file, byte for byte, on one thread of the same machine.",
            "",
            "**Research and evaluation only, where it was made from recordings that are non-commercial or whose",
            "licence is not stated (see below). For any other use, make it again from recordings you may use: the",
            "same command.**",
            "",
            "## Recordings",
            "",
            "| corpus | clips | what, and its licence |",
            "|---|---|---|",
            *(f"| {corpus} | {count} | {_LICENCES.get(corpus, 'yours')} |" for corpus, count in sorted(counts.items())),
            "",
            "Corpora for testing only, because their licence allows no derivatives, are left out.",
            "",
            "## What it is",
            "",
            f"{len(model.centre)} features of the last 1.5 s of speech, by themselves and against the caller's own",
            f"calm speech; {len(model.networks)} networks ({shapes}; {parameters} numbers) whose log-probabilities are",
            f"averaged and divided by a temperature of {model.temperature:.2f}. They see {seen} of these inputs.",
            "Those that see fewer were fitted beside intercepts of each corpus, left out since: what sets a corpus",
            f"apart is not to be a sign of calm. Loudness by itself was blurred by {LEVEL_DB:.0f} dB. Belief follows",
            "the evidence within",
            f"{evidence.follows_ms:.0f} ms of speech, its gain {evidence.gain:.2f}, its bias",
            f"{evidence.anger_bias:+.2f}, of strangers {evidence.stranger_bias:+.2f}.",
            "",
            "## What speakers it was not fitted to showed",
            "",
            "Five parts by speaker; calls by channel. A recording by itself, or after four calm ones of its speaker",
            "(noise: of any speaker) over the same telephone; plain (300 to 3400 Hz, mu-law, level as recorded) or",
            "over five drawn ones each (handsets, levels, babble, kitchen, music and hiss 8 to 35 dB below, loss).",
            "Scored by the highest belief once a second of speech was heard; acted on: 0.85 or more. Recordings with",
            "less speech never act and count as such; those in which none is heard are left out. The biases were set",
            "on these very answers: so false alarms keep their bounds here; of another corpus expect other figures.",
            "",
            f"Expected calibration error of anger, single stretches: {calibration_error:.3f}.",
            "",
            "| corpus | circumstance | n | AUC | vs neutral, sad | vs happy | recall at 4 % | at 1 % "
            "| acted on: strong | mild | false alarms | of neutral |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
            *(_row(figure) for figure in found),
            "",
        )
    )


def _row(figure: Figures) -> str:
    def number(value: float, digits: int) -> str:
        return "" if math.isnan(value) else f"{value:.{digits}f}"

    def percent(value: float) -> str:
        return "" if math.isnan(value) else f"{100 * value:.1f} %"

    cells = (
        figure.corpus,
        figure.circumstance,
        str(figure.recordings),
        *(number(value, 3) for value in (figure.auc, figure.auc_calm, figure.auc_happy)),
        *(percent(value) for value in (figure.recall_at_4, figure.recall_at_1)),
        *(percent(value) for value in (figure.acted_strong, figure.acted_mild)),
        *(percent(value) for value in (figure.false_alarms, figure.false_neutral)),
    )
    return "| " + " | ".join(cells) + " |"
