"""callmood rules: is the file right, and what would a mood fire?"""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.errors import ConfigError

OWN = """\
[[rule]]
name = "sad-note"
emotions = ["sad"]
for_s = 3
unless_quality_below = 0.5
do = ["interrupt", "context:gently"]

[context]
gently = "{emotion}"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without any settings."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> list[str]:
    """What it prints. Raises what it ended with, as the command line itself would report it."""
    result = CliRunner().invoke(app, ["rules", *arguments])
    if result.exception is not None:
        raise result.exception
    assert result.exit_code == 0
    return result.output.splitlines()


def fired(*arguments: str) -> list[str]:
    return [" ".join(line.split()) for line in run("test", *arguments)]


def test_the_packaged_rules_are_right_and_say_what_they_do() -> None:
    assert run("check") == [
        "ok   the packaged rules: 2 rules",
        "     angry-interrupt: interrupt",
        "     angry-transfer: interrupt, context:apologise, transfer",
    ]


def test_the_file_in_force_is_checked_where_none_is_named(elsewhere: Path) -> None:
    (elsewhere / "config").mkdir()
    (elsewhere / "config" / "rules.toml").write_text(OWN, "utf-8")
    assert run("check")[0].endswith("config/rules.toml: 1 rule")


@pytest.mark.parametrize("command", [["check"], ["test", "--emotion", "sad", "--score", "1", "--for", "1"]])
def test_a_mistake_ends_it_with_its_file_line_and_key(elsewhere: Path, command: list[str]) -> None:
    file = elsewhere / "mine.toml"
    file.write_text(OWN.replace("for_s = 3", "for_s = -3"), "utf-8")
    with pytest.raises(ConfigError, match=r"mine\.toml line 4: for_s must"):
        run(*command, str(file))
    with pytest.raises(ConfigError, match=r"there is no rules file none\.toml"):
        run(*command, "none.toml")


def test_what_a_mood_would_fire_is_said_a_line_a_rule() -> None:
    assert fired("--emotion", "angry", "--score", "0.9", "--for", "2") == [
        "0.0 s angry-interrupt: interrupt",
        "1.0 s angry-transfer: context:apologise, transfer (not just then: interrupt)",
    ]


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        (["--for", "0.9"], ["angry-interrupt"]),
        (["--for", "1"], ["angry-interrupt", "angry-transfer"]),
        (["--for", "2", "--no-speaking"], ["angry-transfer"]),
        (["--for", "2", "--trend", "steady"], ["angry-interrupt"]),
        (["--for", "2", "--quality", "0.2"], ["angry-interrupt"]),
        (["--for", "2", "--quality", "0.3"], ["angry-interrupt", "angry-transfer"]),
    ],
)
def test_its_length_trend_and_line_and_the_assistant_count(arguments: list[str], rules: list[str]) -> None:
    lines = fired("--emotion", "Angry", "--score", "0.85", *arguments)
    assert [line.split()[2].rstrip(":") for line in lines] == rules


def test_a_mood_that_fires_nothing_is_said_to(elsewhere: Path) -> None:
    (line,) = fired("--emotion", "happy", "--score", "1", "--for", "60")
    assert line.startswith("no rule fires")


def test_rules_of_ones_own_are_tried_too(elsewhere: Path) -> None:
    (elsewhere / "mine.toml").write_text(OWN, "utf-8")
    assert fired("mine.toml", "--emotion", "sad", "--score", "0.9", "--for", "3") == [
        "3.0 s sad-note: interrupt, context:gently"
    ]


@pytest.mark.parametrize("wrong", [["--score", "2"], ["--trend", "up"], ["--for", "-1"], ["--quality", "7"]])
def test_a_mood_that_cannot_be_is_refused(wrong: list[str]) -> None:
    arguments = ["--emotion", "sad", "--score", "1", "--for", "1", *wrong]
    with pytest.raises((ConfigError, SystemExit)) as refused:
        run("test", *arguments)
    assert not isinstance(refused.value, SystemExit) or refused.value.code == 2
