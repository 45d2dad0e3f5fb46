"""Being somebody else: signatures, tokens, secrets, cookies, and webhooks that prove nothing."""

from dataclasses import replace

import trio

from agent.telephony.signature import SETTINGS_HEADER, SIGNATURE_HEADER, sign
from agent.testing import Pace

from .raw_line import closing, end, placed
from .table import Breach, Cases, attack
from .target import FORM_TYPE, Form, Target

VOICE = "/voice/incoming"


def form_of(call_sid: str, target: Target) -> Form:
    return [("CallSid", call_sid), ("CallStatus", "ringing"), ("From", target.markers.number + "0002"), ("To", "+1555")]


@attack()
async def signatures(target: Target) -> str:
    """Webhooks signed for something else, or by somebody else: 403, and no call is taken."""
    cases = Cases()
    key, sid = target.markers.auth_token, ""

    async def refused(
        name: str, signature: str, path: str = VOICE, *, form: Form | None = None, said_to_be: str | None = None
    ) -> None:
        known = {SIGNATURE_HEADER: signature, "Content-Type": FORM_TYPE}
        if said_to_be is not None:
            known[SETTINGS_HEADER] = said_to_be
        body = "&".join(f"{field}={value.replace('+', '%2B')}" for field, value in form or form_of(sid, target))
        answer = await target.post(path, body, known)
        cases.check(name, answer.status_code in (400, 403, 404), answer.status_code)

    other_urls = {
        "another path": target.url + "/twilio/call-status",
        "another case": target.url + "/Voice/incoming",
        "another scheme": target.url.replace("http", "ws") + VOICE,
        "another port": target.url[:-1] + ("1" if target.url[-1] != "1" else "2") + VOICE,
        "another host": "http://localhost" + VOICE,
        "a slash at the end": target.url + VOICE + "/",
        "a query": target.url + VOICE + "?a=1",
        "a fragment": target.url + VOICE + "#a",
        "an encoded letter": target.url + "/voice/%69ncoming",
        "a letter beyond ASCII": target.url + "/voice/íncoming",
        "credentials": target.url.replace("//", "//user:password@") + VOICE,
    }
    for number, (name, url) in enumerate(other_urls.items()):
        sid = f"CAa{number:031x}"
        await refused(name, sign(key, url, form_of(sid, target)))
    sid = "CAb" + "0" * 31
    good = sign(key, target.url + VOICE, form_of(sid, target))
    await refused("another call", good, form=form_of("CAb" + "0" * 30 + "1", target))
    await refused("a field twice", good, form=[*form_of(sid, target), ("CallSid", "CAb" + "0" * 30 + "2")])
    await refused("a field in another case", good, form=[("callsid", sid), *form_of(sid, target)[1:]])
    await refused("a query", good, VOICE + "?a=1")
    await refused("a slash", good, VOICE + "/")
    await refused("an encoded path", good, "/voice/%69ncoming")
    await refused("a huge signature", "A" * 20_000)
    await refused("a signature and more", good + "=")
    await refused("two signatures", f"{good}, {good}")
    await refused("an empty key", sign("", target.url + VOICE, form_of(sid, target)))
    by_sha256 = sign(key, target.url + VOICE, form_of(sid, target), "sha256")
    await refused("SHA-256", by_sha256)
    wrong_key = sign(key + "x", target.url + VOICE, form_of(sid, target), "sha256")
    await refused("SHA-256 by another key", wrong_key, said_to_be="key=SK1,algorithm=HMAC_SHA256")
    for value in ("algorithm=HMAC_SHA256", "algorithm=none", "algorithm=HMAC_SHA1,algorithm=none", "ALGORITHM = md5"):
        await refused(f"SHA-1 said to be {value}", good, said_to_be=value)
    live = [entry["callSid"] for entry in (await target.get("/calls?state=live")).json()["calls"]]
    cases.check("no effect", not [one for one in live if one.startswith(("CAa000", "CAb000"))], live)
    answer = await target.signed(VOICE, form_of(sid, target))
    cases.check("the right signature", answer.status_code == 200, answer.status_code)
    await target.signed("/twilio/call-status", [("CallSid", sid), ("CallStatus", "completed")])
    return cases.verdict("checks")


@attack()
async def shifted_fields(target: Target) -> str:
    """A signature covers names and values run together: a recorded request must not become another call's."""
    cases = Cases()
    sid = "CAc" + "0" * 31
    recorded = form_of(sid, target)
    signature = sign(target.markers.auth_token, target.url + VOICE, recorded)
    status = "CallStatusringing"
    for name, shifted in {
        "a field swallowed": [("CallSid", sid + status), *recorded[2:]],
        "a field split": [("CallSid", sid + "Call"), ("Status", "ringing"), *recorded[2:]],
    }.items():
        body = "&".join(f"{field}={value.replace('+', '%2B')}" for field, value in shifted)
        answer = await target.post(VOICE, body, {SIGNATURE_HEADER: signature, "Content-Type": FORM_TYPE})
        other = shifted[0][1]
        cases.check(name, not await target.is_live(other), f"{other} is live ({answer.status_code})")
        await target.signed("/twilio/call-status", [("CallSid", other), ("CallStatus", "completed")])
    return cases.verdict("replays without effect")


@attack(clients=2, quick=False)
async def media_signatures(target: Target) -> str:
    """A media stream asked for with the signature of another call, of a webhook, or of another scheme."""
    cases = Cases()
    one, other = target.caller(), target.caller()
    plan, foreign = await placed(target, one), await placed(target, other)
    for name, url, params in (
        ("another call", foreign.url, []),
        ("a webhook", target.url + VOICE, one.who.voice_form("ringing")),
        ("http", plan.url.replace("ws://", "http://"), []),
        ("two slashes at the end", plan.url + "//", []),
        ("an encoded id", plan.url.replace("/CA", "/%43A"), []),
    ):
        signature = sign(target.markers.auth_token, url, params)
        closed = await closing(target, one, plan, signature=signature)
        cases.check(name, closed == (1008, "Invalid signature"), closed)
    await end(target, one, other)
    return cases.verdict("streams refused")


@attack(clients=2)
async def stream_tokens(target: Target) -> str:
    """A media stream with a token that was used, is another call's, an ended call's, guessed, or no token at all."""
    cases = Cases()
    one, other, ended = target.caller(), target.caller(), target.caller()
    plan, foreign, past = [await placed(target, caller) for caller in (one, other, ended)]
    await end(target, ended)
    own = plan.parameters["token"]
    guesses = {
        "another call's": foreign.parameters["token"],
        "an ended call's": past.parameters["token"],
        "one letter less": own[:-1],
        "one letter more": own + "A",
        "another case": own.swapcase(),
        "with spaces": f" {own} ",
        "with a NUL": own + "\x00",
        "long": "x" * 500,
        "beyond ASCII": "é" * 32,
        "Twilio's key": "x",
    }
    for name, token in guesses.items():
        guess = replace(plan, parameters={**plan.parameters, "token": token})
        closed = await closing(target, one, guess)
        cases.check(name, closed is not None and closed[0] in (1007, 1008, 1009), closed)
    cases.check("the ended call", await closing(target, ended, past) == (1008, "Session not found"))
    async with one.stream(replace(plan, status_callback=None), Pace(speed=10)) as stream:
        cases.check("the right one", await stream.play(b"\xff" * 1600), stream.closed)
        closed = await closing(target, one, plan)
        cases.check("the right one again", closed is not None and closed[0] == 1008, closed)
        cases.check("the call goes on", stream.closed is None, stream.closed)
    await end(target, one, other)
    return cases.verdict("tokens judged rightly")


@attack(quick=False)
async def tokens_nobody_can_read(target: Target) -> str:
    """Tokens that no `start` can carry: the stream is closed when its time to start is over."""
    cases = Cases()
    for name, token in {"huge": "x" * 60_000, "half a pair": "\ud800" * 8}.items():
        caller = target.caller()
        plan = await placed(target, caller)
        closed = await closing(target, caller, replace(plan, parameters={"token": token}))
        cases.check(name, closed is not None and closed[0] in (1007, 1008, 1009), closed)
        await end(target, caller)
    return cases.verdict("tokens refused")


@attack(clients=20, quick=False)
async def token_guesses(target: Target) -> str:
    """Guessing as fast as twenty sockets can: none is let in, and the call still takes its own."""
    caller = target.caller()
    plan = await placed(target, caller)
    guess = replace(plan, parameters={**plan.parameters, "token": "A" * 32})
    until, count = trio.current_time() + target.seconds, 0

    async def keep_guessing() -> None:
        nonlocal count
        while trio.current_time() < until:
            closed = await closing(target, caller, guess)
            if closed is None or closed[0] != 1008:
                raise Breach(f"a guess was answered with {closed}")
            count += 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(keep_guessing)
    async with caller.stream(replace(plan, status_callback=None), Pace(speed=10)) as stream:
        if not await stream.play(b"\xff" * 1600):
            raise Breach(f"the right token was refused: {stream.closed}")
    await end(target, caller)
    return f"{count} guesses refused"


@attack()
async def webhooks_without_proof(target: Target) -> str:
    """Every webhook and route without its secret, or with a wrong one: refused, and nothing changes."""
    cases = Cases()
    caller = target.caller()
    sid = (await placed(target, caller)).parameters["callSid"]
    before = (await target.get(f"/calls/{sid}")).json()
    form = f"CallSid={sid}&CallStatus=completed&StreamEvent=stream-stopped&StreamSid=MZ1"
    reading = f'{{"callSid":"{sid}","emotion":{{"label":"angry","score":1}}}}'
    about = f'"call":{{"phoneCallProviderId":"{sid}"}}'
    message = f'{{"message":{{"type":"speech-update","role":"assistant","status":"started",{about}}}}}'
    token, secret = target.markers.token, target.markers.vapi_secret
    wrong: dict[str, tuple[str, str, dict[str, str]]] = {
        "call-status": ("/twilio/call-status", form, {"Content-Type": FORM_TYPE}),
        "call-status with the token": ("/twilio/call-status", form, {"Content-Type": FORM_TYPE, **target.bearer}),
        "stream-status": ("/twilio/stream-status", form, {"Content-Type": FORM_TYPE}),
        "a form as JSON": ("/twilio/call-status", form, {"Content-Type": "application/json"}),
        "a reading": ("/webhook/emotion", reading, {}),
        "a reading, token in the address": (f"/webhook/emotion?token={token}", reading, {}),
        "a reading, token as cookie": ("/webhook/emotion", reading, {"Cookie": f"callmood={token}"}),
        "a reading, basic": ("/webhook/emotion", reading, {"Authorization": f"Basic {token}"}),
        "a reading, part of the token": ("/webhook/emotion", reading, {"Authorization": f"Bearer {token[:-1]}"}),
        "a reading, Vapi's secret": ("/webhook/emotion", reading, {"Authorization": f"Bearer {secret}"}),
        "vapi": ("/webhook/vapi", message, {}),
        "vapi with the token": ("/webhook/vapi", message, {"X-Vapi-Secret": token, **target.bearer}),
        "vapi, part of the secret": ("/webhook/vapi", message, {"X-Vapi-Secret": secret[:-1]}),
        "vapi, twice": ("/webhook/vapi", message, {"X-Vapi-Secret": f"{secret}, {secret}"}),
        "vapi, as bearer": ("/webhook/vapi", message, {"Authorization": f"Bearer {secret}"}),
        "vapi, in another case": ("/webhook/vapi", message, {"X-Vapi-Secret": secret.upper()}),
    }
    for name, (path, body, headers) in wrong.items():
        answer = await target.post(path, body, headers)
        cases.check(name, answer.status_code in (401, 403), answer.status_code)
    for path in ("/calls", f"/calls/{sid}", "/events", "/live", "/debug/calls/" + sid):
        answer = await target.get(path, {})
        cases.check(f"GET {path[:12]}", answer.status_code in (401, 404), answer.status_code)
    after = (await target.get(f"/calls/{sid}")).json()
    cases.check("no effect", after == before, after)
    await end(target, caller)
    return cases.verdict("requests refused without effect")


@attack()
async def cookies_and_origins(target: Target) -> str:
    """Pages of other sites, borrowed and made-up cookies, redirects and shared answers."""
    cases = Cases()
    answer = await target.get(f"/live?token={target.markers.token}", {})
    pair = answer.headers.get("set-cookie", "").partition(";")[0]
    cookie = {"Cookie": pair}
    cases.check("the cookie works", (await target.get("/calls", cookie)).status_code == 200, pair)
    value = pair.partition("=")[2]
    for name, headers in {
        "the cookie as bearer": {"Authorization": f"Bearer {value}"},
        "another name": {"Cookie": f"Callmood={value}"},
        "a letter less": {"Cookie": f"callmood={value[:-1]}"},
        "upper case": {"Cookie": f"callmood={value.upper()}"},
        "shadowed": {"Cookie": f"callmood=x; a=b; callmood2={value}"},
    }.items():
        cases.check(name, (await target.get("/calls", headers)).status_code == 401)
    other_port = f"http://127.0.0.1:{target.port % 60000 + 1}"
    for origin in (other_port, f"{target.url}.evil.example", "http://evil.example@" + target.host + ".evil", "file://"):
        answer = await target.post("/webhook/emotion", "{}", {**cookie, "Origin": origin, "X-Forwarded-Host": "evil"})
        cases.check(f"from {origin}", answer.status_code == 403, answer.status_code)
        answer = await target.get("/calls", {**cookie, "Origin": origin})
        shared = [name for name in answer.headers if name.lower().startswith("access-control")]
        cases.check(f"shared with {origin}", not shared, shared)
    preflight = {"Origin": other_port, "Access-Control-Request-Method": "POST"}
    options = await target.http.options(target.url + "/webhook/emotion", headers=preflight)
    cases.check("a preflight", "access-control-allow-origin" not in options.headers, options.headers)
    for path in ("/live//evil.example", "/live/%2F%2Fevil.example", "/live/%0d%0aX-Planted:1", "/live/..%2f..%2f"):
        answer = await target.http.get(f"{target.url}{path}?token={target.markers.token}")
        location = answer.headers.get("location", "/live/").removeprefix(target.url)
        fine = location.startswith("/live/") and "x-planted" not in answer.headers
        cases.check(f"redirect from {path}", fine and answer.status_code < 500, (answer.status_code, location))
    return cases.verdict("checks")
