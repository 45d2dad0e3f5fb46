"""What `callmood doctor` looks at on this machine: a small function each, in the list at the end."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .ledger_check import ledger_check

if TYPE_CHECKING:
    from ..settings import Settings

Check = tuple[str, str]
"""What was checked, and the command that mends it; empty: it is all right."""

LOOK_S = 2.0
EDIT = "${EDITOR:-vi} .env"
EDIT_ALL = "${EDITOR:-vi} .env config/callmood.toml"
SET_CLOCK = "sudo timedatectl set-ntp true"
BUILT_AFTER = 1_750_000_000
"""Seconds since the epoch. A clock before this is wrong: Callmood did not exist."""


def offline(settings: "Settings") -> Iterator[Check]:
    for check in CHECKS:
        yield from check(settings)


def ask(name: str) -> str:
    """A command that asks for a value and keeps it where nobody else can read it."""
    return f"(umask 077; read -rp '{name}=' value && echo \"{name}=$value\" >> .env)"


def make_secret(name: str) -> str:
    """A command that makes one up and keeps it."""
    return f"(umask 077; echo {name}=$(python3 -c 'import secrets; print(secrets.token_urlsafe(24))') >> .env)"


def mode_check(settings: "Settings") -> Iterator[Check]:
    """The service would start with these settings."""
    from ..errors import CallmoodError
    from ..settings_checks import check_built
    from .serve import told_by

    try:
        check_built(settings)
        yield f"attach mode {settings.attach}, engine {settings.engine}, profile {settings.profile}", ""
    except CallmoodError as error:
        missing = re.match(r"([A-Z_]+) is not set", str(error))
        yield str(error), ask(missing[1]) if missing else EDIT
    if settings.require_notice:
        yield told_by(settings.attach), ""


def key_shapes(settings: "Settings") -> Iterator[Check]:
    """What is set looks like what it has to be. Values are never shown."""
    from ..config_sources import ENVIRONMENT
    from ..settings import Secret
    from .questions import QUESTIONS

    wrong = []
    for question in QUESTIONS:
        value = getattr(settings, ENVIRONMENT[question.name])
        text = value.reveal() if isinstance(value, Secret) else str(value)
        if text and question.name != "WEBHOOK_URL" and (why := question.why_not(text)):
            wrong.append((why, ask(question.name)))
    yield from wrong or [("keys and ids have the shape they should have", "")]


def twilio_check(settings: "Settings") -> Iterator[Check]:
    """We would believe Twilio, and nobody else: a request is signed and verified, then altered."""
    from ..telephony.signature import SIGNATURE_HEADER, SignatureCheck, sign

    if settings.attach == "listen":
        return
    token, origin = settings.twilio_auth_token.reveal(), settings.webhook_url.rstrip("/")
    if not token:
        yield "Twilio's requests cannot be checked", ask("TWILIO_AUTH_TOKEN")
        return
    path, form = "/voice/incoming", [("CallSid", "CA" + "0" * 32), ("From", "+15550100001")]
    url = (origin or "https://calls.example.com") + path
    headers = {"Host": "calls.example.com", SIGNATURE_HEADER: sign(token, url, form)}
    check = SignatureCheck(token, origin or None)
    good = check.verify(headers, path, "", form=form)
    forged = check.verify(headers, path, "", form=[*form, ("Digits", "1")])
    yield f"Twilio's signatures for {url} can be checked", "" if good and not forged else ask("WEBHOOK_URL")


def address_check(settings: "Settings") -> Iterator[Check]:
    known = settings.webhook_url
    yield f"public address {known or 'from each request'}", "" if known else ask("WEBHOOK_URL")


def vapi_check(settings: "Settings") -> Iterator[Check]:
    from ..errors import CallmoodError
    from ..wiring import vapi_auth

    if not settings.vapi_secret:
        yield "Vapi's messages cannot be believed", make_secret("VAPI_SECRET")
        return
    try:
        vapi_auth(settings)
        yield f"Vapi's messages are believed (auth = {settings.vapi.auth})", ""
    except CallmoodError as error:
        yield str(error), "${EDITOR:-vi} config/callmood.toml"


def own_secrets(settings: "Settings") -> Iterator[Check]:
    yield "the token for pages and readings is fixed", "" if settings.token else make_secret("CALLMOOD_TOKEN")
    if settings.llm_base_url:
        yield "the gateway lets Vapi in", "" if settings.llm_key else make_secret("CALLMOOD_LLM_KEY")


def secret_files(settings: "Settings") -> Iterator[Check]:
    env = Path(".env")
    if env.exists():
        yield ".env is for your eyes only", "chmod 600 .env" if env.stat().st_mode & 0o077 else ""


def fallback_check(settings: "Settings") -> Iterator[Check]:
    good = settings.transfer_to or settings.vapi_sip_uri
    yield "a caller can be sent on when we cannot serve", "" if good else ask("CALLMOOD_TRANSFER_TO")


def rules_check(settings: "Settings") -> Iterator[Check]:
    """The rules that would be in force can be read: the user's, or the packaged ones."""
    from ..errors import ConfigError
    from ..rulefile import read, shipped

    file = settings.rules_file if settings.rules_file is not None and settings.rules_file.exists() else None
    try:
        book = shipped(settings.act_at) if file is None else read(file, act_at=settings.act_at)
        yield f"{len(book.rules)} rules from {file or 'the package'}", ""
    except ConfigError as error:
        yield f"rules: {error}", f"${{EDITOR:-vi}} {file} && callmood rules check {file}"


def engine_check(settings: "Settings") -> Iterator[Check]:
    """The local engine, with the model that is set, reads a second of silence without a complaint."""
    from dataclasses import replace

    import trio

    from .. import wiring
    from ..calls.setup import setup
    from ..engines import local
    from ..errors import CallmoodError
    from ..offline import read_recording

    async def listen() -> int:
        ours = replace(settings, engine="local")
        return len([step async for step in read_recording(b"\xff" * 8000, wiring.engine(ours), setup(ours))])

    own = settings.local_model
    try:
        if own:
            yield f"a model of your own, {own}, is what it should be: {local.verify_model(Path(own).expanduser())}", ""
        else:
            yield f"the model is the one it should be: {local.verify_model()}", ""
        heard = trio.run(listen)
        yield "the local engine hears nothing in a second of silence", "scripts/run" if heard else ""
    except CallmoodError as error:
        mend = "${EDITOR:-vi} config/callmood.toml" if own else "pip install --force-reinstall --no-deps callmood"
        yield f"the local engine: {error}", mend


HYBRID_SHARE = 0.15
"""Of a call, that `hybrid` sends to Hume: measured with scripts/bench/hybrid.py."""


def vendor_check(settings: "Settings") -> Iterator[Check]:
    """What an engine over the network needs, and what it costs: vendors bill the audio they are sent."""
    if settings.profile != "acoustic" or settings.engine == "local":
        return
    key, title = ("ORUK_API_KEY", "oruk") if settings.engine == "oruk" else ("HUME_API_KEY", "Hume")
    if settings.oruk_api_key if settings.engine == "oruk" else settings.hume_api_key:
        yield f"{key} is there, for engine {settings.engine}", ""  # where it is not, that has been said already
    sent = "60 s of audio"
    if settings.engine == "hybrid":
        sent = f"audio only while our own engine is in doubt, in our measurements {60 * HYBRID_SHARE:.0f} s,"
    limit = f"{settings.hume_seconds_per_call:g} s a call and {settings.hume_sessions} sessions at once at the most"
    yield f"a minute of a call sends {title} {sent} {limit}", ""


def files_check(settings: "Settings") -> Iterator[Check]:
    """A socket is an open file too."""
    from ..open_files import FILES_A_CALL, file_limit, raise_file_limit

    raise_file_limit()
    files, needed = file_limit(), FILES_A_CALL * settings.max_calls
    if files >= needed:
        yield f"enough files may be open for {settings.max_calls} calls", ""
    else:
        what = f"{files:g} files may be open, and {settings.max_calls} calls may need {needed}"
        yield what, f"sudo prlimit --pid $$ --nofile={needed}"


def port_check(settings: "Settings") -> Iterator[Check]:
    """Our port is free, or ours already."""
    import socket

    import trio

    from .reaching import look_once

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.port))
            yield f"port {settings.port} is free", ""
            return
        except OSError:
            pass
    wrong, _ = trio.run(look_once, f"http://127.0.0.1:{settings.port}", LOOK_S)
    taken = f"port {settings.port} is taken by another program"
    free = f'(umask 077; echo "PORT={settings.port + 1}" >> .env)'
    yield (taken, free) if wrong else (f"Callmood answers on port {settings.port}", "")


def clock_check(settings: "Settings") -> Iterator[Check]:
    yield "the clock is of this age (how exact: --online)", "" if time.time() > BUILT_AFTER else SET_CLOCK


def ability_lines(settings: "Settings") -> Iterator[Check]:
    """What the mode can really do: no matter of right or wrong, unless a transfer is wanted that cannot be made."""
    from .abilities import abilities

    *others, transfer = abilities(settings)
    for ability in others:
        yield f"{settings.attach}: {ability}", ""
    wanted = settings.transfer_to and transfer.lacks
    yield f"{settings.attach}: {transfer}", ask(transfer.lacks[0]) if wanted else ""


CHECKS: tuple[Callable[["Settings"], Iterator[Check]], ...] = (
    mode_check,
    key_shapes,
    twilio_check,
    address_check,
    vapi_check,
    own_secrets,
    secret_files,
    fallback_check,
    ledger_check,
    rules_check,
    engine_check,
    vendor_check,
    files_check,
    port_check,
    clock_check,
    ability_lines,
)
