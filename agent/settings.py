"""Settings: frozen, with their defaults. `config_sources` reads them from the outside, `settings_checks` checks them.

Secrets come only from the environment and are held in `Secret`, whose text never shows in a log, an error or a repr.
"""

from dataclasses import dataclass, field
from pathlib import Path


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
class HumeSettings(EngineSettings):
    """Hume's own table."""

    timer_ms: int = 3000
    """Speech between two measurements: 3000 to 10000."""


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """What a caller is told before anything is inferred, and the key by which they say no."""

    text: str = "This call is analysed by software, including how you sound."
    opt_out: str = "To opt out, press {key} at any time."
    """Said after it in bridge mode, the only one in which a key reaches us."""
    language: str = ""
    """As in Twilio's <Say>, e.g. de-DE. Empty: Twilio's own."""
    voice: str = ""
    opt_out_key: str = "9"
    """One of 0-9, *, #. Empty: no key."""


@dataclass(frozen=True, slots=True)
class VapiSettings:
    """How Vapi's server messages prove themselves; all but `auth` describes signatures, as Vapi's credential does."""

    auth: str = "secret"
    algorithm: str = "sha256"
    signature_header: str = "x-signature"
    timestamp_header: str = "x-timestamp"
    signature_prefix: str = ""
    include_timestamp: bool = True
    payload_format: str = "{timestamp}.{body}"
    encoding: str = "hex"
    secret_is_base64: bool = False
    tolerance_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """What Vapi's listen socket sends, which Vapi does not document."""

    sample_rate: int = 16_000
    channels: int = 2
    """1: a mixture of both voices, which is analysed as it is."""
    caller_channel: int = 0
    """Counted from 0."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """How long what is kept of calls is kept."""

    readings_days: float = 30.0
    """Readings, and the steps by which a call can be replayed."""
    calls_days: float = 365.0
    """Everything of a call."""


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
    interrupts_per_call: int = 6
    notes_per_call: int = 200
    transfers_per_minute: int = 30
    analyse_after_transfer: bool = False
    analyzer_patience_s: float = 0.5
    publisher_patience_s: float = 2.0
    transfer_patience_s: float = 5.0
    llm_patience_s: float = 20.0
    llm_idle_s: float = 60.0
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
    local_model: str = ""
    hybrid_low: float = 0.4
    hybrid_high: float = 0.85
    confirm_within_s: float = 4.0
    hume_seconds_per_call: float = 120.0
    hume_sessions: int = 20
    local: EngineSettings = EngineSettings()
    hume: HumeSettings = HumeSettings(window_s=10.0, min_samples=1)
    oruk: EngineSettings = EngineSettings(window_s=10.0, min_samples=1)
    vapi: VapiSettings = VapiSettings()
    listen: ListenSettings = ListenSettings()
    notice: NoticeSettings = NoticeSettings()
    ledger: LedgerSettings = LedgerSettings()

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
    oruk_api_key: Secret = NOT_SET
    oruk_base_url: str = "wss://speech-api.oruk.ai"
    llm_base_url: str = ""
    llm_api_key: Secret = NOT_SET
    llm_model: str = ""
    llm_key: Secret = NOT_SET
    transfer_to: str = ""
    redis_url: str = ""
    from_file: Path | None = field(default=None, compare=False)
    rules_file: Path | None = field(default=None, compare=False, repr=False)
    """Where the rules file lies, or would. None: the packaged rules hold."""
    expressions_file: Path | None = field(default=None, compare=False, repr=False)
    """The same for a vendor's expressions and what they count as."""

    @property
    def relays(self) -> bool:
        """Callers' audio is carried to Vapi and back; without Vapi, `bridge` only listens."""
        return self.attach == "bridge" and bool(self.vapi_api_key) and bool(self.vapi_assistant_id)

    def for_engine(self, name: str) -> EngineSettings:
        """The rolling window and minimum of samples that hold for one engine's readings."""
        table = {"hume": self.hume, "oruk": self.oruk}.get(name, self.local)
        return EngineSettings(table.window_s or self.window_s, table.min_samples or self.min_samples)
