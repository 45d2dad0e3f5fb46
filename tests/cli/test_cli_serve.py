"""`callmood serve` as a process, with calls placed by `callmood call` and from here."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
import trio

from agent.http import client
from agent.testing import FakeVapi, Hook, Pace, TwilioCaller

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run, Serve

SECOND_OF_SILENCE = b"\xff" * 8_000


def test_serve_says_ready_with_its_address_and_ends_with_0_on_sigterm(serve: Serve) -> None:
    service = serve()
    assert service.ready.startswith("ready http://127.0.0.1:")
    service.signal(signal.SIGTERM)
    done = service.wait()
    assert done.code == 0
    assert "Traceback" not in done.err
    assert "No voice leaves this machine" in done.err
    assert service.token not in done.out + done.err
    assert service.auth_token not in done.out + done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "its terminal is closed"])
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_whatever_else_asks_it_to_end_is_said_and_ends_it_with_0_too(
    serve: Serve, number: signal.Signals, workers: tuple[str, ...]
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever runs the tests has this signal ignored, and a service inherits that")
    service = serve(*workers)
    service.signal(number)
    done = service.wait()
    assert done.code == 0
    assert "service.draining" in done.err


def test_under_nohup_a_closed_terminal_means_nothing(serve: Serve) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        service = serve()
    finally:
        signal.signal(signal.SIGHUP, before)
    service.signal(signal.SIGHUP)
    service.signal(signal.SIGTERM)
    done = service.wait()
    assert done.code == 0
    assert done.err.count("service.draining") == 1
    assert "service.stopping_at_once" not in done.err


def test_without_a_configured_token_the_live_address_with_a_random_one_is_printed(serve: Serve) -> None:
    service = serve(CALLMOOD_TOKEN="")
    service.signal()
    done = service.wait()
    assert f"{service.url}/live?token=" in done.out


def test_a_recording_is_played_into_it_and_stands_in_the_ledger(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "silence.ul").write_bytes(SECOND_OF_SILENCE * 2)
    service = serve()
    called = run("call", "silence.ul", "--url", service.url, "--speed", "10", TWILIO_AUTH_TOKEN=service.auth_token)
    assert called.code == 0, called.err + called.out
    assert "100 frames sent" in called.out
    service.signal()
    assert service.wait().code == 0

    listed = run("calls", "--json")
    [entry] = [json.loads(line) for line in listed.out.splitlines()]
    assert (entry["state"], entry["outcome"]) == ("ended", "hangup")
    assert entry["callSid"] in called.out
    assert entry["callSid"][-6:] in run("calls").out, "show takes the end of an id"
    for named in (entry["callSid"], entry["callSid"][-6:]):
        shown = run("show", named, "--json")
        events = [json.loads(line) for line in shown.out.splitlines()]
        assert (events[0]["event"], events[-1]["event"]) == ("call.started", "call.ended")
    text = run("show", entry["callSid"])
    assert text.code == 0
    assert "call.ended" in text.out


def test_several_calls_at_once_with_loss_and_jitter(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "silence.ul").write_bytes(SECOND_OF_SILENCE)
    service = serve()
    args = ("--url", service.url, "--speed", "5", "--calls", "5", "--loss", "20", "--jitter", "50")
    called = run("call", "silence.ul", *args, TWILIO_AUTH_TOKEN=service.auth_token)
    assert called.code == 0, called.err + called.out
    assert len(called.out.splitlines()) == 5


def test_a_call_with_the_wrong_key_is_exit_code_1_and_says_why(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "silence.ul").write_bytes(SECOND_OF_SILENCE)
    service = serve()
    called = run("call", "silence.ul", "--url", service.url, TWILIO_AUTH_TOKEN="wrong")
    assert called.code == 1
    assert "403" in called.out + called.err
    assert "Traceback" not in called.err


def test_a_call_where_nobody_listens_is_exit_code_1_and_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "silence.ul").write_bytes(SECOND_OF_SILENCE)
    called = run("call", "silence.ul", "--url", "http://127.0.0.1:9", TWILIO_AUTH_TOKEN="any")
    assert called.code == 1
    assert "Traceback" not in called.err


async def test_a_live_call_is_waited_for_and_a_second_signal_ends_at_once(serve: Serve) -> None:
    with trio.fail_after(40):
        service = await trio.to_thread.run_sync(serve)
        caller = TwilioCaller(service.url, auth_token=service.auth_token)
        plan = (await caller.place()).plan
        assert plan is not None
        async with caller.stream(plan, Pace(speed=10)) as stream:
            await stream.play(SECOND_OF_SILENCE)
            service.signal()
            await trio.to_thread.run_sync(service.wait_until_said, "service.draining")
            assert await stream.play(SECOND_OF_SILENCE)
            service.signal()
            await stream.wait_closed()
        done = await trio.to_thread.run_sync(service.wait)
    assert "Traceback" not in done.err


async def test_a_killed_process_leaves_calls_that_crashed_and_says_so_once(run: Run, serve: Serve) -> None:
    with trio.fail_after(60):
        service = await trio.to_thread.run_sync(serve)
        caller = TwilioCaller(service.url, auth_token=service.auth_token)
        await caller.place()
        await trio.sleep(0.6)  # more than the ledger ever waits
        service.signal(signal.SIGKILL)
        await trio.to_thread.run_sync(service.wait)
        for crashed in (1, 0):
            again = await trio.to_thread.run_sync(serve)
            async with client() as http:
                page = (await http.get(again.url + "/metrics")).text
            assert f'callmood_calls_ended_total{{outcome="crashed"}} {crashed}.0' in page
            again.signal()
            await trio.to_thread.run_sync(again.wait)
    shown = [json.loads(line) for line in run("show", caller.call_sid, "--json").out.splitlines()]
    assert [event["event"] for event in shown] == ["call.started", "call.ended"]
    assert shown[-1]["outcome"] == "crashed"


async def test_two_processes_on_one_ledger_leave_each_others_calls_alone(run: Run, serve: Serve) -> None:
    with trio.fail_after(60):
        first = await trio.to_thread.run_sync(serve)
        caller = TwilioCaller(first.url, auth_token=first.auth_token)
        await caller.place()
        await trio.sleep(0.6)
        second = await trio.to_thread.run_sync(serve)
        second.signal()
        await trio.to_thread.run_sync(second.wait)
    assert "call.ended" not in run("show", caller.call_sid, "--json").out


async def test_nothing_that_is_secret_or_said_is_in_what_it_prints(serve: Serve, tmp_path: Path) -> None:
    with trio.fail_after(40):
        service = await trio.to_thread.run_sync(lambda: serve(VAPI_CONTROL_HOSTS="127.0.0.1"))
        headers = {"X-Vapi-Secret": service.vapi_secret, "Authorization": f"Bearer {service.token}"}
        async with FakeVapi.serve() as vapi, client() as http:
            caller = TwilioCaller(service.url, auth_token=service.auth_token, from_="+15550100042")
            plan = (await caller.place()).plan
            assert plan is not None
            async with caller.stream(plan, Pace(speed=10)) as stream:
                await stream.play(SECOND_OF_SILENCE)
                assistant = vapi.call(caller.call_sid, hook=Hook(service.url, service.vapi_secret))
                await assistant.start_turn("words that somebody spoke")
                body = {"callSid": caller.call_sid, "emotion": {"label": "angry", "score": 0.95}}
                for _ in range(5):
                    await http.post(f"{service.url}/webhook/emotion", json=body, headers=headers)
                await vapi.wait_for(lambda message: message.body["type"] == "say")
                for path in ("/webhook/vapi", "/webhook/emotion"):
                    broken = b'{"message":{"type":"words that somebody spoke \xff"}}'
                    await http.post(service.url + path, content=broken, headers=headers)
            await caller.complete(1)
        service.signal()
        done = await trio.to_thread.run_sync(service.wait)
    assert done.code == 0
    printed = done.out + done.err
    for secret in (
        service.token,
        service.auth_token,
        service.vapi_secret,
        plan.parameters["token"],
        assistant.facts.call_id + "/control",
    ):
        assert secret not in printed
    assert "words that somebody spoke" not in printed
    assert "5550100042" not in printed
