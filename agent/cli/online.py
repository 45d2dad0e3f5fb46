"""What only the vendors and the network can tell `callmood doctor --online`: are the keys good, are we reachable?

Everything is asked for at once, each within its own patience. Nothing is changed anywhere.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import trio

from ..core.destination import masked
from ..engines.expressions import load as load_expressions
from ..engines.streamed import knock
from ..errors import CarrierRefused, CarrierUnavailable, EngineRefused, EngineUnavailable
from ..http import client, httpx
from ..settings import Settings
from ..telephony.twilio_numbers import Number, TwilioNumbers, clock_of
from ..wiring import VENDORS
from .checks import SET_CLOCK, Check, ask
from .questions import WEBHOOK_MODES
from .reaching import look

PATIENCE_S = 8.0
OFF_BY_S = 30.0
"""A clock that is wrong by more makes a mess of timelines, and of signatures that carry a time."""
AGAIN = "callmood doctor --online"
MESSAGES = ("status-update", "speech-update")
"""Without these nobody knows that a call is under way, and when the assistant speaks."""

Asked = list[Check]


async def ask_vendors(settings: Settings) -> Asked:
    """All online checks, in the order of the list."""
    results: list[Asked] = [[] for _ in CHECKS]
    async with client() as http, trio.open_nursery() as nursery:
        for place, check in enumerate(CHECKS):
            nursery.start_soon(one, results, place, partial(check, http, settings))
    return [found for each in results for found in each]


async def one(results: list[Asked], place: int, check: Callable[[], Awaitable[Asked]]) -> None:
    results[place] = [(f"{CHECKS[place].__name__.replace('_', ' ')}: no answer in time", AGAIN)]
    with trio.move_on_after(PATIENCE_S):
        results[place] = await check()


async def public_address(http: httpx.AsyncClient, settings: Settings) -> Asked:
    """Our own health, seen from outside; the clock, by the answer's Date."""
    url = settings.webhook_url
    if not url:
        return []
    wrong, date = await look(http, url)
    mend = "callmood serve" if wrong else ""
    return [(f"{url} leads to a running Callmood" + (f": no, {wrong}" if wrong else ""), mend), *clock(clock_of(date))]


async def twilio_account(http: httpx.AsyncClient, settings: Settings) -> Asked:
    """The key is accepted; the clock, by Twilio's; and in our modes a number's calls come here."""
    if not settings.twilio_account_sid or not settings.twilio_auth_token:
        return []
    token = settings.twilio_auth_token.reveal()
    sid, base = settings.twilio_account_sid, settings.twilio_base_url
    numbers = TwilioNumbers(http, account_sid=sid, auth_token=token, base_url=base)
    try:
        account = await numbers.account()
        mend = "" if account.status == "active" else "xdg-open https://console.twilio.com"
        found: Asked = [(f"Twilio accepts the key, the account is {account.status}", mend)]
        if settings.attach in WEBHOOK_MODES and settings.webhook_url:
            found.append(number_check(await numbers.find(), settings))
        return [*found, *clock(account.clock)]
    except CarrierRefused as error:
        return [(str(error), f"{ask('TWILIO_ACCOUNT_SID')} && {ask('TWILIO_AUTH_TOKEN')}")]
    except CarrierUnavailable as error:
        return [(str(error), AGAIN)]


def number_check(numbers: tuple[Number, ...], settings: Settings) -> Check:
    """One of the account's numbers sends its calls here; else the command that makes it so."""
    wanted = f"{settings.webhook_url.rstrip('/')}/voice/incoming"
    here = [number for number in numbers if number.webhooks.voice_url == wanted and not number.overruled_by]
    if here:
        return f"calls to {', '.join(masked(number.number) for number in here)} come here", ""
    sid = numbers[0].sid if len(numbers) == 1 else "$PN"
    account = f"{settings.twilio_base_url.rstrip('/')}/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID"
    status = wanted.replace("/voice/incoming", "/twilio/call-status")
    form = f"-d VoiceUrl={wanted} -d VoiceMethod=POST -d StatusCallback={status}"
    asked = "" if len(numbers) == 1 else "read -rp 'PN of the number: ' PN; "
    curl = f'curl -fsS -u "$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN" {form}'
    mend = f'({asked}test ! -f .env || . ./.env; {curl} "{account}/IncomingPhoneNumbers/{sid}.json")'
    return f"no number's voice webhook is {wanted}", mend


async def vapi_assistant(http: httpx.AsyncClient, settings: Settings) -> Asked:
    """The key is accepted, the assistant exists, and its messages come here."""
    if not settings.vapi_api_key or not settings.vapi_assistant_id:
        return []
    status, answer = await vapi(http, settings, f"assistant/{settings.vapi_assistant_id}")
    if status != 200:
        return [refused(status, "VAPI_ASSISTANT_ID", "assistant")]
    found: Asked = [("Vapi accepts the key, and has the assistant", "")]
    dashboard = f"xdg-open https://dashboard.vapi.ai/assistants/{settings.vapi_assistant_id}"
    server = answer.get("server")
    url = server.get("url") if isinstance(server, dict) else answer.get("serverUrl")
    wanted = f"{settings.webhook_url.rstrip('/')}/webhook/vapi"
    if settings.webhook_url and isinstance(url, str) and url:
        found.append((f"the assistant's server URL is to be {wanted}", "" if url == wanted else dashboard))
    messages = answer.get("serverMessages")
    if isinstance(messages, list) and (missing := [name for name in MESSAGES if name not in messages]):
        found.append((f"the assistant's server messages lack {', '.join(missing)}", dashboard))
    return found


async def vapi_phone_number(http: httpx.AsyncClient, settings: Settings) -> Asked:
    if settings.attach != "tap" or not settings.vapi_api_key or not settings.vapi_phone_number_id:
        return []
    status, _ = await vapi(http, settings, f"phone-number/{settings.vapi_phone_number_id}")
    if status != 200:
        return [refused(status, "VAPI_PHONE_NUMBER_ID", "phone number")]
    return [("Vapi has the phone number", "")]


async def vapi(http: httpx.AsyncClient, settings: Settings, path: str) -> tuple[int, dict[str, object]]:
    """One thing at Vapi (https://docs.vapi.ai/api-reference); status 0: not to be reached."""
    headers = {"Authorization": f"Bearer {settings.vapi_api_key.reveal()}"}
    try:
        answer = await http.get(f"{settings.vapi_base_url.rstrip('/')}/{path}", headers=headers)
        body = msgspec.json.decode(answer.content)
    except (httpx.HTTPError, httpx.InvalidURL):
        return 0, {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = {}
    return answer.status_code, body if isinstance(body, dict) else {}


def refused(status: int, name: str, what: str) -> Check:
    if status in (401, 403):
        return f"Vapi answered {status}: VAPI_API_KEY has to be the private key", ask("VAPI_API_KEY")
    if status in (400, 404):
        return f"Vapi knows no such {what} ({status})", ask(name)
    return f"Vapi {f'answered {status}' if status else 'cannot be reached'}", AGAIN


async def llm_upstream(http: httpx.AsyncClient, settings: Settings) -> Asked:
    """The gateway's model is there and takes the key, as far as its list of models tells."""
    if not settings.llm_base_url:
        return []
    key = settings.llm_api_key.reveal()
    try:
        answer = await http.get(
            f"{settings.llm_base_url.rstrip('/')}/models", headers={"Authorization": f"Bearer {key}"} if key else {}
        )
    except httpx.HTTPError as error:
        return [(f"the model of the gateway cannot be reached ({type(error).__name__})", ask("LLM_BASE_URL"))]
    if answer.status_code in (401, 403):
        return [(f"the model of the gateway answered {answer.status_code}", ask("LLM_API_KEY"))]
    return [("the model of the gateway answers", "")]


async def engine_vendors(_: httpx.AsyncClient, settings: Settings) -> Asked:
    """Engines over the network whose keys are set: a session is opened, as for a call, and closed before any audio."""
    found: Asked = []
    for name, key in {"hume": settings.hume_api_key, "oruk": settings.oruk_api_key}.items():
        if not key:
            continue
        vendor = VENDORS[name](settings, load_expressions(settings.expressions_file))
        try:
            await knock(vendor)
            found.append((f"{vendor.title} accepts the key and opens a session", ""))
        except EngineRefused as error:
            found.append((str(error), ask(f"{name.upper()}_API_KEY")))
        except EngineUnavailable as error:
            found.append((str(error), AGAIN))
    return found


def clock(theirs: float | None) -> Asked:
    """Ours against theirs; nothing where they told none, or it fits."""
    if theirs is None:
        return []
    off = time.time() - theirs
    said = f"the clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    return [(said, SET_CLOCK)] if abs(off) > OFF_BY_S else [("the clock is right", "")]


CHECKS: tuple[Callable[[httpx.AsyncClient, Settings], Awaitable[Asked]], ...] = (
    public_address,
    twilio_account,
    vapi_assistant,
    vapi_phone_number,
    llm_upstream,
    engine_vendors,
)
