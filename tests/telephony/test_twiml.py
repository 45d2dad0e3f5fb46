"""TwiML: what we write is what a Twilio reads, whatever the values are."""

import contextlib
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BadMessage
from agent.telephony.twiml import (
    APOLOGY,
    Fallback,
    StreamPlan,
    connect_stream,
    dial,
    dial_assistant,
    fallback_only,
    fork_stream,
    hang_up,
    read_stream,
)

NOBODY = Fallback(None, None)
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

xml_text = st.text().filter(lambda text: not NOT_XML.search(text))
wild = st.text() | st.text().map(lambda text: f"\ud800{text}")
"""Text with everything in it, halves of surrogate pairs included."""
fallbacks = st.builds(Fallback, st.none() | wild, st.none() | wild)


def outline(twiml: str) -> list[str]:
    """The verbs of a TwiML, each with its child and text."""
    verbs = [[verb.tag, *(child.tag for child in verb), "".join(verb.itertext())] for verb in ET.fromstring(twiml)]
    return [" ".join(filter(None, verb)) for verb in verbs]


def test_the_stream_comes_first_and_the_fallback_after_it() -> None:
    twiml = connect_stream(
        "wss://calls.example.com/audio-stream/CA1",
        call_sid="CA1",
        token="t&<1>",
        status_callback="https://calls.example.com/twilio/stream-status",
        fallback=Fallback("+15550100100", None),
    )
    assert twiml == (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Connect>'
        '<Stream url="wss://calls.example.com/audio-stream/CA1"'
        ' statusCallback="https://calls.example.com/twilio/stream-status" statusCallbackMethod="POST">'
        '<Parameter name="callSid" value="CA1" /><Parameter name="token" value="t&amp;&lt;1&gt;" />'
        "</Stream></Connect><Dial>+15550100100</Dial></Response>"
    )


@given(xml_text.filter(bool), xml_text, xml_text, xml_text, fallbacks)
def test_every_value_comes_back_as_it_was(url: str, call: str, token: str, callback: str, fallback: Fallback) -> None:
    twiml = connect_stream(url, call_sid=call, token=token, status_callback=callback, fallback=fallback)
    assert read_stream(twiml) == StreamPlan(url, {"callSid": call, "token": token}, callback, "Connect")


@given(wild, fallbacks)
def test_no_character_that_xml_cannot_hold_is_ever_written(value: str, fallback: Fallback) -> None:
    twiml = connect_stream("wss://x", call_sid=value, token=value, status_callback=value, fallback=fallback)
    assert not NOT_XML.search(twiml)
    plan = read_stream(twiml)
    assert plan is not None
    assert plan.parameters["callSid"] == NOT_XML.sub("", value)


@pytest.mark.parametrize(
    ("fallback", "verbs"),
    [
        (Fallback("+15550100100", "sip:a@sip.example"), ["Dial +15550100100"]),
        (Fallback("sip:h@pbx.example?x=1&y=2", None), ["Dial Sip sip:h@pbx.example?x=1&y=2"]),
        (Fallback("SIPS:h@pbx.example", "sip:a@sip.example"), ["Dial Sip SIPS:h@pbx.example"]),
        (Fallback(None, "sip:a@sip.example"), ["Dial Sip sip:a@sip.example"]),
        (Fallback("", ""), [f"Say {APOLOGY}", "Hangup"]),
        (NOBODY, [f"Say {APOLOGY}", "Hangup"]),
    ],
)
def test_the_fallback_is_a_human_else_the_assistant_else_an_apology(fallback: Fallback, verbs: list[str]) -> None:
    twiml = fallback_only(fallback)
    assert outline(twiml) == verbs
    assert read_stream(twiml) is None
    with_stream = connect_stream("wss://x", call_sid="", token="", status_callback="", fallback=fallback)
    assert outline(with_stream) == ["Connect Stream", *verbs]


def test_the_first_stream_is_read_from_a_fork_as_well() -> None:
    twiml = (
        '<Response><Say>Hello</Say><Stop><Stream name="old"/></Stop><Start><Siprec/></Start>'
        '<Start><Stream url="wss://tap" track="inbound_track"><Parameter name="a" value="1"/></Stream></Start>'
        '<Connect><Stream url="wss://assistant"/></Connect></Response>'
    )
    assert read_stream(twiml) == StreamPlan("wss://tap", {"a": "1"}, None, "Start")


@pytest.mark.parametrize("twiml", ["<Response/>", "<Response><Stream url='wss://x'/></Response>"])
def test_a_twiml_without_a_stream_has_no_plan(twiml: str) -> None:
    assert read_stream(twiml) is None


@pytest.mark.parametrize(
    "twiml",
    [
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Response>&b;</Response>',
        '<!doctype r SYSTEM "file:///etc/hostname"><Response/>',
        "<Response>&undefined;</Response>",
        "<Response>",
        "",
        "\x00",
        "\ud800",
        '<?xml version="1.0" encoding="nonsense"?><Response',
        "<response/>",
        "<Response><Connect><Stream/></Connect></Response>",
    ],
)
def test_what_is_no_twiml_is_refused(twiml: str) -> None:
    with pytest.raises(BadMessage):
        read_stream(twiml)


@given(wild | st.from_regex(r"<Response>(<(Connect|Start)>(<Stream[^>]*/?>)?)*"))
def test_any_text_is_read_or_refused(twiml: str) -> None:
    with contextlib.suppress(BadMessage):
        assert isinstance(read_stream(twiml), StreamPlan | None)


def test_a_plan_shows_no_token_in_its_repr() -> None:
    assert "hush" not in repr(StreamPlan("wss://x", {"token": "hush"}, None, "Connect"))


@pytest.mark.parametrize(
    "theirs",
    [
        "<Response><Connect><Stream url='wss://x'/></Connect></Response>",
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- <Response> --><Response a="1>2">\n<Say>é</Say></Response>\n',
        '<?xml version="1.0" encoding="UTF-16"?><Response><Say>naïve</Say></Response>',
        "<Response ><!-- first --><Pause/>text</Response>",
    ],
)
def test_a_fork_goes_in_front_and_leaves_every_other_byte_as_it_was(theirs: str) -> None:
    merged = fork_stream(theirs, "wss://us/1", call_sid="CA1", token="t&<", status_callback="https://us/s")
    start = merged[merged.index("<Start>") : merged.index("</Start>") + len("</Start>")]
    assert merged.replace(start, "", 1) == theirs
    plan = read_stream(merged)
    assert plan is not None
    assert (plan.verb, plan.url, plan.parameters) == ("Start", "wss://us/1", {"callSid": "CA1", "token": "t&<"})


def test_the_assistants_sip_address_is_dialled_with_the_calls_id_as_a_header() -> None:
    twiml = dial_assistant("sip:a@sip.vapi.ai", call_sid="CA1", action="https://calls.example.com/next?leg=assistant")
    assert twiml == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        '<Dial action="https://calls.example.com/next?leg=assistant" method="POST">'
        "<Sip>sip:a@sip.vapi.ai?x-callsid=CA1</Sip></Dial></Response>"
    )


def test_a_sip_address_that_has_headers_gets_one_more() -> None:
    twiml = dial_assistant("sip:a@b?x-shop=7", call_sid="a&b=c", action="x")
    assert ET.fromstring(twiml)[0][0].text == "sip:a@b?x-shop=7&x-callsid=a%26b%3Dc"


@given(wild.filter(lambda text: "\r" not in text), wild)
def test_whatever_is_dialled_is_one_verb(destination: str, action: str) -> None:
    for told in (action, None):
        (verb,) = ET.fromstring(dial(destination, action=told))
        assert verb.tag == "Dial"
        assert "".join(verb.itertext()) == NOT_XML.sub("", destination)
        assert verb.get("action") == (None if told is None else NOT_XML.sub("", told))


def test_numbers_are_dialled_and_sip_addresses_called() -> None:
    assert outline(dial("+15550100100", action=None)) == ["Dial +15550100100"]
    assert outline(dial("SIPS:a@b", action=None)) == ["Dial Sip SIPS:a@b"]
    assert outline(hang_up()) == ["Hangup"]
