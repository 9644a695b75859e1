"""Redis's protocol, for commands and answers that are short: one send, as a rule one receive.

The client's own way is made for every command that there is, of any size: it joins a command word
by word and copies an answer through a buffer, which takes several times as long.
"""

import select
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

AT_ONCE_BYTES = 65_536
LINE_END = b"\r\n"


class _NotAll(Exception):  # noqa: N818 - no error: there is more to come
    """The answer goes on with what has not been received yet."""


def packed(words: Sequence[Any]) -> bytes:
    """A command: its name, in one word, and what follows. Raises DataError."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, str | int) or isinstance(word, bool):
            raise DataError(f"no word of a command: {type(word).__name__}")
        data = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def answer(socket: Any) -> Any:
    """The next answer on a connection that waits for one.

    Raises RedisError: of Redis itself (ResponseError), or what makes the connection useless.
    """
    received = b""
    while True:
        try:
            more = socket.recv(AT_ONCE_BYTES)
        except TimeoutError as error:
            raise RedisTimeoutError("Redis did not answer in time") from error
        except OSError as error:
            raise RedisConnectionError("the connection to Redis was lost") from error
        if not more:
            raise RedisConnectionError("Redis has closed the connection")
        received += more
        try:
            return _only(received)
        except _NotAll:
            continue
        except ValueError as error:
            raise InvalidResponse("Redis has answered what cannot be read") from error


def is_over(socket: Any) -> bool:
    """Nothing was asked: what is there to read is a farewell."""
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))


def _only(received: bytes) -> Any:
    """What is received is one answer. Raises _NotAll, or what the answer says is wrong."""
    value, end = _value(received, 0)
    if end != len(received):
        raise InvalidResponse("Redis has answered more than it was asked")
    if isinstance(value, ResponseError):
        raise value
    return value


def _value(received: bytes, start: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends."""
    line_end = received.find(LINE_END, start)
    if line_end < 0:
        raise _NotAll
    kind, line, end = received[start : start + 1], received[start + 1 : line_end], line_end + 2
    if kind == b"$" and line != b"-1":
        last = end + int(line)
        if len(received) < last + 2:
            raise _NotAll
        return received[end:last].decode(), last + 2
    if kind == b"*" and line != b"-1":
        values = []
        for _ in range(int(line)):
            value, end = _value(received, end)
            values.append(value)
        return values, end
    return _in_one_line(kind, line), end


def _in_one_line(kind: bytes, line: bytes) -> Any:
    if kind == b":":
        return int(line)
    if kind == b"+":
        return line.decode()
    if kind == b"-":
        return ResponseError(line.decode("utf-8", "replace"))
    if kind in {b"_", b"$", b"*"}:
        return None
    raise InvalidResponse("Redis has answered what was not asked")
