"""The books prove every balance, and name the first row that does not agree."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from engine import reconciliation
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of

UNGUARDED = "SET session_replication_role = replica"
"""As an administrator does who repairs, or spoils, a ledger."""


@pytest.fixture
def house(databases: Databases, postgres: PostgresServer) -> Iterator[House]:
    with house_of("hardened", databases, postgres, "") as opened:
        opened.rows(UNGUARDED)
        yield opened


def difference(house: House) -> dict[str, object] | None:
    answer = house.get("/ledger/reconciliation", house.operator)
    body = answer.json()
    assert answer.status_code == (200 if body["balanced"] else 503)
    found: dict[str, object] | None = body["first_difference"]
    assert (found is None) == body["balanced"]
    return found


def paid_three_times(house: House) -> tuple[Account, list[int]]:
    """A payer, and the ids of its entries: a deposit and three debits."""
    payer, payee = house.account(10_00), house.account()
    for _ in range(3):
        assert house.pay(payer, payee, 1_00).status_code == 201
    entries = house.rows(
        "SELECT id FROM ledger_entries WHERE wallet_id = %s ORDER BY wallet_version",
        payer.wallet_id,
    )
    return payer, [entry for (entry,) in entries]


@pytest.mark.parametrize(
    ("change", "position", "expected"),
    [
        ("UPDATE ledger_entries SET balance_after = 5 WHERE id = %s", 2, ("balance_after", 800, 5)),
        ("UPDATE ledger_entries SET amount = 99 WHERE id = %s", 1, ("balance_after", 901, 900)),
        (
            "UPDATE ledger_entries SET entry_type = 'CREDIT' WHERE id = %s",
            3,
            ("balance_after", 900, 700),
        ),
    ],
)
def test_the_entry_that_was_changed_is_named(
    house: House, change: str, position: int, expected: tuple[str, int, int]
) -> None:
    payer, entries = paid_three_times(house)
    assert difference(house) is None
    house.rows(change, entries[position])
    found = difference(house)
    assert found is not None
    assert (found["what"], found["expected"], found["found"]) == expected
    assert (found["wallet_id"], found["entry_id"]) == (payer.wallet_id, entries[position])


def test_a_missing_entry_is_seen_at_its_successor_and_a_missing_last_one_at_the_balance(
    house: House,
) -> None:
    payer, entries = paid_three_times(house)
    house.rows("DELETE FROM ledger_entries WHERE id = %s", entries[3])
    found = difference(house)
    assert found is not None
    assert (found["what"], found["expected"], found["found"]) == ("balance", 8_00, 7_00)
    assert (found["wallet_id"], found["entry_id"]) == (payer.wallet_id, entries[2])
    house.rows("DELETE FROM ledger_entries WHERE id = %s", entries[1])
    found = difference(house)
    assert found is not None
    assert (found["what"], found["entry_id"]) == ("wallet_version", entries[2])
    assert (found["expected"], found["found"]) == (2, 3)


def test_a_movement_without_its_legs_and_legs_without_their_movement_are_found(
    house: House,
) -> None:
    _, entries = paid_three_times(house)
    ((transaction,),) = house.rows(
        "SELECT transaction_id::text FROM ledger_entries WHERE id = %s", entries[2]
    )
    house.rows("UPDATE transactions SET amount = 42 WHERE id = %s::uuid", transaction)
    found = difference(house)
    assert found is not None
    assert (found["what"], found["transaction_id"]) == ("legs", transaction)
    assert (found["expected"], found["found"]) == (2, -2)
    house.rows("DELETE FROM transactions WHERE id = %s::uuid", transaction)
    found = difference(house)
    assert found is not None
    assert (found["what"], found["transaction_id"]) == ("transaction", transaction)


@pytest.mark.parametrize("build", ["fragile,redis_policy=bounded", "hardened"])
def test_ranges_of_any_size_find_the_same(
    build: str,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is fetched at once: no more than a row comes back for each range."""
    monkeypatch.setattr(reconciliation, "WALLETS_AT_ONCE", 2)
    monkeypatch.setattr(reconciliation, "ROWS_AT_ONCE", 1)
    with house_of(build, databases, postgres, redis_server.url) as house:
        house.rows(UNGUARDED)
        payer, _ = (house.account(10_00), house.account())
        for _ in range(3):
            payee = house.account()
            house.pay(payer, payee, 1_00)
        assert difference(house) is None
        rows: list[int] = []
        sa.event.listen(
            house.services.database,
            "after_cursor_execute",
            lambda _, cursor, *__: rows.append(cursor.rowcount),
        )
        house.rows("UPDATE wallets SET balance = balance + 1 WHERE id = %s", payee.wallet_id)
        found = difference(house)
        assert found is not None
        assert (found["what"], found["wallet_id"]) == ("balance", payee.wallet_id)
        assert len(rows) > 3
        assert max(rows) <= 1
        totals = house.get("/ledger/trial-balance", house.operator).json()
        assert ("ledger_totals" in totals) == (build == "hardened")
        if build == "hardened":
            assert [total["amount"] for total in totals["totals"]] == [1, 0]
            assert [total["amount"] for total in totals["ledger_totals"]] == [0, 0]


def test_the_trial_balance_is_summed_in_ranges_of_one_snapshot(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the ledger is, no statement sums more than a range of it."""
    monkeypatch.setattr(reconciliation, "WALLETS_AT_ONCE", 2)
    monkeypatch.setattr(reconciliation, "ROWS_AT_ONCE", 3)
    payer, _ = paid_three_times(house)
    house.account(5_00, "GOLD")
    ranges: list[int] = []

    def spoil(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        if "sum(" in statement:
            ranges.append(values["last"] - values["first"] + 1)
            # Nothing that is committed meanwhile is in any of the sums.
            house.rows("UPDATE wallets SET balance = balance + 1 WHERE id = %s", payer.wallet_id)

    sa.event.listen(house.services.database, "after_cursor_execute", spoil)
    document = house.get("/ledger/trial-balance", house.operator).json()
    sa.event.remove(house.services.database, "after_cursor_execute", spoil)
    for totals in ("totals", "ledger_totals"):
        assert {t["asset"]: t["amount"] for t in document[totals]} == {"USD": 0, "GOLD": 0}
    assert len(ranges) > 6
    assert set(ranges) == {2, 3}
