"""Giving movements back over HTTP, in both builds."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.engine_client import Account, House, house_of, problem_of


def reverse(
    house: House, movement: httpx.Response, account: Account, *, key: str = ""
) -> httpx.Response:
    path = f"/transfers/{movement.json()['id']}/reversals"
    return house.post(path, None, account.headers, key=key)


def test_a_payment_is_given_back_once(house: House) -> None:
    payer, payee = house.account(100_00), house.account()
    paid = house.pay(payer, payee, 30_00)
    answer = reverse(house, paid, payee)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["type"], body["reverses_transaction_id"]) == ("REVERSAL", paid.json()["id"])
    assert (house.balance(payer), house.balance(payee)) == (100_00, 0)
    before = house.money_and_keys()
    again = reverse(house, paid, payee)
    assert again.status_code == (400 if house.services.build.name == "fragile" else 409)
    assert "reversed" in again.text
    assert house.money_and_keys() == before
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_what_came_from_outside_goes_back_there(house: House) -> None:
    account = house.account(10_00)
    answer = house.post(
        f"/wallets/{account.wallet_id}/deposits", {"amount": house.money(5_00)}, house.operator
    )
    path = f"/transfers/{answer.json()['id']}/reversals"
    assert house.post(path, None, house.operator).status_code == 201
    assert house.balance(account) == 10_00
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_only_the_payee_and_an_operator_give_back(hardened: House) -> None:
    payer, payee, other = hardened.account(100_00), hardened.account(), hardened.account()
    paid = hardened.pay(payer, payee, 30_00)
    before = hardened.money_and_keys()
    for account in (payer, other):
        assert problem_of(reverse(hardened, paid, account)) == "forbidden"
    missing = f"/transfers/{'0' * 8}-0000-7000-8000-{'0' * 12}/reversals"
    assert problem_of(hardened.post(missing, None, payee.headers)) == "forbidden"
    assert problem_of(hardened.post(missing, None, hardened.operator)) == "not-found"
    assert hardened.money_and_keys() == before
    path = f"/transfers/{paid.json()['id']}/reversals"
    assert hardened.post(path, None, hardened.operator).status_code == 201


def test_a_reversal_cannot_be_reversed(hardened: House) -> None:
    payer, payee = hardened.account(100_00), hardened.account()
    back = reverse(hardened, hardened.pay(payer, payee, 30_00), payee)
    path = f"/transfers/{back.json()['id']}/reversals"
    assert problem_of(hardened.post(path, None, hardened.operator)) == "not-reversible"


def test_what_was_spent_meanwhile_cannot_be_given_back(hardened: House) -> None:
    payer, payee, shop = hardened.account(10_00), hardened.account(), hardened.account()
    paid = hardened.pay(payer, payee, 10_00)
    hardened.pay(payee, shop, 4_00)
    before = hardened.money_and_keys()
    assert problem_of(reverse(hardened, paid, payee)) == "insufficient-funds"
    assert hardened.money_and_keys() == before


def test_the_same_key_gets_the_same_answer(hardened: House) -> None:
    payer, payee = hardened.account(10_00), hardened.account()
    paid = hardened.pay(payer, payee, 10_00)
    first, second = (reverse(hardened, paid, payee, key="once-more") for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    refused = [reverse(hardened, paid, payee, key="too-late") for _ in range(2)]
    assert problem_of(refused[0]) == "already-reversed"
    assert refused[1].json() == refused[0].json()
    assert refused[1].headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    "build", ["hardened", "hardened,locking=none", "hardened,locking=none,execution=orm"]
)
def test_ten_at_once_give_back_once(
    databases: Databases, postgres: PostgresServer, build: str
) -> None:
    """By the wallets' locks, or by the unique index, which is no error to anybody."""
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(50_00), house.account(50_00)
        paid = house.pay(payer, payee, 10_00)
        with ThreadPoolExecutor(10) as threads:
            waiting = [threads.submit(reverse, house, paid, payee) for _ in range(10)]
            statuses = Counter(future.result().status_code for future in waiting)
        assert statuses == {201: 1, 409: 9}
        assert (house.balance(payer), house.balance(payee)) == (50_00, 50_00)
