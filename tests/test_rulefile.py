"""The rules file: found beside the settings, and read again when it changes."""

import os
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from agent.config_sources import load
from agent.core.emotion import Emotion, Mood, Trend
from agent.errors import ConfigError
from agent.packaged import default_text
from agent.rulefile import LOOK_EVERY_S, RuleFile, shipped

RULE = '[[rule]]\nname = "{}"\nemotions = ["angry"]\ndo = ["interrupt"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "rules.toml"


def write(path: Path, text: str) -> None:
    """As an editor does it: the file's time may be that of the one before, if both were quick."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)


def names(rules: RuleFile) -> list[str]:
    return [rule.name for rule in rules.current().rules]


# --- Where it is ---


def test_it_lies_beside_the_settings_file(tmp_path: Path) -> None:
    assert load({}, folder=tmp_path).rules_file == tmp_path / "config" / "rules.toml"
    other = tmp_path / "other" / "mine.toml"
    other.parent.mkdir()
    other.write_text("", "utf-8")
    assert load({}, folder=tmp_path, file=other).rules_file == tmp_path / "other" / "rules.toml"


@pytest.mark.parametrize("known", [True, False])
def test_without_one_the_packaged_rules_hold(path: Path, known: bool) -> None:
    rules = RuleFile(path if known else None, act_at=0.7)
    assert rules.current() == shipped(0.7)
    assert rules.current().rules[0].at_least == 0.7


def test_the_one_in_config_is_the_packaged_one() -> None:
    config = Path(__file__).parents[1] / "config" / "rules.toml"
    assert config.read_text("utf-8") == default_text("rules.toml")


@pytest.mark.parametrize("content", [b"at_least = 85", b"\xff\xfe", b"#" * 300_000])
def test_a_service_does_not_start_with_a_bad_one(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"rules\.toml"):
        RuleFile(path, act_at=0.85)


# --- When it changes ---


def test_a_good_edit_holds_and_a_bad_one_keeps_the_rules_and_says_why_once(path: Path) -> None:
    write(path, RULE.format("one"))
    rules = RuleFile(path, act_at=0.85)
    assert rules.refresh() is None
    write(path, RULE.format("two"))
    assert (rules.refresh(), names(rules)) == ("ok", ["two"])
    with structlog.testing.capture_logs() as logs:
        write(path, RULE.format("Three"))
        assert (rules.refresh(), rules.refresh(), names(rules)) == ("bad", None, ["two"])
    (entry,) = logs
    assert entry["reason"].startswith(f"{path} line 2: name must be")
    assert "\n" not in entry["reason"]
    write(path, RULE.format("four"))
    assert (rules.refresh(), names(rules)) == ("ok", ["four"])


def test_an_edit_in_place_of_the_same_length_is_seen_too(path: Path) -> None:
    write(path, RULE.format("one"))
    rules = RuleFile(path, act_at=0.85)
    path.write_text(RULE.format("two"), "utf-8")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert (rules.refresh(), names(rules)) == ("ok", ["two"])


def test_a_file_that_disappears_keeps_its_rules_and_one_that_appears_is_read(path: Path) -> None:
    rules = RuleFile(path, act_at=0.85)
    write(path, RULE.format("one"))
    assert (rules.refresh(), names(rules)) == ("ok", ["one"])
    path.unlink()
    assert (rules.refresh(), rules.refresh(), names(rules)) == ("bad", None, ["one"])


async def test_it_is_looked_at_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(look: Any, **more: Any) -> Any:
        return look()

    monkeypatch.setattr("trio.to_thread.run_sync", at_once)  # a clock that jumps does not wait for threads
    write(path, RULE.format("one"))
    rules, noted = RuleFile(path, act_at=0.85), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rules.watch, noted.append)
        for name in ("two", "Three", "four"):
            write(path, RULE.format(name))
            await trio.sleep(LOOK_EVERY_S * 1.5)
        nursery.cancel_scope.cancel()
    assert (noted, names(rules)) == (["ok", "bad", "ok"], ["four"])


@pytest.fixture(autouse=True)
def free_time(autojump_clock: MockClock) -> None:
    """Nothing here waits."""


def test_the_packaged_rules_hear_anger_and_nothing_else() -> None:
    calm = Mood(Emotion("happy", 1.0), Trend.RISING, 5, 0.0, {"happy": 1.0})
    assert not any(calm.emotion.label in rule.emotions for rule in shipped(0.85).rules)
