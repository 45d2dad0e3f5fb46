"""Names in the settings become objects here; no other module knows every provider."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from .assistants.llm import Upstream
from .assistants.vapi import VapiControl
from .assistants.vapi_auth import Bearer, SharedSecret, Signature, WebhookAuth, signing_key
from .assistants.vapi_calls import VapiCalls
from .assistants.vapi_listen import ListenShape
from .attach.bridge import Bridge, Flushing
from .attach.bridged import Means
from .attach.fork import Fork
from .attach.listen import Listen, Listening
from .attach.mode import AttachMode
from .attach.sip import Sip
from .attach.tap import Tap
from .attach.transfers import TwilioTransfers, VapiTransfers
from .calls.directory import CallDirectory
from .engines.expressions import Expressions
from .engines.expressions import load as load_expressions
from .engines.hume import Hume
from .engines.local import LocalEngine
from .engines.oruk import Oruk
from .engines.streamed import StreamedEngine, Vendor
from .engines.streamed.allowance import Allowance
from .http import httpx
from .ingress.relay import Relay
from .ledger.sqlite import Shared, SqliteLedger, open_sqlite
from .ports import Assistant, Engine, Transfers
from .settings import Settings
from .telephony.signature import SignatureCheck
from .telephony.twilio_rest import TwilioRest
from .telephony.twiml import Fallback


def engine(settings: Settings) -> Engine:
    """The engine that judges windows: for `hybrid` our own, which decides alone."""
    if settings.engine in VENDORS:
        return vendor(settings, settings.engine)
    return LocalEngine(model=Path(settings.local_model).expanduser() if settings.local_model else None)


def second_engine(settings: Settings) -> Engine | None:
    """Who is asked where our own engine is in doubt; None: nobody."""
    return vendor(settings, "hume") if settings.engine == "hybrid" else None


def vendor(settings: Settings, name: str) -> StreamedEngine:
    """An engine over the network. Raises ConfigError where its table of expressions cannot be used."""
    expressions = load_expressions(settings.expressions_file)
    limits = Allowance(name, seconds_per_call=settings.hume_seconds_per_call, sessions=settings.hume_sessions)
    return StreamedEngine(VENDORS[name](settings, expressions), limits)


def hume(settings: Settings, expressions: Expressions) -> Vendor:
    return Hume(
        base_url=settings.hume_base_url,
        api_key=settings.hume_api_key.reveal(),
        expressions=expressions,
        timer_ms=settings.hume.timer_ms,
        heartbeat_s=settings.heartbeat_s,
    )


def oruk(settings: Settings, expressions: Expressions) -> Vendor:
    return Oruk(base_url=settings.oruk_base_url, api_key=settings.oruk_api_key.reveal(), expressions=expressions)


VENDORS: Mapping[str, Callable[[Settings, Expressions], Vendor]] = {"hume": hume, "oruk": oruk}


def vapi(settings: Settings, client: httpx.AsyncClient) -> VapiControl:
    return VapiControl(
        client, public_key=settings.vapi_public_key.reveal(), extra_hosts=frozenset(settings.vapi_control_hosts)
    )


def vapi_auth(settings: Settings) -> WebhookAuth:
    """How Vapi's server messages prove themselves. Raises ConfigError."""
    secret, vapi = settings.vapi_secret.reveal(), settings.vapi
    if vapi.auth != "hmac":
        return Bearer(secret) if vapi.auth == "bearer" else SharedSecret(secret)
    return Signature(
        signing_key(secret, is_base64=vapi.secret_is_base64),
        algorithm=vapi.algorithm,
        signature_header=vapi.signature_header,
        timestamp_header=vapi.timestamp_header,
        signature_prefix=vapi.signature_prefix,
        include_timestamp=vapi.include_timestamp,
        payload_format=vapi.payload_format,
        encoding=vapi.encoding,
        tolerance_s=vapi.tolerance_s,
    )


def llm(settings: Settings, client: httpx.AsyncClient) -> Upstream:
    """The model behind the gateway."""
    return Upstream(client, base_url=settings.llm_base_url, api_key=settings.llm_api_key.reveal())


def vapi_calls(settings: Settings, client: httpx.AsyncClient) -> VapiCalls:
    """Whoever makes calls at Vapi for us."""
    return VapiCalls(
        client,
        base_url=settings.vapi_base_url,
        api_key=settings.vapi_api_key.reveal(),
        assistant_id=settings.vapi_assistant_id,
        phone_number_id=settings.vapi_phone_number_id,
    )


def mode(
    settings: Settings,
    client: httpx.AsyncClient,
    control: VapiControl,
    directory: CallDirectory,
    errands: trio.Nursery,
    fallback: Fallback,
    rest: TwilioRest | None = None,
    relays: dict[str, Relay] | None = None,
) -> AttachMode:
    """The way in that is set; what it does beside a webhook is done in `errands`."""
    takes_audio = settings.profile != "off"
    if settings.attach == "tap":
        return Tap(vapi_calls(settings, client), control, directory, errands, fallback)
    if settings.attach == "fork" and rest is not None:
        origin = settings.webhook_url.rstrip("/")
        return Fork(rest, directory, errands, fallback, origin=origin, engine=settings.engine, takes_audio=takes_audio)
    if settings.attach == "sip":
        return Sip(settings.vapi_sip_uri)
    if settings.attach == "listen":
        return Listen(directory, errands, fallback, listening(settings))
    means = bridging(settings, client, control, rest)
    relays = {} if relays is None else relays
    return Bridge(fallback, directory=directory, errands=errands, relays=relays, means=means)


def bridging(
    settings: Settings, client: httpx.AsyncClient, control: VapiControl, rest: TwilioRest | None
) -> Means | None:
    """What attach mode `bridge` carries calls to Vapi with; None where no Vapi is configured."""
    if not settings.relays:
        return None
    return Means(
        vapi_calls(settings, client),
        control,
        hang_up=None if rest is None else rest.complete,
        hosts=frozenset(settings.vapi_control_hosts),
        connect_within_s=settings.connect_within_s,
        line_quiet_s=settings.line_quiet_s,
        ping_every_s=settings.heartbeat_s,
    )


def assistant(control: VapiControl, relays: Mapping[str, Relay]) -> Assistant:
    """Who is told: Vapi over its control address, and where its voice goes through our relay, silenced there first."""
    return Flushing(control, relays)


def listening(settings: Settings) -> Listening:
    """How attach mode `listen` hears Vapi's calls."""
    return Listening(
        ListenShape(settings.listen.sample_rate, settings.listen.channels, settings.listen.caller_channel),
        extra_hosts=frozenset(settings.vapi_control_hosts),
        public_key=settings.vapi_public_key.reveal(),
        heartbeat_s=settings.heartbeat_s,
        engine=settings.engine,
        takes_audio=settings.profile != "off",
    )


def twilio_rest(settings: Settings, client: httpx.AsyncClient) -> TwilioRest | None:
    """Twilio's API for live calls; None where its credentials are not set."""
    if not settings.twilio_account_sid or not settings.twilio_auth_token:
        return None
    return TwilioRest(
        client,
        account_sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token.reveal(),
        base_url=settings.twilio_base_url,
    )


def transfers(settings: Settings, rest: TwilioRest | None, control: VapiControl) -> Transfers:
    """How a caller is handed to a human: by whoever the call belongs to."""
    if settings.attach in ("fork", "listen"):
        return VapiTransfers(control)
    return TwilioTransfers(rest, settings.webhook_url.rstrip("/"))


def signature(settings: Settings) -> SignatureCheck:
    """Twilio's signatures; without an auth token everything is accepted, which `serve` allows only on demand. Where
    nothing of Twilio is needed nothing of it is accepted either: then the token is one that nobody can know."""
    nobody = secrets.token_urlsafe(32) if settings.attach == "listen" else None
    token = settings.twilio_auth_token.reveal() or nobody
    shared_key = settings.twilio_shared_key.reveal() or None
    return SignatureCheck(token, settings.webhook_url.rstrip("/") or None, shared_key=shared_key)


def ledger(settings: Settings, shared: Shared | None = None) -> AbstractAsyncContextManager[SqliteLedger]:
    """`shared`: this worker's part of it, where there are several."""
    kept = settings.ledger
    folder = Path(settings.data).expanduser()
    return open_sqlite(folder, readings_days=kept.readings_days, calls_days=kept.calls_days, shared=shared)
