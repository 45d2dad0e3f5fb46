"""Who outlives a request does not keep it."""

import gc
import weakref
from contextvars import ContextVar

import trio
import trio.testing

from agent.apart import start_apart

of_the_request = ContextVar[object]("of_the_request")
of_the_service = ContextVar[str]("of_the_service")


class Request:
    """Somebody's."""


async def test_a_task_that_is_started_apart_knows_the_service_and_holds_nothing_of_who_started_it() -> None:
    seen: list[tuple[object, str]] = []

    async def errand() -> None:
        seen.append((of_the_request.get(None), of_the_service.get()))
        await trio.sleep_forever()

    async def answer(errands: trio.Nursery) -> "weakref.ref[Request]":
        request = Request()
        of_the_request.set(request)
        start_apart(errands, errand)
        return weakref.ref(request)

    of_the_service.set("calls")
    async with trio.open_nursery() as errands:
        async with trio.open_nursery() as requests:
            gone: list[weakref.ref[Request]] = []

            async def request() -> None:
                gone.append(await answer(errands))

            requests.start_soon(request)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert seen == [(None, "calls")]
        assert gone[0]() is None
        errands.cancel_scope.cancel()
