"""The circuit breaker: what one outage costs, and what happens before Redis is trusted again."""

from typing import Any
from unittest.mock import patch

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.redis_client import COOL_DOWN_S, Bounded, NoRedis, Required, Unbounded


class FakeRedis:
    """Answers or is away; counts who asked."""

    def __init__(self) -> None:
        self.away = False
        self.log: list[str] = []

    def get(self, name: str) -> str:
        self.log.append(name)
        if self.away:
            raise RedisConnectionError
        return f"value of {name}"

    def ping(self) -> bool:
        return bool(self.get("ping"))


class Breaker:
    def __init__(self) -> None:
        self.redis = FakeRedis()
        self.now_s = 100.0
        self.access = Bounded(self.redis, lambda client: client.get("generation"))  # type: ignore[arg-type]

    def ask(self) -> Any:
        with patch("engine.redis_client.time.monotonic", lambda: self.now_s):
            return self.access.call(lambda client: client.get("x"), otherwise="nothing")


def test_a_call_is_answered_and_a_failure_costs_one_call() -> None:
    breaker = Breaker()
    assert breaker.ask() == "value of x"
    breaker.redis.away = True
    assert [breaker.ask() for _ in range(20)] == ["nothing"] * 20
    assert breaker.redis.log == ["x", "x"]


def test_a_new_generation_starts_before_anything_else_is_asked() -> None:
    breaker = Breaker()
    breaker.redis.away = True
    breaker.ask()
    breaker.redis.away = False
    breaker.redis.log.clear()
    assert breaker.ask() == "nothing", "still cooling down"
    breaker.now_s += COOL_DOWN_S
    assert breaker.ask() == "value of x"
    assert breaker.redis.log == ["generation", "x"]


def test_while_it_stays_away_each_cool_down_costs_one_call() -> None:
    breaker = Breaker()
    breaker.redis.away = True
    for _ in range(3):
        assert breaker.ask() == "nothing"
        assert breaker.ask() == "nothing"
        breaker.now_s += COOL_DOWN_S
    assert breaker.redis.log == ["x", "generation", "generation"]


def test_one_caller_at_a_time_finds_out() -> None:
    breaker = Breaker()
    breaker.redis.away = True
    breaker.ask()
    breaker.redis.away = False
    breaker.now_s += COOL_DOWN_S
    answers: list[Any] = []

    def return_slowly(client: Any) -> None:
        answers.append(breaker.ask())

    breaker.access._on_return = return_slowly
    assert breaker.ask() == "value of x"
    assert answers == ["nothing"]


def test_other_policies() -> None:
    away = FakeRedis()
    away.away = True
    client: Any = away
    with pytest.raises(RedisConnectionError):
        Required(client).call(lambda c: c.get("x"), otherwise="nothing")
    assert Unbounded(client).call(lambda c: c.get("x"), otherwise="nothing") == "nothing"
    assert NoRedis().call(lambda c: c.get("x"), otherwise="nothing") == "nothing"
    assert Required(client).state() == Unbounded(client).state() == "away"
    assert NoRedis().state() == "none"
