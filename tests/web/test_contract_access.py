"""The token: bearer, cookie, and pages of other origins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Callmood, Start

GUARDED = ["/calls", "/calls/CA1", "/events", "/events?call=CA1", "/events?view=summary", "/live", "/live/CA1"]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": b"Bearer \xe9\xff"},
        {"Cookie": "callmood=wrong"},
        {"Cookie": "callmood=token-of-the-tests"},
    ],
)
async def test_without_the_token_it_is_401_in_the_shape_of_errors(
    callmood: Callmood, path: str, headers: dict[str, Any]
) -> None:
    answer = await callmood.get(path, headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_numbers_are_open(callmood: Callmood, path: str) -> None:
    assert (await callmood.get(path, {})).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_bearer_token_opens_everything(callmood: Callmood, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {callmood.ready.token}"}
    for path in ("/calls", "/live"):
        assert (await callmood.get(path, headers)).status_code == 200


async def test_a_token_in_the_address_is_taken_by_the_live_page_only(callmood: Callmood) -> None:
    for path in ("/calls", "/events"):
        assert (await callmood.get(f"{path}?token={callmood.ready.token}", {})).status_code == 401


@pytest.mark.parametrize("path", ["/live", "/live/CA1"])
async def test_the_live_page_turns_a_token_into_a_cookie_and_an_address_without_it(
    callmood: Callmood, path: str
) -> None:
    answer = await callmood.get(f"{path}?token={callmood.ready.token}", {})
    assert answer.status_code in (302, 303)
    assert answer.headers["location"].removeprefix(callmood.url) == path
    cookie = answer.headers["set-cookie"]
    name_and_value, *attributes = [part.strip() for part in cookie.split(";")]
    lower = [attribute.lower() for attribute in attributes]
    assert "httponly" in lower
    assert "samesite=strict" in lower
    assert "secure" not in lower
    assert callmood.ready.token not in cookie
    page = await callmood.get(path, {"Cookie": name_and_value})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert callmood.ready.token not in page.text
    assert (await callmood.get("/calls", {"Cookie": name_and_value})).status_code == 200


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("https, http", True), ("http", False), ("", False)])
async def test_the_cookie_is_secure_when_the_request_came_over_https(
    callmood: Callmood, proto: str, secure: bool
) -> None:
    answer = await callmood.get(f"/live?token={callmood.ready.token}", {"X-Forwarded-Proto": proto})
    assert ("secure" in answer.headers["set-cookie"].lower()) is secure


@pytest.mark.parametrize("token", ["", "wrong", "%ff", "%00", "x" * 5000])
async def test_a_wrong_token_in_the_address_is_401_and_sets_no_cookie(callmood: Callmood, token: str) -> None:
    answer = await callmood.get(f"/live?token={token}", {})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_the_cookie_of_another_service_is_worth_nothing_here(start: Start, tmp_path: Any) -> None:
    from agent.settings import Secret

    one, other = await start(), await start(token=Secret("another"), data=str(tmp_path / "other"))
    answer = await one.get(f"/live?token={one.ready.token}", {})
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert (await one.get("/calls", cookie)).status_code == 200
    assert (await other.get("/calls", cookie)).status_code == 401


async def test_where_no_token_is_configured_a_random_one_is_made(start: Start, tmp_path: Any) -> None:
    from agent.settings import Secret

    services = [await start(token=Secret(), data=str(tmp_path / name)) for name in "ab"]
    tokens = [service.ready.token for service in services]
    assert tokens[0] != tokens[1]
    assert min(map(len, tokens)) >= 16
    assert (await services[0].get("/calls", {"Authorization": f"Bearer {tokens[0]}"})).status_code == 200
    assert (await services[0].get("/calls", {"Authorization": "Bearer"})).status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "x", "http://["])
@pytest.mark.parametrize("path", ["/webhook/emotion", "/voice/incoming", "/webhook/vapi"])
async def test_a_post_from_a_page_of_another_origin_is_403(callmood: Callmood, origin: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {callmood.ready.token}", "Origin": origin}
    answer = await callmood.post(path, b"{}", headers)
    assert answer.status_code == 403
    assert set(answer.json()["error"]) == {"code", "message"}


async def test_a_post_from_our_own_page_is_let_in(callmood: Callmood) -> None:
    headers = {"Authorization": f"Bearer {callmood.ready.token}", "Origin": callmood.url}
    assert (await callmood.post("/webhook/emotion", b"{}", headers)).status_code == 400


async def test_a_post_from_our_public_address_is_let_in(start: Start) -> None:
    callmood = await start(webhook_url="https://calls.example.com")
    headers = {"Authorization": f"Bearer {callmood.ready.token}", "Origin": "https://calls.example.com"}
    assert (await callmood.post("/webhook/emotion", b"{}", headers)).status_code == 400


async def test_an_unknown_path_is_404_in_the_shape_of_errors(callmood: Callmood) -> None:
    for path in ("/", "/nothing", "/calls/", "/live/static/../../../service.py", "/live/static/__init__.py"):
        answer = await callmood.get(path)
        assert answer.status_code in (308, 404), path


async def test_pages_load_nothing_from_elsewhere_and_fit_no_frame(callmood: Callmood) -> None:
    page = await callmood.get("/live")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert "https://" not in page.text
    for name in ("live.css", "live.js"):
        static = await callmood.get(f"/live/static/{name}", {})
        assert static.status_code == 200
        assert name in page.text
