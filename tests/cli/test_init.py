"""`callmood init`: with somebody at a terminal, from a script, and what it leaves behind."""

from __future__ import annotations

import stat
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import Terminal

from agent.cli.questions import MODES, QUESTIONS
from agent.config_sources import ENVIRONMENT, load, read_dotenv
from agent.dotenv import quoted, with_values
from agent.errors import ConfigError
from agent.settings_checks import NEEDED

if TYPE_CHECKING:
    from conftest import Run

SID = "AC" + "0a" * 16
UUID = "11111111-2222-3333-4444-555555555555"
AUTH_TOKEN = "9f" * 16
VAPI_KEY = "vapi-private-key-of-the-tests"
TAP = {"TWILIO_AUTH_TOKEN": AUTH_TOKEN, "VAPI_API_KEY": VAPI_KEY}
TAP_ARGS = (
    *("init", "--attach", "tap", "--twilio-account-sid", SID),
    *("--vapi-assistant-id", UUID, "--vapi-phone-number-id", UUID),
)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts `callmood ARGS…` on a terminal in an empty folder; keywords are its environment."""
    started: list[Terminal] = []

    def start(*args: str, **env: str) -> Terminal:
        started.append(Terminal(tmp_path, env, *args))
        return started[-1]

    yield start
    for one in started:
        one.close()


# Somebody at a terminal.


def test_a_few_answers_make_settings_that_serve_takes_and_secrets_are_not_shown(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    screen = terminal("init")
    screen.answer("Mode", "")
    screen.answer("Twilio account SID", SID)
    screen.answer("Twilio auth token", AUTH_TOKEN)
    screen.answer("Vapi private key", VAPI_KEY)
    screen.answer("Vapi assistant id", "not-a-uuid")
    screen.answer("Vapi assistant id", UUID)
    screen.answer("Vapi phone number id", UUID)
    screen.answer("Public https address", "https://calls.example.com")
    screen.answer("of a human", "+15550100777")
    screen.answer("Address of your model", "")
    assert screen.end() == 0
    settings = load({}, folder=tmp_path)
    assert settings.attach == "tap"
    assert settings.twilio_account_sid == SID
    assert settings.twilio_auth_token.reveal() == AUTH_TOKEN
    assert settings.vapi_api_key.reveal() == VAPI_KEY
    assert settings.transfer_to == "+15550100777"
    assert len(settings.token.reveal()) >= 24
    assert len(settings.vapi_secret.reveal()) >= 24
    assert not settings.llm_key
    assert "looks like a UUID" in screen.shown
    for secret in (AUTH_TOKEN, VAPI_KEY, settings.token.reveal(), settings.vapi_secret.reveal()):
        assert secret not in screen.shown


def test_with_a_model_of_ones_own_the_gateway_gets_a_key_and_its_steps(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    screen = terminal("init", "--attach", "listen")
    screen.answer("Public https address", "")
    screen.answer("of a human", "")
    screen.answer("Address of your model", "https://llm.example.com/v1")
    screen.answer("Key of your model", "model-key-of-the-tests")
    screen.answer("Name of your model", "")
    assert screen.end() == 0
    settings = load({}, folder=tmp_path)
    assert settings.llm_base_url == "https://llm.example.com/v1"
    assert len(settings.llm_key.reveal()) >= 24
    assert "Custom LLM" in screen.shown
    assert "model-key-of-the-tests" not in screen.shown
    assert (tmp_path / "config" / "vapi-assistant-gateway.json").exists()


def test_return_keeps_every_value_that_is_there(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    before = f"TWILIO_AUTH_TOKEN={AUTH_TOKEN}\nCALLMOOD_ATTACH=sip\nVAPI_SIP_URI=sip:a@sip.vapi.ai\n# mine\nOTHER=1\n"
    (tmp_path / ".env").write_text(before)
    screen = terminal("init")
    for question in ("Mode", "account SID", "auth token", "SIP address", "Public https", "human", "your model"):
        screen.answer(question, "")
    assert screen.end() == 0
    after = (tmp_path / ".env").read_text()
    assert after.startswith(before)
    assert AUTH_TOKEN not in screen.shown


def test_an_option_that_differs_from_what_is_there_is_asked_about(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("CALLMOOD_TRANSFER_TO=+15550100001\nCALLMOOD_ATTACH=listen\n")
    for answer, kept in (("no", "+15550100001"), ("yes", "+15550100002")):
        screen = terminal("init", "--transfer-to", "+15550100002")
        screen.answer("Mode", "")
        screen.answer("Public https", "")
        screen.answer("another CALLMOOD_TRANSFER_TO", answer)
        screen.answer("your model", "")
        assert screen.end() == 0
        assert read_dotenv(tmp_path / ".env")["CALLMOOD_TRANSFER_TO"] == kept


# From a script.


def test_a_script_gives_options_and_secrets_by_environment(run: Run, tmp_path: Path) -> None:
    done = run(*TAP_ARGS, "--webhook-url", "https://calls.example.com", **TAP)
    assert done.code == 0, done.err
    settings = load({}, folder=tmp_path)
    assert (settings.attach, settings.twilio_account_sid) == ("tap", SID)
    assert settings.vapi_assistant_id == settings.vapi_phone_number_id == UUID
    assert settings.vapi_api_key.reveal() == VAPI_KEY
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert "https://calls.example.com/voice/incoming" in done.out
    assert AUTH_TOKEN not in done.out + done.err
    assert VAPI_KEY not in done.out + done.err


def test_the_config_of_the_package_is_copied_and_says_what_the_built_in_defaults_say(run: Run, tmp_path: Path) -> None:
    assert run(*TAP_ARGS, **TAP).code == 0
    for name in ("callmood.toml", "rules.toml"):
        assert tomllib.loads((tmp_path / "config" / name).read_text())
    assert (tmp_path / "config" / "vapi-assistant.json").exists()
    assert load({}, folder=tmp_path).from_file == tmp_path / "config" / "callmood.toml"


def test_twice_changes_nothing_the_second_time(run: Run, tmp_path: Path) -> None:
    assert run(*TAP_ARGS, **TAP).code == 0
    (tmp_path / "config" / "rules.toml").write_text("# mine\n")
    before = (tmp_path / ".env").read_text()
    assert run(*TAP_ARGS, **TAP).code == 0
    assert (tmp_path / ".env").read_text() == before
    assert (tmp_path / "config" / "rules.toml").read_text() == "# mine\n"


def test_values_that_are_there_are_not_overwritten_unless_it_is_said(run: Run, tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("# mine\nexport TWILIO_AUTH_TOKEN='another-token-entirely'  # old\nOTHER=kept\n")
    before = env.read_text()
    done = run(*TAP_ARGS, **TAP)
    assert done.code == 2
    assert "TWILIO_AUTH_TOKEN" in done.sentence
    assert "--replace" in done.sentence
    assert env.read_text() == before
    assert not (tmp_path / "config").exists()
    assert run(*TAP_ARGS, "--replace", **TAP).code == 0
    assert env.read_text().startswith(f"# mine\nexport TWILIO_AUTH_TOKEN={AUTH_TOKEN}\nOTHER=kept\n")


@pytest.mark.parametrize("mode", MODES)
def test_without_a_terminal_what_is_missing_is_named_as_one_would_give_it(run_here: Run, mode: str) -> None:
    done = run_here("init", "--attach", mode)
    needed = [question for question in QUESTIONS if mode in question.needed]
    assert done.code == (2 if needed else 0), done.err
    for question in needed:
        assert question.option in done.sentence


def test_without_a_terminal_and_a_mode_the_modes_are_named(run_here: Run, tmp_path: Path) -> None:
    done = run_here("init")
    assert done.code == 2
    assert "--attach" in done.sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--attach", "glue"), "--attach"),
        (("--attach", "listen", "--webhook-url", "http://calls.example.com"), "WEBHOOK_URL"),
        (("--attach", "listen", "--transfer-to", "5550100"), "CALLMOOD_TRANSFER_TO"),
        (("--attach", "sip", "--vapi-sip-uri", "sip.vapi.ai"), "VAPI_SIP_URI"),
    ],
)
def test_an_answer_that_cannot_be_right_is_named_and_nothing_is_written(
    run_here: Run, tmp_path: Path, args: tuple[str, ...], named: str
) -> None:
    done = run_here("init", *args, TWILIO_AUTH_TOKEN=AUTH_TOKEN)
    assert done.code == 2
    assert named in done.sentence
    assert not list(tmp_path.iterdir())


def test_a_dotenv_that_serve_would_not_take_is_named_and_left_as_it_is(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CALLMOOD_TYPO=1\n")
    done = run_here("init", "--attach", "listen")
    assert done.code == 2
    assert "CALLMOOD_TYPO" in done.sentence
    assert (tmp_path / ".env").read_text() == "CALLMOOD_TYPO=1\n"


def test_a_link_stays_a_link_and_what_it_leads_to_becomes_private(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "callmood.env"
    real.write_text("OTHER=1\n")
    (tmp_path / ".env").symlink_to(real)
    assert run_here("init", "--attach", "listen").code == 0
    assert (tmp_path / ".env").is_symlink()
    assert real.read_text().startswith("OTHER=1\n")
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert [path.name for path in real.parent.iterdir()] == ["callmood.env"]


def test_a_repository_that_would_take_the_secrets_in_is_warned_about_with_the_command(
    run_here: Run, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    done = run_here("init", "--attach", "listen")
    assert done.code == 0
    [warning] = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    subprocess.run(warning.rpartition(": ")[2], shell=True, cwd=tmp_path, check=True)
    assert "warning" not in run_here("init", "--attach", "listen").out


def test_what_serve_needs_in_a_mode_is_asked_for_or_made_up() -> None:
    asked = {question.name: question for question in QUESTIONS}
    for mode, needed in NEEDED.items():
        for attribute in needed:
            [name] = [name for name, known in ENVIRONMENT.items() if known == attribute]
            assert name == "VAPI_SECRET" or mode in asked[name].modes, (mode, name)


# The file itself.

VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85\xa0"), max_size=40)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), VALUES, max_size=5))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("env") / ".env"
    try:
        text = with_values("OTHER=kept\n# comment\n", values)
    except ConfigError:
        assert any("'" in value and '"' in value for value in values.values())
        return
    path.write_text(text, "utf-8")
    read = read_dotenv(path)
    assert {name: read[name] for name in values} == values
    assert values.get("OTHER", "kept") == read["OTHER"]


@pytest.mark.parametrize("value", ["two\nlines", "tab\there", "nul\x00", "car\rriage"])
def test_a_value_that_would_be_two_lines_is_refused_by_name_without_the_value(value: str) -> None:
    with pytest.raises(ConfigError, match="NAME has a line break") as told:
        quoted("NAME", value)
    assert value not in str(told.value)
