"""The page of one call in a real Chromium, the page where nobody's feelings are judged, and whether everybody can use
them: axe-core, the referee, looks at each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from browsing import grave, page_of, running
from playwright.sync_api import Browser, Page, expect

from agent.core.emotion import LABELS
from agent.settings import Settings
from agent.testing import made_wall
from agent.testing.made_calls import Json, MadeCall, made_calls, sid
from agent.testing.made_timeline import at
from agent.testing.made_wall import MadeWall

EMOTION_WORDS = re.compile("|".join([*LABELS, "anger", "escalation"]), re.IGNORECASE)
ANGRY = MadeCall(1, datetime.now(UTC) - timedelta(seconds=70), "angry")


@pytest.fixture
def wall() -> Iterator[MadeWall]:
    ANGRY.more = {}
    made = MadeWall({ANGRY.call_sid: ANGRY})
    made.every_s = 0.25
    with running(made) as serving:
        yield serving


@pytest.fixture
def page(browser: Browser, wall: MadeWall) -> Iterator[Page]:
    with page_of(browser) as opened:
        open_call(opened, wall)
        yield opened


def open_call(page: Page, wall: MadeWall, call_sid: str = ANGRY.call_sid) -> None:
    page.goto(wall.link)
    page.goto(f"{wall.url}/live/{call_sid}")
    expect(page.locator("#link")).to_have_text("Live")


def test_a_decision_stands_with_its_reason_and_its_latency(page: Page) -> None:
    told = page.locator("#what li", has_text="Assistant cut off").first
    expect(told).to_contain_text("Why: rule angry-interrupt: angry 0.88 (0.85 asked for), held for 1.2 s")
    expect(told).to_contain_text("31 ms after it was heard")


def test_what_is_said_stands_in_order_with_who_said_it(page: Page) -> None:
    lines = page.locator("#words li")
    expect(lines.nth(0)).to_contain_text("Caller")
    expect(lines.nth(0)).to_contain_text("I have been waiting for three weeks now.")
    expect(lines.nth(1)).to_contain_text("Assistant")
    expect(page.locator("#silent")).to_be_hidden()


def test_the_curve_is_drawn_and_says_what_is_under_the_pointer(page: Page) -> None:
    canvas = page.locator("#plot canvas")
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".reading")).to_have_text(
        re.compile(r"^\d:\d\d: believed 0\.\d\d, readings from 0\.\d\d to [01]\.\d\d")
    )


@pytest.mark.parametrize(("engine", "highest"), [("local", "0.10"), ("hume", "0.90")])
def test_a_reading_counts_for_as_long_as_the_settings_say(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, engine: str, highest: str
) -> None:
    def heard(call: MadeCall, now: datetime) -> list[Json]:
        """Calm but for one reading, five seconds before the last."""
        readings = [event for event in at(call, now) if event["event"] == "audio.chunk" and event["t"] <= 12_000]
        angers = [0.9 if event["t"] == 7200 else 0.1 for event in readings]
        return [
            {**event, "emotion": {"label": "neutral", "score": 1 - p}, "scores": {"neutral": 1 - p, "angry": p}}
            for event, p in zip(readings, angers, strict=True)
        ]

    monkeypatch.setattr(made_wall, "at", heard)
    call = MadeCall(1, datetime.now(UTC) - timedelta(seconds=15), "angry")
    made = MadeWall({call.call_sid: call})
    made.settings = Settings(engine=engine)
    with running(made), page_of(browser) as page:
        open_call(page, made, call.call_sid)
        box = page.locator("#plot canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] / 2)
        expect(page.locator(".reading")).to_have_text(re.compile(rf"^0:12: .*, readings from 0\.10 to {highest},"))


def test_each_button_says_what_it_does_and_stop_asks_first(page: Page, wall: MadeWall) -> None:
    expect(page.locator(".spelled small")).to_have_count(5)
    expect(page.locator(".spelled").first).to_contain_text("Cuts the assistant off if it is speaking")
    page.keyboard.press("x")
    expect(page.locator(".asked")).to_be_visible()
    assert wall.orders == []
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_contain_text("Stop analysis: accepted")
    ANGRY.more = {"attention": {"level": "off", "rank": 0, "why": "Consent withdrawn: not analysed", "sinceT": 0}}
    expect(page.locator("#note")).to_have_text(re.compile(r"^Stop analysis: done \d\d:\d\d:\d\d$"))
    expect(page.locator("#state")).to_have_text("Not analysed")
    assert wall.orders == [(ANGRY.call_sid, {"action": "stop_analysis"})]


def test_a_new_connection_tells_nothing_twice(page: Page, wall: MadeWall) -> None:
    expect(page.locator("#what li", has_text="Call began")).to_have_count(1)
    wall.cut()
    expect(page.locator("#link")).not_to_have_text("Live")
    expect(page.locator("#link")).to_have_text("Live")
    expect(page.locator("#what li", has_text="Call began")).to_have_count(1)


def test_a_call_that_nobody_knows_says_so(browser: Browser, wall: MadeWall) -> None:
    with page_of(browser) as page:
        page.goto(wall.link)
        page.goto(f"{wall.url}/live/{sid(77)}")
        expect(page.locator("#headline")).to_have_text("This call is not known here")


@pytest.mark.parametrize(("phone", "dark"), [(False, True), (True, False)], ids=["desktop, dark", "phone, light"])
def test_nothing_serious_is_found_by_the_referee_of_accessibility(browser: Browser, *, phone: bool, dark: bool) -> None:
    made = MadeWall(made_calls(8))
    angry = next(call.call_sid for call in made.calls.values() if call.fate == "angry")
    made.every_s = 0.25
    with running(made), page_of(browser, phone=phone, dark=dark) as page:
        page.goto(made.link)
        expect(page.locator("#live > li")).to_have_count(8)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper))) < 3 * 128) is dark
        assert grave(page) == []
        page.get_by_role("button", name="Take over").first.click()
        expect(page.locator("#live .asked:visible")).to_have_count(1)
        assert grave(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Help", exact=True).click()
        assert grave(page) == []
        open_call(page, made, angry)
        assert grave(page) == []


@pytest.mark.parametrize("profile", ["physical-only", "off"])
def test_where_nobodys_feelings_are_judged_no_page_shows_a_word_of_them(browser: Browser, profile: str) -> None:
    quiet = MadeCall(1, datetime.now(UTC) - timedelta(seconds=40), "calibrating")
    why = "Louder than before by 7 dB, 4 syllables a second; clear line; high confidence"
    quiet.more = {
        "mood": None,
        "attention": {"level": "watch", "rank": 4000, "why": why, "confidence": "high", "sinceT": 0},
    }
    made = MadeWall({quiet.call_sid: quiet}, profile=profile)
    with running(made), page_of(browser) as page:
        page.goto(made.link)
        expect(page.locator(".why")).to_have_text(why)
        expect(page.locator("#profile")).to_contain_text("switched off" if profile == "off" else "Voices are measured")
        page.keyboard.press("?")
        shown = [page.content()]
        page.goto(f"{made.url}/live/{quiet.call_sid}")
        expect(page.locator("#why")).to_have_text(why)
        shown.append(page.content())
        assert profile == "off" or grave(page) == []
        for html in shown:
            assert EMOTION_WORDS.search(html) is None, EMOTION_WORDS.search(html)


def test_motion_is_refused_where_nobody_wants_it(browser: Browser, wall: MadeWall) -> None:
    lasts = "() => getComputedStyle(document.querySelector('.act')).transitionDuration"
    for wish, lasting in [("no-preference", "0.12s"), ("reduce", "0s")]:
        with page_of(browser, reduced_motion=wish) as page:
            page.goto(wall.link)
            expect(page.locator("#live > li")).to_have_count(1)
            assert page.evaluate(lasts) == lasting
