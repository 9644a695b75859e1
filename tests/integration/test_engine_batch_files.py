"""Files of batches: frozen when they are right, refused whole and line by line when not."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.batch_client import executed, file_of, opened, stored_rows, uploaded
from tests.integration.engine_client import House, house_of, problem_of

NOT_PAYABLE = "the wallet cannot be paid in this asset"
"""Of a wallet of somebody else, whatever it is: it is not told whether it exists."""


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


def test_a_file_is_frozen_with_its_hash(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = opened(house, payer)
    content = file_of([(payee, "1.00")])
    first = uploaded(house, payer, batch, content)
    assert first.json()["file_sha256"] == hashlib.sha256(content.encode()).hexdigest()
    again = uploaded(house, payer, batch, content)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    other = uploaded(house, payer, batch, file_of([(payee, "2.00")]))
    assert (other.status_code, problem_of(other)) == (409, "batch-frozen")
    assert stored_rows(house, batch) == 1


def test_every_wrong_line_is_named_and_nothing_is_stored(house: House) -> None:
    payer, payee, frozen = house.account(10_00), house.account(), house.account()
    gold = house.account(0, "GOLD")
    own = {"user_id": payer.user_id, "label": "savings"}
    own_frozen = house.post("/wallets", own, house.operator).json()["id"]
    own_gold = house.wallet_for(payer.user_id, "GOLD")
    for wallet in (frozen.wallet_id, own_frozen):
        path = f"/v1/wallets/{wallet}"
        house.http.patch(path, json={"status": "frozen"}, headers=dict(house.operator))
    batch = opened(house, payer)
    lines = [
        f"{payee.wallet_id},1.00",
        "999999999,1.00",
        f"{payee.wallet_id},-1",
        f"{frozen.wallet_id},1.00",
        f"{gold.wallet_id},1.00",
        "nonsense",
        f"{payer.wallet_id},1.00",
        f"{own_frozen},1.00",
        f"{own_gold},1.00",
    ]
    answer = uploaded(house, payer, batch, "\n".join(["recipient_id,amount", *lines]))
    assert (answer.status_code, problem_of(answer)) == (422, "rows-invalid")
    assert [(e["field"], e["message"]) for e in answer.json()["errors"]] == [
        ("line 3", NOT_PAYABLE),
        ("line 4", "amount is no decimal number such as 50.00"),
        ("line 5", NOT_PAYABLE),
        ("line 6", NOT_PAYABLE),
        ("line 7", "the line has 1 fields instead of 2"),
        ("line 8", "the wallet pays itself"),
        ("line 9", "the wallet is frozen"),
        ("line 10", "the wallet holds another asset"),
    ]
    assert stored_rows(house, batch) == 0
    refused = executed(house, payer, batch)
    assert (refused.status_code, problem_of(refused)) == (409, "batch-empty")
    assert uploaded(house, payer, batch, file_of([(payee, "1.00")])).status_code == 200


def test_every_wrong_line_of_many_is_told(house: House) -> None:
    payer = house.account(10_00)
    batch = opened(house, payer)
    lines = ["999999999,1.00", "wrong"] * 50_000
    answer = uploaded(house, payer, batch, "\n".join(["recipient_id,amount", *lines]))
    document = answer.json()
    assert problem_of(answer) == "rows-invalid"
    assert document["detail"] == "100000 lines are not valid; nothing was stored"
    shown, rest = document["errors"][:100], document["errors"][100:]
    assert [e["field"] for e in shown] == [f"line {n}" for n in range(2, 102)]
    assert {e["message"]: e["field"].removeprefix("lines ") for e in rest} == {
        NOT_PAYABLE: ", ".join(map(str, range(102, 100_002, 2))),
        "the line has 1 fields instead of 2": ", ".join(map(str, range(103, 100_002, 2))),
    }
    assert len(answer.content) < 1_000_000
    assert stored_rows(house, batch) == 0


def test_closed_wallets_and_line_ends_of_any_kind(house: House) -> None:
    payer, payee, closed = house.account(10_00), house.account(), house.account()
    path = f"/v1/wallets/{closed.wallet_id}"
    house.http.patch(path, json={"status": "closed"}, headers=dict(house.operator))
    batch = opened(house, payer)
    content = f"\ufeffRecipient_ID, Amount\r\n\r\n{payee.wallet_id},1.00\r{closed.wallet_id},2\n"
    answer = uploaded(house, payer, batch, content)
    assert answer.json()["errors"] == [{"field": "line 4", "message": NOT_PAYABLE}]
    good = content.replace(f"{closed.wallet_id},2", f'"{payee.wallet_id}", "2"')
    assert uploaded(house, payer, batch, good).status_code == 200
    assert [row[0] for row in house.rows(
        "SELECT line FROM batch_rows WHERE batch_id = %s ORDER BY 1", batch
    )] == [3, 4]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("amount,recipient_id\n1.00,{payee}\n", "line 1"),
        ("", "line 1"),
        ("recipient_id,amount\n", "line 1"),
        ("recipient_id,amount\n{payee},1.00\n{payee},\u00e9\n".encode("utf-16"), "line 1"),
        (b"recipient_id,amount\n2,\xff\n", "line 2"),
        (b"recipient_id,amount\n2," + b"1" * 10_000_000 + b"\n", "line 2"),
        (b"1" * 10_000_000, "line 1"),
        (b"recipient_id,amount\n2\x00,1.00\n", "line 2"),
        (b"recipient_id,amount\n=2+5,=cmd|' /C calc'!A0\n", "line 2"),
        (b'recipient_id,amount\n{payee},"1.00\n2"\n', "line 2"),
        (b"recipient_id,amount\n" + b"2" * 31 * 1024 * 1024, "line 2"),
    ],
    ids=[
        "header",
        "empty",
        "no rows",
        "UTF-16",
        "not UTF-8",
        "10 MB",
        "10 MB of header",
        "NUL",
        "formula",
        "line break in quotes",
        "31 MB",
    ],
)
def test_a_bad_file_is_refused_whole(house: House, content: Any, field: str) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = opened(house, payer)
    if isinstance(content, str):
        content = content.format(payee=payee.wallet_id)
    answer = uploaded(house, payer, batch, content)
    assert (answer.status_code, problem_of(answer)) == (422, "rows-invalid")
    assert answer.json()["errors"][0]["field"] == field
    assert stored_rows(house, batch) == 0


def test_rows_that_come_twice_need_a_word(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = opened(house, payer)
    content = file_of([(payee, "1.00"), (payee, "2.00"), (payee, "1.0")])
    answer = uploaded(house, payer, batch, content)
    assert (answer.status_code, problem_of(answer)) == (422, "rows-double")
    (error,) = answer.json()["errors"]
    assert (error["field"], error["message"]) == (
        "line 4", "the same recipient and amount as in line 2",
    )  # fmt: skip
    assert stored_rows(house, batch) == 0
    assert uploaded(house, payer, batch, content, confirm_duplicates=True).status_code == 200


def test_too_large_and_of_another_type(house: House) -> None:
    payer = house.account()
    batch = opened(house, payer)
    large = uploaded(house, payer, batch, b"recipient_id,amount\n" + b"\n" * (33 * 1024 * 1024))
    assert (large.status_code, problem_of(large)) == (413, "body-too-large")
    rows = "\n".join(["recipient_id,amount", *["2,1.00"] * 100_001])
    many = uploaded(house, payer, batch, rows)
    assert (many.status_code, problem_of(many)) == (413, "body-too-large")
    for kind in ("application/json", "text/csv; charset=latin-1", "text/plain", ""):
        headers = {**payer.headers, "Content-Type": kind}
        answer = house.http.put(f"/v1/batches/{batch}/rows", content=b"x", headers=headers)
        assert (answer.status_code, problem_of(answer)) == (415, "csv-expected")
    assert stored_rows(house, batch) == 0


def test_a_total_that_no_wallet_can_hold_is_refused(house: House) -> None:
    payer, payee = house.account(), house.account()
    batch = opened(house, payer)
    most = "90071992547409.91"
    answer = uploaded(
        house, payer, batch, file_of([(payee, most), (payee, most)]), confirm_duplicates=True
    )
    assert (answer.status_code, problem_of(answer)) == (422, "rows-invalid")
    assert stored_rows(house, batch) == 0
