"""Redis's protocol in the engine: as the client's own packer writes it, however it is cut."""

import socket
from typing import Any

import pytest
from redis.connection import PythonRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.resp import answer, is_over, packed

ANSWERS: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", "OK"),
    (b":-12\r\n", -12),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"_\r\n", None),
    (b"$0\r\n\r\n", ""),
    (b"$6\r\n\xc3\xa9\r\n\r\n\r\n", "é\r\n\r\n"),
    (b"*3\r\n$2\r\nab\r\n*1\r\n:7\r\n$-1\r\n", ["ab", [7], None]),
]


class Pieces:
    """A socket that gives what it has piece by piece, and then nothing more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [*pieces, b""]

    def recv(self, _: int) -> bytes:
        return self._pieces.pop(0)


@pytest.mark.parametrize(
    "words", [("GET", "a"), ("SET", "é\r\n", "", "EX", 60), ("EVAL", "x" * 9000, 1, "k", -5)]
)
def test_commands_are_those_of_the_client(words: tuple[Any, ...]) -> None:
    theirs = PythonRespSerializer(
        6000, lambda word: word if isinstance(word, bytes) else str(word).encode()
    )
    assert packed(words) == b"".join(theirs.pack(*words))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("word", [None, True, 1.5, ["a"]])
def test_what_has_no_one_spelling_is_no_word(word: Any) -> None:
    with pytest.raises(DataError):
        packed(("GET", word))


@pytest.mark.parametrize(("sent", "value"), ANSWERS)
def test_an_answer_is_read_wherever_it_is_cut(sent: bytes, value: Any) -> None:
    assert answer(Pieces(sent)) == value
    assert answer(Pieces(*(bytes([byte]) for byte in sent))) == value


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"-ERR no\r\n", ResponseError),
        (b"", RedisConnectionError),
        (b"$5\r\nab", RedisConnectionError),
        (b"+OK\r\n+OK\r\n", InvalidResponse),
        (b"?\r\n", InvalidResponse),
        (b">2\r\n+a\r\n+b\r\n", InvalidResponse),
        (b"$x\r\n", InvalidResponse),
        (b"$1\r\n\xff\r\n", InvalidResponse),
    ],
)
def test_whatever_is_wrong_is_an_error_of_redis(sent: bytes, error: type[RedisError]) -> None:
    with pytest.raises(error):
        answer(Pieces(sent))


def test_who_is_not_answered_in_time_hears_so_and_a_farewell_is_seen() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.settimeout(0.01)
        with pytest.raises(RedisTimeoutError):
            answer(mine)
        assert not is_over(mine)
        theirs.close()
        assert is_over(mine)
