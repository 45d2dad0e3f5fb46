"""Names in the settings become objects here; no other module knows every provider."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from .assistants.vapi import VapiControl
from .assistants.vapi_calls import VapiCalls
from .attach.bridge import Bridge
from .attach.mode import AttachMode
from .attach.tap import Tap
from .calls.directory import CallDirectory
from .engines.local import LocalEngine
from .http import httpx
from .ledger.jsonl import JsonlLedger, open_jsonl
from .ports import Engine
from .settings import Settings
from .telephony.signature import SignatureCheck
from .telephony.twiml import Fallback


def engine(settings: Settings) -> Engine:
    """The engine that judges windows; `check_built` has refused the names that are not here."""
    return {"local": LocalEngine}[settings.engine]()


def vapi(settings: Settings, client: httpx.AsyncClient) -> VapiControl:
    return VapiControl(
        client, public_key=settings.vapi_public_key.reveal(), extra_hosts=frozenset(settings.vapi_control_hosts)
    )


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
) -> AttachMode:
    """The way in that is set; what it does beside a webhook is done in `errands`."""
    if settings.attach == "tap":
        return Tap(vapi_calls(settings, client), control, directory, errands, fallback)
    return Bridge(fallback)


def signature(settings: Settings) -> SignatureCheck:
    """Twilio's signatures; without an auth token everything is accepted, which `serve` allows only on demand."""
    token = settings.twilio_auth_token.reveal() or None
    shared_key = settings.twilio_shared_key.reveal() or None
    return SignatureCheck(token, settings.webhook_url.rstrip("/") or None, shared_key=shared_key)


def ledger(settings: Settings) -> AbstractAsyncContextManager[JsonlLedger]:
    return open_jsonl(Path(settings.data).expanduser())
