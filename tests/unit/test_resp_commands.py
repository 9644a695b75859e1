"""What is kept of a command: its name, its first key, and no value."""

import pytest

from attacks.redis.commands import seen, streams
from attacks.redis.resp import Command


def _command(text: str) -> Command:
    return Command(words=tuple(word.encode() for word in text.split()), raw=b"")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("GET wallet:1", "wallet:1"),
        ("set wallet:1 secret EX 60", "wallet:1"),
        ("EVAL script 2 wallet:1 wallet:2 secret", "wallet:1"),
        ("EVAL script 0", ""),
        ("ZUNION 2 a b", "a"),
        ("BITOP AND to a", "to"),
        ("XREAD COUNT 1 streams events 0", "events"),
        ("XREAD COUNT 1", ""),
        ("PING", ""),
        ("AUTH secret", ""),
        ("MULTI", ""),
        ("GET", ""),
    ],
)
def test_the_first_key_is_found(text: str, key: str) -> None:
    assert seen(_command(text), number=1, connection=1).key == key


def test_everything_else_is_kept_as_its_length() -> None:
    one = seen(_command("HELLO 3 AUTH somebody secret"), number=7, connection=2)
    assert (one.name, one.key, one.number, one.connection) == ("HELLO", "", 7, 2)
    assert one.masked == ("<1 bytes>", "<4 bytes>", "<8 bytes>", "<6 bytes>")
    assert one.of_the_connection
    assert not seen(_command("GET a"), number=1, connection=1).of_the_connection


def test_bytes_that_are_no_text_are_a_key_too() -> None:
    command = Command(words=(b"GET", b"\xff\x00"), raw=b"")
    assert seen(command, number=1, connection=1).key == "\\xff\x00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SUBSCRIBE news", True),
        ("monitor", True),
        ("CLIENT reply off", True),
        ("CLIENT SETINFO LIB-NAME x", False),
        ("CLIENT", False),
        ("GET a", False),
    ],
)
def test_after_some_commands_replies_answer_none(text: str, expected: bool) -> None:
    assert streams(_command(text)) is expected
