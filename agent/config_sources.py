"""Where settings come from: the environment (and `.env`) over `config/callmood.toml` over the defaults."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from .errors import ConfigError
from .settings import Secret, Settings
from .settings_checks import checked

# The environment's names. Everything else that begins with CALLMOOD_ is a mistake, and said to be one.
ENVIRONMENT = {
    "PORT": "port",
    "WEBHOOK_URL": "webhook_url",
    "CALLMOOD_TOKEN": "token",
    "CALLMOOD_ATTACH": "attach",
    "CALLMOOD_DATA": "data",
    "CALLMOOD_ENGINE": "engine",
    "CALLMOOD_MAX_CALLS": "max_calls",
    "CALLMOOD_PROFILE": "profile",
    "CALLMOOD_REQUIRE_NOTICE": "require_notice",
    "CALLMOOD_TRANSFER_TO": "transfer_to",
    "CALLMOOD_LLM_KEY": "llm_key",
    "REDIS_URL": "redis_url",
    "TWILIO_ACCOUNT_SID": "twilio_account_sid",
    "TWILIO_AUTH_TOKEN": "twilio_auth_token",
    "TWILIO_SHARED_KEY": "twilio_shared_key",
    "TWILIO_BASE_URL": "twilio_base_url",
    "VAPI_API_KEY": "vapi_api_key",
    "VAPI_SECRET": "vapi_secret",
    "VAPI_ASSISTANT_ID": "vapi_assistant_id",
    "VAPI_PHONE_NUMBER_ID": "vapi_phone_number_id",
    "VAPI_BASE_URL": "vapi_base_url",
    "VAPI_SIP_URI": "vapi_sip_uri",
    "VAPI_PUBLIC_KEY": "vapi_public_key",
    "VAPI_CONTROL_HOSTS": "vapi_control_hosts",
    "HUME_API_KEY": "hume_api_key",
    "HUME_BASE_URL": "hume_base_url",
    "ORUK_API_KEY": "oruk_api_key",
    "ORUK_BASE_URL": "oruk_base_url",
    "LLM_BASE_URL": "llm_base_url",
    "LLM_API_KEY": "llm_api_key",
    "LLM_MODEL": "llm_model",
}
_VARIABLES = {attribute: name for name, attribute in ENVIRONMENT.items()}
_FOUND = ("from_file", "rules_file", "expressions_file")
_FILE_KEYS = frozenset(f.name for f in fields(Settings) if f.name not in (*ENVIRONMENT.values(), *_FOUND)) | {
    "data",
    "engine",
    "profile",
    "max_calls",
}
_TYPES = get_type_hints(Settings)


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None, file: Path | None = None) -> Settings:
    """Read, merge and check. Raises ConfigError with one sentence naming the setting that is wrong."""
    folder = folder or Path.cwd()
    environ = {**read_dotenv(folder / ".env"), **(os.environ if environ is None else environ)}
    values: dict[str, Any] = {}
    if file is None and (folder / "config" / "callmood.toml").is_file():
        file = folder / "config" / "callmood.toml"
    if file is not None:
        values |= dict(_from_file(file))
        values["from_file"] = file
    beside = file.parent if file is not None else folder / "config"
    values["rules_file"], values["expressions_file"] = beside / "rules.toml", beside / "expressions.toml"
    values |= dict(_from_environment(environ))
    if "attach" not in values:
        values["attach"] = "tap" if values.get("vapi_api_key") else "bridge"
    return checked(Settings(**values))


def read_dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines; `#` comments; quotes and a leading `export` are taken off. Missing file: nothing."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read ({type(error).__name__}): make it a UTF-8 text file") from None
    found = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        plain = _unquoted(value.strip())
        if not equals or plain is None or not re.fullmatch(r"[A-Za-z_]\w*", name.strip(), re.ASCII):
            raise ConfigError(f"{path.name} line {number} is not NAME=value: write one setting a line")
        found[name.strip()] = plain
    return found


def _unquoted(value: str) -> str | None:
    """A value without its quotes and the comment behind it; None: its quotes do not close."""
    if value[:1] in ("'", '"'):
        text, quote, rest = value[1:].partition(value[0])
        return text if quote and (not rest.strip() or rest.strip().startswith("#")) else None
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, text in environ.items():
        if name in ENVIRONMENT:
            if text.strip() or name == "PORT":
                yield ENVIRONMENT[name], _convert(name, ENVIRONMENT[name], text.strip())
        elif name.startswith("CALLMOOD_"):
            raise ConfigError(f"{name} is not a setting of Callmood: remove it or correct its name")


def _from_file(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}): name a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for key, value in table.items():
        if key in _VARIABLES and key not in _FILE_KEYS:
            raise ConfigError(f"{path}: {key} does not belong here: set {_VARIABLES[key]} in the environment or .env")
        if key not in _FILE_KEYS:
            raise ConfigError(f"{path}: {key} is not a setting of this file: remove it or correct its name")
        if isinstance(value, dict):
            yield key, _provider_table(path, key, value)
        else:
            yield key, _typed(f"{path}: {key}", _TYPES[key], value)


def _provider_table(path: Path, key: str, value: dict[str, Any]) -> Any:
    kind = _TYPES[key]
    if not hasattr(kind, "__dataclass_fields__"):
        raise ConfigError(f"{path}: {key} is one value, not a table")
    types = get_type_hints(kind)
    for name in value:
        if name not in types:
            raise ConfigError(f"{path}: {name} is not a setting of [{key}]: remove it or correct its name")
    given = {name: _typed(f"{path}: [{key}] {name}", types[name], value[name]) for name in value}
    return replace(getattr(Settings(), key), **given)


def _typed(where: str, kind: Any, value: Any) -> Any:
    """A TOML value as the type of its field."""
    args = get_args(kind)
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where} must be a list of texts")
        return tuple(item.lower() for item in value)
    kind = next((arg for arg in args if arg is not type(None)), kind)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {_NAMES.get(kind, 'a table')}, not {value!r}")
    return value


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _convert(name: str, attribute: str, text: str) -> Any:
    """A text from the environment as the type of its field."""
    kind = _TYPES[attribute]
    if kind is Secret:
        return Secret(text)
    if kind is bool:
        if text not in ("0", "1"):
            raise ConfigError(f"{name} must be 0 or 1, not {text!r}")
        return text == "1"
    if kind is int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
            raise ConfigError(f"{name} must be a whole number, not {text!r}")
        return int(text)
    if get_origin(kind) is tuple:
        return tuple(item.strip().lower() for item in text.split(",") if item.strip())
    return text
