"""The judges of keys, refusals and waits, both ways, over histories written by hand."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from attacks.history import Move, Operation
from attacks.http.request import Request, definite
from scenarios.invariants import Finding, Invariant, Observed, acknowledged_is_recorded, works
from scenarios.invariants.advice import errors_advise, errors_quote_nothing, the_key_tells
from scenarios.invariants.keys import (
    acknowledged_all,
    nobody_gets_anothers_answer,
    one_answer_a_key,
    one_body_a_key,
    retries_succeed,
)
from scenarios.targets.engine_keys import advice_of, fate_of, keyed
from tests.unit.histories.small import effect, move, observed, operation

TEN, TWENTY = move("a", "b", 10), move("a", "b", 20)


def _seen(*operations: Operation) -> Observed:
    return observed(operations, {})


def _answered(number: int, body: str, **given: Any) -> Operation:
    return operation(number, TEN, key="k", values={"body": body}, **given)


def _only(judge: Invariant, seen: Observed) -> Finding:
    (finding,) = judge(seen)
    assert finding.round == 1
    return finding


def test_another_movement_under_a_key_is_other_work() -> None:
    """Its acknowledgement asks for a record of its own."""
    swapped = (operation(1, TEN, key="k"), operation(2, TWENTY, key="k"))
    assert [work.moves for work in works(swapped)] == [(TEN,), (TWENTY,)]
    finding = _only(acknowledged_is_recorded, observed(swapped, {"a": 0}, (_record("1", TEN),)))
    assert "1 times 0.20" in finding.summary
    both = (_record("1", TEN), _record("2", TWENTY))
    assert not acknowledged_is_recorded(observed(swapped, {"a": 0}, both))


def _record(name: str, done: Move) -> Any:
    return effect(name, done.payer, done.payee, done.amount_minor)


def test_one_body_a_key() -> None:
    first, other = operation(1, TEN, key="k"), operation(2, TWENTY, key="k")
    assert _only(one_body_a_key, _seen(first, other)).operations == (1, 2)
    for fine in (
        replace(other, outcome="failed", status=422),
        replace(other, outcome="unknown", status=500),
        replace(other, key="another"),
        replace(other, moves=(TEN,)),
    ):
        assert not one_body_a_key(_seen(first, fine))


def test_one_answer_a_key() -> None:
    refusal = _answered(1, "too poor", outcome="failed", status=402)
    assert not one_answer_a_key(_seen(refusal, replace(refusal, id=2)))
    paid = _answered(3, "paid")
    finding = _only(one_answer_a_key, _seen(refusal, paid))
    assert finding.operations == (1, 3)
    assert "402" in finding.summary
    assert "201" in finding.summary
    other_words = _answered(4, "another reason", outcome="failed", status=402)
    assert one_answer_a_key(_seen(refusal, other_words))
    lost = _answered(5, "", outcome="unknown")
    assert not one_answer_a_key(_seen(lost, paid)), "no answer is not another answer"


def test_a_retry_succeeds_in_the_end() -> None:
    lost, paid = _answered(1, "", outcome="unknown"), _answered(2, "paid")
    assert not retries_succeed(_seen(lost, paid))
    assert not retries_succeed(_seen(lost)), "nobody tried again"
    for status, outcome in ((409, "failed"), (400, "failed"), (500, "unknown")):
        blocked: Any = {"status": status, "outcome": outcome}
        assert _only(retries_succeed, _seen(lost, _answered(2, "", **blocked))).operations == (1, 2)
    assert retries_succeed(_seen(lost, paid, _answered(3, "", outcome="failed")))


def test_nobody_gets_anothers_answer() -> None:
    ours = _answered(1, "paid 1", actor="A")
    assert not nobody_gets_anothers_answer(_seen(ours, replace(ours, id=2)))
    leaked = _answered(2, "paid 1", actor="B")
    finding = _only(nobody_gets_anothers_answer, _seen(ours, leaked))
    assert finding.operations == (1, 2)
    assert finding.summary.startswith("B used the key of A")
    for fine in (
        replace(leaked, values={"body": "paid 2"}),
        replace(leaked, outcome="failed", status=403),
        replace(leaked, values={}),
    ):
        assert not nobody_gets_anothers_answer(_seen(ours, fine))


def test_what_is_right_is_served() -> None:
    judge = acknowledged_all("transfer")
    refused = operation(2, TEN, outcome="failed", status=422)
    assert not judge(_seen(operation(1, TEN)))
    assert _only(judge, _seen(operation(1, TEN), refused)).operations == (2,)
    assert not judge(_seen(replace(refused, name="stolen-transfer")))


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
def test_errors_advise(status: int) -> None:
    silent = operation(1, TEN, outcome="failed", status=status)
    assert _only(errors_advise, _seen(silent)).operations == (1,)
    assert not errors_advise(_seen(replace(silent, values={"advice": "never, new key"})))
    assert not errors_advise(_seen(replace(silent, status=None))), "no answer says nothing"
    assert not errors_advise(_seen(replace(silent, outcome="ok"))), "it was what was asked"


@pytest.mark.parametrize(
    "text",
    [
        "[SQL: SELECT 1 FROM wallets]",
        "(psycopg2.errors.LockNotAvailable)",
        'Traceback (most recent call last):\\n File \\"x.py\\"',
        "UPDATE wallets SET balance",
    ],
)
def test_errors_quote_nothing(text: str) -> None:
    failed = operation(1, TEN, outcome="unknown", status=500, values={"body": text})
    assert _only(errors_quote_nothing, _seen(failed)).operations == (1,)
    plain = {"body": "the wallet was updated by another request; select another"}
    assert not errors_quote_nothing(_seen(replace(failed, values=plain)))


def _fate(number: int, fate: str | None, body: str = "") -> Operation:
    values = {} if fate is None else {"fate": fate, "body": body}
    return operation(number, name="key-fate", key="k", values=values)


def test_the_key_tells() -> None:
    lost, paid = _answered(1, "", outcome="unknown"), _answered(3, "paid")
    for fine in (
        (lost, _fate(2, "unknown"), paid, _fate(4, "settled", "paid")),
        (lost, _fate(2, "settled", "paid"), paid),
        (_answered(1, "paid"), _fate(2, "settled", "paid")),
    ):
        assert not the_key_tells(_seen(*fine))
    for wrong in (
        (_answered(1, "paid"), _fate(2, "unknown")),
        (_answered(1, "paid"), _fate(2, "settled", "something else")),
        (lost, _fate(2, "settled", "something else"), paid),
        (lost, _fate(2, "unsettled")),
        (lost, _fate(2, None)),
    ):
        assert _only(the_key_tells, _seen(*wrong)).operations[-1] == 2
    elsewhere = replace(_fate(2, "unknown"), key="another")
    assert not the_key_tells(_seen(_answered(1, "paid"), elsewhere))


PAYMENT = Request(
    name="transfer",
    text="transfer 1",
    method="POST",
    path="/v1/transfers",
    headers={"Authorization": "Bearer token", "Idempotency-Key": "a/b c"},
    json={},
    moves=(TEN,),
    key="a/b c",
    read=definite,
)


def test_a_request_under_another_key_or_none() -> None:
    assert "Idempotency-Key" not in keyed(PAYMENT, None).headers
    other = keyed(PAYMENT, "")
    assert (other.headers["Idempotency-Key"], other.key, other.moves) == ("", None, (TEN,))
    assert other.headers["Authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("response", "fate", "outcome"),
    [
        (httpx.Response(200, json={"status": 201, "body": {"id": 1}}), "settled", "ok"),
        (httpx.Response(404, json={}), "unknown", "ok"),
        (httpx.Response(409, json={}), "unsettled", "ok"),
        (httpx.Response(403, json={}), None, "failed"),
        (httpx.Response(503, json={}), None, "unknown"),
    ],
)
def test_the_fate_of_a_key(response: httpx.Response, fate: str | None, outcome: str) -> None:
    asked = fate_of(PAYMENT)
    assert asked.path == "/v1/idempotency/a%2Fb%20c?route=POST%20/v1/transfers"
    assert (asked.key, dict(asked.headers)) == ("a/b c", {"Authorization": "Bearer token"})
    reply = asked.read(response)
    assert (reply.outcome, reply.values.get("fate")) == (outcome, fate)


@pytest.mark.parametrize(
    ("retriable", "same_key", "advice"),
    [(True, True, "again, same key"), (False, True, "ask, same key"), (False, False, "never, new")],
)
def test_what_a_problem_document_advises(retriable: bool, same_key: bool, advice: str) -> None:
    document = {
        "type": "urn:problem-type:assay:x",
        "retriable": retriable,
        "retry_with_same_key": same_key,
    }
    assert advice_of(document)["advice"].startswith(advice)
    others: list[Any] = [{"detail": "no"}, {**document, "retriable": None}, [], {"type": 1}]
    for broken in others:
        assert advice_of(broken) == {}
