"""Refusals as answers: stable names, right statuses, and what a failure of the database means."""

import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.api.problems import _failure, error_style
from engine.defences import parse_build
from engine.refusals import PROBLEMS, Refused
from engine.trouble import without_values

PROBLEM = error_style(parse_build("hardened").defences)
GENERIC = error_style(parse_build("hardened,errors=generic").defences)


class DriverError(Exception):
    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_document_says_what_to_do(problem: object) -> None:
    refusal = Refused(PROBLEMS[getattr(problem, "name")], "why", field="amount")  # noqa: B009
    document = PROBLEM.body(refusal, "/v1/transfers", "id", [])
    assert document["type"] == f"urn:problem-type:assay:{refusal.problem.name}"
    assert document["status"] == refusal.problem.status
    assert document["errors"] == [{"field": "amount", "message": "why"}]
    assert document["retry_with_same_key"] or not document["retriable"]


def test_only_definite_refusals_are_stored_under_a_key() -> None:
    stored = {p.name for p in PROBLEMS.values() if p.stored_under_key}
    assert stored == {
        "insufficient-funds", "forbidden", "not-found", "wallet-inactive", "asset-mismatch",
        "balance-limit", "daily-limit", "overdraft-limit",
        "already-reversed", "not-reversible", "hold-settled", "already-granted",
    }  # fmt: skip


def test_generic_errors_are_400_or_500() -> None:
    statuses = {p.name: GENERIC.status(p) for p in PROBLEMS.values()}
    assert statuses["insufficient-funds"] == 400
    assert statuses["unavailable"] == 500
    assert GENERIC.body(Refused(PROBLEMS["forbidden"], "why"), "/", "id", []) == {"detail": "why"}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (PoolTimeout(), "unavailable"),
        (OperationalError("", {}, DriverError(None)), "unavailable"),
        (InterfaceError("", {}, DriverError(None)), "unavailable"),
        (DBAPIError("", {}, DriverError(None), connection_invalidated=True), "unavailable"),
        *(
            (OperationalError("", {}, DriverError(state)), "unavailable")
            for state in ("55P03", "57014", "57P01", "53300", "53100", "08006", "25P03", "25006")
        ),
        (OperationalError("", {}, DriverError("40P01")), "internal-error"),
        (DBAPIError("", {}, DriverError("23505")), "internal-error"),
        (ValueError("x"), "internal-error"),
    ],
)
def test_what_an_error_means(error: Exception, name: str) -> None:
    refusal = _failure(error, None)
    assert refusal.problem.name == name
    assert refusal.detail


def test_a_log_tells_where_and_not_what() -> None:
    secret = "4711"

    def fail(pin: str) -> None:
        raise DBAPIError("UPDATE users", {"guess": pin}, DriverError("57P01"))

    with pytest.raises(DBAPIError) as caught:
        fail(secret)
    assert secret in str(caught.value)
    caught.value.__cause__ = DriverError("57P01")
    told = without_values(caught.value)
    assert told.startswith("DBAPIError from DriverError (57P01)\n")
    assert "test_engine_problems.py" in told
    assert secret not in told
