"""What an operator may do to a live call, seen from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.calls.policy import Policy
from agent.core.budget import PerMinute
from agent.core.rulebook import SORRY
from agent.errors import AssistantRefused, ConfigError

if TYPE_CHECKING:
    from .conftest import Callmood, Start

BEARER = {"Authorization": "Bearer token-of-the-tests"}


class Human:
    """Somebody calls can be passed on to."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.refuses = False
        self.answers = trio.Event()
        self.answers.set()

    async def transfer(self, call_sid: str, destination: str) -> None:
        self.taken.append((call_sid, destination))
        await self.answers.wait()
        if self.refuses:
            raise AssistantRefused("no such number")


def with_a_human(callmood: Callmood) -> Human:
    human, directory = Human(), callmood.ready.directory
    directory.policy = Policy(directory.policy.book, human, PerMinute(30))
    return human


async def act(callmood: Callmood, call_sid: str, body: object, headers: Mapping[str, str] = BEARER) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await callmood.post(f"/calls/{call_sid}/actions", content, headers)
    return answer.status_code, answer.json()


async def accepted(callmood: Callmood, call_sid: str, **body: object) -> None:
    assert await act(callmood, call_sid, body) == (202, {"status": "accepted"})


async def refused(callmood: Callmood, call_sid: str, body: object, headers: Mapping[str, str] = BEARER) -> int:
    status, answer = await act(callmood, call_sid, body, headers)
    assert set(answer["error"]) == {"code", "message"}
    return status


# --- What it does ---


async def test_an_operator_cuts_an_assistant_off(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        await assistant.start_turn("Let me tell you about our app.")
        await accepted(callmood, line.call_sid, action="interrupt")
        cancelled = await callmood.event(line.call_sid, "tts.cancelled")
        assert (cancelled["reason"], [say["content"] for say in callmood.told("say")]) == ("operator", [SORRY])
        assert callmood.told("add-message") == [], "nothing is known of a mood"


async def test_an_interruption_of_a_silent_assistant_is_accepted_and_does_nothing(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        await accepted(callmood, line.call_sid, action="interrupt")
        await accepted(callmood, line.call_sid, action="context", text="VIP")
        await callmood.event(line.call_sid, "context.updated")
        assert callmood.told("say") == []


async def test_what_an_operator_knows_reaches_the_model_and_not_the_disk(callmood: Callmood, tmp_path: Path) -> None:
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        await accepted(callmood, line.call_sid, action="context", text="She is a member of the board.")
        await callmood.event(line.call_sid, "context.updated")
        (note,) = callmood.told("add-message")
        assert note["message"] == {"role": "system", "content": "She is a member of the board."}
    await callmood.ended(line.call_sid)
    kept = on_disk(tmp_path)
    assert line.call_sid.encode() in kept
    assert b"member of the board" not in kept


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_an_operator_passes_a_caller_on_once(start: Start) -> None:
    callmood = await start(transfer_to="+15550100100")
    human = with_a_human(callmood)
    human.answers = trio.Event()
    async with callmood.on_the_line() as line:
        await accepted(callmood, line.call_sid, action="transfer")
        assert await refused(callmood, line.call_sid, {"action": "transfer"}) == 409
        human.answers.set()
        done = await callmood.event(line.call_sid, "escalation.done")
        assert (done["rule"], done["action"], done["destination"]) == ("operator", "transfer", "***00")
        for action in ("transfer", "interrupt", "context"):
            body = {"action": action, **({"text": "VIP"} if action == "context" else {})}
            assert await refused(callmood, line.call_sid, body) == 409
        assert human.taken == [(line.call_sid, "+15550100100")]
        late = await callmood.emotion(line.call_sid, "angry", 0.99)
        assert late["status"] == "ignored", "a caller who speaks with a human is not analysed"


async def test_a_transfer_that_was_refused_may_be_tried_elsewhere(start: Start) -> None:
    callmood = await start(transfer_to="+15550100100")
    human = with_a_human(callmood)
    human.refuses = True
    async with callmood.on_the_line() as line:
        await accepted(callmood, line.call_sid, action="transfer")
        failed = await callmood.event(line.call_sid, "escalation.failed")
        assert failed["reason"] == "no such number"
        human.refuses = False
        await accepted(callmood, line.call_sid, action="transfer", to="sip:desk@example.com")
        done = await callmood.event(line.call_sid, "escalation.done")
        assert done["destination"] == "sip:example.com"


async def test_without_anybody_to_take_the_call_the_timeline_says_so(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await accepted(callmood, line.call_sid, action="transfer")
        failed = await callmood.event(line.call_sid, "escalation.failed")
        assert "CALLMOOD_TRANSFER_TO" in failed["reason"]
        assert await refused(callmood, line.call_sid, {"action": "transfer"}) == 409
        await accepted(
            callmood, line.call_sid, action="transfer", to="+15550100100"
        )  # Twilio is not set up here either
    timeline = (await callmood.ended(line.call_sid))["timeline"]
    reasons = [event["reason"] for event in timeline if event["event"] == "escalation.failed"]
    assert [("CALLMOOD_TRANSFER_TO" in reason, "TWILIO_ACCOUNT_SID" in reason) for reason in reasons] == [
        (True, False),
        (False, True),
    ]


async def test_an_operator_stops_the_analysis(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for _ in range(2):
            await accepted(callmood, line.call_sid, action="stop_analysis")
        answer = await callmood.emotion(line.call_sid, "angry", 0.99)
        assert answer["status"] == "ignored"
    ended = await callmood.ended(line.call_sid)
    assert [event["how"] for event in ended["timeline"] if event["event"] == "consent.withdrawn"] == ["action"]


@pytest.mark.parametrize("more", [{}, {"t": 1234}])
async def test_a_decision_may_be_called_wrong(callmood: Callmood, more: dict[str, int]) -> None:
    async with callmood.on_the_line() as line:
        await accepted(callmood, line.call_sid, action="wrong", **more)
        event = await callmood.event(line.call_sid, "decision.wrong")
        assert event.get("decidedT") == more.get("t")


# --- What it refuses ---


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        {},
        {"action": "hang_up"},
        {"action": "context"},
        {"action": "context", "text": ""},
        {"action": "context", "text": "  "},
        {"action": "context", "text": "x" * 2001},
        {"action": "context", "text": 7},
        {"action": "interrupt", "text": "x"},
        {"action": "interrupt", "loud": True},
        {"action": "transfer", "to": "me"},
        {"action": "transfer", "to": "555"},
        {"action": "transfer", "to": ""},
        {"action": "transfer", "to": "+15550100100\n"},
        {"action": "transfer", "to": "https://example.com"},
        {"action": "transfer", "to": '"><Hangup/>'},
        {"action": "wrong", "t": -1},
        {"action": "wrong", "t": 1.5},
        {"action": "wrong", "t": 10**30},
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(callmood: Callmood, body: object) -> None:
    async with callmood.on_the_line() as line:
        assert await refused(callmood, line.call_sid, body) == 400
        await accepted(callmood, line.call_sid, action="wrong")
        names = [event["event"] for event in (await callmood.entry(line.call_sid))["timeline"]]
        assert names == ["call.started", "decision.wrong"]


async def test_calls_that_are_unknown_or_over_take_no_orders(callmood: Callmood) -> None:
    assert await refused(callmood, "CA0", {"action": "interrupt"}) == 404
    async with callmood.on_the_line() as line:
        pass
    await callmood.ended(line.call_sid)
    for action in ("interrupt", "transfer", "stop_analysis", "wrong"):
        assert await refused(callmood, line.call_sid, {"action": action}) == 409


async def test_it_needs_the_token_and_comes_from_no_other_site(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        body = {"action": "wrong"}
        assert await refused(callmood, line.call_sid, body, {}) == 401
        assert await refused(callmood, line.call_sid, body, {"Authorization": "Bearer wrong"}) == 401
        assert await refused(callmood, line.call_sid, body, {**BEARER, "Origin": "https://evil.example"}) == 403
        assert (await callmood.post(f"/calls/{line.call_sid}/actions", b"x" * 20_000, BEARER)).status_code == 413


# --- Rules, while calls are live ---


RULES = '[[rule]]\nname = "pass"\nemotions = ["angry"]\nat_least = {}\ndo = ["transfer"]\n'


async def test_an_edited_rules_file_holds_for_the_live_call_and_a_mistake_does_not(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES.format("1.0"), "utf-8")
    callmood = await start(rules_file=file, transfer_to="+15550100100")
    human = with_a_human(callmood)
    async with callmood.on_the_line() as line:
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.9)
        file.write_text(RULES.format("9"), "utf-8")
        await counted(callmood, 'callmood_rules_reloads_total{result="bad"} 1.0')
        assert human.taken == []
        file.write_text(RULES.format("0.8"), "utf-8")
        await counted(callmood, 'callmood_rules_reloads_total{result="ok"} 1.0')
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.9)
        await callmood.event(line.call_sid, "escalation.done")
    assert human.taken == [(line.call_sid, "+15550100100")]


async def counted(callmood: Callmood, line: str) -> None:
    """Wait until the numbers say this."""
    while line not in (await callmood.get("/metrics", {})).text:  # noqa: ASYNC110 - the numbers have no event
        await trio.sleep(0.05)


async def test_a_service_does_not_start_with_a_bad_rules_file(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES.format("9"), "utf-8")
    with pytest.raises(ConfigError, match="line 4: at_least"):
        await start(rules_file=file)
