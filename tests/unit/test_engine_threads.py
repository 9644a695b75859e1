"""Threads of requests: what they answer, and that workers are scarce for all endpoints alike."""

import asyncio
import threading
from collections.abc import Callable, Coroutine

import anyio.to_thread
import pytest

from engine.api.one_thread import MOST_THREADS, Threads

Run = Callable[[Callable[[], object]], Coroutine[object, object, object]]


def test_what_is_returned_and_raised_comes_back() -> None:
    async def tried() -> tuple[int, type[BaseException]]:
        threads = Threads()
        two = await threads.run(lambda x: x + 1, 1)
        with pytest.raises(ZeroDivisionError) as raised:
            await threads.run(lambda: 1 // 0)
        return two, raised.type

    assert asyncio.run(tried()) == (2, ZeroDivisionError)


@pytest.mark.parametrize("ours", [True, False])
def test_whoever_works_takes_the_place_of_any_other(ours: bool) -> None:
    """As many as there are places wait; one more of the other kind is not begun before one ends."""

    async def tried() -> tuple[bool, bool]:
        threads, released, ran = Threads(), threading.Event(), threading.Event()
        crowd: Run = threads.run if ours else anyio.to_thread.run_sync
        other: Run = anyio.to_thread.run_sync if ours else threads.run
        waiting = [asyncio.ensure_future(crowd(released.wait)) for _ in range(MOST_THREADS)]
        await asyncio.sleep(0)
        last = asyncio.ensure_future(other(ran.set))
        done, _ = await asyncio.wait({last}, timeout=0.2)
        begun_early = bool(done) or ran.is_set()
        released.set()
        await asyncio.gather(*waiting, last)
        return begun_early, ran.is_set()

    assert asyncio.run(tried()) == (False, True)
