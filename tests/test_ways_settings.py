"""What each attach mode needs before it can begin a call, and what single modes are told."""

from dataclasses import replace
from typing import Any

import pytest

from agent.config_sources import load
from agent.errors import ConfigError
from agent.settings import ListenSettings, Secret, Settings
from agent.settings_checks import check_built, checked

COMPLETE: dict[str, dict[str, Any]] = {
    "tap": {"vapi_api_key": Secret("k"), "vapi_assistant_id": "a", "vapi_phone_number_id": "n"},
    "fork": {
        "twilio_account_sid": "AC1",
        "twilio_auth_token": Secret("t"),
        "webhook_url": "https://calls.example.com",
        "vapi_secret": Secret("s"),
    },
    "sip": {"vapi_sip_uri": "sip:name@sip.vapi.ai"},
    "listen": {"vapi_secret": Secret("s")},
    "bridge": {},
}


@pytest.mark.parametrize("mode", COMPLETE)
def test_a_mode_that_has_what_it_needs_starts(mode: str) -> None:
    check_built(checked(Settings(attach=mode, **COMPLETE[mode])))


@pytest.mark.parametrize(("mode", "missing"), [(mode, name) for mode in COMPLETE for name in COMPLETE[mode]])
def test_a_mode_names_what_it_lacks(mode: str, missing: str) -> None:
    settings = replace(Settings(attach=mode, **COMPLETE[mode]), **{missing: type(COMPLETE[mode][missing])()})
    with pytest.raises(ConfigError, match=f"^{missing.upper()} is not set, and attach mode {mode} needs it"):
        check_built(settings)


@pytest.mark.parametrize(
    ("listen", "named"),
    [
        (ListenSettings(sample_rate=0), "sample_rate"),
        (ListenSettings(sample_rate=96_000), "sample_rate"),
        (ListenSettings(channels=3), "channels"),
        (ListenSettings(channels=0), "channels"),
        (ListenSettings(caller_channel=2), "caller_channel"),
        (ListenSettings(caller_channel=-1), "caller_channel"),
        (ListenSettings(channels=1, caller_channel=1), "caller_channel"),
    ],
)
def test_what_a_listen_socket_cannot_send_is_refused(listen: ListenSettings, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[listen\] {named}"):
        checked(Settings(listen=listen))


def test_what_is_no_sip_address_is_refused() -> None:
    for text in ("name@sip.vapi.ai", "sip:name"):
        with pytest.raises(ConfigError, match="VAPI_SIP_URI"):
            load({"VAPI_SIP_URI": text})


@pytest.mark.parametrize("text", ["5550188", "tel:+15550100188", "desk", "sip:desk", "+1 555 0100188"])
def test_a_human_who_could_not_be_called_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match="CALLMOOD_TRANSFER_TO") as refused:
        load({"CALLMOOD_TRANSFER_TO": text})
    assert "188" not in str(refused.value)


@pytest.mark.parametrize("text", ["+15550100100", "sip:desk@example.com", "sips:desk@example.com?x-case=1"])
def test_a_human_with_a_number_or_a_sip_address_is_taken(text: str) -> None:
    assert load({"CALLMOOD_TRANSFER_TO": text}).transfer_to == text


def test_the_listen_table_is_read_from_the_file(tmp_path: Any) -> None:
    file = tmp_path / "callmood.toml"
    file.write_text("[listen]\nsample_rate = 8000\nchannels = 1\n")
    assert load({}, folder=tmp_path, file=file).listen == ListenSettings(8_000, 1, 0)
