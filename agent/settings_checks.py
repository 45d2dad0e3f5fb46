"""Whether settings make sense, each and together; what is wrong is said in one sentence that names the setting."""

import math
import re
from dataclasses import fields
from urllib.parse import urlsplit

from .core.destination import is_number, is_sip_address
from .errors import ConfigError
from .settings import LedgerSettings, NoticeSettings, Settings

ATTACH_MODES = ("tap", "fork", "sip", "listen", "bridge")
ENGINES = ("local", "hume", "hybrid", "oruk")
PROFILES = ("acoustic", "physical-only", "off")
VAPI_AUTH = ("secret", "bearer", "hmac")
VAPI_ALGORITHMS = ("sha256", "sha512", "sha1")
VAPI_ENCODINGS = ("hex", "base64")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

NEEDED = {
    "tap": ("vapi_api_key", "vapi_assistant_id", "vapi_phone_number_id"),
    "fork": ("twilio_account_sid", "twilio_auth_token", "webhook_url", "vapi_secret"),
    "sip": ("vapi_sip_uri",),
    "listen": ("vapi_secret",),
    "bridge": (),
}
"""What each attach mode cannot begin a call without."""

_UNIT_INTERVAL = ("gate", "act_at", "hybrid_low", "hybrid_high")
_NOT_NEGATIVE = ("interrupts_per_call", "notes_per_call", "transfers_per_minute")
_POSITIVE = (
    *("min_samples", "buffer_cap", "buffer_keep", "max_calls", "window_s", "trend_window_s", "hume_sessions"),
    *("analyzer_patience_s", "publisher_patience_s", "connect_within_s", "line_quiet_s", "session_ttl_s"),
    *("sweep_every_s", "heartbeat_s", "checkpoint_s", "transfer_patience_s", "llm_patience_s", "llm_idle_s"),
)


def checked(settings: Settings) -> Settings:
    """The same settings, if they make sense together. Raises ConfigError."""
    _check_numbers(settings)
    _check_together(settings)
    for attribute, allowed in (("attach", ATTACH_MODES), ("engine", ENGINES), ("profile", PROFILES)):
        value = getattr(settings, attribute)
        if value not in allowed:
            raise ConfigError(f"CALLMOOD_{attribute.upper()} must be one of {', '.join(allowed)}, not {value!r}")
    for name in ("webhook_url", "twilio_base_url", "vapi_base_url", "hume_base_url", "oruk_base_url", "llm_base_url"):
        _check_url(name, getattr(settings, name))
    if not 3000 <= settings.hume.timer_ms <= 10_000:
        raise ConfigError(f"[hume] timer_ms must lie between 3000 and 10000, not {settings.hume.timer_ms}")
    _check_vapi(settings)
    _check_ways(settings)
    _check_notice(settings.notice)
    _check_ledger(settings.ledger)
    return settings


def _check_notice(notice: NoticeSettings) -> None:
    """Whether Twilio would say it: 4096 characters at the most (https://www.twilio.com/docs/voice/twiml/say)."""
    if not (notice.text.strip() and len(notice.text) <= 3000):
        raise ConfigError("[notice] text must have between 1 and 3000 characters")
    if len(notice.opt_out) > 1024 or set(re.findall(r"[{}]", notice.opt_out.replace("{key}", ""))):
        raise ConfigError("[notice] opt_out must have at most 1024 characters, and no brace but those of {key}")
    for name in ("language", "voice"):
        if not re.fullmatch(r"[A-Za-z0-9.:_-]{0,64}", getattr(notice, name), re.ASCII):
            raise ConfigError(f"[notice] {name} must be a name as in Twilio's <Say>, not {getattr(notice, name)!r}")
    if not re.fullmatch(r"[0-9*#]?", notice.opt_out_key, re.ASCII):
        raise ConfigError(f"[notice] opt_out_key must be one key of a telephone, not {notice.opt_out_key!r}")


def _check_ledger(ledger: LedgerSettings) -> None:
    for name in ("readings_days", "calls_days"):
        if not 1 <= getattr(ledger, name) <= 36_500:
            raise ConfigError(f"[ledger] {name} must lie between 1 and 36500, not {getattr(ledger, name)!r}")
    if ledger.readings_days > ledger.calls_days:
        raise ConfigError("[ledger] readings_days must not be larger than calls_days: readings go with their call")


def _check_ways(settings: Settings) -> None:
    """What single attach modes are told."""
    sip_uri, transfer_to = settings.vapi_sip_uri, settings.transfer_to
    if sip_uri and not is_sip_address(sip_uri):
        raise ConfigError("VAPI_SIP_URI is not a SIP address: write it like sip:name@sip.vapi.ai")
    if transfer_to and not (is_number(transfer_to) or is_sip_address(transfer_to)):
        raise ConfigError(
            "CALLMOOD_TRANSFER_TO is neither a number with its country code, like +15550100100, nor a SIP address"
        )
    listen = settings.listen
    if not 8_000 <= listen.sample_rate <= 48_000:
        raise ConfigError(f"[listen] sample_rate must lie between 8000 and 48000, not {listen.sample_rate!r}")
    if listen.channels not in (1, 2):
        raise ConfigError(f"[listen] channels must be 1 or 2, not {listen.channels!r}")
    if not 0 <= listen.caller_channel < listen.channels:
        raise ConfigError(f"[listen] caller_channel must be one of its channels, not {listen.caller_channel!r}")


def _check_vapi(settings: Settings) -> None:
    """Whether signatures as described could be checked, and would prove anything."""
    vapi = settings.vapi
    for host in settings.vapi_control_hosts:
        if not re.fullmatch(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?|[0-9A-Fa-f:.]+", host, re.ASCII):
            raise ConfigError(f"VAPI_CONTROL_HOSTS takes hosts alone, like vapi.example.com, not {host!r}")
    for name, allowed in (("auth", VAPI_AUTH), ("algorithm", VAPI_ALGORITHMS), ("encoding", VAPI_ENCODINGS)):
        if getattr(vapi, name) not in allowed:
            raise ConfigError(f"[vapi] {name} must be one of {', '.join(allowed)}, not {getattr(vapi, name)!r}")
    for name in ("signature_header", "timestamp_header"):
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", getattr(vapi, name), re.ASCII):
            raise ConfigError(f"[vapi] {name} must be the name of a header, not {getattr(vapi, name)!r}")
    used = set(re.findall(r"\{(.*?)\}", vapi.payload_format))
    if unknown := used - {"body", "timestamp", "method", "url"}:
        raise ConfigError(f"[vapi] payload_format cannot hold {{{min(unknown)}}}: use {{timestamp}}, {{body}}, {{url}}")
    if "body" not in used:
        raise ConfigError("[vapi] payload_format must hold {body}, or a signature would be good for any message")
    if vapi.include_timestamp != ("timestamp" in used):
        raise ConfigError("[vapi] payload_format must hold {timestamp} where include_timestamp is true, and only there")
    if "url" in used and not settings.webhook_url:
        raise ConfigError("WEBHOOK_URL is not set, and [vapi] payload_format signs it: set it")
    if not (math.isfinite(vapi.tolerance_s) and vapi.tolerance_s > 0):
        raise ConfigError(f"[vapi] tolerance_s must be above 0, not {vapi.tolerance_s!r}")


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
    for name in _NOT_NEGATIVE:
        if not 0 <= getattr(settings, name) <= 100_000:
            raise ConfigError(f"{name} must lie between 0 and 100000, not {getattr(settings, name)!r}")
    if settings.port > 65535:
        raise ConfigError(f"PORT must be at most 65535, not {settings.port}")


def _check_together(settings: Settings) -> None:
    for table in ("local", "hume", "oruk"):
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
    schemes = ("wss", "ws") if attribute in ("hume_base_url", "oruk_base_url") else ("https", "http")
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"{name} is not an address: write it like {schemes[0]}://calls.example.com")
    if attribute == "webhook_url" and (parts.path not in ("", "/") or parts.query or parts.fragment):
        raise ConfigError(f"{name} must be an origin without a path, like https://calls.example.com")
    if attribute == "webhook_url" and not public_enough(text):
        raise ConfigError(f"{name} must begin with https://, for Twilio's streams connect to nothing else")


def public_enough(url: str) -> bool:
    """Whether Twilio can stream there: https, or plain http to this machine, which is for simulators."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def check_built(settings: Settings) -> None:
    """Refuse to start a service that would not do what these settings ask for. Raises ConfigError."""
    if settings.redis_url:
        raise ConfigError("REDIS_URL is set, and several nodes acting as one are not built yet: remove it")
    if settings.llm_key and not settings.llm_base_url:
        raise ConfigError("LLM_BASE_URL is not set, and the gateway (CALLMOOD_LLM_KEY) needs it: set both, or none")
    for name in NEEDED[settings.attach]:
        if not getattr(settings, name):
            raise ConfigError(
                f"{name.upper()} is not set, and attach mode {settings.attach} needs it: set it, or choose another mode"
            )
    key = {"hume": "hume_api_key", "hybrid": "hume_api_key", "oruk": "oruk_api_key"}.get(settings.engine)
    if key is not None and not getattr(settings, key):
        raise ConfigError(f"{key.upper()} is not set, and engine {settings.engine} needs it: set it, or choose local")
