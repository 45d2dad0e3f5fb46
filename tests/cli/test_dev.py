"""`callmood dev` as a process, with a Twilio that keeps numbers and an ngrok that carries, both on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from hasty import NO_LESS, callmood
from terminal import Terminal

from agent.cli.borrowed import RECORD
from agent.testing import TwilioCaller
from agent.testing.fake_ngrok import A_USERS_KEY
from agent.testing.fake_twilio_numbers import FakeTwilioNumbers

if TYPE_CHECKING:
    from conftest import Run

LONGEST_S = 50
NUMBER = "+15550100177"
OLD = {
    "voice_url": "https://old.example.com/voice?key=hunter2",
    "voice_method": "GET",
    "status_callback": "https://old.example.com/status",
    "status_callback_method": "GET",
}
REPOSITORY = Path(__file__).parents[2]


class Dev:
    """A running `callmood dev`, and what it has said so far on both outputs."""

    def __init__(self, process: trio.Process) -> None:
        self.process, self.said = process, ""
        self._more = trio.Event()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for piece in self.process.stdout:
            self.said += piece.decode()
            self._wake()
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = trio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            with trio.move_on_after(0.05):
                await self._more.wait()

    async def until_said(self, text: str) -> None:
        await self.until(lambda: text in self.said or self.process.returncode is not None)
        assert text in self.said, self.said

    @property
    def public_url(self) -> str:
        [line] = [line for line in self.said.splitlines() if line.startswith("ready ")]
        return line.removeprefix("ready ")

    async def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return await self.process.wait()


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilioNumbers]:
    async with FakeTwilioNumbers.serve() as fake:
        yield fake


def ngrok_in(folder: Path) -> str:
    """The fake ngrok as a program; the folder it lies in."""
    path = folder / "bin" / "ngrok"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent.testing.fake_ngrok "$@"\n')
    path.chmod(0o755)
    return str(path.parent)


@asynccontextmanager
async def dev(
    folder: Path, twilio: FakeTwilioNumbers, *args: str, patience: Mapping[str, float] = NO_LESS, **more: str
) -> AsyncIterator[Dev]:
    """`callmood dev --yes ARGS…`, ended at the latest with the block; everything within LONGEST_S."""
    environ = {
        "PATH": f"{ngrok_in(folder)}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(folder),
        "CALLMOOD_TOKEN": "token-of-the-tests",
        **twilio.environment,
        **more,
    }
    command = callmood("dev", "--yes", "--port", "0", *args, patience=patience)
    with trio.fail_after(LONGEST_S):
        async with trio.open_nursery() as nursery:
            process = await trio.lowlevel.open_process(
                command,
                cwd=folder,
                env={name: value for name, value in environ.items() if value},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            running = Dev(process)
            nursery.start_soon(running.listen)
            try:
                yield running
            finally:
                if process.returncode is None:
                    process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()


def webhooks(twilio: FakeTwilioNumbers, sid: str) -> dict[str, str | None]:
    return {name: twilio.numbers[sid][name] for name in OLD}


async def is_closed(url: str) -> bool:
    """Whether nobody listens there any more."""
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    except OSError:
        return True
    await stream.aclose()
    return False


async def until_closed(url: str) -> None:
    while not await is_closed(url):  # noqa: ASYNC110 - a port has no event
        await trio.sleep(0.05)


async def test_the_number_points_here_through_the_tunnel_and_a_call_to_it_is_answered_with_our_stream(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        now = webhooks(twilio, sid)
        assert now == {
            "voice_url": f"{running.public_url}/voice/incoming",
            "voice_method": "POST",
            "status_callback": f"{running.public_url}/twilio/call-status",
            "status_callback_method": "POST",
        }
        caller = TwilioCaller(running.public_url, auth_token=twilio.auth_token)
        placed = await caller.place()
        assert placed.plan is not None, placed.error
        assert placed.plan.url.startswith("ws" + running.public_url.removeprefix("http"))
        await caller.complete(1)  # a live call would be waited for
        assert await running.end() == 0
    assert webhooks(twilio, sid) == OLD
    assert not (tmp_path / "callmood-data" / RECORD).exists()


async def test_old_and_new_are_shown_and_neither_keys_nor_the_whole_number_are(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        await running.end()
    assert "GET https://old.example.com/voice" in running.said
    assert f"POST {running.public_url}/voice/incoming" in running.said
    assert "***77" in running.said
    for secret in (NUMBER, "hunter2", twilio.auth_token, "token-of-the-tests"):
        assert secret not in running.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_whatever_signal_ends_it_the_number_is_put_back_and_the_tunnel_is_closed(
    twilio: FakeTwilioNumbers, tmp_path: Path, number: signal.Signals
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        assert await running.end(number) == 0
        assert webhooks(twilio, sid) == OLD
        await until_closed(running.public_url)


async def test_the_record_of_what_was_there_is_private_and_on_the_disk_before_anything_is_changed(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    record = tmp_path / "callmood-data" / RECORD
    seen: list[tuple[int, str]] = []
    twilio.on_change = lambda: seen.append((stat.S_IMODE(record.stat().st_mode), record.read_text()))
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        await running.end()
    mode, text = seen[0]
    assert mode == 0o600
    kept = json.loads(text)
    assert (kept["number_sid"], kept["before"]) == (sid, OLD)
    assert NUMBER not in text
    assert twilio.auth_token not in text


async def test_a_change_that_fails_leaves_nothing_behind(twilio: FakeTwilioNumbers, tmp_path: Path) -> None:
    sid = twilio.add(NUMBER, **OLD)
    twilio.changes_fail = True
    async with dev(tmp_path, twilio) as running:
        assert await running.process.wait() == 1
    assert "503" in running.said.splitlines()[-1]
    assert "Traceback" not in running.said
    assert webhooks(twilio, sid) == OLD
    assert not (tmp_path / "callmood-data" / RECORD).exists()


async def test_a_second_signal_ends_at_once_and_not_before_the_number_is_put_back(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        twilio.fail_with = 503
        for _ in range(2):
            running.process.send_signal(signal.SIGINT)
            await trio.sleep(0.3)
        assert running.process.returncode is None
        twilio.fail_with = None
        assert await running.process.wait() == 0
    assert webhooks(twilio, sid) == OLD


async def test_killed_it_takes_the_tunnel_along_and_undo_puts_the_number_back(
    twilio: FakeTwilioNumbers, tmp_path: Path, run: Run
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        await running.end(signal.SIGKILL)
        assert webhooks(twilio, sid) != OLD
        await until_closed(running.public_url)
        done = await trio.to_thread.run_sync(lambda: run("dev", "--undo", **twilio.environment))
    assert done.code == 0, done.err
    assert "as it was" in done.out
    assert webhooks(twilio, sid) == OLD
    again = await trio.to_thread.run_sync(lambda: run("dev", "--undo", **twilio.environment))
    assert (again.code, again.out.strip()) == (0, "there is nothing to put back")


async def test_the_next_start_puts_back_what_a_killed_one_left_and_does_not_take_it_for_the_users_own(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        await running.end(signal.SIGKILL)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        assert "from the last time" in running.said
        await running.end()
    assert webhooks(twilio, sid) == OLD


async def test_what_somebody_else_has_set_meanwhile_is_left_alone(twilio: FakeTwilioNumbers, tmp_path: Path) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        twilio.numbers[sid]["voice_url"] = "https://newer.example.com/"
        assert await running.end() == 0
    assert twilio.numbers[sid]["voice_url"] == "https://newer.example.com/"
    assert "left alone" in running.said


async def test_a_tunnel_that_dies_ends_it_with_one_sentence_and_the_number_is_put_back(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio, FAKE_NGROK="short") as running:
        assert await running.process.wait() == 1
    assert webhooks(twilio, sid) == OLD
    assert "Traceback" not in running.said
    assert running.said.strip().splitlines()[-1].startswith("callmood: ")


async def test_a_twilio_that_is_down_at_the_end_is_said_with_the_command_that_mends_it(
    twilio: FakeTwilioNumbers, tmp_path: Path, run: Run
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        twilio.fail_with = 401
        assert await running.end() == 1
    assert "callmood dev --undo" in running.said.splitlines()[-1]
    assert "Traceback" not in running.said
    twilio.fail_with = None
    done = await trio.to_thread.run_sync(lambda: run("dev", "--undo", **twilio.environment))
    assert done.code == 0
    assert webhooks(twilio, sid) == OLD


async def test_a_twilio_that_stumbles_at_the_end_is_asked_again(twilio: FakeTwilioNumbers, tmp_path: Path) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        twilio.fail_with = 503
        running.process.send_signal(signal.SIGTERM)
        await trio.sleep(0.5)
        twilio.fail_with = None
        assert await running.process.wait() == 0
    assert webhooks(twilio, sid) == OLD


async def test_an_ngrok_that_does_not_listen_to_sigterm_is_ended_all_the_same(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio, FAKE_NGROK="stubborn") as running:
        await running.until_said("ready http")
        assert await running.end() == 0
        await until_closed(running.public_url)


@pytest.mark.parametrize(
    ("how", "named"), [("no-token", "ngrok config add-authtoken"), ("too-many", "ERR_NGROK_108"), ("garbled", "ngrok")]
)
async def test_an_ngrok_that_refuses_is_one_sentence_without_the_users_key_and_the_number_is_not_touched(
    twilio: FakeTwilioNumbers, tmp_path: Path, how: str, named: str
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    if how == "garbled":
        broken = tmp_path / "broken"
        broken.write_bytes(b"\x7fELF this is not a program")
        broken.chmod(0o755)
    args = ("--ngrok", str(tmp_path / "broken")) if how == "garbled" else ()
    async with dev(tmp_path, twilio, *args, FAKE_NGROK=how) as running:
        assert await running.process.wait() == 1
    assert named in running.said.splitlines()[-1]
    assert A_USERS_KEY not in running.said
    assert "Traceback" not in running.said
    assert webhooks(twilio, sid) == OLD


async def test_an_address_that_does_not_lead_here_never_reaches_the_number(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    patience = {"agent.cli.reaching.REACHED_S": 2.0}
    async with dev(tmp_path, twilio, WEBHOOK_URL=twilio.url, patience=patience) as running:
        assert await running.process.wait() == 1
    assert "does not lead here" in running.said.splitlines()[-1]
    assert not twilio.changes
    assert webhooks(twilio, sid) == OLD


async def test_a_given_webhook_url_needs_no_ngrok(twilio: FakeTwilioNumbers, tmp_path: Path) -> None:
    sid = twilio.add(NUMBER, **OLD)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with dev(tmp_path, twilio, "--port", str(port), WEBHOOK_URL=url) as running:
        await running.until_said(f"ready {url}")
        assert webhooks(twilio, sid)["voice_url"] == f"{url}/voice/incoming"
        assert "ngrok" not in running.said
        await running.end()
    assert webhooks(twilio, sid) == OLD


async def test_of_several_numbers_the_one_that_is_named_is_set_and_no_other(
    twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    first, second = twilio.add(NUMBER, **OLD), twilio.add("+15550100188", **OLD)
    twilio.add("+155501001880")  # Twilio's filter finds parts of numbers too
    async with dev(tmp_path, twilio) as running:
        assert await running.process.wait() == 2
    assert "--number" in running.said
    async with dev(tmp_path, twilio, "--number", "+15550100188") as running:
        await running.until_said("ready http")
        assert webhooks(twilio, second) != OLD
        await running.end()
    assert {change["sid"] for change in twilio.changes} == {second}
    assert webhooks(twilio, first) == webhooks(twilio, second) == OLD


async def test_a_number_without_an_address_is_without_one_again(twilio: FakeTwilioNumbers, tmp_path: Path) -> None:
    sid = twilio.add(NUMBER)
    async with dev(tmp_path, twilio) as running:
        await running.until_said("ready http")
        await running.end()
    assert twilio.numbers[sid]["voice_url"] == ""


async def test_a_number_that_is_vapis_is_not_touched(twilio: FakeTwilioNumbers, tmp_path: Path) -> None:
    sid = twilio.add(NUMBER, **OLD)
    async with dev(tmp_path, twilio, CALLMOOD_ATTACH="fork", VAPI_SECRET="s" * 24) as running:
        await running.until_said("ready http")
        assert webhooks(twilio, sid) == OLD
        await running.end()
    assert not twilio.changes


@pytest.mark.parametrize(
    ("change", "args", "code", "named"),
    [
        ("401", (), 1, "TWILIO_AUTH_TOKEN"),
        ("503", (), 1, "try again"),
        ("application", (), 2, "AP1"),
        ("", ("--number", "+15550100999"), 2, "***99"),
        ("", ("--number", "PN" + "f" * 32), 1, "TWILIO_ACCOUNT_SID"),
        ("none", (), 2, "buy one"),
    ],
)
async def test_what_cannot_be_done_with_the_number_is_one_sentence(
    twilio: FakeTwilioNumbers, tmp_path: Path, change: str, args: tuple[str, ...], code: int, named: str
) -> None:
    if change != "none":
        twilio.add(NUMBER, **OLD, **({"voice_application_sid": "AP1"} if change == "application" else {}))
    twilio.fail_with = int(change) if change.isdigit() else None
    async with dev(tmp_path, twilio, *args) as running:
        assert await running.process.wait() == code
    [sentence] = running.said.strip().splitlines()
    assert sentence.startswith("callmood: ")
    assert named in sentence
    assert not twilio.changes


# What is wrong before anything is started.

KEYS = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "0" * 32}


def test_without_ngrok_the_sentence_says_where_to_get_it_and_how_to_do_without(run_here: Run, tmp_path: Path) -> None:
    done = run_here("dev", "--yes", **KEYS, PATH=str(tmp_path))
    assert done.code == 2
    for name in ("ngrok", "--ngrok", "WEBHOOK_URL"):
        assert name in done.sentence


@pytest.mark.parametrize("missing", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"])
def test_a_key_that_is_missing_is_named_with_the_command_that_asks_for_it(run_here: Run, missing: str) -> None:
    done = run_here("dev", "--yes", **{name: key for name, key in KEYS.items() if name != missing})
    assert done.code == 2
    assert missing in done.sentence
    assert "callmood init" in done.sentence


def test_without_a_terminal_it_wants_to_be_told_that_the_number_may_be_set(run: Run) -> None:
    done = run("dev", **KEYS)
    assert done.code == 2
    assert "--yes" in done.sentence


def test_a_port_that_is_taken_is_named_before_a_tunnel_leads_to_it(run_here: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_here("dev", "--yes", "--port", port, "--ngrok", f"{ngrok_in(tmp_path)}/ngrok", **KEYS)
    assert done.code == 2
    assert port in done.sentence


def test_a_public_address_without_tls_is_refused(run_here: Run) -> None:
    done = run_here("dev", "--yes", WEBHOOK_URL="http://calls.example.com", **KEYS)
    assert done.code == 2
    assert "WEBHOOK_URL" in done.sentence


def test_a_record_that_cannot_be_read_is_named_and_kept(run_here: Run, tmp_path: Path) -> None:
    record = tmp_path / "callmood-data" / RECORD
    record.parent.mkdir()
    record.write_text("{")
    done = run_here("dev", "--undo", **KEYS)
    assert done.code == 2
    assert RECORD in done.sentence
    assert record.exists()


# Somebody at a terminal.


@pytest.mark.parametrize("answer", ["", "y", "n", "Ctrl-C"])
async def test_at_a_terminal_the_number_is_only_set_after_a_yes(
    twilio: FakeTwilioNumbers, tmp_path: Path, answer: str
) -> None:
    sid = twilio.add(NUMBER, **OLD)
    path = f"{ngrok_in(tmp_path)}:{os.environ['PATH']}"
    screen = Terminal(tmp_path, {**twilio.environment, "PATH": path}, "dev", "--port", "0")
    try:
        with trio.fail_after(LONGEST_S):
            keys = "\x03" if answer == "Ctrl-C" else f"{answer}\n"
            await trio.to_thread.run_sync(screen.type, "put it back at the end?", keys)
            if answer != "Ctrl-C":
                await trio.to_thread.run_sync(screen.wait_for, "ready http")
                assert (webhooks(twilio, sid) == OLD) == (answer == "n")
                # To the whole foreground. A tunnel that heard it would be gone while the number still points at it.
                twilio.fail_with = 503
                await trio.to_thread.run_sync(screen.type, "Ctrl-C ends it", "\x03")
                await trio.sleep(1.5)
                twilio.fail_with = None
            assert await trio.to_thread.run_sync(screen.end) == 0
    finally:
        screen.close()
    assert webhooks(twilio, sid) == OLD
    assert bool(twilio.changes) == (answer in ("", "y"))
