"""The manifest: what is read, and what is said about what cannot be."""

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.evaluation.manifest import read_manifest

HEAD = "file,label,speaker,corpus"


@pytest.fixture
def manifest(tmp_path: Path):
    def written(text: str, **how: str) -> Path:
        path = tmp_path / "mine.csv"
        path.write_text(text, how.get("encoding", "utf-8"))
        return path

    return written


def test_rows_are_read_with_what_is_known_and_what_is_not_ours(manifest):
    path = manifest(
        f"{HEAD},sex,intensity,angry_from_ms,emotion\na b.wav, Angry ,s1,c,f,strong,1500,rage\nn.wav,noise,,c,,,,dog\n"
    )
    angry, noise = read_manifest(path)
    assert (angry.label, angry.speaker, angry.sex, angry.angry_from_ms) == ("angry", "s1", "f", 1500)
    assert angry.path == path.parent / "a b.wav"
    assert angry.angry
    assert angry.others == {"emotion": "rage"}
    assert (noise.label, noise.voice, noise.language) == ("noise", "n.wav", "")


def test_columns_may_come_in_any_order_and_behind_a_byte_order_mark(manifest):
    [row] = read_manifest(manifest("corpus,file,speaker,label\nc,a.wav,s,sad\n", encoding="utf-8-sig"))
    assert (row.corpus, row.label) == ("c", "sad")


def test_an_empty_label_is_no_label_of_ours(manifest):
    [row] = read_manifest(manifest(f"{HEAD}\na.wav,,s,c\n"))
    assert not row.label
    assert not row.angry


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{HEAD}\na.wav,angry,s,c\nb.wav,cross,s,c\n", ("line 3", "column label", "'cross'", "frustrated")),
        (f"{HEAD}\n,angry,s,c\n", ("line 2", "column file")),
        (f"{HEAD}\na.wav,angry,s\n", ("line 2", "column corpus")),
        (f"{HEAD}\na.wav,angry,s,c,more\n", ("line 2", "more fields")),
        ("file,label,speaker\na.wav,angry,s\n", ("line 1", "corpus")),
        ("file;label;speaker;corpus\na.wav;angry;s;c\n", ("line 1", "commas")),
        (f"{HEAD},label\na.wav,angry,s,c,sad\n", ("line 1", "label twice")),
        (f"{HEAD},angry_from_ms\na.wav,angry,s,c,soon\n", ("line 2", "column angry_from_ms", "'soon'")),
        (f"{HEAD},angry_from_ms\na.wav,angry,s,c,-5\n", ("line 2", "column angry_from_ms")),
        (f"{HEAD},angry_from_ms\na.wav,sad,s,c,100\n", ("line 2", "column angry_from_ms", "'sad'")),
        (f'{HEAD}\n"a.wav,angry,s,c\n', ("line",)),
        (HEAD + "\n", ("no rows",)),
        ("", ("line 1",)),
    ],
)
def test_a_bad_row_is_one_sentence_with_file_line_and_column(manifest, text, named):
    path = manifest(text)
    with pytest.raises(ConfigError) as error:
        read_manifest(path)
    sentence = str(error.value)
    assert "\n" not in sentence
    for name in ("mine.csv", *named):
        assert name in sentence


def test_what_is_no_text_or_not_there_is_said(tmp_path):
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + b"\n\xe9.wav,sad,s,c\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_manifest(tmp_path / "latin.csv")
    with pytest.raises(ConfigError, match=r"none\.csv"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(ConfigError):
        read_manifest(tmp_path)
