"""Whether a call is passed on: each thing said once, whatever order the news comes in."""

from itertools import pairwise, product

import pytest

from agent.calls.handover import OPERATOR, Handover, shown

Events = list[tuple[str, object]]


def handover() -> tuple[Handover, Events]:
    events: Events = []

    def record(event: str, **fields: object) -> None:
        events.append((event.removeprefix("escalation."), fields["rule"]))

    return Handover(record), events


@pytest.mark.parametrize(
    ("destination", "visible"),
    [
        ("+15550100142", "***42"),
        ("sip:anna.k@pbx.example.com", "sip:pbx.example.com"),
        ("SIPS:anna:secret@pbx.example.com:5061;transport=tls?X-Pin=1234", "sips:pbx.example.com:5061"),
        ("sip:pbx.example.com", "sip:pbx.example.com"),
        ("", ""),
    ],
)
def test_of_a_destination_only_what_may_be_seen_is_shown(destination: str, visible: str) -> None:
    assert shown(destination) == visible


def test_whoever_is_first_has_claimed_it() -> None:
    passing, _ = handover()
    assert passing.claim("angry-transfer")
    assert not passing.claim(OPERATOR)
    assert not passing.claim("another")


def test_an_assistant_that_passes_the_caller_on_by_itself_is_believed() -> None:
    passing, events = handover()
    assert passing.succeeded()
    assert not passing.succeeded()
    assert passing.done
    assert not passing.claim(OPERATOR)
    assert events == [("done", "assistant")]


def test_a_human_who_does_not_answer_is_a_failure_after_all_and_an_operator_may_try_another() -> None:
    passing, events = handover()
    passing.claim("angry-transfer")
    passing.begin("+15550100100")
    passing.succeeded()
    for _ in range(2):
        passing.failed("no answer")
    assert (passing.done, passing.claim("angry-transfer"), passing.claim(OPERATOR)) == (False, False, True)
    assert events == [(name, "angry-transfer") for name in ("started", "done", "failed")]


def test_what_is_not_wanted_after_all_leaves_things_as_they_were() -> None:
    passing, events = handover()
    passing.claim("angry-transfer")
    passing.release()
    assert passing.open_to_rules
    passing.failed("no")
    passing.claim(OPERATOR)
    passing.release()
    assert not passing.open_to_rules
    assert events == [("failed", "assistant")]


def test_whatever_order_the_news_comes_in_nothing_is_said_twice_in_a_row() -> None:
    for news in product(("claim", "begin", "succeeded", "failed", "release"), repeat=5):
        passing, events = handover()
        for each in news:
            tell(passing, each)
            assert passing.done is bool(events and events[-1][0] == "done"), news
        names = [name for name, _ in events if name != "started"]
        assert all(first != second for first, second in pairwise(names)), news


def tell(passing: Handover, news: str) -> None:
    match news:
        case "claim":
            passing.claim("rule")
        case "begin":
            if passing.under_way:
                passing.begin("+15550100100")
        case "failed":
            passing.failed("so")
        case _:
            getattr(passing, news)()
