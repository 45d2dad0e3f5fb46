"""The supervisor's screen in a real Chromium on the real service: a caller turns angry, and somebody there acts."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from browsing import page_of
from conftest import TOKEN, services
from playwright.sync_api import Browser, Page, expect

from agent.testing.browser import in_thread

if TYPE_CHECKING:
    from conftest import Callmood

    from agent.testing import TwilioCaller

LONGEST_S = 60


class Running:
    """The service in its thread, and a way to do things there."""

    callmood: Callmood
    token: trio.lowlevel.TrioToken

    def do(self, what: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        return trio.from_thread.run(what, *arguments, trio_token=self.token)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    running = Running()

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery, services(nursery, tmp_path, LONGEST_S) as start:
            running.callmood = await start(transfer_to="+15550100100")
            running.token = trio.lowlevel.current_trio_token()
            task_status.started()
            await trio.sleep_forever()

    with in_thread(serve):
        yield running


@pytest.fixture
def page(browser: Browser, service: Running) -> Iterator[Page]:
    with page_of(browser) as opened:
        opened.goto(f"{service.callmood.url}/live?token={TOKEN}")
        yield opened


def angry_caller(service: Running, caller: TwilioCaller | None = None) -> str:
    caller = caller or service.callmood.caller()
    service.do(caller.place)
    for _ in range(6):
        service.do(service.callmood.emotion, caller.call_sid, "angry", 0.95)
    return str(caller.call_sid)


def test_a_caller_who_turns_angry_stands_first_and_can_have_the_analysis_stopped(page: Page, service: Running) -> None:
    expect(page.locator("#headline")).to_have_text("Nobody is on the line")
    call_sid = angry_caller(service)
    row = page.locator(f'li[data-sid="{call_sid}"]')
    expect(row.locator(".word")).to_have_text("Needs help")
    expect(row.locator(".why")).to_have_text(re.compile("^Angry .*confidence$"))
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    expect(row.locator(".note")).to_have_text(re.compile(r"^Stop analysis: done \d\d:\d\d:\d\d$"))
    expect(row.locator(".word")).to_have_text("Not analysed")
    entry = service.do(service.callmood.entry, call_sid)
    assert entry["timeline"][-1]["event"] == "consent.withdrawn"


def test_the_page_of_a_call_follows_where_its_caller_stands_and_what_is_recorded(page: Page, service: Running) -> None:
    call_sid = angry_caller(service)
    page.goto(f"{service.callmood.url}/live/{call_sid}")
    expect(page.locator("#state")).to_have_text("Needs help")
    expect(page.locator("#what li")).to_contain_text(["Call began (bridge)"])
    page.get_by_role("button", name="Stop analysis").click()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Not analysed")
    expect(page.locator("#what li").first).to_contain_text("Consent withdrawn (action)")


def test_the_page_of_a_call_that_has_ended_says_how_and_waits_for_nothing(page: Page, service: Running) -> None:
    caller = service.callmood.caller()
    call_sid = angry_caller(service, caller)
    service.do(caller.complete, 1.0)
    service.do(service.callmood.ended, call_sid)
    page.goto(f"{service.callmood.url}/live/{call_sid}")
    expect(page.locator("#link")).to_have_text("Call ended")
    expect(page.locator("#why")).to_have_text("The call has ended: hung up.")
    expect(page.locator("#what li").first).to_contain_text("Call ended: hung up")
    expect(page.locator("#plot canvas")).to_be_visible()
    expect(page.get_by_role("button", name="Calm")).to_be_hidden()


def test_the_session_is_a_cookie_that_no_script_sees_and_ends_with_it(page: Page, service: Running) -> None:
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
    assert TOKEN not in page.url
    assert page.evaluate("document.cookie") == ""
    page.context.clear_cookies()
    answer = page.goto(f"{service.callmood.url}/live")
    assert answer is not None
    assert answer.status == 401
