"""A whole request in one thread, although FastAPI's handlers are coroutines.

FastAPI awaits everything about a request on the event loop and sends only the endpoint to a thread.
Where the body has been read before and no dependency waits, its coroutine never waits either: it
can be run from beginning to end in the thread that may wait for Redis and the database anyway.
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


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
