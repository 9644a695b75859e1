"""Money that is set aside, captured and released over HTTP, in both builds."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psycopg2
import pytest

from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.engine_client import PIN, Account, House, house_of, problem_of

ENDS = ("capture", "release")
NO_HOLD = f"{'0' * 8}-0000-7000-8000-{'0' * 12}"


def hold(house: House, payer: Account, payee: Account, amount_minor: int) -> httpx.Response:
    body = {
        "from_wallet_id": payer.wallet_id,
        "to_wallet_id": payee.wallet_id,
        "amount": house.money(amount_minor),
    }
    return house.post("/holds", body, payer.headers)


def end(house: House, held: httpx.Response, what: str, account: Account) -> httpx.Response:
    return house.post(f"/holds/{held.json()['id']}/{what}", None, account.headers)


def test_what_is_held_cannot_be_spent(house: House) -> None:
    payer, payee = house.account(100_00), house.account()
    held = hold(house, payer, payee, 70_00)
    assert held.status_code == 201, held.text
    assert held.json()["status"] == "active"
    assert house.get(f"/holds/{held.json()['id']}", payee.headers).json() == held.json()
    assert (house.balance(payer), house.balance(payee)) == (30_00, 0)
    refused = house.pay(payer, payee, 30_01)
    assert refused.status_code == (400 if house.services.build.name == "fragile" else 402)
    assert hold(house, payer, payee, 30_01).status_code == refused.status_code


@pytest.mark.parametrize(
    ("what", "status", "balances"),
    [("capture", "captured", (30_00, 70_00)), ("release", "released", (100_00, 0))],
)
def test_a_hold_ends_once(house: House, what: str, status: str, balances: tuple[int, int]) -> None:
    payer, payee = house.account(100_00), house.account()
    hold(house, house.account(500_00), payee, 500_00)  # Somebody else's money waits as well.
    held = hold(house, payer, payee, 70_00)
    answer = end(house, held, what, payee)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["hold_id"], body["hold_status"]) == (held.json()["id"], status)
    assert (house.balance(payer), house.balance(payee)) == balances
    before = house.money_and_keys()
    for second in ("capture", "release"):
        again = end(house, held, second, payee)
        assert again.status_code == (400 if house.services.build.name == "fragile" else 409)
        assert status in again.text
    assert house.money_and_keys() == before
    shown = house.get(f"/holds/{held.json()['id']}", payer.headers).json()
    assert shown["status"] == status
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_active_holds_are_what_the_escrow_has(hardened: House) -> None:
    payer, payee = hardened.account(100_00), hardened.account()
    ends = [hold(hardened, payer, payee, 10_00 + number) for number in range(3)]
    end(hardened, ends[0], "capture", payee)
    end(hardened, ends[1], "release", payee)
    ((escrow,),) = hardened.rows(
        "SELECT w.balance FROM wallets w JOIN users u ON u.id = w.user_id "
        "JOIN asset_types a ON a.id = w.asset_type_id WHERE u.role = 'escrow' AND a.code = 'USD'"
    )
    ((active,),) = hardened.rows("SELECT sum(amount) FROM holds WHERE status = 'active'")
    assert escrow == active > 0
    totals = hardened.get("/ledger/trial-balance", hardened.operator).json()["totals"]
    assert {t["amount"] for t in totals} == {0}


def test_a_wallet_with_money_set_aside_cannot_be_closed(hardened: House) -> None:
    payer, payee = hardened.account(10_00), hardened.account()
    held = hold(hardened, payer, payee, 10_00)
    path = f"/v1/wallets/{payer.wallet_id}"
    answer = hardened.http.patch(path, json={"status": "closed"}, headers=hardened.operator)
    assert problem_of(answer) == "wallet-not-empty"
    end(hardened, held, "capture", payee)
    answer = hardened.http.patch(path, json={"status": "closed"}, headers=hardened.operator)
    assert answer.json()["status"] == "closed"


def set_status(house: House, account: Account, status: str) -> httpx.Response:
    path = f"/v1/wallets/{account.wallet_id}"
    answer: httpx.Response = house.http.patch(path, json={"status": status}, headers=house.operator)
    return answer


@pytest.mark.parametrize("what", ["capture", "release"])
def test_a_wallet_that_is_waited_for_cannot_be_closed(hardened: House, what: str) -> None:
    payer, payee = hardened.account(10_00), hardened.account()
    held = hold(hardened, payer, payee, 10_00)
    assert problem_of(set_status(hardened, payee, "closed")) == "wallet-not-empty"
    assert end(hardened, held, what, payee).status_code == 200
    out = payee if what == "capture" else payer
    amount = {"amount": hardened.money(10_00)}
    spent = hardened.post(f"/wallets/{out.wallet_id}/spends", amount, out.headers)
    assert spent.status_code == 201
    assert set_status(hardened, payee, "closed").json()["status"] == "closed"


@pytest.mark.parametrize("status", ["frozen", "closed"])
def test_nothing_is_held_for_a_wallet_that_takes_nothing(hardened: House, status: str) -> None:
    payer, payee, gold = hardened.account(10_00), hardened.account(), hardened.account(0, "GOLD")
    for account in (payee, gold):
        assert set_status(hardened, account, status).status_code == 200
    before = hardened.money_and_keys()
    told = set()
    for account in (payee, gold):  # Inactive comes before the asset.
        for answer in (hold(hardened, payer, account, 1_00), hardened.pay(payer, account, 1_00)):
            assert (answer.status_code, problem_of(answer)) == (409, "wallet-inactive")
            told.add(answer.json()["detail"])
    assert told == {"the payee's wallet takes no payments"}
    assert hardened.money_and_keys() == before
    set_status(hardened, payer, "frozen")
    other = hold(hardened, payer, hardened.account(0, "GOLD"), 99_00)
    assert problem_of(other) == "wallet-inactive"
    assert other.json()["detail"] == f"wallet {payer.wallet_id} is frozen"


@pytest.mark.parametrize("build", ["hardened", "hardened,locking=version,execution=orm"])
def test_a_hold_and_the_end_of_its_payees_wallet_see_each_other(
    databases: Databases, postgres: PostgresServer, build: str
) -> None:
    """The wallet is being closed: the hold waits for that, and does not miss it."""
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(10_00), house.account()
        with closing(psycopg2.connect(house.database_url)) as side, ThreadPoolExecutor(1) as thread:
            with side.cursor() as cursor:
                cursor.execute("SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (payee.wallet_id,))
                cursor.execute(
                    "UPDATE wallets SET status = 'closed' WHERE id = %s", (payee.wallet_id,)
                )
            holding = thread.submit(hold, house, payer, payee, 1_00)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not holding.done() and house.rows(waiting) == [(0,)]:
                pass
            side.commit()
            answer = holding.result()
        assert (answer.status_code, problem_of(answer)) == (409, "wallet-inactive")
        assert house.rows("SELECT * FROM holds") == []


def test_the_pin_may_come_in_the_body(hardened: House) -> None:
    payer, payee = hardened.account(10_00), hardened.account()
    without = {name: value for name, value in payee.headers.items() if name != "X-Pin"}
    paths = [f"/holds/{hold(hardened, payer, payee, 1_00).json()['id']}/{what}" for what in ENDS]
    paths.append(f"/transfers/{hardened.pay(payer, payee, 1_00).json()['id']}/reversals")
    for path in paths:
        assert problem_of(hardened.post(path, None, without)) == "pin-required"
        assert problem_of(hardened.post(path, {}, without)) == "pin-required"
        assert problem_of(hardened.post(path, {"pin": "0000"}, without)) == "pin-wrong"
        assert problem_of(hardened.post(path, {"pin": [PIN]}, without)) == "invalid-request"
        done = hardened.post(path, {"pin": PIN}, without, key=path.replace("/", "-"))
        assert done.status_code in {200, 201}, done.text
        # The PIN is no part of what was asked for.
        again = hardened.post(path, None, payee.headers, key=path.replace("/", "-"))
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json() == done.json()


def test_only_the_payee_and_an_operator_end_a_hold(hardened: House) -> None:
    payer, payee, other = hardened.account(100_00), hardened.account(), hardened.account()
    held = hold(hardened, payer, payee, 70_00)
    before = hardened.money_and_keys()
    for what in ("capture", "release"):
        for account in (payer, other):
            assert problem_of(end(hardened, held, what, account)) == "forbidden"
        missing = f"/holds/{NO_HOLD}/{what}"
        assert problem_of(hardened.post(missing, None, payee.headers)) == "forbidden"
        assert problem_of(hardened.post(missing, None, hardened.operator)) == "not-found"
    assert hardened.money_and_keys() == before
    body = {
        "from_wallet_id": payer.wallet_id,
        "to_wallet_id": other.wallet_id,
        "amount": hardened.money(1),
    }
    assert problem_of(hardened.post("/holds", body, other.headers)) == "forbidden"
    path = f"/holds/{held.json()['id']}"
    assert problem_of(hardened.get(path, other.headers)) == "forbidden"
    assert problem_of(hardened.get(f"/holds/{NO_HOLD}", payer.headers)) == "forbidden"
    assert problem_of(hardened.get(f"/holds/{NO_HOLD}", hardened.operator)) == "not-found"
    assert hardened.post(f"{path}/release", None, hardened.operator).status_code == 200


def test_a_hold_needs_a_payee_of_its_asset(hardened: House) -> None:
    payer, gold = hardened.account(10_00), hardened.account(asset="GOLD")
    before = hardened.money_and_keys()
    assert problem_of(hold(hardened, payer, gold, 1_00)) == "asset-mismatch"
    assert problem_of(hold(hardened, payer, payer, 1_00)) == "self-transfer"
    # The body alone shows it: said to anybody, and not kept under the key.
    own = {"from_wallet_id": payer.wallet_id, "to_wallet_id": payer.wallet_id}
    body = own | {"amount": hardened.money(1_00)}
    for headers in (payer.headers, gold.headers):
        refused = hardened.post("/holds", body, headers, key="to-oneself")
        assert (refused.status_code, problem_of(refused)) == (422, "self-transfer")
    assert hardened.rows("SELECT * FROM idempotency_keys WHERE key = 'to-oneself'") == []
    nobody = Account(user_id=0, wallet_id=2**40, headers={})
    assert problem_of(hold(hardened, payer, nobody, 1_00)) == "not-found"
    assert hardened.money_and_keys() == before


@pytest.mark.parametrize(
    "build", ["hardened", "hardened,locking=none", "hardened,funding=open,execution=orm"]
)
def test_ten_at_once_end_a_hold_once(
    databases: Databases, postgres: PostgresServer, build: str
) -> None:
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(50_00), house.account(50_00)
        hold(house, house.account(500_00), payee, 500_00)
        held = hold(house, payer, payee, 10_00)
        with ThreadPoolExecutor(10) as threads:
            waiting = [
                threads.submit(end, house, held, what, payee) for what in ("capture", "release") * 5
            ]
            statuses = Counter(future.result().status_code for future in waiting)
        assert statuses == {200: 1, 409: 9}
        assert sum(map(house.balance, (payer, payee))) == 100_00
