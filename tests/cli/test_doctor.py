"""`callmood doctor`: a line for each thing, and commands that really mend."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from agent.cli.abilities import abilities
from agent.cli.checks import files_check
from agent.cli.ledger_check import ledger_check
from agent.cli.online import OFF_BY_S
from agent.ledger.store import Store
from agent.settings import Secret, Settings
from agent.settings_checks import ATTACH_MODES
from agent.testing.fake_twilio_numbers import FakeTwilioNumbers
from agent.testing.http_server import HttpRequest, HttpResponse, HttpServer

if TYPE_CHECKING:
    from conftest import Done, Run

UUID = "11111111-2222-3333-4444-555555555555"
SET = Secret("a-secret-of-the-tests")
GOOD = {
    "TWILIO_ACCOUNT_SID": "AC" + "0a" * 16,
    "TWILIO_AUTH_TOKEN": "9f" * 16,
    "WEBHOOK_URL": "https://calls.example.com",
    "VAPI_SECRET": "vapi-secret-of-the-tests",
    "VAPI_API_KEY": "vapi-private-key-of-the-tests",
    "VAPI_ASSISTANT_ID": UUID,
    "VAPI_PHONE_NUMBER_ID": UUID,
    "CALLMOOD_TOKEN": "token-of-the-tests",
    "CALLMOOD_TRANSFER_TO": "+15550100777",
}


def fixes(done: Done) -> list[str]:
    assert not done.err, done.err
    lines = done.out.splitlines()
    assert all(line.startswith(("ok   ", "fix: ")) for line in lines), lines
    assert done.code == (1 if any(line.startswith("fix: ") for line in lines) else 0)
    return [line.removeprefix("fix: ") for line in lines if line.startswith("fix: ")]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


# Offline.


def made_ledger(folder: Path) -> Path:
    """The file of a ledger as the service leaves it."""
    (folder / "callmood-data").mkdir()
    Store(folder / "callmood-data").close()
    return folder / "callmood-data/ledger.db"


def changed(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def ledger_lines(settings: Settings) -> list[tuple[str, str]]:
    return list(ledger_check(settings))


def test_too_few_open_files_for_the_calls_are_told_with_the_command_for_more() -> None:
    assert [fix for _, fix in files_check(Settings())] == [""]
    [(what, fix)] = files_check(Settings(max_calls=2_000_000_000))
    assert "2000000000 calls may need" in what
    assert fix == "sudo prlimit --pid $$ --nofile=16000000000"


def test_a_ledger_that_is_not_there_yet_or_is_whole_has_nothing_to_mend(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "callmood-data"))
    assert ledger_lines(settings) == [(f"ledger in {settings.data}, made at the first start", "")]
    file = made_ledger(tmp_path)
    before = file.read_bytes()
    assert ledger_lines(settings) == [(f"ledger in {settings.data}, 0 calls", "")]
    assert file.read_bytes() == before


def test_a_ledger_of_a_later_version_asks_for_that_version(tmp_path: Path) -> None:
    changed(made_ledger(tmp_path), "PRAGMA user_version = 99")
    [(what, fix)] = ledger_lines(Settings(data=str(tmp_path / "callmood-data")))
    assert "newer Callmood (version 99)" in what
    assert fix == "pip install --upgrade callmood"


@pytest.mark.parametrize("harm", ["text", "torn", "no calls"])
def test_a_ledger_that_is_damaged_is_moved_away_and_the_next_look_finds_nothing_wrong(
    tmp_path: Path, harm: str
) -> None:
    file, settings = made_ledger(tmp_path), Settings(data=str(tmp_path / "callmood-data"))
    if harm == "no calls":
        changed(file, "DROP TABLE calls")
    else:
        file.write_bytes(b"not a ledger" * 1000 if harm == "text" else file.read_bytes()[:4096] + b"x" * 9000)
    [(what, fix)] = ledger_lines(settings)
    assert f"{file} is damaged" in what
    subprocess.run(fix, shell=True, check=True)
    assert [fix for _, fix in ledger_lines(settings)] == [""]


def test_a_ledger_that_cannot_be_written_asks_for_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, settings = made_ledger(tmp_path), Settings(data=str(tmp_path / "callmood-data"))
    monkeypatch.setattr("os.access", lambda path, mode: path != file)  # nothing is forbidden to who runs tests as root
    assert ledger_lines(settings) == [(f"{file} cannot be read and written", f"chmod u+rw {file}")]
    monkeypatch.setattr("os.access", lambda path, mode: path != file.parent)
    assert ledger_lines(settings)[0][1] == f"mkdir -p {file.parent} && chmod u+wx {file.parent}"


def test_a_key_of_the_ledger_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    key = made_ledger(tmp_path).with_name("ledger.key")
    key.write_bytes(b"short")
    (_, good), (what, fix) = ledger_lines(Settings(data=str(tmp_path / "callmood-data")))
    assert (good, fix) == ("", f"mv {key} {key}.damaged")
    assert "not a key of 32 bytes" in what


def test_the_ledger_is_among_what_the_doctor_looks_at(run_here: Run, tmp_path: Path) -> None:
    made_ledger(tmp_path).write_bytes(b"not a ledger")
    done = run_here("doctor", **GOOD, PORT=free_port())
    assert any(line.startswith("mv callmood-data/ledger.db ") for line in fixes(done))


def test_a_good_set_up_has_nothing_to_mend_and_shows_no_secret(run_here: Run) -> None:
    done = run_here("doctor", **GOOD, PORT=free_port())
    assert fixes(done) == []
    for name in ("TWILIO_AUTH_TOKEN", "VAPI_SECRET", "VAPI_API_KEY", "CALLMOOD_TOKEN"):
        assert GOOD[name] not in done.out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_ACCOUNT_SID", "SK" + "0a" * 16),
        ("TWILIO_AUTH_TOKEN", "two words of some length"),
        ("VAPI_ASSISTANT_ID", "support"),
        ("VAPI_PHONE_NUMBER_ID", "+15550100100"),
        ("CALLMOOD_TRANSFER_TO", "5550188"),
        ("WEBHOOK_URL", "http://calls.example.com"),
    ],
)
def test_a_value_of_the_wrong_shape_is_one_thing_to_mend_by_its_name_and_not_repeated(
    run_here: Run, name: str, value: str
) -> None:
    done = run_here("doctor", **{**GOOD, name: value, "PORT": free_port()})
    [fix] = fixes(done)
    assert name in fix
    if name != "WEBHOOK_URL":
        assert value not in done.out


def test_the_commands_for_missing_secrets_mend_them(run: Run, tmp_path: Path) -> None:
    """Run as they are printed, they make a `.env` that is private and satisfies the next doctor."""
    missing = ("VAPI_SECRET", "CALLMOOD_TOKEN")
    known = {name: value for name, value in GOOD.items() if name not in missing} | {"PORT": free_port()}
    commands = [fix.rpartition("  (")[0] for fix in fixes(run("doctor", **known))]
    assert len(commands) == len(missing)
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert fixes(run("doctor", **known)) == []
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_a_dotenv_that_others_can_read_is_mended_by_its_command(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env").chmod(0o644)
    [fix] = fixes(run_here("doctor", **GOOD, PORT=free_port()))
    subprocess.run(["bash", "-c", fix.rpartition("  (")[0]], cwd=tmp_path, check=True)
    assert fixes(run_here("doctor", **GOOD, PORT=free_port())) == []


@pytest.mark.parametrize("believes", [True, False])
def test_a_check_of_signatures_that_believes_everybody_or_nobody_is_found(
    run_here: Run, monkeypatch: pytest.MonkeyPatch, believes: bool
) -> None:
    from agent.telephony.signature import SignatureCheck

    monkeypatch.setattr(SignatureCheck, "verify", lambda *args, **more: believes)
    [fix] = fixes(run_here("doctor", **GOOD, PORT=free_port()))
    assert "signatures" in fix


def test_a_port_that_somebody_else_has_is_named(run_here: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        [fix] = fixes(run_here("doctor", **GOOD, PORT=port))
    assert port in fix
    assert "another program" in fix


def test_rules_that_cannot_be_read_are_named_with_their_line(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.toml").write_text("[[rule]]\nname = 'a'\nemotions = 7\n")
    [fix] = fixes(run_here("doctor", **GOOD, PORT=free_port()))
    assert "rules.toml" in fix
    assert "emotions" in fix
    assert "callmood rules check" in fix


def test_a_data_folder_that_is_a_file_is_named(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [fix] = fixes(run_here("doctor", **GOOD, PORT=free_port(), CALLMOOD_DATA=str(tmp_path / "file")))
    assert "file" in fix


# What a mode can really do.


@pytest.mark.parametrize("attach", ATTACH_MODES)
def test_without_any_keys_nothing_can_be_done_and_the_settings_that_lack_are_named(attach: str) -> None:
    for ability in abilities(Settings(attach=attach)):
        assert ability.lacks, ability
        assert ability.lacks[-1] in str(ability)


@pytest.mark.parametrize("attach", ATTACH_MODES)
def test_with_all_keys_everything_can_be_done_the_way_the_mode_allows(attach: str) -> None:
    settings = Settings(
        attach=attach,
        twilio_account_sid="AC1",
        twilio_auth_token=SET,
        vapi_secret=SET,
        vapi_api_key=SET,
        vapi_assistant_id=UUID,
        transfer_to="+15550100777",
    )
    context, stopping, transfer = abilities(settings)
    assert not context.lacks + stopping.lacks + transfer.lacks
    assert "control URL" in context.how
    assert ("clear" in stopping.how) == (attach == "bridge")
    assert ("Twilio" in transfer.how) == (attach in ("tap", "sip", "bridge"))


def test_with_the_gateway_the_mood_travels_in_the_prompt() -> None:
    context, _, _ = abilities(Settings(attach="tap", llm_base_url="https://llm.example.com/v1", llm_key=SET))
    assert "gateway" in context.how


@pytest.mark.parametrize("profile", ["physical-only", "off"])
def test_a_profile_without_emotions_can_do_nothing_and_says_why(profile: str) -> None:
    for ability in abilities(Settings(profile=profile, vapi_secret=SET)):
        assert f"CALLMOOD_PROFILE is {profile}" in str(ability)


# Online, with vendors on this machine.


class FakeWorld:
    """Vapi, a model, and a public address, behind one port: what `online` asks of them."""

    def __init__(self) -> None:
        self.assistant: dict[str, object] = {"id": UUID, "serverMessages": ["status-update", "speech-update"]}
        self.status: dict[str, int] = {}
        self.asked: list[HttpRequest] = []
        self.server = HttpServer(self.answer)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        bodies: dict[str, object] = {
            f"/assistant/{UUID}": self.assistant,
            f"/phone-number/{UUID}": {"id": UUID},
            "/v1/models": {"data": []},
            "/healthz": {"status": "ok"},
        }
        known = request.path in bodies
        status = self.status.get(request.path, 200 if known else 404)
        body = json.dumps(bodies.get(request.path, {}), separators=(",", ":")).encode()
        return HttpResponse(status, body)


@pytest.fixture
async def world(nursery: trio.Nursery) -> FakeWorld:
    world = FakeWorld()
    await nursery.start(world.server.run)
    return world


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilioNumbers]:
    async with FakeTwilioNumbers.serve() as fake:
        yield fake


async def ask(run: Run, world: FakeWorld, twilio: FakeTwilioNumbers, **more: str) -> Done:
    """`callmood doctor --online` in attach mode tap, with everything set."""
    env = {
        **GOOD,
        **twilio.environment,
        "WEBHOOK_URL": world.server.url,
        "VAPI_BASE_URL": world.server.url,
        "LLM_BASE_URL": f"{world.server.url}/v1",
        "LLM_API_KEY": "model-key-of-the-tests",
        "CALLMOOD_LLM_KEY": "gateway-key-of-the-tests",
        "PORT": free_port(),
        **more,
    }
    with trio.fail_after(50):
        return await trio.to_thread.run_sync(lambda: run("doctor", "--online", **env))


async def test_online_everything_that_is_right_is_said_to_be(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers
) -> None:
    twilio.add("+15550100177", voice_url=f"{world.server.url}/voice/incoming")
    world.assistant["server"] = {"url": f"{world.server.url}/webhook/vapi"}
    done = await ask(run, world, twilio)
    assert fixes(done) == []
    for said in ("Twilio accepts", "Vapi accepts", "***77", "the clock is right", "leads to a running Callmood"):
        assert said in done.out
    keys = {request.path: request.header("authorization") for request in world.asked}
    assert keys["/v1/models"] == "Bearer model-key-of-the-tests"
    assert keys[f"/assistant/{UUID}"] == f"Bearer {GOOD['VAPI_API_KEY']}"
    assert keys["/healthz"] is None


async def test_online_keys_that_are_not_accepted_are_named_and_not_shown(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers
) -> None:
    twilio.fail_with = 401
    world.status = {f"/assistant/{UUID}": 401, f"/phone-number/{UUID}": 404, "/v1/models": 401}
    done = await ask(run, world, twilio)
    found = "\n".join(fixes(done))
    for name in ("TWILIO_AUTH_TOKEN", "VAPI_API_KEY", "VAPI_PHONE_NUMBER_ID", "LLM_API_KEY"):
        assert name in found
    for secret in (twilio.auth_token, GOOD["VAPI_API_KEY"], "model-key-of-the-tests"):
        assert secret not in done.out


async def test_online_a_number_that_points_elsewhere_is_mended_by_the_command(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers, tmp_path: Path
) -> None:
    sid = twilio.add("+15550100177", voice_url="https://old.example.com/", voice_method="GET")
    [fix] = fixes(await ask(run, world, twilio))
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in twilio.environment.items()))
    (tmp_path / ".env").chmod(0o600)
    await trio.run_process(["bash", "-c", fix.rpartition("  (")[0]], cwd=tmp_path, capture_stdout=True)
    assert twilio.numbers[sid]["voice_url"] == f"{world.server.url}/voice/incoming"
    assert twilio.numbers[sid]["voice_method"] == "POST"
    assert fixes(await ask(run, world, twilio)) == []


async def test_online_an_assistant_that_tells_somebody_else_or_too_little_is_found(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers
) -> None:
    twilio.add("+15550100177", voice_url=f"{world.server.url}/voice/incoming")
    world.assistant = {"server": {"url": "https://other.example.com/"}, "serverMessages": ["hang"]}
    found = fixes(await ask(run, world, twilio))
    assert len(found) == 2
    assert "server URL" in found[0]
    assert "speech-update" in found[1]


async def test_online_a_clock_that_is_off_is_said_with_the_command_that_sets_it(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers
) -> None:
    twilio.add("+15550100177", voice_url=f"{world.server.url}/voice/incoming")
    twilio.clock_offset_s = 2 * OFF_BY_S
    [fix] = fixes(await ask(run, world, twilio))
    assert "set-ntp" in fix
    assert "behind" in fix


async def test_online_an_address_that_leads_elsewhere_is_found(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers
) -> None:
    twilio.add("+15550100177", voice_url=f"{world.server.url}/voice/incoming")
    world.status["/healthz"] = 502
    [fix] = fixes(await ask(run, world, twilio))
    assert "502" in fix


async def test_online_vendors_that_never_answer_are_said_after_a_while(
    run: Run, world: FakeWorld, twilio: FakeTwilioNumbers
) -> None:
    twilio.stalls = True
    hurried = partial(run, patience={"agent.cli.online.PATIENCE_S": 3.0})
    [fix] = fixes(await ask(hurried, world, twilio))
    assert "twilio account" in fix


async def test_without_online_nobody_is_asked(run: Run, world: FakeWorld, twilio: FakeTwilioNumbers) -> None:
    env = {**GOOD, **twilio.environment, "WEBHOOK_URL": world.server.url, "VAPI_BASE_URL": world.server.url}
    done = await trio.to_thread.run_sync(lambda: run("doctor", **env, PORT=free_port()))
    assert done.code == 0, done.out
    assert not world.asked


def test_a_transfer_that_is_wanted_and_cannot_be_made_is_to_be_mended(run_here: Run) -> None:
    wanted = {name: value for name, value in GOOD.items() if name != "TWILIO_ACCOUNT_SID"}
    known = wanted | {"CALLMOOD_ATTACH": "bridge", "CALLMOOD_TRANSFER_TO": "+15550100200", "PORT": free_port()}
    [fix] = fixes(run_here("doctor", **known))
    assert "transfer to a human" in fix
    assert "TWILIO_ACCOUNT_SID=" in fix
    del known["CALLMOOD_TRANSFER_TO"]
    [fix] = fixes(run_here("doctor", **known))
    assert "when we cannot serve" in fix, "and not that nobody can be asked to transfer what nobody wants transferred"
