"""Moving and reading money over HTTP, in both builds."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest

from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.engine_client import House, house_of, problem_of


def test_a_transfer_moves_money_and_leaves_a_record(house: House) -> None:
    payer, payee = house.account(100_00), house.account()
    answer = house.pay(payer, payee, 30_50)
    assert answer.status_code == 201
    body = answer.json()
    assert house.minor(body["amount"]) == 30_50
    assert (house.balance(payer), house.balance(payee)) == (69_50, 30_50)
    read = house.get(f"/transfers/{body['id']}", payee.headers)
    assert read.json() == body


def test_what_is_not_there_cannot_be_spent(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    before = house.money_and_keys()
    answer = house.pay(payer, payee, 10_01)
    assert answer.status_code == (400 if house.services.build.name == "fragile" else 402)
    assert house.money_and_keys() == before


def test_money_comes_in_and_goes_out(house: House) -> None:
    account = house.account(50_00)
    body = {"amount": house.money(20_00)}
    answer = house.post(f"/wallets/{account.wallet_id}/withdrawals", body, account.headers)
    assert (answer.status_code, answer.json()["type"]) == (201, "WITHDRAWAL")
    assert house.balance(account) == 30_00


def chain(house: House, from_wallet: int, to_wallet: int, amount_minor: int) -> dict[str, object]:
    amount = house.money(amount_minor)
    return {
        "movements": [
            {"type": "WITHDRAWAL", "wallet_id": from_wallet, "amount": amount},
            {"type": "DEPOSIT", "wallet_id": to_wallet, "amount": amount},
        ]
    }


def test_a_chain_is_several_movements(house: House) -> None:
    payer, payee = house.account(50_00), house.account()
    body = chain(house, payer.wallet_id, payee.wallet_id, 20_00)
    answer = house.post("/chains", body, payer.headers)
    assert answer.status_code == 201
    assert [m["type"] for m in answer.json()["movements"]] == ["WITHDRAWAL", "DEPOSIT"]
    assert (house.balance(payer), house.balance(payee)) == (30_00, 20_00)


def test_a_broken_chain_is_undone_only_where_it_is_one_unit(house: House) -> None:
    payer = house.account(50_00)
    body = chain(house, payer.wallet_id, 2**40, 20_00)
    answer = house.post("/chains", body, payer.headers)
    assert answer.status_code == 404
    assert house.balance(payer) == (30_00 if house.services.build.name == "fragile" else 50_00)


def test_several_balances_at_one_moment(house: House) -> None:
    first, second = house.account(1_00), house.account(2_00)
    ids = [first.wallet_id, second.wallet_id]
    answer = house.post("/wallets/balances", {"wallet_ids": ids}, house.operator)
    found = {w["id"]: house.minor(w["balance"]) for w in answer.json()["wallets"]}
    assert found == {first.wallet_id: 1_00, second.wallet_id: 2_00}
    missing = house.post("/wallets/balances", {"wallet_ids": [*ids, 2**40]}, house.operator)
    assert missing.status_code == 404


def test_a_statement_lists_the_newest_first(house: House) -> None:
    payer, payee = house.account(5_00), house.account()
    house.pay(payer, payee, 1_00)
    house.pay(payer, payee, 2_00)
    answer = house.get(f"/wallets/{payer.wallet_id}/entries?limit=2", payer.headers)
    lines = answer.json()["entries"]
    assert [house.minor(line["amount"]) for line in lines] == [2_00, 1_00]
    assert {line["entry_type"] for line in lines} == {"DEBIT"}
    if house.services.double_entry:
        assert [house.minor(line["balance_after"]) for line in lines] == [2_00, 4_00]


def test_a_changed_balance_is_found_by_reconciliation(house: House) -> None:
    account = house.account(7_00)
    clean = house.get("/ledger/reconciliation", house.operator)
    assert (clean.status_code, clean.json()["balanced"]) == (200, True)
    change = "UPDATE wallets SET balance = balance + %s WHERE id = %s"
    house.rows(change, 1, account.wallet_id)
    wrong = house.get("/ledger/reconciliation", house.operator)
    assert wrong.status_code == 503
    assert wrong.json()["first_difference"]["wallet_id"] == account.wallet_id
    house.rows(change, -1, account.wallet_id)


def test_nothing_is_left_open(house: House) -> None:
    """After movements, refusals, replays and reads no session waits in a transaction."""
    payer, payee = house.account(5_00), house.account()
    for _ in range(2):
        house.pay(payer, payee, 1_00, key=f"same-{payer.user_id}")
        house.pay(payer, payee, 500_00, key=f"poor-{payer.user_id}")
    house.balance(payer)
    busy = "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() AND "
    assert house.rows(busy + "pid <> pg_backend_pid() AND state <> 'idle'") == []
    assert house.rows("SELECT * FROM pg_locks WHERE locktype = 'advisory'") == []


def test_the_trial_balance_is_zero_where_the_system_funds(hardened: House) -> None:
    hardened.account(12_34)
    totals = hardened.get("/ledger/trial-balance", hardened.operator).json()["totals"]
    assert {t["asset"]: t["amount"] for t in totals} == {"USD": 0, "GOLD": 0}


def test_twenty_at_once_spend_one_balance_once(hardened: House) -> None:
    payer, payee = hardened.account(10_00), hardened.account()
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(hardened.pay, payer, payee, 10_00) for _ in range(20)]
        statuses = Counter(future.result().status_code for future in waiting)
    assert statuses == {201: 1, 402: 19}
    assert (hardened.balance(payer), hardened.balance(payee)) == (0, 10_00)


def test_opposite_transfers_do_not_deadlock(hardened: House) -> None:
    first, second = hardened.account(50_00), hardened.account(50_00)
    pairs = [(first, second), (second, first)] * 15
    with ThreadPoolExecutor(10) as threads:
        waiting = [threads.submit(hardened.pay, a, b, 1_00) for a, b in pairs]
        assert {future.result().status_code for future in waiting} == {201}
    assert (hardened.balance(first), hardened.balance(second)) == (50_00, 50_00)


def test_assets_do_not_mix(hardened: House) -> None:
    dollars, gold = hardened.account(10_00), hardened.account(asset="GOLD")
    assert problem_of(hardened.pay(dollars, gold, 1_00)) == "asset-mismatch"
    body = {"amount": hardened.money(1_00, "NONE")}
    path = f"/wallets/{dollars.wallet_id}/deposits"
    assert problem_of(hardened.post(path, body, hardened.operator)) == "asset-mismatch"


def test_gold_paid_out_is_no_reason_to_pay_dollars_in(hardened: House) -> None:
    owner = hardened.account(asset="GOLD")
    hardened.deposit(owner.wallet_id, 10_00, "GOLD")
    dollars = hardened.wallet_for(owner.user_id, "USD")
    parts = [("WITHDRAWAL", owner.wallet_id, "GOLD"), ("DEPOSIT", dollars, "USD")]
    movements = [
        {"type": kind, "wallet_id": wallet, "amount": hardened.money(10_00, asset)}
        for kind, wallet, asset in parts
    ]
    answer = hardened.post("/chains", {"movements": movements}, owner.headers)
    assert problem_of(answer) == "forbidden"


@pytest.mark.parametrize("status", ["frozen", "closed"])
def test_an_inactive_wallet_neither_pays_nor_is_paid(hardened: House, status: str) -> None:
    first, second = hardened.account(10_00 if status == "frozen" else 0), hardened.account(10_00)
    path = f"/v1/wallets/{first.wallet_id}"
    changed = hardened.http.patch(path, json={"status": status}, headers=hardened.operator)
    assert changed.json()["status"] == status
    assert problem_of(hardened.pay(first, second, 1)) == "wallet-inactive"
    assert problem_of(hardened.pay(second, first, 1)) == "wallet-inactive"
    assert hardened.get(f"/wallets/{first.wallet_id}", first.headers).json()["status"] == status


def test_a_lock_that_is_not_given_back_ends_in_503(
    databases: Databases, postgres: PostgresServer
) -> None:
    """Bounded by the time-out of 5 s, shortened here by the role's own setting."""
    with house_of("hardened,timeouts=off", databases, postgres, "") as house:
        payer, payee = house.account(10_00), house.account()
        name = house.database_url.rpartition("/")[2]
        house.rows(f'ALTER DATABASE "{name}" SET lock_timeout = 200')
        house.services.database.dispose()
        before = house.money_and_keys()
        with closing(psycopg2.connect(house.database_url)) as side, side.cursor() as cursor:
            cursor.execute("SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (payer.wallet_id,))
            answer = house.pay(payer, payee, 1_00)
        assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
        assert answer.headers["Retry-After"] == "1"
        assert house.money_and_keys() == before
        assert house.pay(payer, payee, 1_00).status_code == 201
