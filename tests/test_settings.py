"""Where settings come from, what is refused, and that a secret never shows."""

import json
import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config_sources import load, read_dotenv
from agent.errors import ConfigError
from agent.settings import EngineSettings, HumeSettings, Secret, Settings
from agent.settings_checks import PROFILES, check_built, checked

PACKAGED = Path(__file__).parents[1] / "config" / "callmood.toml"

# Every name the public interface promises, with a value it must take.
NAMES = {
    "PORT": "8080",
    "WEBHOOK_URL": "https://calls.example.com",
    "CALLMOOD_TOKEN": "sekret-1",
    "CALLMOOD_ATTACH": "fork",
    "CALLMOOD_DATA": "/tmp/data",
    "CALLMOOD_ENGINE": "hybrid",
    "CALLMOOD_MAX_CALLS": "7",
    "CALLMOOD_PROFILE": "physical-only",
    "CALLMOOD_REQUIRE_NOTICE": "1",
    "REDIS_URL": "redis://localhost",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "sekret-2",
    "TWILIO_BASE_URL": "http://127.0.0.1:9000",
    "VAPI_API_KEY": "sekret-3",
    "VAPI_SECRET": "sekret-4",
    "VAPI_ASSISTANT_ID": "assistant-1",
    "VAPI_PHONE_NUMBER_ID": "number-1",
    "VAPI_BASE_URL": "https://api.eu.vapi.ai",
    "VAPI_SIP_URI": "sip:support@sip.vapi.ai",
    "VAPI_PUBLIC_KEY": "sekret-5",
    "VAPI_CONTROL_HOSTS": "127.0.0.1:9000, Proxy.example.com",
    "HUME_API_KEY": "sekret-6",
    "HUME_BASE_URL": "ws://127.0.0.1:9001",
    "LLM_BASE_URL": "https://llm.example.com/v1",
    "LLM_API_KEY": "sekret-7",
    "LLM_MODEL": "small",
    "CALLMOOD_LLM_KEY": "sekret-8",
    "CALLMOOD_TRANSFER_TO": "+15550100100",
}
SECRETS = [name for name, text in NAMES.items() if text.startswith("sekret")]

# Every key the public interface promises for the file, with its promised default.
KEYS: dict[str, object] = {
    "window_s": 3.0,
    "trend_window_s": 30.0,
    "gate": 0.7,
    "min_duration_s": 0.5,
    "ignored_labels": ["confused", "surprised"],
    "min_samples": 3,
    "act_at": 0.85,
    "update_every_s": 0.5,
    "interrupts_per_call": 6,
    "notes_per_call": 200,
    "transfers_per_minute": 30,
    "analyse_after_transfer": False,
    "transfer_patience_s": 5.0,
    "buffer_cap": 50,
    "buffer_keep": 30,
    "session_ttl_s": 300,
    "sweep_every_s": 60,
    "heartbeat_s": 30,
    "checkpoint_s": 5,
    "analyzer_patience_s": 0.5,
    "publisher_patience_s": 2.0,
    "wrap_up_s": 1.0,
    "line_quiet_s": 10,
    "connect_within_s": 60,
    "hybrid_low": 0.4,
    "hybrid_high": 0.85,
    "confirm_within_s": 4.0,
    "hume_seconds_per_call": 120,
    "hume_sessions": 20,
    "keep_text": False,
}


def written(folder: Path, toml: str = "", dotenv: str = "") -> Path:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "callmood.toml").write_text(toml, "utf-8")
    (folder / ".env").write_text(dotenv, "utf-8")
    return folder


def from_file(folder: Path, toml: str) -> Settings:
    return load({}, folder=written(folder, toml))


def refusal(folder: Path, toml: str = "", **environ: str) -> str:
    """What the start says; always one sentence that names the setting."""
    with pytest.raises(ConfigError) as refused:
        load(environ, folder=written(folder, toml))
    message = str(refused.value)
    assert "\n" not in message
    return message


# --- Where they come from ---


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert load({}, folder=tmp_path) == Settings()


@pytest.mark.parametrize(
    ("toml", "dotenv", "environ", "calls"),
    [
        ("", "", {}, 400),
        ("max_calls = 10", "", {}, 10),
        ("max_calls = 10", "CALLMOOD_MAX_CALLS=20", {}, 20),
        ("max_calls = 10", "CALLMOOD_MAX_CALLS=20", {"CALLMOOD_MAX_CALLS": "30"}, 30),
        ("max_calls = 10", "", {"CALLMOOD_MAX_CALLS": "30"}, 30),
    ],
)
def test_the_environment_is_over_its_file_over_the_settings_file_over_the_default(
    tmp_path: Path, toml: str, dotenv: str, environ: dict[str, str], calls: int
) -> None:
    assert load(environ, folder=written(tmp_path, toml, dotenv)).max_calls == calls


def test_a_named_file_is_read_in_place_of_the_one_in_the_folder(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("gate = 0.5")
    settings = load({}, folder=written(tmp_path, "gate = 0.9"), file=other)
    assert (settings.gate, settings.from_file) == (0.5, other)


def test_every_name_of_the_interface_is_accepted(tmp_path: Path) -> None:
    settings = load(NAMES, folder=tmp_path)
    assert (settings.port, settings.max_calls, settings.require_notice) == (8080, 7, True)
    assert (settings.attach, settings.engine, settings.profile) == ("fork", "hybrid", "physical-only")
    assert settings.vapi_control_hosts == ("127.0.0.1:9000", "proxy.example.com")
    assert [getattr(settings, name).reveal() for name in ("token", "twilio_auth_token", "llm_key")] == [
        "sekret-1",
        "sekret-2",
        "sekret-8",
    ]
    assert settings.transfer_to == "+15550100100"


def test_every_key_of_the_interface_is_accepted_and_has_its_promised_default(tmp_path: Path) -> None:
    lines = [f"{key} = {json.dumps(default)}" for key, default in KEYS.items()]
    assert from_file(tmp_path, "\n".join(lines)) == Settings()


def plain(value: Any) -> object:
    """A setting as TOML would hold it."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = {item.name: getattr(value, item.name) for item in fields(value)}
        return {name: own for name, own in pairs.items() if own is not None}
    return list(value) if isinstance(value, tuple) else value


def test_the_packaged_file_and_the_code_agree_on_every_default() -> None:
    packaged = tomllib.loads(PACKAGED.read_text("utf-8"))
    defaults = Settings()
    assert packaged == {name: plain(getattr(defaults, name)) for name in packaged}
    assert set(KEYS) <= set(packaged)
    assert load({}, folder=Path("/nowhere"), file=PACKAGED) == defaults


@pytest.mark.parametrize(
    ("environ", "attach"),
    [
        ({}, "bridge"),
        ({"VAPI_API_KEY": "k"}, "tap"),
        ({"VAPI_API_KEY": ""}, "bridge"),
        ({"VAPI_API_KEY": "k", "CALLMOOD_ATTACH": "bridge"}, "bridge"),
    ],
)
def test_the_attach_mode_follows_from_vapi_unless_it_is_chosen(
    tmp_path: Path, environ: dict[str, str], attach: str
) -> None:
    assert load(environ, folder=tmp_path).attach == attach


@pytest.mark.parametrize("name", [name for name in NAMES if name != "PORT"])
def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path, name: str) -> None:
    assert repr(load({name: "  "}, folder=tmp_path)) == repr(Settings())


def test_variables_of_others_are_none_of_our_business(tmp_path: Path) -> None:
    assert load({"HOME": "/root", "callmood_x": "1", "TWILIO_X": "1", "PORTS": "x"}, folder=tmp_path) == Settings()


# --- The .env file ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("A = b", "b"),
        ("export A=b", "b"),
        ("  A=b  ", "b"),
        ('A="b c"', "b c"),
        ("A='b c'", "b c"),
        ('A="b # c"', "b # c"),
        ("A=b # c", "b"),
        ('A="b" # c', "b"),
        ("A=", ""),
        ('A=""', ""),
        ("A=b=c==", "b=c=="),
        ("A=it's", "it's"),
        ("A=b c", "b c"),
        ("A=b\r\n", "b"),
        ("# A=x\n\nA=b\n", "b"),
        ("A=b\nA=c", "c"),
        ("A=ü", "ü"),
    ],
)
def test_a_line_of_the_env_file_is_a_name_and_a_value(tmp_path: Path, text: str, value: str) -> None:
    (tmp_path / ".env").write_bytes(text.encode())
    assert read_dotenv(tmp_path / ".env") == {"A": value}


@pytest.mark.parametrize("text", ["sekret", "=sekret", "1A=sekret", "A B=sekret", 'A="sekret', "- A: sekret"])
def test_what_is_no_such_line_is_named_by_its_number_and_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text(f"# first\n{text}\n")
    with pytest.raises(ConfigError, match=r"\.env line 2") as refused:
        read_dotenv(tmp_path / ".env")
    assert "sekret" not in str(refused.value)


def test_a_missing_env_file_is_nothing_and_an_unreadable_one_is_said(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        read_dotenv(tmp_path / ".env")


# --- What is refused ---


@pytest.mark.parametrize("name", ["CALLMOOD_TOKENS", "CALLMOOD_", "CALLMOOD_GATE", "CALLMOOD_max_calls"])
def test_an_unknown_variable_of_ours_stops_the_start_without_its_value(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, **{name: "sekret"})
    assert name in message
    assert "sekret" not in message


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("gates = 0.7", "gates"),
        ("[local]\nwindow = 3.0", "window"),
        ("[vapi]\nsecret = 's'", "secret"),
        ("[humes]\nwindow_s = 3.0", "humes"),
        ("port = 3000", "port"),
        ("token = 'sekret'", "token"),
        ("vapi_secret = 'sekret'", "vapi_secret"),
        ("twilio_auth_token = 'sekret'", "twilio_auth_token"),
        ("from_file = 'x'", "from_file"),
    ],
)
def test_an_unknown_key_stops_the_start_and_so_does_a_secret_in_the_file(tmp_path: Path, toml: str, named: str) -> None:
    message = refusal(tmp_path, toml)
    assert named in message
    assert "sekret" not in message


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("gate = '0.7'", "gate"),
        ("gate = true", "gate"),
        ("min_samples = 3.0", "min_samples"),
        ("min_samples = true", "min_samples"),
        ("keep_text = 1", "keep_text"),
        ("data = 7", "data"),
        ("ignored_labels = 'confused'", "ignored_labels"),
        ("ignored_labels = [1]", "ignored_labels"),
        ("local = 3", "local"),
        ("[gate]\nx = 1", "gate"),
        ("[local]\nwindow_s = 'x'", "window_s"),
        ("[local]\nmin_samples = 1.5", "min_samples"),
        ("[vapi]\nauth = 1", "auth"),
        ("window_s = 1979-05-27", "window_s"),
        ("gate = ", "callmood.toml"),
    ],
)
def test_a_value_of_the_wrong_type_stops_the_start(tmp_path: Path, toml: str, named: str) -> None:
    assert named in refusal(tmp_path, toml)


@pytest.mark.parametrize(("key", "name"), [("attach", "CALLMOOD_ATTACH"), ("webhook_url", "WEBHOOK_URL")])
def test_what_belongs_into_the_environment_is_said_by_its_name_there(tmp_path: Path, key: str, name: str) -> None:
    assert f"set {name} in the environment or .env" in refusal(tmp_path, f"{key} = 'x'")


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("gate = 1.01", "gate"),
        ("gate = -0.1", "gate"),
        ("gate = nan", "gate"),
        ("act_at = 85", "act_at"),
        ("interrupts_per_call = -1", "interrupts_per_call"),
        ("notes_per_call = 1.5", "notes_per_call"),
        ("transfers_per_minute = 1000000", "transfers_per_minute"),
        ("transfer_patience_s = 0", "transfer_patience_s"),
        ("rules_file = 'x'", "rules_file"),
        ("window_s = 0", "window_s"),
        ("window_s = -1", "window_s"),
        ("window_s = inf", "window_s"),
        ("update_every_s = -1", "update_every_s"),
        ("wrap_up_s = -1", "wrap_up_s"),
        ("checkpoint_s = 0", "checkpoint_s"),
        ("sweep_every_s = 0", "sweep_every_s"),
        ("min_samples = 0", "min_samples"),
        ("max_calls = 0", "CALLMOOD_MAX_CALLS"),
        ("buffer_cap = 10", "buffer_keep"),
        ("buffer_keep = 2", "buffer_keep"),
        ("hybrid_low = 0.9", "hybrid_low"),
        ("[local]\nwindow_s = 0.0", "window_s"),
        ("[local]\nwindow_s = nan", "window_s"),
        ("[local]\nwindow_s = inf", "window_s"),
        ("[hume]\nmin_samples = 0", "min_samples"),
        ("[local]\nmin_samples = 31", "min_samples"),
        ("engine = 'locl'", "CALLMOOD_ENGINE"),
        ("profile = 'loud'", "CALLMOOD_PROFILE"),
        ("[vapi]\nauth = 'none'", "auth"),
    ],
)
def test_a_value_that_makes_no_sense_stops_the_start(tmp_path: Path, toml: str, named: str) -> None:
    assert named in refusal(tmp_path, toml)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", ""),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "3000.0"),
        ("PORT", "٣٠٠٠"),
        ("PORT", "9" * 5000),
        ("CALLMOOD_MAX_CALLS", "0"),
        ("CALLMOOD_MAX_CALLS", "many"),
        ("CALLMOOD_REQUIRE_NOTICE", "yes"),
        ("CALLMOOD_ATTACH", "tapped"),
        ("CALLMOOD_ENGINE", "Local "),
        ("CALLMOOD_PROFILE", "none"),
        ("WEBHOOK_URL", "calls.example.com"),
        ("WEBHOOK_URL", "https://calls.example.com/path"),
        ("WEBHOOK_URL", "https://calls.example.com?x=1"),
        ("WEBHOOK_URL", "https://user:word@calls.example.com"),
        ("WEBHOOK_URL", "https://"),
        ("WEBHOOK_URL", "http://calls.example.com"),
        ("VAPI_CONTROL_HOSTS", "https://127.0.0.1"),
        ("VAPI_CONTROL_HOSTS", "good.example.com,bad.example.com/path"),
        ("WEBHOOK_URL", "https://calls.example.com:port"),
        ("WEBHOOK_URL", "wss://calls.example.com"),
        ("VAPI_BASE_URL", "ftp://api.vapi.ai"),
        ("TWILIO_BASE_URL", "api.twilio.com"),
        ("LLM_BASE_URL", "/v1"),
        ("HUME_BASE_URL", "https://api.hume.ai"),
    ],
)
def test_a_bad_variable_is_named(tmp_path: Path, name: str, text: str) -> None:
    assert name in refusal(tmp_path, **{name: text})


def test_a_file_that_is_missing_binary_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for file in (tmp_path / "missing.toml", tmp_path / "binary.toml", tmp_path):
        with pytest.raises(ConfigError, match=str(file)):
            load({}, folder=tmp_path, file=file)


@given(st.sampled_from(sorted(NAMES)), st.text(st.characters(blacklist_categories=["Cs"])))
def test_whatever_a_variable_holds_it_is_accepted_or_named(name: str, text: str) -> None:
    said = name
    try:
        load({name: text}, folder=Path("/nowhere"))
    except ConfigError as error:
        said = str(error)
    assert name in said


# --- A table per provider ---


def test_a_table_that_sets_one_thing_leaves_the_others_at_their_defaults(tmp_path: Path) -> None:
    settings = from_file(tmp_path, "[hume]\nmin_samples = 2")
    assert settings.hume == HumeSettings(window_s=10.0, min_samples=2)


def test_an_engine_without_a_table_of_its_own_uses_the_general_settings() -> None:
    settings = Settings(window_s=4.0, min_samples=5)
    assert settings.for_engine("local") == EngineSettings(4.0, 5)
    assert settings.for_engine("hume") == EngineSettings(10.0, 1)
    own = replace(settings, local=EngineSettings(window_s=2.0))
    assert own.for_engine("local") == EngineSettings(2.0, 5)


# --- Secrets ---


def test_no_secret_ever_shows(tmp_path: Path) -> None:
    settings = load(NAMES, folder=tmp_path)
    shown = f"{settings!r} {settings!s} {[getattr(settings, item.name) for item in fields(settings)]}"
    assert "sekret" not in shown
    assert shown.count("Secret(set)") == 2 * len(SECRETS) + len(SECRETS)


@pytest.mark.parametrize(("text", "shown"), [("sekret-9", "Secret(set)"), ("", "Secret(not set)")])
def test_a_secret_says_only_whether_it_is_set(text: str, shown: str) -> None:
    secret = Secret(text)
    assert (f"{secret}", str(secret), repr(secret)) == (shown, shown, shown)
    assert (secret.reveal(), bool(secret)) == (text, text != "")


@pytest.mark.parametrize("name", SECRETS)
def test_a_start_that_is_refused_shows_no_secret(tmp_path: Path, name: str) -> None:
    assert "sekret" not in refusal(tmp_path, **{name: "sekret-9", "CALLMOOD_WRONG": "sekret-0"})
    assert "sekret" not in refusal(tmp_path, **{name: "sekret-9", "PORT": "x"})


# --- What is not built yet ---


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"redis_url": "redis://x"}, "REDIS_URL"),
        ({"attach": "tap"}, "VAPI_API_KEY"),
        ({"attach": "listen"}, "VAPI_SECRET"),
        ({"engine": "hume"}, "HUME_API_KEY"),
        ({"engine": "hybrid"}, "HUME_API_KEY"),
        ({"engine": "oruk"}, "ORUK_API_KEY"),
    ],
)
def test_a_service_that_would_not_do_what_is_asked_of_it_does_not_start(changed: dict[str, Any], named: str) -> None:
    check_built(Settings())
    asked = checked(replace(Settings(), **changed))
    with pytest.raises(ConfigError, match=named):
        check_built(asked)


def test_every_profile_and_the_notice_are_built() -> None:
    for profile in PROFILES:
        check_built(checked(Settings(profile=profile, require_notice=True)))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('text = " "', "text"),
        ('opt_out = "press {digit}"', "opt_out"),
        ('opt_out_key = "12"', "opt_out_key"),
        ('opt_out_key = "A"', "opt_out_key"),
        ('voice = "<Say>"', "voice"),
        ('language = "de DE"', "language"),
        ('txt = "x"', "txt"),
    ],
)
def test_a_notice_that_twilio_could_not_say_is_named(tmp_path: Path, line: str, named: str) -> None:
    file = tmp_path / "callmood.toml"
    file.write_text(f"[notice]\n{line}\n", "utf-8")
    with pytest.raises(ConfigError, match=rf"notice\] {named}|{named} is not a setting of \[notice\]"):
        load({}, folder=tmp_path, file=file)
