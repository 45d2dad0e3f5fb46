"""The supervisor's list of calls in a real Chromium: what it shows, what buttons and keys do, and when it is stale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browsing import grave, page_of, running, sids, until
from playwright.sync_api import Browser, Page, expect

from agent.testing.made_calls import FATES, MadeCall, sid
from agent.testing.made_wall import MadeWall
from agent.web.access import Access

ALL = ("rising", "angry", "poor", "calibrating", "off", "human", "calm")


@pytest.fixture
def wall() -> Iterator[MadeWall]:
    """One call of each fate, told of four times as often as by the real server: what is waited for comes sooner."""
    made = MadeWall(calls_of(*ALL))
    made.every_s = 0.25
    with running(made) as serving:
        yield serving


@pytest.fixture
def page(browser: Browser, wall: MadeWall) -> Iterator[Page]:
    with page_of(browser) as opened:
        opened.goto(wall.link)
        expect(opened.locator("#live > li")).to_have_count(len(wall.calls))
        yield opened


def calls_of(*fates: str) -> dict[str, MadeCall]:
    began = datetime.now(UTC) - timedelta(seconds=90)
    return {sid(n): MadeCall(n, began + timedelta(seconds=n), fate) for n, fate in enumerate(fates, 1)}


def call_of(wall: MadeWall, fate: str) -> MadeCall:
    return next(call for call in wall.calls.values() if call.fate == fate)


def row(page: Page, wall: MadeWall, fate: str) -> Any:
    return page.locator(f'li[data-sid="{call_of(wall, fate).call_sid}"]')


def becomes(call: MadeCall, level: str, rank: int, **more: object) -> None:
    """The server says something else of this caller from now on."""
    attention = {**call.entry(datetime.now(UTC))["attention"], "level": level, "rank": rank}
    call.more = {**call.more, "attention": attention, **more}


def test_the_caller_who_needs_somebody_stands_first_and_each_state_is_written(page: Page, wall: MadeWall) -> None:
    words = page.locator("#live .word")
    found = dict(zip(sids(page), words.all_inner_texts(), strict=True))
    assert list(found.values())[:5] == ["Needs help", "Watch", "Can't tell", "Calibrating", "OK"]
    assert set(list(found.values())[5:]) == {"Not analysed", "With a human"}
    why = row(page, wall, "rising").locator(".why")
    expect(why).to_have_text(re.compile(r"^Rising for \d+ s; fair line; medium confidence$"))
    expect(page.locator("#headline")).to_have_text("1 of 7 callers needs help")


def test_a_curve_has_a_band_and_no_curve_is_drawn_of_whom_nothing_is_believed(page: Page, wall: MadeWall) -> None:
    inked = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
        .data.filter((value, place) => place % 4 === 3 && value > 0).length"""
    pixels = {fate: row(page, wall, fate).locator("canvas").evaluate(inked) for fate in ALL}
    assert pixels["poor"] > pixels["rising"] > pixels["human"]
    assert pixels["calibrating"] < pixels["human"] == pixels["off"]
    assert row(page, wall, "rising").locator(".arrow").inner_text() == "↗"
    assert row(page, wall, "human").locator(".arrow").inner_text() == ""


def test_calm_interrupts_and_tells_and_is_done_when_the_call_shows_it(page: Page, wall: MadeWall) -> None:
    call, note = call_of(wall, "angry"), row(page, wall, "angry").locator(".note")
    row(page, wall, "angry").get_by_role("button", name="Calm").click()
    page.mouse.move(0, 0)
    expect(note).to_contain_text("Calm: accepted")
    assert [(to, order["action"]) for to, order in wall.orders] == [
        (call.call_sid, "interrupt"),
        (call.call_sid, "context"),
    ]
    assert wall.orders[1][1]["text"]
    call.more = {"lastAction": {"event": "context.updated", "t": 99_000}}
    expect(note).to_have_text(re.compile(r"^Calm: done \d\d:\d\d:\d\d$"))


def test_what_is_seen_late_is_done_all_the_same(page: Page, wall: MadeWall) -> None:
    page.clock.install()
    page.reload()
    note = row(page, wall, "angry").locator(".note")
    row(page, wall, "angry").get_by_role("button", name="Take over").click()
    page.keyboard.press("Enter")
    page.mouse.move(0, 0)
    expect(note).to_contain_text("Take over: accepted")
    page.clock.fast_forward(13_000)
    expect(note).to_have_text(re.compile(r"^Take over: accepted \d\d:\d\d:\d\d, nothing seen of it yet$"))
    call_of(wall, "angry").more = {"lastAction": {"event": "escalation.done", "t": 99_000}}
    expect(note).to_have_text(re.compile(r"^Take over: done \d\d:\d\d:\d\d$"))


def test_a_refusal_is_shown_with_its_reason(page: Page, wall: MadeWall) -> None:
    wall.answer = lambda sid, order: (
        409,
        {"error": {"code": "transferred", "message": "This call is being passed on already."}},
    )
    row(page, wall, "angry").get_by_role("button", name="Take over").click()
    page.keyboard.press("Enter")
    expect(row(page, wall, "angry").locator(".note")).to_have_text(
        re.compile(r"^Take over: failed \d\d:\d\d:\d\d: This call is being passed on already\.$")
    )
    wall.answer = lambda sid, order: (401, {"error": {"code": "unauthorized", "message": "x"}})
    row(page, wall, "rising").get_by_role("button", name="Wrong").click()
    expect(row(page, wall, "rising").locator(".note")).to_contain_text("open the link with its token again")


@pytest.mark.parametrize(("key", "action"), [("t", "transfer"), ("x", "stop_analysis")])
def test_t_and_x_do_nothing_until_enter_and_escape_takes_them_back(
    page: Page, wall: MadeWall, key: str, action: str
) -> None:
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('li').dataset.sid") == sids(page)[0]
    page.keyboard.press(key)
    expect(page.locator("#live .asked:visible")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#live .asked:visible")).to_have_count(0)
    assert wall.orders == []
    page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator("#live > li .note", has_text="accepted")).to_have_count(1)
    assert wall.orders == [(sids(page)[0], {"action": action})]


def test_j_and_k_walk_and_enter_opens(page: Page, wall: MadeWall) -> None:
    standing = sids(page)
    for key, place in [("j", 0), ("j", 1), ("j", 2), ("k", 1)]:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.closest('li').dataset.sid") == standing[place]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/live/{standing[1]}")


def test_single_keys_can_be_turned_off_for_good_and_the_sheet_of_help_opens_by_one(page: Page, wall: MadeWall) -> None:
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("switch", name="Shortcuts").click()
    page.reload()
    expect(page.locator("#live > li")).to_have_count(len(wall.calls))
    for key in ("?", "j"):
        page.keyboard.press(key)
    assert page.get_by_role("switch", name="Shortcuts").is_checked() is False
    expect(page.locator("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('li')") is None


def test_snooze_is_for_this_browser_only_and_can_be_woken(page: Page, wall: MadeWall) -> None:
    angry = call_of(wall, "angry").call_sid
    row(page, wall, "angry").get_by_role("button", name="Snooze").click()
    page.mouse.move(0, 0)
    until(page, "sid => document.querySelector('#live > li:last-child').dataset.sid === sid", angry)
    page.reload()
    until(page, "sid => document.querySelector('#live > li:last-child')?.dataset.sid === sid", angry)
    row(page, wall, "angry").scroll_into_view_if_needed()
    row(page, wall, "angry").get_by_role("button", name="Wake").click()
    page.mouse.move(0, 0)
    until(page, "sid => document.querySelector('#live > li').dataset.sid === sid", angry)
    assert wall.orders == []


def test_nothing_moves_under_the_pointer_and_everything_does_when_it_has_left(page: Page, wall: MadeWall) -> None:
    before = sids(page)
    row(page, wall, "calm").hover()
    becomes(call_of(wall, "calm"), "help", 5900)
    expect(row(page, wall, "calm").locator(".word")).to_have_text("Needs help")
    expect(page.locator("#held")).to_contain_text("Order held")
    expect(page.locator("#held-count")).to_have_text("1 call has changed")
    assert sids(page) == before
    page.mouse.move(0, 0)
    until(page, "sid => document.querySelector('#live > li').dataset.sid === sid", call_of(wall, "calm").call_sid)
    expect(page.locator("#held")).to_be_hidden()


def test_a_call_that_rises_is_moved_alone(page: Page, wall: MadeWall) -> None:
    page.evaluate("""() => {
        window.moved = new Set();
        const note = all => all.forEach(one => one.addedNodes.forEach(row => window.moved.add(row.dataset.sid)));
        new MutationObserver(note).observe(document.getElementById("live"), { childList: true });
    }""")
    calm = call_of(wall, "calm")
    becomes(calm, "help", 5900)
    until(page, "sid => document.querySelector('#live > li').dataset.sid === sid", calm.call_sid)
    assert page.evaluate("[...window.moved]") == [calm.call_sid]


def test_the_keyboard_holds_the_order_too_until_it_is_asked_to_sort(page: Page, wall: MadeWall) -> None:
    before = sids(page)
    page.keyboard.press("j")
    becomes(call_of(wall, "calm"), "help", 5900)
    expect(page.locator("#headline")).to_have_text("2 of 7 callers need help")
    assert sids(page) == before
    page.get_by_role("button", name="Sort now").press("Enter")
    until(page, "sid => document.querySelector('#live > li').dataset.sid === sid", call_of(wall, "calm").call_sid)


def test_silence_of_the_server_is_shown_as_stale_and_nothing_can_be_ordered_then(page: Page, wall: MadeWall) -> None:
    expect(page.locator("#link")).to_have_text("Live")
    wall.silent = True
    expect(page.locator("#link")).to_have_text("Stale")
    expect(page.locator("#link-time")).to_have_text(re.compile(r"^as of \d\d:\d\d:\d\d, \d+ s ago$"))
    calm = row(page, wall, "angry").get_by_role("button", name="Calm")
    assert calm.get_attribute("aria-disabled") == "true"
    assert calm.get_attribute("title") == "There is no connection just now."
    calm.click(force=True)
    assert grave(page) == []
    wall.silent = False
    expect(page.locator("#link")).to_have_text("Live")
    assert wall.orders == []


def test_the_page_goes_on_after_a_restart_of_the_server_with_the_calls_of_the_new_one(browser: Browser) -> None:
    wall = MadeWall(calls_of("angry", "calm"))
    wall.every_s = 0.25
    with page_of(browser) as page:
        with running(wall):
            page.goto(wall.link)
            expect(page.locator("#live > li")).to_have_count(2)
        expect(page.locator("#link")).to_have_text("Connection lost")
        wall.calls = calls_of("calm", "calm", "rising")
        with running(wall):
            expect(page.locator("#live > li")).to_have_count(3)
            expect(page.locator("#link")).to_have_text("Live")


def test_a_session_that_is_over_says_to_open_the_link_again(page: Page, wall: MadeWall) -> None:
    wall.access = Access("another token")
    wall.cut()
    expect(page.locator("#over")).to_contain_text("Open the link with its token again")
    expect(page.locator("#link")).to_have_text("Session over")


def test_a_session_that_is_over_is_tried_again_without_a_word_until_something_else_is_so(
    page: Page, wall: MadeWall
) -> None:
    page.clock.install()
    page.reload()
    expect(page.locator("#link")).to_have_text("Live")
    page.evaluate("""() => {
        [window.waits, window.spoken] = [0, []];
        const wait = window.setTimeout;
        window.setTimeout = (what, ms) => {
            if (ms === 15_000) window.waits++;
            return wait(what, ms);
        };
        const note = () => window.spoken.push(document.getElementById("link").textContent);
        new MutationObserver(note).observe(document.getElementById("link"), { childList: true });
    }""")
    open_to, wall.access = wall.access, Access("another token")
    wall.cut()
    for tries in (1, 2, 3):
        until(page, "tries => window.waits === tries", tries)
        expect(page.locator("#link")).to_have_text("Session over")
        if tries == 3:
            page.route("**/calls?limit=1", lambda route: route.abort())
        page.clock.fast_forward(15_000)
    expect(page.locator("#link")).to_have_text("Connection lost")
    wall.access = open_to
    expect(page.locator("#link")).to_have_text("Live")
    assert page.evaluate("window.spoken") == ["Connection lost", "Session over", "Connection lost", "Live"]


def test_what_a_caller_or_a_vendor_sends_is_text_and_never_markup(page: Page, wall: MadeWall) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    call = call_of(wall, "angry")
    becomes(call, "help", 6000, caller=evil, lastAction={"event": evil, "t": 1, "reason": evil})
    call.more["attention"]["why"] = evil
    expect(row(page, wall, "angry").locator(".caller")).to_have_text(evil)
    expect(row(page, wall, "angry").locator(".why")).to_have_text(evil)
    wall.answer = lambda sid, order: (409, {"error": {"code": "x", "message": evil}})
    row(page, wall, "angry").get_by_role("button", name="Wrong").click()
    expect(row(page, wall, "angry").locator(".note")).to_contain_text(evil)
    assert page.locator("main img, main script").count() == 0


def test_a_call_that_ends_leaves_the_list_and_is_told_of_below(page: Page, wall: MadeWall) -> None:
    call = wall.calls.pop(call_of(wall, "calm").call_sid)
    entry = {
        **call.entry(datetime.now(UTC)),
        "state": "ended",
        "outcome": "hangup",
        "endedAt": "2026-01-01T10:00:00.000Z",
    }
    wall.past, wall.ended = [entry], [entry]
    expect(page.locator("#live > li")).to_have_count(len(wall.calls))
    expect(page.locator("#ended > li")).to_contain_text("hung up")


def test_an_empty_wall_says_how_to_make_a_call(browser: Browser) -> None:
    with running(MadeWall({})) as wall, page_of(browser) as page:
        page.goto(wall.link)
        expect(page.locator("#headline")).to_have_text("Nobody is on the line")
        expect(page.locator("#empty")).to_contain_text("scripts/run call FILE")
        assert grave(page) == []


def test_without_a_destination_taking_over_is_disabled_and_says_what_to_set(browser: Browser) -> None:
    with running(MadeWall(calls_of("angry"), transfer_to="")) as wall, page_of(browser) as page:
        page.goto(wall.link)
        button = page.get_by_role("button", name="Take over")
        expect(button).to_have_attribute("aria-disabled", "true")
        button.focus()
        expect(page.locator("#live .note")).to_contain_text("set CALLMOOD_TRANSFER_TO")
        button.press("Enter")
        expect(page.locator("#live .asked")).to_be_hidden()
        assert wall.orders == []


def test_an_alarm_is_spoken_once_and_not_with_every_message(page: Page, wall: MadeWall) -> None:
    page.clock.install()
    page.reload()
    expect(page.locator("#said")).to_have_text(re.compile(r"^Help needed: caller \*\*\*02: Angry"))
    page.evaluate("""() => {
        window.spoken = 0;
        const all = { childList: true, characterData: true, subtree: true };
        new MutationObserver(() => window.spoken++).observe(document.getElementById("said"), all);
    }""")
    page.clock.fast_forward(20_000)  # long enough for another sentence, if there were anything new to say
    becomes(call_of(wall, "calm"), "ok", 1000, caller="somebody else")
    expect(row(page, wall, "calm").locator(".caller")).to_have_text("somebody else")
    assert page.evaluate("window.spoken") == 0
    becomes(call_of(wall, "calm"), "help", 5900, caller="somebody else")
    expect(page.locator("#said")).to_have_text(re.compile(r"^Help needed: caller somebody else"))


def test_of_five_hundred_calls_only_those_in_sight_are_drawn(browser: Browser) -> None:
    wall = MadeWall(
        {sid(n): MadeCall(n, datetime.now(UTC) - timedelta(seconds=n), FATES[n % len(FATES)]) for n in range(1, 501)}
    )
    with running(wall), page_of(browser) as page:
        page.goto(wall.link)
        expect(page.locator("#live > li")).to_have_count(500)
        until(page, "() => document.querySelectorAll('#live canvas').length > 5")
        assert page.locator("#live canvas").count() < 60
        page.keyboard.press("k")  # to the last one
        expect(page.locator("#live > li:last-child canvas")).to_be_visible()


def test_it_fits_a_phone_and_its_buttons_a_thumb(browser: Browser, wall: MadeWall) -> None:
    with page_of(browser, phone=True) as page:
        page.goto(wall.link)
        expect(page.locator("#live > li")).to_have_count(len(wall.calls))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        row(page, wall, "calm").scroll_into_view_if_needed()
        row(page, wall, "calm").get_by_role("button", name="Actions").tap()
        sizes = page.eval_on_selector_all(
            "button", "all => all.filter(b => b.offsetParent).map(b => [b.offsetWidth, b.offsetHeight])"
        )
        assert len(sizes) > 8
        assert min(min(size) for size in sizes) >= 44
