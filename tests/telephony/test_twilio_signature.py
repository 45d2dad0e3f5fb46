"""Signatures, against the vendor's worked example, recorded vectors and the vendor's own library."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BadRequest, ConfigError
from agent.telephony.signature import SETTINGS_HEADER, SignatureCheck, candidates, parse_form, sign

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "recordings" / "twilio_signature_vectors.json").read_text()
)
KEY: str = VECTORS["auth_token"]
ORIGIN = "https://calls.example.com"
HEADER = "X-Twilio-Signature"
FORM = [("CallSid", "CA1"), ("From", "+15550100001"), ("Empty", ""), ("Space", " a ")]


def signed(url: str, form: Sequence[tuple[str, str]] = (), **more: str) -> dict[str, str]:
    return {HEADER: sign(KEY, url, form), **more}


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["url"])
def test_the_recorded_vectors_are_reproduced(vector: dict[str, Any]) -> None:
    assert sign(KEY, vector["url"], vector["params"].items()) == vector["signature"]


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["url"])
def test_the_recorded_vectors_are_accepted_as_requests(vector: dict[str, Any]) -> None:
    scheme, _, rest = vector["url"].partition("://")
    host, _, target = rest.partition("/")
    path, _, query = f"/{target}".partition("?")
    check = SignatureCheck(KEY, f"https://{host}")
    form = list(vector["params"].items())
    assert check.verify({HEADER: vector["signature"]}, path, query, form=form, websocket=scheme == "wss")


class Fields(dict[str, list[str]]):
    """A form with repeated names, as the vendor's library takes it."""

    def __init__(self, form: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in form:
            self.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[str]:
        return self[name]


forms = st.lists(st.tuples(st.text(), st.text()), max_size=8)
hosts = st.from_regex(r"[a-z][a-z0-9-]{0,10}\.example(:[1-9][0-9]{1,3})?", fullmatch=True)
paths = st.from_regex(r"(/[A-Za-z0-9._~-]{1,8}){1,3}/?", fullmatch=True)
queries = st.dictionaries(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5), max_size=3).map(urlencode)


@given(forms, st.sampled_from(["http", "https"]), hosts, paths, queries)
def test_the_vendors_library_and_we_accept_each_others_signatures(
    form: list[tuple[str, str]], scheme: str, host: str, path: str, query: str
) -> None:
    from twilio.request_validator import (  # type: ignore[import-untyped]
        RequestValidator,
        add_port,
        remove_port,
    )

    theirs = RequestValidator(KEY)
    url = f"{scheme}://{host}{path}" + (f"?{query}" if query else "")
    assert theirs.validate(url, Fields(form), sign(KEY, url, form))
    for variant in (url, add_port(urlparse(url)), remove_port(urlparse(url))):
        header = {HEADER: theirs.compute_signature(variant, Fields(form))}
        assert header[HEADER] == sign(KEY, variant, form)
        assert SignatureCheck(KEY, f"{scheme}://{host}").verify(header, path, query, form=form)
        assert SignatureCheck(KEY, None).verify({"host": host, **header}, path, query, form=form)


@given(forms)
def test_any_form_keeps_its_fields_over_the_wire(form: list[tuple[str, str]]) -> None:
    assert parse_form(urlencode(form).encode()) == form


def test_blank_values_and_white_space_are_kept() -> None:
    assert parse_form(b"a=&b=+x+&c=%09&a=2&d") == [("a", ""), ("b", " x "), ("c", "\t"), ("a", "2"), ("d", "")]
    assert parse_form(b"") == []


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff", b"a=1&" * 2000])
def test_a_body_that_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_form(body)


@given(st.binary())
def test_any_body_is_a_form_or_refused(body: bytes) -> None:
    try:
        form = parse_form(body)
    except BadRequest:
        return
    assert isinstance(sign(KEY, ORIGIN, form), str)


def test_every_form_of_a_url_is_a_candidate() -> None:
    assert candidates(["https://a.example"], "/x", "q=1", websocket=False) == [
        "https://a.example/x?q=1",
        "https://a.example:443/x?q=1",
    ]
    assert candidates(["http://a.example:3000/"], "/x/", "", websocket=False) == [
        "http://a.example:3000/x/",
        "http://a.example/x/",
        "http://a.example:80/x/",
    ]
    assert candidates(["https://[::1]:443"], "/x", "", websocket=True) == [
        "wss://[::1]:443/x",
        "wss://[::1]:443/x/",
        "wss://[::1]/x",
        "wss://[::1]/x/",
    ]
    assert "https://a.example/below/x" in candidates(["https://a.example/below/"], "/x", "", websocket=False)


@pytest.mark.parametrize(
    "url", ["wss://calls.example.com/audio-stream/CA1", "wss://calls.example.com/audio-stream/CA1/"]
)
@pytest.mark.parametrize("path", ["/audio-stream/CA1", "/audio-stream/CA1/"])
def test_an_upgrade_is_signed_as_wss_with_or_without_a_slash_at_its_end(url: str, path: str) -> None:
    assert SignatureCheck(KEY, ORIGIN).verify(signed(url), path, "", websocket=True)
    assert SignatureCheck(KEY, None).verify(signed(url, host="calls.example.com"), path, "", websocket=True)
    assert not SignatureCheck(KEY, ORIGIN).verify(signed(url), path, "")


def test_an_upgrade_signed_as_https_is_refused_and_so_is_a_slash_too_many_on_a_webhook() -> None:
    check = SignatureCheck(KEY, ORIGIN)
    assert not check.verify(signed(f"{ORIGIN}/s"), "/s", "", websocket=True)
    assert not check.verify(signed(f"{ORIGIN}/s/"), "/s", "")


def test_the_configured_origin_is_the_only_one_believed() -> None:
    headers = signed("https://evil.example/v", FORM, Host="evil.example")
    assert SignatureCheck(KEY, None).verify(headers, "/v", "", form=FORM)
    assert not SignatureCheck(KEY, ORIGIN).verify(headers, "/v", "", form=FORM)


def test_without_a_configured_origin_the_first_forwarded_host_counts_too() -> None:
    headers = signed(f"{ORIGIN}/v", FORM, Host="10.0.0.1:3000")
    check = SignatureCheck(KEY, None)
    assert check.verify(headers | {"x-forwarded-host": "calls.example.com, proxy.example"}, "/v", "", form=FORM)
    assert not check.verify(headers | {"x-forwarded-host": "proxy.example, calls.example.com"}, "/v", "", form=FORM)


@pytest.mark.parametrize("name", ["x-twilio-signature", "X-TWILIO-SIGNATURE"])
def test_header_names_are_read_in_any_case(name: str) -> None:
    assert SignatureCheck(KEY, ORIGIN).verify({name: sign(KEY, f"{ORIGIN}/v")}, "/v", "")


@pytest.mark.parametrize("value", ["", "x", "A" * 28, "A" * 29, "é" * 28, "A" * 1_000_000, "\ud800" * 28])
def test_a_wrong_or_absurd_signature_is_refused(value: str) -> None:
    check = SignatureCheck(KEY, ORIGIN)
    assert not check.verify({HEADER: value}, "/v", "")
    assert not check.verify({}, "/v", "")


@pytest.mark.parametrize(
    "form",
    [FORM[:-1], [*FORM, ("Extra", "1")], [*FORM[:-1], ("Space", "a")], [(name.lower(), value) for name, value in FORM]],
)
def test_any_change_of_the_form_is_noticed(form: list[tuple[str, str]]) -> None:
    assert not SignatureCheck(KEY, ORIGIN).verify(signed(f"{ORIGIN}/v", FORM), "/v", "", form=form)


def test_a_json_body_is_checked_by_its_hash_in_the_query() -> None:
    check = SignatureCheck(KEY, ORIGIN)
    body = b'{"a": 1}'
    query = f"x=1&bodySHA256={sha256(body).hexdigest()}"
    headers = signed(f"{ORIGIN}/v?{query}")
    assert check.verify(headers, "/v", query, body=body)
    assert not check.verify(headers, "/v", query, body=body + b" ")
    assert not check.verify(signed(f"{ORIGIN}/v"), "/v", "", body=body)


@pytest.mark.parametrize("claim", ["", "bodySHA256=", "bodySHA256=%C3%A9", "bodySHA256=00"])
def test_a_signed_url_without_the_hash_of_the_body_is_not_enough(claim: str) -> None:
    url = f"{ORIGIN}/v" + (f"?{claim}" if claim else "")
    assert not SignatureCheck(KEY, ORIGIN).verify(signed(url), "/v", claim, body=b"{}")


@pytest.mark.parametrize(
    ("settings", "accepted"),
    [
        ("", True),
        ("key=k1", True),
        ("key=k1,algorithm=HMAC_SHA1", True),
        ("key=k1, algorithm=HMAC_SHA256", False),
        ("algorithm=none", False),
        ("algorithm=HMAC_SHA1,algorithm=none", False),
    ],
)
def test_a_signature_counts_only_for_the_algorithm_it_names(settings: str, accepted: bool) -> None:
    headers = signed(f"{ORIGIN}/v") | {"x-twilio-webhooks-signature-settings": settings}
    assert SignatureCheck(KEY, ORIGIN).verify(headers, "/v", "") is accepted


SHARED_KEY_SETTINGS = {SETTINGS_HEADER: "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}


@pytest.mark.parametrize(("shared_key", "key"), [("shared secret", "shared secret"), (None, KEY)])
@pytest.mark.parametrize("websocket", [False, True])
def test_a_request_signed_with_a_shared_key_is_accepted_as_the_official_sdk_signs_it(
    shared_key: str | None, key: str, websocket: bool
) -> None:
    validator = pytest.importorskip("twilio.request_validator").RequestValidator
    check = SignatureCheck(KEY, ORIGIN, shared_key=shared_key)
    form = {"CallSid": "CA1", "From": "+15550100100"}
    origin = ORIGIN.replace("https", "wss") if websocket else ORIGIN
    official = validator(key).compute_signature(f"{origin}/v", form, "HMAC_SHA256")
    headers = {HEADER: official, **SHARED_KEY_SETTINGS}
    assert check.plausible(official)
    assert check.verify(headers, "/v", "", form=list(form.items()), websocket=websocket)
    assert not check.verify(headers, "/v", "", form=[("CallSid", "CA2")], websocket=websocket)
    assert not check.verify({HEADER: official}, "/v", "", form=list(form.items()), websocket=websocket)


def test_where_there_is_a_shared_key_the_auth_token_does_not_stand_in_for_it() -> None:
    signature = sign(KEY, f"{ORIGIN}/v", digest="sha256")
    check = SignatureCheck(KEY, ORIGIN, shared_key="shared secret")
    assert not check.verify({HEADER: signature, **SHARED_KEY_SETTINGS}, "/v", "")


def test_without_an_auth_token_everything_is_accepted_and_an_empty_one_is_a_mistake() -> None:
    assert SignatureCheck(None, ORIGIN).verify({}, "/v", "", body=b"{}")
    with pytest.raises(ConfigError):
        SignatureCheck("", ORIGIN)


wild = st.text() | st.text().map(lambda text: f"\ud800{text}")
bodies = st.fixed_dictionaries({"form": forms, "body": st.none() | st.binary(), "websocket": st.booleans()})


@given(st.dictionaries(wild, wild), wild, wild, bodies)
def test_what_nobody_signed_is_refused_without_an_exception(
    headers: dict[str, str], path: str, query: str, rest: dict[str, Any]
) -> None:
    known = {"host": "a.example", HEADER: "A" * 28, **headers}
    assert not SignatureCheck(KEY, None).verify(known, path, query, **rest)
