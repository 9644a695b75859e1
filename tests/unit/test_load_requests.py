"""Requests as data: how holes are filled, what answers mean, and which documents are refused."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.history import History, Move
from attacks.load.parts import Part
from attacks.load.plan import Plan, Wallet
from attacks.load.requests import GIVEN, Kind, RequestsError, our_document, requests_of
from attacks.load.templates import TemplateError, json_template, path_template, text_template
from reports.evidence import Verdict
from scenarios.audit import audit
from tests.unit.histories.small import effect, move, operation, truth

KINDS = requests_of(our_document())
TRANSFER = KINDS["transfer"]
VALUES = {
    "payer.id": "12",
    "payer.token": "a.b.c",
    "payer.pin": "0815",
    "payee.id": "7",
    "amount": {"amount": 305, "asset": "USD"},
    "key": "k-1",
}


def nothing(_: str) -> None:
    return None


def test_ours_describes_every_kind_that_customers_make() -> None:
    assert set(KINDS) == set(GIVEN)


def test_a_transfer_is_filled() -> None:
    sent = TRANSFER.filled(VALUES)
    assert (sent.method, sent.path) == ("POST", "/v1/transfers")
    assert json.loads(sent.body or b"") == {
        "from_wallet_id": 12,
        "to_wallet_id": 7,
        "amount": {"amount": 305, "asset": "USD"},
    }
    assert sent.headers == {
        "Content-Type": "application/json",
        "Authorization": "Bearer a.b.c",
        "X-Pin": "0815",
        "Idempotency-Key": "k-1",
    }


def test_a_header_without_its_value_is_left_out() -> None:
    sent = TRANSFER.filled({**VALUES, "payer.token": None, "payer.pin": None})
    assert set(sent.headers) == {"Content-Type", "Idempotency-Key"}


def test_a_body_may_be_other_text_than_json() -> None:
    values = {"payer.id": "1", "payer.token": None, "payer.pin": None, "batch": 9, "rows": "2,1.00"}
    sent = KINDS["upload-batch"].filled(values)
    assert (sent.path, sent.body) == ("/v1/batches/9/rows", b"recipient_id,amount\n2,1.00\n")
    assert sent.headers == {"Content-Type": "text/csv"}


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
        st.lists,
        max_leaves=8,
    )
)
def test_whatever_fills_a_hole_of_json_is_json_again(value: Any) -> None:
    template = json_template({"a": ["{amount}", "{key}"], "literal": 'q"\\u0000'})
    filled = template.filled({"amount": value, "key": "{amount}"})
    assert json.loads(filled) == {"a": [value, "{amount}"], "literal": 'q"\\u0000'}


def test_a_value_cannot_leave_its_place_in_a_path() -> None:
    template = path_template("/wallets/{wallet.id}?limit=2")
    assert template.filled({"wallet.id": "../a b?x"}) == "/wallets/..%2Fa%20b%3Fx?limit=2"


def test_in_json_a_hole_is_a_whole_string() -> None:
    with pytest.raises(TemplateError, match="a hole is the whole string"):
        json_template({"id": "wallet-{payer.id}"})


def test_text_knows_its_names() -> None:
    assert text_template("Bearer {payer.token} {x y} {}").names == {"payer.token"}


ANSWERS = [
    (201, b'{"id": "x"}', "ok", "201", {"id": "x"}, ""),
    (201, b"text", "ok", "201", {}, ""),
    (402, b'{"id": "x"}', "failed", "402", {}, ""),
    (409, b"", "failed", "409", {}, ""),
    (401, b"{}", "failed", "401", {}, "answered 401"),
    (429, b"{}", "failed", "429", {}, "answered 429"),
    (500, b"{}", "unknown", "500", {}, "answered 500"),
    (302, b"", "unknown", "302", {}, "answered 302"),
    (504, b"", "unknown", "504", {}, "answered 504"),
    (503, b"[1]", "unknown", "503", {}, "answered 503"),
    (
        503,
        b'{"type": "urn:problem-type:assay:unavailable"}',
        "failed",
        "503 nothing committed",
        {},
        "answered 503",
    ),
    (500, b'{"type": "urn:problem-type:assay:unavailable"}', "unknown", "500", {}, "answered 500"),
]


@pytest.mark.parametrize(("status", "content", "outcome", "text", "values", "error"), ANSWERS)
def test_what_an_answer_means(  # noqa: PLR0917 - a row of the table above
    status: int, content: bytes, outcome: str, text: str, values: Any, error: str
) -> None:
    answer = TRANSFER.answer(status, nothing, content)
    assert (answer.outcome, answer.text, answer.values) == (outcome, text, values)
    assert (answer.status, answer.error, answer.replayed) == (status, error, False)


def test_a_replay_is_told_by_its_header() -> None:
    headers = {"Idempotent-Replayed": "true"}
    answer = TRANSFER.answer(201, headers.get, b"{}")
    assert (answer.text, answer.replayed) == ("201 replayed", True)


def test_less_than_everything_is_no_acknowledgement() -> None:
    execute = KINDS["execute-batch"]
    assert execute.answer(200, nothing, b'{"status": "COMPLETED"}').outcome == "ok"
    for content in (b'{"status": "EXECUTING"}', b"{}", b"text"):
        answer = execute.answer(202, nothing, content)
        assert (answer.outcome, answer.text, answer.error) == ("unknown", "202 not all of it", "")


def test_moves_that_happen_apart_are_open_one_by_one() -> None:
    moves = tuple(Move(payer="1", payee=payee, amount_minor=5) for payee in "234")
    sent = operation(7, *moves, name="execute-batch", key="batch 9", outcome="unknown")
    request, *parts = KINDS["execute-batch"].recorded(sent, iter((8, 9, 10)).__next__, {})
    assert (request.id, request.name, request.moves) == (7, "execute-batch", ())
    assert [(part.id, part.name, part.key, part.moves) for part in parts] == [
        (8, "part", "batch 9/1", moves[:1]),
        (9, "part", "batch 9/2", moves[1:2]),
        (10, "part", "batch 9/3", moves[2:]),
    ]
    assert {part.outcome for part in parts} == {"unknown"}
    done = replace(sent, outcome="ok")
    assert KINDS["execute-batch"].recorded(done, int, {}) == (done,)
    assert KINDS["transfer"].recorded(sent, int, {}) == (sent,)


def test_what_became_of_each_row_is_what_the_service_tells() -> None:
    rows = [
        {"recipient_id": 2, "status": "PAID", "transaction_id": "t-2"},
        {"recipient_id": 3, "status": "REFUSED", "transaction_id": None},
        {"recipient_id": 4, "status": "PENDING", "transaction_id": None},
        {"recipient_id": 5, "status": "PAID", "transaction_id": "t-5"},
        {"recipient_id": 5, "status": "REFUSED", "transaction_id": None},
        "no row",
    ]
    content = json.dumps({"rows": rows}).encode()
    told = KINDS["read-batch"].answer(200, nothing, content).parts
    assert set(told) == {"2", "3", "4"}, "who is named twice is not told apart"
    moves = tuple(Move(payer="1", payee=payee, amount_minor=5) for payee in "2345")
    sent = operation(7, *moves, name="execute-batch", key="batch 9", outcome="unknown")
    _, *parts = KINDS["execute-batch"].recorded(sent, iter(range(8, 12)).__next__, told)
    assert [(part.outcome, part.answer, part.values) for part in parts] == [
        ("ok", "PAID", {"id": "t-2"}),
        ("failed", "REFUSED", {}),
        ("unknown", "PENDING", {}),
        ("unknown", "nobody said", {}),
    ]
    for status, other in ((500, content), (200, b'{"rows": 5}'), (200, b"text")):
        assert KINDS["read-batch"].answer(status, nothing, other).parts == {}


def test_a_batch_that_was_paid_in_part_accuses_nobody() -> None:
    opened = operation(1, move(None, "1", 8), name="deposit", round=None)
    moves = (move("1", "2", 5), move("1", "3", 5), move("1", "4", 3))
    sent = operation(2, *moves, name="execute-batch", key="batch 9", outcome="unknown", round=None)
    paid = operation(9, move("2", "3", 1), round=None)
    found = truth(
        {"1": 0, "2": 4, "3": 1, "4": 3},
        (effect("d", None, "1", 8), effect("a", "1", "2", 5), effect("b", "1", "4", 3),
         effect("c", "2", "3", 1)),
    )  # fmt: skip
    execute = KINDS["execute-batch"]
    paid_out, refused = (Part(outcome=outcome, state="") for outcome in ("ok", "failed"))
    for told in ({}, {"2": paid_out, "3": refused, "4": paid_out}):
        lines = execute.recorded(sent, iter((3, 4, 5)).__next__, told)
        judged = audit(History(operations=(opened, *lines, paid)), found)
        assert {check.verdict for check in judged.checks} <= {Verdict.HELD, Verdict.NOT_APPLICABLE}
    assert audit(History(operations=(opened, sent, paid)), found).verdict is Verdict.VIOLATED
    # What a row was said to be, it has to be.
    for told in ({"3": paid_out}, {"4": refused}):
        lines = execute.recorded(sent, iter((3, 4, 5)).__next__, told)
        judged = audit(History(operations=(opened, *lines, paid)), found)
        assert judged.verdict is Verdict.VIOLATED


THEIRS: dict[str, Any] = {
    "answers": {"done": [200], "not_done": ["4xx"]},
    "requests": {
        "transfer": {
            "method": "put",
            "path": "/accounts/{payer.id}/payments/{key}",
            "json": {"to": "{payee.id}", "cents": "{amount_minor}", "euro": "{amount_major}"},
            "id": "payment.reference",
        }
    },
}


def kind_of(document: Any) -> Kind:
    return requests_of(document)["transfer"]


def test_another_service_s_requests_take_their_place() -> None:
    plan = Plan(money="minor_units", wallets=(Wallet(id="a/1"), Wallet(id="b")), requests=THEIRS)
    kind = plan.kinds()["transfer"]
    values = {"payer.id": "a/1", "payee.id": "b", "key": "k", **plan.amount(1234)}
    sent = kind.filled(values)
    assert (sent.method, sent.path) == ("PUT", "/accounts/a%2F1/payments/k")
    assert json.loads(sent.body or b"") == {"to": "b", "cents": 1234, "euro": "12.34"}
    answer = kind.answer(200, nothing, b'{"payment": {"reference": 5}}')
    assert answer.values == {"id": 5}
    assert kind.answer(201, nothing, b"{}").outcome == "unknown"


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (("requests", "transfer", "json"), {"x": "{payer.pin}{key}"}, "whole string"),
        (("requests", "transfer", "path"), "/{wallet.id}", "nothing fills {wallet.id}"),
        (("requests", "transfer", "headers"), {"A": "{operator.token}"}, "nothing fills"),
        (("requests", "transfer", "bodyy"), {}, "what is 'bodyy'"),
        (("requests", "pay"), {}, "nobody makes a request 'pay'"),
        (("requests",), {}, "none is described"),
        (("requests",), [], "these are no requests"),
        (("answers", "done"), ["sometimes"], "these are no requests"),
        (("answers",), None, "these are no requests"),
    ],
)
def test_a_document_that_is_wrong_is_refused(where: tuple[str, ...], value: Any, says: str) -> None:
    document = copy.deepcopy(THEIRS)
    inner = document
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    with pytest.raises(RequestsError, match=says):
        requests_of(document)
