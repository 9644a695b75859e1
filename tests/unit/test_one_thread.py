"""A request in one thread: what its endpoint came to, and a clear word when something waits."""

import asyncio
import threading
from typing import Any

import pytest

from engine.api.one_thread import finished, in_place, is_async


def endpoint(number: int) -> tuple[int, str]:
    if number < 0:
        raise ValueError("negative")
    return number, threading.current_thread().name


async def streaming() -> None:
    await asyncio.sleep(0)


def test_it_runs_where_it_is_called() -> None:
    assert finished(in_place(endpoint)(number=7)) == (7, threading.current_thread().name)


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="negative"):
        finished(in_place(endpoint)(number=-1))


def test_whatever_waits_is_told() -> None:
    with pytest.raises(RuntimeError, match="must not await anything"):
        finished(streaming())


@pytest.mark.parametrize(("written", "expected"), [(endpoint, False), (streaming, True)])
def test_how_it_was_written_is_known_however_often_it_is_wrapped(
    written: Any, expected: bool
) -> None:
    again = in_place(in_place(written))
    assert is_async(written) is is_async(again) is expected
    assert again.__name__ == written.__name__
