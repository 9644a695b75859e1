"""Money that is set aside, captured and released over HTTP, in both builds."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of, problem_of

NO_HOLD = f"{'0' * 8}-0000-7000-8000-{'0' * 12}"


@pytest.fixture(scope="module", params=["fragile", "hardened"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def hardened(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


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
