"""What statements of requests, each seen alone, allow: every rule both ways."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from attacks.postgres.explorer.predicting import Prediction, predict
from attacks.postgres.explorer.run import Run, Taken
from attacks.postgres.footprint import Footprint
from attacks.postgres.trace import Reply, Step

NO_RUN = Run(choices=(), taken=(), results=())


def step(sql: str, **footprint: object) -> Taken:
    sets = {k: frozenset(v) if isinstance(v, str) else v for k, v in footprint.items()}
    return Taken(
        racer=0,
        step=Step(session=1, number=1, kind="query", sql=sql),
        reply=Reply(),
        choice=0,
        began=1,
        ended=2,
        footprint=Footprint(**sets),  # type: ignore[arg-type]
    )


READ_A = step("SELECT a", reads="a")
READ_B = step("SELECT b", reads="b")
LOCK_A = step("SELECT a FOR UPDATE", reads="a", writes="a")
WRITE_A = step("update a", writes="a")
WRITE_B = step("INSERT INTO b", writes="b")
CALL = step("", unknown=True)
COMMIT_A = step("COMMIT", ends=True, released="a", committed_writes="a")
COMMIT_B = step("COMMIT", ends=True, released="b", committed_writes="b")
COMMIT = step("COMMIT", ends=True)
SNAPSHOT_A = step("SELECT a", reads="a", isolation="repeatable read")

NAIVE = (READ_A, WRITE_A, COMMIT_A)
LOCKING = (LOCK_A, WRITE_A, COMMIT_A)


def told(*alone: Sequence[Taken]) -> list[tuple[str, tuple[int, ...]]]:
    return [(prediction.anomaly, prediction.order) for prediction in predict(alone)]


def test_a_read_without_a_lock_loses_an_update() -> None:
    assert told(NAIVE, NAIVE) == [("lost update", (0, 1, 1, 1)), ("lost update", (1, 0, 0, 0))]
    first, _ = predict([NAIVE, NAIVE])
    assert first.because == "a is read without a lock before the UPDATE"


def test_a_read_with_a_lock_loses_none_and_may_wait_in_a_circle() -> None:
    assert told(LOCKING, LOCKING) == [("deadlock", (0, 1, 0, 1))]
    assert told((WRITE_A, COMMIT_A), (WRITE_A, COMMIT_A)) == []
    assert told(LOCKING, (WRITE_A, COMMIT_A)) == []


def test_who_writes_something_else_skews() -> None:
    skew = (READ_A, WRITE_B, COMMIT_B)
    assert told(skew, (WRITE_A, COMMIT_A)) == [("write skew", (0, 1, 1))]
    assert told((READ_A, CALL, COMMIT), (WRITE_A, COMMIT_A)) == [("write skew", (0, 1, 1))]
    (call,) = predict([(READ_A, CALL, COMMIT), (WRITE_A, COMMIT_A)])
    assert call.because == "a is read without a lock before the write"


def test_what_is_written_tells_more_than_what_is_not() -> None:
    both = (READ_A, READ_B, WRITE_B, COMMIT_B)
    other = (WRITE_A, WRITE_B, step("COMMIT", ends=True, released="ab", committed_writes="ab"))
    first = predict([both, other])[0]
    assert first.anomaly == "lost update"
    assert first.because == "b is read without a lock before the INSERT"


def test_check_and_effect_apart_are_said_to_be() -> None:
    apart = (READ_A, COMMIT, WRITE_A, COMMIT_A)
    first = predict([apart, NAIVE])[0]
    assert first.because.endswith("check and effect are in different database transactions")
    before = (WRITE_B, COMMIT_B, READ_A, WRITE_A, COMMIT_A)
    assert "transactions" not in predict([before, NAIVE])[0].because


def test_two_reads_may_see_two_moments() -> None:
    assert told((READ_A, READ_A, COMMIT), (WRITE_A, COMMIT_A)) == [("read skew", (0, 1, 1))]
    assert told((SNAPSHOT_A, SNAPSHOT_A, COMMIT), (WRITE_A, COMMIT_A)) == []
    assert told((READ_A, COMMIT), (WRITE_A, COMMIT_A)) == []


def test_between_two_commits_somebody_can_come_in() -> None:
    in_parts = (WRITE_A, COMMIT_A, WRITE_B, COMMIT_B)
    assert told(in_parts, (READ_A,)) == [("partial commit", (0, 0, 1))]
    assert predict([in_parts, (READ_A,)])[0].because == "one request commits 2 times"


def test_an_order_is_predicted_once_for_what_tells_most() -> None:
    parts = (READ_A, WRITE_A, COMMIT_A, WRITE_A, COMMIT_A)
    orders = [prediction.order for prediction in predict([parts, parts])]
    assert len(orders) == len(set(orders))


@pytest.mark.parametrize(("anomaly", "sqlstate"), [("deadlock", "40P01"), ("lost update", None)])
def test_it_is_proven_by_harm_of_its_kind(anomaly: str, sqlstate: str | None) -> None:
    prediction = Prediction(anomaly=anomaly, because="", order=(0,))
    run = replace(NO_RUN, taken=(replace(READ_A, reply=Reply(sqlstate=sqlstate)),))
    assert prediction.shown_by(run, violated=True)
    assert not prediction.shown_by(run, violated=False)
    assert prediction.shown_by(NO_RUN, violated=True) is (anomaly != "deadlock")
