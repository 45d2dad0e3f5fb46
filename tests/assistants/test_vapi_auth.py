"""Who sent a server message: three ways to prove it, and nothing else does."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assistants.vapi_auth import Bearer, SharedSecret, Signature, WebhookAuth, signing_key
from agent.errors import ConfigError
from agent.settings import Secret, Settings, VapiSettings
from agent.settings_checks import checked
from agent.testing.vapi_contract import auth_headers
from agent.wiring import vapi_auth

SECRET = "s3cret-e9d1"
URL = "https://calls.example.com/webhook/vapi"
BODY = b'{"message":{"type":"hang"}}'
NOW = 1_764_000_000.0


def believed(auth: WebhookAuth, headers: dict[str, str], body: bytes = BODY, now: float = NOW) -> bool:
    return auth.plausible(headers, now) and auth.proves(headers, body, url=URL)


# --- the secret itself ---


@pytest.mark.parametrize(
    ("offered", "secret", "proved"),
    [
        (SECRET, SECRET, True),
        ("", SECRET, False),
        (SECRET + " ", SECRET, False),
        (SECRET[:-1], SECRET, False),
        (SECRET.upper(), SECRET, False),
        ("", "", False),
        ("anything", "", False),
        ("\xff\xfe", SECRET, False),
        ("\udcff", SECRET, False),
        ("x" * 1_000_000, SECRET, False),
    ],
)
def test_only_the_secret_itself_proves_who_sent_a_message(offered: str, secret: str, proved: bool) -> None:
    assert believed(SharedSecret(secret), {"x-vapi-secret": offered}) is proved
    assert SharedSecret(secret).proves({"x-vapi-secret": offered}, BODY, url=URL) is proved


def test_without_the_header_nothing_is_proved() -> None:
    for auth in (SharedSecret(SECRET), Bearer(SECRET), Signature(SECRET.encode())):
        assert not believed(auth, {})
        assert not auth.proves({}, BODY, url=URL)
    assert not believed(SharedSecret(SECRET), {"authorization": f"Bearer {SECRET}"})
    assert not believed(Bearer(SECRET), {"x-vapi-secret": SECRET})


@pytest.mark.parametrize(
    ("offered", "proved"),
    [
        (f"Bearer {SECRET}", True),
        (f"bearer  {SECRET}", True),
        (SECRET, False),
        (f"Basic {SECRET}", False),
        (f"Bearer {SECRET}x", False),
        ("Bearer", False),
        ("Bearer ", False),
    ],
)
def test_a_bearer_token_is_the_secret_behind_its_scheme(offered: str, proved: bool) -> None:
    assert believed(Bearer(SECRET), {"authorization": offered}) is proved
    assert not believed(Bearer(""), {"authorization": offered})


# --- signatures ---


def signed(auth: Signature, body: bytes = BODY, stamp: str | None = None) -> dict[str, str]:
    headers = {auth.timestamp_header.lower(): str(int(NOW)) if stamp is None else stamp}
    headers[auth.signature_header.lower()] = auth.signature_prefix + auth.sign(headers, body, url=URL)
    return headers


def test_a_signature_is_the_published_hmac_of_time_and_body() -> None:
    expected = hmac.new(SECRET.encode(), b"1764000000." + BODY, hashlib.sha256).hexdigest()
    assert believed(Signature(SECRET.encode()), {"x-timestamp": "1764000000", "x-signature": expected})


def test_what_the_simulated_vapi_signs_is_believed() -> None:
    now = datetime.fromtimestamp(NOW, UTC)
    assert believed(Signature(SECRET.encode()), auth_headers("hmac", SECRET, BODY, now))
    assert believed(Bearer(SECRET), {k.lower(): v for k, v in auth_headers("bearer", SECRET, BODY, now).items()})


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha256=", "v1,"])
@pytest.mark.parametrize(
    "payload_format", ["{timestamp}.{body}", "{body}{timestamp}", "{method} {url}\n{timestamp}{body}"]
)
def test_every_form_of_signature_proves_its_message_and_no_other(
    algorithm: str, encoding: str, prefix: str, payload_format: str
) -> None:
    auth = Signature(
        SECRET.encode(),
        algorithm=algorithm,
        encoding=encoding,
        signature_prefix=prefix,
        payload_format=payload_format,
        signature_header="X-Sig",
        timestamp_header="X-When",
    )
    headers = signed(auth)
    assert believed(auth, headers)
    assert not believed(auth, headers, BODY + b" ")
    assert not believed(auth, {**headers, "x-when": str(int(NOW) + 1)})
    assert not believed(replace(auth, secret=b"another"), headers)
    assert not believed(replace(auth, signature_prefix="other="), headers)


def test_the_address_is_part_of_what_is_signed_where_that_is_asked_for() -> None:
    auth = Signature(SECRET.encode(), payload_format="{url}{timestamp}{body}")
    assert not auth.proves(signed(auth), BODY, url="https://elsewhere.example.com/webhook/vapi")


def test_base64_signatures_are_those_of_the_standard_alphabet() -> None:
    auth = Signature(SECRET.encode(), encoding="base64")
    expected = base64.b64encode(hmac.new(SECRET.encode(), b"1764000000." + BODY, hashlib.sha256).digest()).decode()
    assert believed(auth, {"x-timestamp": "1764000000", "x-signature": expected})
    assert not believed(auth, {"x-timestamp": "1764000000", "x-signature": expected.lower()})


def test_a_hexadecimal_signature_may_come_in_capitals() -> None:
    headers = signed(Signature(SECRET.encode()))
    assert believed(Signature(SECRET.encode()), {**headers, "x-signature": headers["x-signature"].upper()})


@pytest.mark.parametrize(
    ("stamp", "fresh"),
    [
        (f"{NOW:.0f}", True),
        (f"{NOW * 1000:.0f}", True),
        (f"{NOW - 299:.0f}", True),
        (f"{NOW - 301:.0f}", False),
        (f"{(NOW - 301) * 1000:.0f}", False),
        (f"{NOW + 299:.0f}", True),
        (f"{NOW + 301:.0f}", False),
        ("0", False),
        ("-1764000000", False),
        ("1764000000.5", False),
        ("1" * 400, False),
        ("١٧٦٤٠٠٠٠٠٠", False),
        ("", False),
        ("now", False),
    ],
)
def test_an_old_message_is_not_believed_however_well_it_is_signed(stamp: str, fresh: bool) -> None:
    auth = Signature(SECRET.encode())
    assert believed(auth, signed(auth, stamp=stamp)) is fresh


def test_without_a_timestamp_only_the_body_counts() -> None:
    auth = Signature(SECRET.encode(), include_timestamp=False, payload_format="{body}")
    headers = {"x-signature": hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()}
    assert believed(auth, headers)
    assert not believed(auth, headers, b"{}")


@pytest.mark.parametrize("auth", [SharedSecret(""), Bearer(""), Signature(b"")])
def test_an_unset_secret_proves_nothing_not_even_by_its_own_signature(auth: WebhookAuth) -> None:
    headers = {"x-vapi-secret": "", "authorization": "Bearer ", **signed(Signature(b""))}
    assert not auth.plausible(headers, NOW)
    assert not auth.proves(headers, BODY, url=URL)


@given(st.text(max_size=80), st.text(max_size=30), st.binary(max_size=50))
def test_no_headers_and_no_body_do_harm_or_prove_anything(signature: str, stamp: str, body: bytes) -> None:
    for auth in (Signature(SECRET.encode()), Signature(SECRET.encode(), encoding="base64", signature_prefix="v1=")):
        headers = {"x-signature": signature, "x-timestamp": stamp}
        auth.plausible(headers, NOW)
        assert not auth.proves(headers, body, url=URL)


def test_the_secret_shows_nowhere() -> None:
    for auth in (SharedSecret(SECRET), Bearer(SECRET), Signature(SECRET.encode())):
        assert SECRET not in f"{auth!r} {auth!s} {auth.advice}"


# --- how it is set ---


def settings(**vapi: object) -> Settings:
    return Settings(vapi_secret=Secret(SECRET), vapi=VapiSettings(**vapi))  # type: ignore[arg-type]


def test_the_settings_choose_the_way_and_describe_the_signature() -> None:
    assert isinstance(vapi_auth(settings()), SharedSecret)
    assert isinstance(vapi_auth(settings(auth="bearer")), Bearer)
    chosen = vapi_auth(settings(auth="hmac", algorithm="sha512", encoding="base64", tolerance_s=60.0))
    assert chosen == Signature(SECRET.encode(), algorithm="sha512", encoding="base64", tolerance_s=60.0)


def test_a_secret_in_base64_signs_with_what_it_stands_for() -> None:
    assert signing_key(base64.b64encode(b"\x00key\xff").decode(), is_base64=True) == b"\x00key\xff"
    with pytest.raises(ConfigError, match="VAPI_SECRET is not base64"):
        signing_key(SECRET, is_base64=True)


@pytest.mark.parametrize(
    ("vapi", "said"),
    [
        ({"auth": "none"}, "auth must be one of secret, bearer, hmac"),
        ({"algorithm": "md5"}, "algorithm must be one of"),
        ({"encoding": "utf-8"}, "encoding must be one of"),
        ({"signature_header": "x signature"}, "signature_header must be the name of a header"),
        ({"timestamp_header": ""}, "timestamp_header must be the name of a header"),
        ({"payload_format": "{timestamp}"}, "must hold {body}"),
        ({"payload_format": "{body}"}, "must hold {timestamp} where"),
        ({"include_timestamp": False}, "must hold {timestamp} where"),
        ({"payload_format": "{svix-id}.{timestamp}.{body}"}, "cannot hold {svix-id}"),
        ({"payload_format": "{url}{timestamp}{body}"}, "WEBHOOK_URL is not set"),
        ({"tolerance_s": 0.0}, "tolerance_s must be above 0"),
        ({"tolerance_s": float("nan")}, "tolerance_s must be above 0"),
    ],
)
def test_a_signature_that_could_not_be_checked_stops_the_start(vapi: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked(settings(**vapi))


def test_the_address_may_be_signed_where_ours_is_known() -> None:
    vapi = VapiSettings(auth="hmac", payload_format="{url}{timestamp}{body}")
    assert checked(Settings(vapi=vapi, webhook_url="https://calls.example.com"))
