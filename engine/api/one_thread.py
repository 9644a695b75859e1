"""A whole request in one thread, although FastAPI's handlers are coroutines.

FastAPI awaits everything about a request on the event loop and sends only the endpoint to a thread.
Where the body has been read before and no dependency waits, its coroutine never waits either: it
can be run from beginning to end in the thread that may wait for Redis and the database anyway.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from typing import Any, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")
MOST_THREADS = 40
"""As many as Starlette has for everybody."""


class Threads:
    """Where requests are handled: what was begun there is finished, also when the process ends.

    Going there and back through Starlette's threads takes half as long again. Whoever works here
    takes the place of one of them all the same: workers are scarce for all endpoints alike.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="request")
        self._places: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[..., T], *values: Any) -> T:
        """What it returns or raises."""
        if self._places is None:
            self._places = anyio.to_thread.current_default_thread_limiter()
        whose = object()
        try:
            self._places.acquire_on_behalf_of_nowait(whose)
        except anyio.WouldBlock:
            await self._places.acquire_on_behalf_of(whose)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, copy_context().run, work, *values)
        finally:
            self._places.release_on_behalf_of(whose)


def is_async(endpoint: Callable[..., Any]) -> bool:
    """Whether it was written so, also after `in_place`."""
    return inspect.iscoroutinefunction(inspect.unwrap(endpoint))


def in_place(endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The same endpoint, which FastAPI calls where it is instead of sending it to a thread."""
    if inspect.iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def called(**values: Any) -> Any:
        return endpoint(**values)

    return called


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises. Raises RuntimeError for one that waits for something."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a request that is handled in one thread must not await anything")
