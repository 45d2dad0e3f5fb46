"""Every recording heard over every telephone: the features a model is fitted to. Kept on disk: it takes minutes."""

import hashlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..engines.local import pooling, spectrum, summary, voice
from ..engines.local.spectrum import Floats
from ..evaluation import phone
from . import copies, corpora, listening
from .corpora import Clip

COPIES: Final = 5
"""Telephones each recording is heard over, beside the plain one."""

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Heard:
    """Stretches of speech, n in all, of many recordings over several telephones, in the order of the recordings."""

    features: Floats
    """Shape (n, len(FEATURES))."""
    clip: Ints
    """Which recording."""
    copy: Ints
    """0 is the plain telephone (300 to 3400 Hz, mu-law, level as recorded); then the others."""
    new_rows: Ints
    """Rows of 20 ms with speech that no stretch before it had."""


def extract(clips: Sequence[Clip], cache: Path, seed: int, tell: Callable[[str], None]) -> Heard:
    """All stretches of all these recordings; from the cache where it has them."""
    kept = cache / f"heard-{_fingerprint(clips, seed)}.npz"
    if kept.is_file():
        tell(f"features from {kept}")
        with np.load(kept) as arrays:
            return Heard(arrays["features"], arrays["clip"], arrays["copy"], arrays["new_rows"])
    around = copies.room(clips, seed)
    together: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        together[clip.who].append(clip)
    usual_db = {who: copies.usual_level_db(theirs) for who, theirs in together.items()}
    features, clip_at, copy_at, new_rows = [], [], [], []
    for at, clip in enumerate(clips):
        if at % 500 == 0:
            tell(f"heard {at} of {len(clips)} recordings over {COPIES + 1} telephones each")
        for number in range(COPIES + 1):
            if number:
                sound = copies.copy(clip, number - 1, usual_db[clip.who], around, seed)
            else:
                sound = phone.telephone(clip.samples(), phone.Condition(), copies.generator("plain", clip.name))
            heard = listening.listen(sound)
            features.append(heard.features)
            new_rows.append(heard.new_rows.astype(np.int32))
            clip_at.append(np.full(len(heard.block), at, dtype=np.int32))
            copy_at.append(np.full(len(heard.block), number, dtype=np.int32))
    found = Heard(np.concatenate(features), np.concatenate(clip_at), np.concatenate(copy_at), np.concatenate(new_rows))
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(".part.npz")  # a run that is broken off leaves nothing that looks whole
    np.savez(unfinished, features=found.features, clip=found.clip, copy=found.copy, new_rows=found.new_rows)
    unfinished.replace(kept)
    return found


def restricted(clips: Sequence[Clip], heard: Heard, only: Container[str]) -> tuple[list[Clip], Heard]:
    """The same, of the recordings with these names."""
    kept = np.array([clip.name in only for clip in clips])
    stays = kept[heard.clip]
    number = (np.cumsum(kept) - 1).astype(np.int32)
    chosen = [clip for clip, stay in zip(clips, kept.tolist(), strict=True) if stay]
    return chosen, Heard(heard.features[stays], number[heard.clip[stays]], heard.copy[stays], heard.new_rows[stays])


def _fingerprint(clips: Sequence[Clip], seed: int) -> str:
    """Of the recordings, and of the code that hears them."""
    digest = hashlib.sha256(f"{seed} {COPIES}".encode())
    for clip in clips:
        digest.update(f"{clip.path} {clip.path.stat().st_size} {clip.who} {clip.label} {clip.emotion}\n".encode())
    for module in (spectrum, voice, summary, pooling, phone, copies, listening, corpora):
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()[:16]
