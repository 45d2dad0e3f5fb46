"""The table that says what is in which recording: CSV, one row a file, `file,label,speaker,corpus` and what is known.

`label` is one of ours, or `noise` for audio without an angry caller. It may be empty: then the emotion is none of ours
(disgust, surprise) or nobody has said (ordinary calls). Such a clip takes no part in anything about labels, and counts
as not angry: where it was anger after all, that is held against us.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.emotion import ANGER, LABELS
from ..errors import ConfigError

NOISE = "noise"
REQUIRED = ("file", "label", "speaker", "corpus")
_KNOWN = (*REQUIRED, "sex", "language", "intensity", "angry_from_ms")


@dataclass(frozen=True, slots=True)
class Row:
    """One recording."""

    name: str
    """As the manifest writes it."""
    path: Path
    label: str
    """One of LABELS, `noise`, or empty."""
    speaker: str
    """Empty: nobody said; the recording then stands for itself."""
    corpus: str
    sex: str = ""
    language: str = ""
    intensity: str = ""
    angry_from_ms: int | None = None
    """Milliseconds from the beginning at which an angry recording turns angry."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Columns of the manifest that are not ours."""

    @property
    def angry(self) -> bool:
        return self.label in ANGER

    @property
    def voice(self) -> str:
        """Whose clips belong together: the speaker, or the file where there is no name."""
        return self.speaker or self.name


def read_manifest(path: Path) -> list[Row]:
    """The rows in their order. Raises ConfigError: one sentence naming the file, and line and column where it can."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(path, csv.DictReader(file, strict=True)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name a manifest (CSV)") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: save the manifest as CSV in UTF-8") from None
    if not rows:
        raise ConfigError(f"{path} holds no rows: add one for each recording")
    return rows


def _rows(path: Path, table: "csv.DictReader[str]") -> Iterator[Row]:
    try:
        _check_header(path, table.fieldnames or ())
        for cells in table:
            yield _row(path, table.line_num, cells)
    except csv.Error as error:
        raise ConfigError(f"{path}, line {table.line_num} is not CSV ({error}): correct it") from None


def _check_header(path: Path, names: Sequence[str]) -> None:
    for name in REQUIRED:
        if name not in names:
            raise ConfigError(
                f"{path}, line 1 has no column {name}: the header begins with {','.join(REQUIRED)}, parted by commas"
            )
        if list(names).count(name) > 1:
            raise ConfigError(f"{path}, line 1 names the column {name} twice: keep one")


def _row(path: Path, line: int, cells: "dict[str | None, str | list[str]]") -> Row:
    if None in cells:
        raise ConfigError(f"{path}, line {line} has more fields than the header has columns: quote commas in texts")
    text: dict[str, str] = {}
    for name, value in cells.items():
        if not isinstance(value, str):  # the reader gives None for fields that are not there
            raise ConfigError(f"{path}, line {line}, column {name} is missing: give every row as many fields as line 1")
        text[str(name)] = value.strip()
    if not text["file"] or "\0" in text["file"]:
        raise ConfigError(f"{path}, line {line}, column file is empty: name a recording, relative to the manifest")
    label = text["label"].lower()
    if label and label != NOISE and label not in LABELS:
        raise ConfigError(
            f"{path}, line {line}, column label: {text['label']!r} is none of {', '.join(LABELS)} and {NOISE}: "
            "use one of these, or leave it empty"
        )
    return Row(
        name=text["file"],
        path=path.parent / text["file"],
        label=label,
        speaker=text["speaker"],
        corpus=text["corpus"],
        sex=text.get("sex", ""),
        language=text.get("language", ""),
        intensity=text.get("intensity", ""),
        angry_from_ms=_turn(path, line, label, text.get("angry_from_ms", "")),
        others={name: value for name, value in text.items() if name not in _KNOWN},
    )


def _turn(path: Path, line: int, label: str, text: str) -> int | None:
    if not text:
        return None
    where = f"{path}, line {line}, column angry_from_ms"
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ConfigError(f"{where}: {text!r} is no number of milliseconds: write a whole number, or leave it empty")
    if label not in ANGER:
        raise ConfigError(
            f"{where} is set for a recording labelled {label or 'nothing'!r}: label it angry, or empty it"
        )
    return int(text)
