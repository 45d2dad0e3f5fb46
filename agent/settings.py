"""Settings: frozen, with their defaults, checked at start. `config_sources` reads them from the outside.

Secrets come only from the environment and are held in `Secret`, whose text never shows in a log, an error or a repr.
"""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ConfigError

ATTACH_MODES = ("tap", "fork", "sip", "listen", "bridge")
ENGINES = ("local", "hume", "hybrid")
PROFILES = ("acoustic", "physical-only", "off")


class Secret:
    """A text that is compared and sent, and never shown. Empty is the same as not set."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(set)" if self._text else "Secret(not set)"


NOT_SET = Secret()


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One engine's own table. None: the general setting holds."""

    window_s: float | None = None
    min_samples: int | None = None


@dataclass(frozen=True, slots=True)
class VapiSettings:
    auth: str = "secret"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a user can set; `config/callmood.toml` gives each number's reason. `*_s` are seconds."""

    gate: float = 0.7
    min_duration_s: float = 0.5
    ignored_labels: tuple[str, ...] = ("confused", "surprised")
    window_s: float = 3.0
    min_samples: int = 3
    trend_window_s: float = 30.0
    buffer_cap: int = 50
    buffer_keep: int = 30
    act_at: float = 0.85
    update_every_s: float = 0.5
    analyzer_patience_s: float = 0.5
    publisher_patience_s: float = 2.0
    wrap_up_s: float = 1.0
    drain_s: float = 30.0
    max_calls: int = 400
    connect_within_s: float = 60.0
    line_quiet_s: float = 10.0
    session_ttl_s: float = 300.0
    sweep_every_s: float = 60.0
    heartbeat_s: float = 30.0
    checkpoint_s: float = 5.0
    data: str = "./callmood-data"
    engine: str = "local"
    profile: str = "acoustic"
    keep_text: bool = False
    hybrid_low: float = 0.4
    hybrid_high: float = 0.85
    confirm_within_s: float = 4.0
    hume_seconds_per_call: float = 120.0
    hume_sessions: int = 20
    local: EngineSettings = EngineSettings()
    hume: EngineSettings = EngineSettings(window_s=10.0, min_samples=1)
    vapi: VapiSettings = VapiSettings()

    # From the environment only.
    port: int = 3000
    webhook_url: str = ""
    attach: str = "bridge"
    require_notice: bool = False
    token: Secret = NOT_SET
    twilio_account_sid: str = ""
    twilio_auth_token: Secret = NOT_SET
    twilio_shared_key: Secret = NOT_SET
    twilio_base_url: str = "https://api.twilio.com"
    vapi_api_key: Secret = NOT_SET
    vapi_secret: Secret = NOT_SET
    vapi_assistant_id: str = ""
    vapi_phone_number_id: str = ""
    vapi_base_url: str = "https://api.vapi.ai"
    vapi_sip_uri: str = ""
    vapi_public_key: Secret = NOT_SET
    vapi_control_hosts: tuple[str, ...] = ()
    hume_api_key: Secret = NOT_SET
    hume_base_url: str = "wss://api.cloud.hume.ai"
    llm_base_url: str = ""
    llm_api_key: Secret = NOT_SET
    llm_model: str = ""
    llm_key: Secret = NOT_SET
    transfer_to: str = ""
    redis_url: str = ""
    from_file: Path | None = field(default=None, compare=False)

    def for_engine(self, name: str) -> EngineSettings:
        """The rolling window and minimum of samples that hold for one engine's readings."""
        table = {"hume": self.hume, "hybrid": self.local}.get(name, self.local)
        return EngineSettings(table.window_s or self.window_s, table.min_samples or self.min_samples)


_UNIT_INTERVAL = ("gate", "act_at", "hybrid_low", "hybrid_high")
_POSITIVE = (
    *("min_samples", "buffer_cap", "buffer_keep", "max_calls", "window_s", "trend_window_s", "hume_sessions"),
    *("analyzer_patience_s", "publisher_patience_s", "connect_within_s", "line_quiet_s", "session_ttl_s"),
    *("sweep_every_s", "heartbeat_s", "checkpoint_s"),
)


def checked(settings: Settings) -> Settings:
    """The same settings, if they make sense together. Raises ConfigError."""
    _check_numbers(settings)
    _check_together(settings)
    for attribute, allowed in (("attach", ATTACH_MODES), ("engine", ENGINES), ("profile", PROFILES)):
        value = getattr(settings, attribute)
        if value not in allowed:
            raise ConfigError(f"CALLMOOD_{attribute.upper()} must be one of {', '.join(allowed)}, not {value!r}")
    for name in ("webhook_url", "twilio_base_url", "vapi_base_url", "hume_base_url", "llm_base_url"):
        _check_url(name, getattr(settings, name))
    if settings.vapi.auth != "secret":
        raise ConfigError(f'[vapi] auth must be "secret" for now, not {settings.vapi.auth!r}')
    return settings


def _check_numbers(settings: Settings) -> None:
    for item in fields(settings):
        value = getattr(settings, item.name)
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{item.name} must be a number of at least 0, not {value!r}")
    for name in _UNIT_INTERVAL:
        if not 0 <= getattr(settings, name) <= 1:
            raise ConfigError(f"{name} must lie between 0 and 1, not {getattr(settings, name)!r}")
    for name in _POSITIVE:
        if not getattr(settings, name) > 0:
            label = "CALLMOOD_MAX_CALLS" if name == "max_calls" else name
            raise ConfigError(f"{label} must be above 0, not {getattr(settings, name)!r}")
    if settings.port > 65535:
        raise ConfigError(f"PORT must be at most 65535, not {settings.port}")


def _check_together(settings: Settings) -> None:
    for table in ("local", "hume"):
        own = getattr(settings, table)
        if own.window_s is not None and not 0 < own.window_s < math.inf:
            raise ConfigError(f"[{table}] window_s must be above 0, not {own.window_s!r}")
        if own.min_samples is not None and not 1 <= own.min_samples <= settings.buffer_keep:
            raise ConfigError(f"[{table}] min_samples must lie between 1 and buffer_keep, not {own.min_samples!r}")
    if settings.buffer_keep > settings.buffer_cap:
        raise ConfigError("buffer_keep must not be larger than buffer_cap")
    if settings.buffer_keep < settings.min_samples:
        raise ConfigError("buffer_keep must be at least min_samples, or a full buffer would forget the mood")
    if settings.hybrid_low > settings.hybrid_high:
        raise ConfigError("hybrid_low must not be larger than hybrid_high")


def _check_url(attribute: str, text: str) -> None:
    name = attribute.upper()
    if not text:
        return
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{name} is not an address: write it like https://calls.example.com") from None
    schemes = ("wss", "ws") if attribute == "hume_base_url" else ("https", "http")
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"{name} is not an address: write it like {schemes[0]}://calls.example.com")
    if attribute == "webhook_url" and (parts.path not in ("", "/") or parts.query or parts.fragment):
        raise ConfigError(f"{name} must be an origin without a path, like https://calls.example.com")


def check_built(settings: Settings) -> None:
    """Refuse to start a service that would not do what these settings ask for. Raises ConfigError."""
    if settings.redis_url:
        raise ConfigError("REDIS_URL is set, and several nodes acting as one are not built yet: remove it")
    if settings.attach not in ("tap", "bridge"):
        raise ConfigError(f"CALLMOOD_ATTACH={settings.attach} is not built yet: set it to tap or bridge")
    if settings.attach == "tap":
        for name in ("vapi_api_key", "vapi_assistant_id", "vapi_phone_number_id"):
            if not getattr(settings, name):
                raise ConfigError(f"{name.upper()} is not set, and attach mode tap needs it: set it, or choose bridge")
    if settings.engine != "local":
        raise ConfigError(f"CALLMOOD_ENGINE={settings.engine} is not built yet: set it to local")
    if settings.profile != "acoustic":
        raise ConfigError(f"CALLMOOD_PROFILE={settings.profile} is not built yet: set it to acoustic")
    if settings.require_notice:
        raise ConfigError(
            "CALLMOOD_REQUIRE_NOTICE is not built yet: remove it, and do not use Callmood where it is needed"
        )
