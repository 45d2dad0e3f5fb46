"""The page of a report: one file that any browser reads, and that nothing out of a call can break into."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import pytest
from told import SID, chunk, chunks, event, whole_call

from agent.reporting.facts import About, Bar, Findings
from agent.reporting.page import page
from agent.reporting.picture import marked, picture
from agent.reporting.plane import HATCHINGS, Plane, text
from agent.reporting.study import decoded, study

BAR = Bar(0.7, 0.85)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}{% raw %}&amp;]]>"
VOID = {"meta", "br", "link"}
ALL = [
    *chunks(1500, [0.1] * 4, gated="calibrating"),
    *chunks(2300, [0.1] * 10),
    *chunks(4300, [0.4] * 3, gated="poor_line"),
    chunk(4900, 0.6, gated="low_confidence"),
    *chunks(5100, [0.9] * 8),
    *chunks(6900, [0.1] * 12),
    event(2000, "tts.started"),
    event(5800, "tts.cancelled", reason="emotion_escalation", heardMs=3800),
    event(5801, "context.updated", dominantEmotion="angry", score=0.9, trend="rising", bargeInDetected=True, via="llm"),
    event(6000, "escalation.failed", rule="help", action="transfer", destination="", reason="nobody"),
    event(6100, "audio.gap", ms=400, cause="lost"),
    event(6200, "analyzer.degraded", engine="hume", reason="it does not answer"),
    event(9000, "consent.withdrawn", how="key"),
    event(9100, "something.new", answer=42),
]


class Page(HTMLParser):
    """Every element is closed by its own end tag, in order; collects what a browser would run, fetch, or show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.shown = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown += data + " "


def findings(events: list[dict[str, Any]], **about: Any) -> Findings:
    return study(events, About(SID, **about), BAR)


def report(*between: dict[str, Any], **about: Any) -> Page:
    return Page(page(findings(whole_call(*between), **about)))


def test_a_page_runs_nothing_and_fetches_nothing() -> None:
    read = report(*ALL)
    assert "script" not in read.tags
    assert not {"src", "href", "srcset", "action", "data"} & {name for name, _ in read.attributes}
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert "url(" not in style().replace("url(#", "")
    assert "@import" not in style()


def test_ids_on_a_page_are_unique_and_whatever_is_named_is_there() -> None:
    read = report(*ALL)
    assert len(read.ids) == len(set(read.ids))
    named = [word for name, value in read.attributes if name in ("aria-labelledby", "for") for word in value.split()]
    filled = [found for _, value in read.attributes for found in re.findall(r"url\(#([^)]+)\)", value)]
    assert {*named, *filled} <= set(read.ids)
    assert {"wide-gap", "key-gap", "wide-poor_line", "narrow-degraded"} <= set(filled)


def hostile_calls() -> Iterator[list[dict[str, Any]]]:
    """Every field of every event that holds a text holds a hostile one, one at a time."""
    for place, each in enumerate(ALL):
        for name, value in each.items():
            if isinstance(value, str) and name not in ("event", "at"):
                yield [*ALL[:place], {**each, name: HOSTILE}, *ALL[place + 1 :]]
    yield [*ALL, chunk(7000, 0.9, emotion={"label": HOSTILE, "score": 0.9})]
    yield [*ALL, chunk(7000, 0.9, own={"label": HOSTILE, "score": 0.9})]
    yield [*ALL, event(8000, HOSTILE)]
    yield [*ALL, event(8000, "tts.started", text=HOSTILE), event(8100, "tts.cancelled", unheardText=HOSTILE)]


def test_nothing_out_of_a_call_becomes_markup() -> None:
    plain = set(report(*ALL).tags)
    calls = list(hostile_calls())
    assert len(calls) > 40
    for call in calls:
        read = report(*call)
        assert set(read.tags) == plain
        assert not [name for name, _ in read.attributes if name.startswith("on")]
    ours = Page(page(findings(whole_call(*ALL), caller=HOSTILE, model=HOSTILE, attach=HOSTILE)))
    assert set(ours.tags) == plain
    assert ours.shown.count("<script>alert(1)</script>") >= 3, "it is shown as what it is: text"
    assert "{{7*7}}" in ours.shown


@pytest.mark.parametrize("width", [960, 400])
def test_a_picture_is_well_formed_xml_whatever_the_call_was(width: int) -> None:
    for call in ([], ALL, [event(100, "audio.gap", ms=10**9, cause=HOSTILE)], [chunk(5000, 0.9)]):
        drawn = picture(findings(whole_call(*call)), width, "wide")
        root = ElementTree.fromstring(drawn)
        assert root.attrib["role"] == "img"


def test_a_picture_has_a_text_alternative_and_every_state_has_a_shape_of_its_own() -> None:
    drawn = picture(findings(whole_call(*ALL)), 960, "wide")
    assert "<title" in drawn
    assert "<desc" in drawn
    for kind in ("calibrating", "poor_line", "degraded", "stopped", "gap"):
        assert f'fill="url(#wide-{kind})"' in drawn
    assert len(set(HATCHINGS.values())) == len(HATCHINGS)
    assert 'class="hollow"' in drawn, "a reading that did not count is a ring"
    shown = report(*ALL).shown
    for words in ("getting to know the voice", "line too poor to judge", "analysis impaired", "audio missing"):
        assert words in shown


def test_the_line_is_broken_where_nothing_could_be_said() -> None:
    unbroken = findings(whole_call(*chunks(1000, [0.1] * 30)))
    poor = findings(
        whole_call(*chunks(1000, [0.1] * 10), *chunks(3000, [0.1] * 5, gated="poor_line"), *chunks(4000, [0.1] * 5))
    )
    pause = findings(whole_call(*chunks(1000, [0.1] * 10), *chunks(9000, [0.1] * 5)))
    counts = [picture(each, 960, "wide").count('class="curve"') for each in (unbroken, poor, pause)]
    assert counts == [1, 2, 2]


def test_numbers_of_markers_are_those_of_the_list_and_none_covers_another() -> None:
    told = [
        event(t, "context.updated", dominantEmotion="angry", score=0.9, trend="rising", via="control")
        for t in (1000, 1010, 1100, 4000, 4100, 9990)
    ]
    found = findings(whole_call(*told))
    for width in (960, 400):
        marks = marked(found.deeds, Plane(width, found.about.duration_ms, "wide"))
        assert [deed.number for mark in marks for deed in mark.deeds] == [1, 2, 3, 4, 5, 6]
        edges = [(mark.x - mark.wide / 2, mark.x + mark.wide / 2) for mark in marks]
        assert all(left[1] < right[0] for left, right in itertools.pairwise(edges))


def test_an_hour_of_readings_is_a_page_that_can_still_be_mailed() -> None:
    happened = [chunk(200 * place, 0.5 + 0.45 * (-1) ** (place // 7)) for place in range(18_000)]
    whole = page(findings(whole_call(*happened, until_ms=3_600_000)))
    assert len(whole) < 1_000_000
    assert "more lines are left out" in whole
    assert "more times." in whole
    assert "after 1 h 0 min the caller hung up" in whole


# What it says.


def test_the_summary_is_one_sentence_of_what_the_call_came_to() -> None:
    shown = report(*ALL).shown
    assert "The caller turned angry at 0:04.1 (up to 0.90); the assistant was told once and cut off once" in shown
    assert "passing the caller on to a human failed; 1.1 s after the first of it the anger was below 0.70" in shown
    assert "after 10.0 s the caller hung up." in shown


def test_a_calm_call_in_which_nothing_was_done_says_so() -> None:
    shown = report(*chunks(1000, [0.1] * 20)).shown
    assert "The caller did not sound angry, mostly neutral (anger at most 0.10); nothing had to be done" in shown
    assert "None: anger stayed between 0.10 and 0.10" in shown


def test_a_call_that_has_not_ended_is_not_told_as_if_it_had() -> None:
    [*going_on, _] = whole_call(*chunks(1000, [0.1] * 20))
    shown = Page(page(findings(going_on))).shown
    assert "it is live, or was cut off" in shown
    assert "hung up" not in shown


def test_a_call_whose_readings_are_gone_says_that_something_is_missing() -> None:
    started, ended = whole_call()
    ended["summary"] = {"events": {"audio.chunk": 100}}
    assert "has been forgotten" in Page(page(findings([started, ended]))).shown
    assert "has been forgotten" not in report(*ALL).shown


def test_a_call_of_which_nothing_is_known_is_a_page_all_the_same() -> None:
    assert "Nothing is known of this call" in Page(page(findings([]))).shown


def test_readings_that_say_the_same_are_one_line() -> None:
    found = findings(whole_call(*chunks(1000, [0.1] * 5), *chunks(2000, [0.9] * 3), *chunks(2600, [0.1] * 2)))
    assert [row.words for row in found.rows if row.event == "audio.chunk"] == [
        "5 readings: neutral 0.90",
        "3 readings: angry 0.90",
        "2 readings: neutral 0.90",
    ]


def test_no_full_number_is_on_a_page_even_where_a_reason_holds_one() -> None:
    failed = event(
        3000,
        "escalation.failed",
        rule="r",
        action="transfer",
        destination="+4915112345678",
        reason="no +1 (555) 010-4477 here",
    )
    whole = page(findings(whole_call(failed, event(4000, "context.failed", reason="call 004915112345678"))))
    for number in ("5112345", "010-4477", "0104477"):
        assert number not in whole
    assert "***77" in whole
    assert "***78" in whole


def test_words_are_shown_where_the_ledger_has_them_and_nowhere_else() -> None:
    assert "“Let me see.”" in report(event(2000, "tts.started", text="Let me see.")).shown
    assert "“" not in report(event(2000, "tts.started")).shown


def test_second_opinions_and_readings_from_outside_are_told() -> None:
    shown = report(
        *chunks(1000, [0.5] * 3, own={"label": "angry", "score": 0.8}),
        chunk(2000, 0.2, source="hume"),
        chunk(3000, 0.9, source="webhook"),
    ).shown
    assert "1 answer of hume as a second opinion, from 0:02.0 to 0:02.0" in shown
    assert "from 0.80 to 0.50" in shown
    assert "1 reading came from outside, over the webhook" in shown


# Where nobody's feelings are judged.

FEELINGS = re.compile(
    r"anger|angry|angri|frustrat|\bmood|emotion|feeling|neutral|happ(?:y|iness)|\bsad|fear|calm|escalat|upset|sentiment",
    re.IGNORECASE,
)


def voice(t_ms: int, overlap_ms: int = 0) -> dict[str, Any]:
    physical = {"loudnessDb": -28.5, "rate": 3.9, "overlapMs": overlap_ms}
    return event(t_ms, "audio.chunk", physical=physical, startMs=0, endMs=t_ms, quality=0.9, source="local")


@pytest.mark.parametrize("profile", ["physical-only", "off"])
def test_a_call_of_another_profile_has_a_page_without_a_word_of_feelings(profile: str) -> None:
    measured = [voice(2000), voice(3000, 700), voice(4000)] if profile == "physical-only" else []
    happened = whole_call(
        *measured,
        event(3100, "tts.cancelled", reason="emotion_escalation", heardMs=100),
        event(3200, "context.updated", bargeInDetected=True, latencyMs=3.0, via="control"),
        event(3300, "context.failed", reason="gone", willRetry=True),
    )
    happened[0]["profile"] = profile
    whole = page(findings(happened))
    assert FEELINGS.findall(whole) == []
    shown = Page(whole).shown
    assert profile in shown
    if measured:
        assert "spoke at \N{MINUS SIGN}28.5 dB and 3.9 syllables a second; both spoke at once for 0.7 s" in shown
        assert whole.count("<svg xmlns") == 2


# How it looks.


def style() -> str:
    return (files("agent.reporting") / "report.css").read_text()


def palettes() -> Iterator[dict[str, str]]:
    for block in re.findall(r":root \{(.*?)\}", style(), re.DOTALL):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_text_and_signs_can_be_told_from_what_is_behind_them_in_light_and_dark() -> None:
    light, dark = palettes()
    assert light.keys() == dark.keys()
    for palette in (light, dark):
        for ink in ("ink", "soft", "accent", "alarm", "warn"):
            for ground in ("paper", "card"):
                assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
        assert contrast(palette["ink"], palette["warn-wash"]) >= 4.5
        for sign in ("alarm", "accent", "warn", "strong", "ink"):
            assert contrast(palette[sign], palette["card"]) >= 3, sign


# From the ledger's lines.


def test_lines_that_are_no_events_are_passed_over() -> None:
    lines = [
        b'{"t":5,"event":"b"}',
        b"{",
        b"[]",
        b"\xff",
        b'{"event":"x"}',
        b'{"t":"1","event":"y"}',
        b'{"t":1' + b"0" * 400 + b',"event":"z"}',
        b'{"t":1,"event":"a"}',
    ]
    assert [each["event"] for each in decoded(lines)] == ["a", "b"]


def test_text_in_a_picture_is_escaped_whatever_it_is() -> None:
    assert ElementTree.fromstring(text(1, 2, HOSTILE)).text == HOSTILE
