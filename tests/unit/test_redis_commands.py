"""What a command to Redis touches, and what that means for the order of two requests."""

from dataclasses import dataclass, field

import pytest

from attacks.postgres.footprint import OUTSIDE, Footprint, nothing
from attacks.postgres.relations import ONE_OUTSIDE
from attacks.redis.commands import Seen, seen
from attacks.redis.resp import Command
from scenarios.redis_beside import Outside


def said(text: str, number: int = 1) -> Seen:
    words = tuple(word.encode() for word in text.split())
    return seen(Command(words=words, raw=b""), number=number, connection=1)


@pytest.mark.parametrize(
    ("text", "keys", "changes"),
    [
        ("GET a", {"a"}, False),
        ("get a", {"a"}, False),
        ("MGET a b", {"a", "b"}, False),
        ("SET a 1 EX 60", {"a"}, True),
        ("HSET a b 1", {"a"}, True),
        ("DEL a b", {"a", "b"}, True),
        ("GETEX a EX 5", {"a"}, True),
        # These may touch anything.
        ("FLUSHALL", None, True),
        ("EVAL return 1 a", None, True),
        ("RENAME a b", None, True),
        ("SORT a STORE b", None, True),
        ("NOSUCHCOMMAND a", None, True),
    ],
)
def test_the_keys_of_a_command(text: str, keys: set[str] | None, changes: bool) -> None:
    found = said(text)
    assert found.keys == keys
    assert found.changes is changes


@dataclass
class SomeLink:
    """What was sent so far."""

    commands: list[Seen] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.commands)

    def say(self, *texts: str) -> None:
        self.commands += [said(text, self.requests + 1) for text in texts]

    def commands_since(self, requests: int) -> tuple[Seen, ...]:
        return tuple(one for one in self.commands if one.number > requests)


def known(*keys: str) -> frozenset[str]:
    return frozenset(f"{ONE_OUTSIDE}{key} in Redis>" for key in keys)


def test_what_was_touched_is_told_once() -> None:
    link = SomeLink()
    outside = Outside(link)
    assert outside() == nothing()
    link.say("GET a", "SET b 1", "DEL c d")
    assert outside() == Footprint(reads=known("a"), writes=known("b", "c", "d"))
    assert outside() == nothing()
    link.say("GET a", "EVAL x 1 a")
    assert outside() == Footprint(reads=known("a"), writes=frozenset({OUTSIDE}))
