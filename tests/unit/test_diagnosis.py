"""The one line that names the cause: which fact speaks first."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from attacks.postgres.explorer import diagnosis
from attacks.postgres.explorer.diagnosis import Diagnosis
from attacks.postgres.explorer.repeating import Repetition
from attacks.postgres.explorer.run import Choice, Run, Taken
from attacks.postgres.footprint import nothing
from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Reply, SessionInfo, Step


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a proxy would say."""

    count: int
    problems: tuple[str, ...] = ()

    def sessions(self) -> tuple[SessionInfo, ...]:
        return tuple(SessionInfo(number=number) for number in range(1, self.count + 1))


@dataclass(kw_only=True)
class Probe:
    answers: list[bool]
    asked: int = field(default=0)

    def __call__(self) -> bool:
        self.asked += 1
        return self.answers.pop(0)


def diagnosed(heard: Heard, probe: Probe | None = None) -> Diagnosis:
    return Diagnosis(proxy=cast("Proxy", heard), probe=probe)


@pytest.mark.parametrize(
    ("heard", "answers", "busy", "cause"),
    [
        (Heard(count=0), True, 0, diagnosis.NOTHING_CAME),
        (Heard(count=0, problems=("first", "speaks no TLS")), True, 0, "speaks no TLS"),
        (Heard(count=4), False, 1, diagnosis.BLOCKED),
        (Heard(count=1), False, 1, diagnosis.BLOCKED),
        (Heard(count=1), True, 1, diagnosis.pool_too_small(1, 2)),
        (Heard(count=4, problems=("earlier",)), True, 1, diagnosis.OWN_PROCESS),
    ],
)
def test_why_a_request_is_out_of_sight(heard: Heard, answers: bool, busy: int, cause: str) -> None:
    found = diagnosed(heard, Probe(answers=[answers])).out_of_sight(busy=busy, requests=2)
    assert found == cause
    assert "\n" not in found


def test_without_a_probe_the_pool_is_looked_at() -> None:
    found = diagnosed(Heard(count=2)).out_of_sight(busy=2, requests=2)
    assert found == diagnosis.pool_too_small(2, 2)


def test_who_was_deaf_once_is_not_asked_again() -> None:
    probe = Probe(answers=[True, False])
    asked = diagnosed(Heard(count=4), probe)
    causes = [asked.out_of_sight(busy=1, requests=2) for _ in range(4)]
    assert causes == [diagnosis.OWN_PROCESS, *[diagnosis.BLOCKED] * 3]
    assert probe.asked == 2


@pytest.mark.parametrize(
    ("connections", "requests", "words"),
    [
        (1, 3, "1 connection to its database and it is in use by another request: make its pool"),
        (1, 3, "at least 3 "),
        (2, 2, "2 connections to its database and each is in use by another request"),
        (2, 2, "at least 3 "),
    ],
)
def test_a_pool_that_is_too_small(connections: int, requests: int, words: str) -> None:
    assert words in diagnosis.pool_too_small(connections, requests)


def test_nothing_came_although_there_are_sessions() -> None:
    heard = Heard(count=3, problems=("of another client",))
    assert diagnosed(heard).nothing_came() == diagnosis.NOTHING_CAME


def run_of(*steps: tuple[int, str]) -> Run:
    racers = tuple(sorted({racer for racer, _ in steps}))
    return Run(
        choices=tuple(
            Choice(racer=racer, enabled=racers, footprint=nothing()) for racer, _ in steps
        ),
        taken=tuple(
            Taken(
                racer=racer,
                step=Step(session=racer, number=number, kind="query", sql=sql),
                reply=Reply(),
                choice=number,
                began=number,
                ended=number,
                footprint=nothing(),
            )
            for number, (racer, sql) in enumerate(steps)
        ),
        results=(None,) * len(racers),
    )


def test_the_same_beginning_leads_to_the_same_statements() -> None:
    repetition = Repetition()
    assert repetition.difference(run_of((0, "a"), (1, "b"), (0, "c"))) is None
    assert repetition.difference(run_of((0, "a"), (0, "x"), (1, "b"))) is None
    assert repetition.difference(run_of((0, "a"), (1, "b"), (1, "d"))) is None
    assert repetition.difference(run_of((0, "a"), (1, "job"), (0, "c"))) is not None


def test_ids_and_times_may_differ() -> None:
    repetition = Repetition()
    one = "INSERT 5f0c6b1e-8a52-4d0e-9f0b-1c2d3e4f5a6b 2024-01-02 03:04:05"
    other = "INSERT 0a0c6b1e-8a52-4d0e-9f0b-1c2d3e4f5a6b 2025-01-02 03:04:06"
    assert repetition.difference(run_of((0, one))) is None
    assert repetition.difference(run_of((0, other))) is None
