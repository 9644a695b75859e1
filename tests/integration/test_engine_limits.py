"""Limits over a user's wallets, labels, and entity tags, through the API."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.engine_client import Account, House, house_in, house_of, problem_of


@pytest.fixture(
    scope="module",
    params=[
        "fragile",
        "hardened",
        "hardened,execution=orm",
        "hardened-fast",
        "hardened,locking=conditional",
    ],
)
def house(
    request: pytest.FixtureRequest, databases: Databases, postgres: PostgresServer
) -> Iterator[House]:
    build = request.param.replace("fragile", "fragile,balance_cache=off,redis_policy=bounded")
    with house_of(build, databases, postgres, "") as opened:
        yield opened


@pytest.fixture(scope="module")
def hardened(databases: Databases, postgres: PostgresServer) -> Iterator[House]:
    with house_of("hardened", databases, postgres, "") as opened:
        yield opened


def beside(house: House, account: Account, amount_minor: int) -> Account:
    """One more wallet of the same user."""
    body = {"user_id": account.user_id, "asset": "USD", "label": "savings"}
    answer = house.post("/wallets", body, house.operator)
    assert answer.status_code == 201, answer.text
    assert answer.json()["label"] == "savings"
    other = replace(account, wallet_id=answer.json()["id"])
    if amount_minor:
        house.deposit(other.wallet_id, amount_minor)
    return other


def limit(house: House, account: Account, **limits_minor: int | None) -> httpx.Response:
    body = {k: None if v is None else house.money(v) for k, v in limits_minor.items()}
    return put(house, f"/users/{account.user_id}/limits/USD", body, house.operator)


def put(house: House, path: str, body: Any, headers: Any) -> httpx.Response:
    answer: httpx.Response = house.http.put(f"/v1{path}", json=body, headers=headers)
    return answer


def is_refused(house: House, answer: httpx.Response, problem: str) -> bool:
    if house.services.build.defences.errors == "generic":
        return answer.status_code == 400
    return (answer.status_code, problem_of(answer)) == (402, problem)


def test_wallets_cover_for_each_other_down_to_the_limit(house: House) -> None:
    main, shop = house.account(60_00), house.account()
    savings = beside(house, main, 40_00)
    assert limit(house, main, overdraft=20_00).status_code == 200
    assert house.pay(main, shop, 110_00).status_code == 201
    assert house.balance(main) == -50_00
    before = house.money_and_keys()
    assert is_refused(house, house.pay(savings, shop, 10_01), "overdraft-limit")
    assert house.money_and_keys() == before
    # What stays with the owner changes nothing of the sum.
    assert house.pay(savings, main, 40_00).status_code == 201
    assert house.pay(savings, shop, 10_00).status_code == 201
    assert is_refused(house, house.pay(main, shop, 1), "overdraft-limit")
    # Nobody else may go below zero.
    assert is_refused(house, house.pay(shop, main, 999_00), "insufficient-funds")
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_a_daily_limit_counts_what_goes_out_to_others_today(house: House) -> None:
    main, shop = house.account(100_00), house.account(5_00)
    savings = beside(house, main, 100_00)
    assert limit(house, main, daily_cap=50_00).status_code == 200
    assert house.pay(main, savings, 80_00).status_code == 201
    assert house.pay(main, shop, 20_00).status_code == 201
    out = {"amount": house.money(29_99)}
    path = f"/wallets/{savings.wallet_id}/withdrawals"
    assert house.post(path, out, savings.headers).status_code == 201
    before = house.money_and_keys()
    assert is_refused(house, house.pay(savings, shop, 2), "daily-limit")
    assert house.money_and_keys() == before
    assert house.pay(savings, shop, 1).status_code == 201
    # Yesterday's payments do not count, and neither does what comes in.
    house.rows("SET session_replication_role = replica")
    house.rows("UPDATE transactions SET timestamp = timestamp - interval '1 day'")
    house.rows("SET session_replication_role = origin")
    assert house.pay(shop, main, 1_00).status_code == 201
    assert house.pay(savings, shop, 50_00).status_code == 201


def test_what_came_back_does_not_use_up_the_day(house: House) -> None:
    main, shop = house.account(100_00), house.account()
    assert limit(house, main, daily_cap=50_00).status_code == 200
    sides = {"from_wallet_id": main.wallet_id, "to_wallet_id": shop.wallet_id}
    held = [
        house.post("/holds", sides | {"amount": house.money(25_00)}, main.headers).json()["id"]
        for _ in range(2)
    ]
    assert is_refused(house, house.pay(main, shop, 1), "daily-limit")
    assert house.post(f"/holds/{held[0]}/release", None, shop.headers).status_code == 200
    paid = house.pay(main, shop, 25_00)
    assert paid.status_code == 201, paid.text
    # What was captured is paid for good.
    assert house.post(f"/holds/{held[1]}/capture", None, shop.headers).status_code == 200
    assert is_refused(house, house.pay(main, shop, 1), "daily-limit")
    back = house.post(f"/transfers/{paid.json()['id']}/reversals", None, shop.headers)
    assert back.status_code == 201, back.text
    assert is_refused(house, house.pay(main, shop, 25_01), "daily-limit")
    assert house.pay(main, shop, 25_00).status_code == 201
    assert is_refused(house, house.pay(main, shop, 1), "daily-limit")


def test_a_chain_is_judged_movement_by_movement(hardened: House) -> None:
    main = hardened.account(60_00)
    limit(hardened, main, daily_cap=50_00)
    part = {"type": "WITHDRAWAL", "wallet_id": main.wallet_id, "amount": hardened.money(30_00)}
    answer = hardened.post("/chains", {"movements": [part, part]}, main.headers)
    assert (answer.status_code, problem_of(answer)) == (402, "daily-limit")
    assert hardened.balance(main) == 60_00
    back = part | {"type": "DEPOSIT"}
    limit(hardened, main, overdraft=10_00)
    big = part | {"amount": hardened.money(80_00)}
    answer = hardened.post(
        "/chains", {"movements": [big, back]}, dict(hardened.operator) | dict(main.headers)
    )
    assert (answer.status_code, problem_of(answer)) == (402, "overdraft-limit")


def test_a_refusal_by_a_limit_is_kept_under_its_key(hardened: House) -> None:
    main, shop = hardened.account(60_00), hardened.account()
    limit(hardened, main, daily_cap=10_00)
    first = hardened.pay(main, shop, 11_00, key="too-much")
    limit(hardened, main, daily_cap=None)
    again = hardened.pay(main, shop, 11_00, key="too-much")
    assert (again.status_code, again.json()) == (402, first.json())
    assert hardened.pay(main, shop, 11_00).status_code == 201


def test_a_wallet_opened_later_is_limited_too_and_others_are_not(hardened: House) -> None:
    main, shop = hardened.account(10_00), hardened.account()
    limit(hardened, main, overdraft=0)
    savings = beside(hardened, main, 0)
    assert hardened.pay(savings, shop, 4_00).status_code == 201
    assert (hardened.balance(savings), hardened.balance(main)) == (-4_00, 10_00)
    gold = hardened.wallet_for(main.user_id, "GOLD")
    (flags,) = hardened.rows("SELECT limited, allow_negative FROM wallets WHERE id = %s", gold)
    assert flags == (False, False)


def test_an_overdraft_ends_when_it_is_paid_back(hardened: House) -> None:
    main, shop = hardened.account(10_00), hardened.account()
    limit(hardened, main, overdraft=5_00)
    hardened.pay(main, shop, 12_00)
    refused = limit(hardened, main, daily_cap=1_00)
    assert (refused.status_code, problem_of(refused)) == (409, "overdrawn")
    hardened.deposit(main.wallet_id, 2_00)
    assert limit(hardened, main, daily_cap=1_00).status_code == 200
    answer = hardened.pay(main, shop, 1)
    assert (answer.status_code, problem_of(answer)) == (402, "insufficient-funds")


def test_who_sets_and_who_sees_limits(hardened: House) -> None:
    main, other = hardened.account(), hardened.account()
    path = f"/users/{main.user_id}/limits"
    body = {"overdraft": hardened.money(5_00)}
    assert put(hardened, f"{path}/USD", body, main.headers).status_code == 403
    assert put(hardened, f"{path}/USD", body, hardened.operator).status_code == 200
    seen = hardened.get(path, main.headers).json()
    assert seen == {
        "limits": [
            {
                "user_id": main.user_id,
                "asset": "USD",
                "daily_cap": None,
                "overdraft": {"amount": 5_00, "asset": "USD"},
            }
        ]
    }
    assert hardened.get(path, other.headers).status_code == 403
    assert put(hardened, f"{path}/USD", {}, hardened.operator).status_code == 200
    assert hardened.get(path, main.headers).json() == {"limits": []}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/users/{user}/limits/USD", {"daily_cap": {"amount": -1, "asset": "USD"}}, 422),
        ("/users/{user}/limits/USD", {"daily_cap": {"amount": True, "asset": "USD"}}, 422),
        ("/users/{user}/limits/USD", {"overdraft": {"amount": 2**53, "asset": "USD"}}, 422),
        ("/users/{user}/limits/USD", {"overdraft": {"amount": 1, "asset": "GOLD"}}, 422),
        ("/users/{user}/limits/LEAD", {"overdraft": {"amount": 1, "asset": "LEAD"}}, 422),
        ("/users/999999/limits/USD", {"overdraft": {"amount": 1, "asset": "USD"}}, 404),
        ("/users/{system}/limits/USD", {"overdraft": {"amount": 1, "asset": "USD"}}, 403),
    ],
)
def test_a_limit_that_cannot_be_set_changes_nothing(
    hardened: House, path: str, body: Any, status: int
) -> None:
    ((system,),) = hardened.rows("SELECT id FROM users WHERE role = 'system'")
    before = hardened.rows("SELECT * FROM daily_limits"), hardened.money_and_keys()
    named = path.format(user=hardened.account().user_id, system=system)
    before = hardened.rows("SELECT * FROM daily_limits"), hardened.money_and_keys()
    answer = put(hardened, named, body, hardened.operator)
    assert answer.status_code == status, answer.text
    problem_of(answer)
    assert (hardened.rows("SELECT * FROM daily_limits"), hardened.money_and_keys()) == before


def test_only_users_with_a_limit_pay_for_it(hardened: House) -> None:
    free, main, shop = hardened.account(50_00), hardened.account(50_00), hardened.account()
    limit(hardened, main, daily_cap=40_00, overdraft=0)
    counts = []
    for payer in (free, main):
        hardened.pay(payer, shop, 1_00)
        sent: list[str] = []

        def note(_: object, __: object, statement: str, *___: object, to: Any = sent) -> None:
            to.append(statement)

        sa.event.listen(hardened.services.database, "before_cursor_execute", note)
        assert hardened.pay(payer, shop, 1_00).status_code == 201
        sa.event.remove(hardened.services.database, "before_cursor_execute", note)
        counts.append(len(sent))
    assert counts == [6, 10]


def test_a_label_tells_wallets_apart_and_is_taken_once(house: House) -> None:
    main = house.account()
    beside(house, main, 0)
    again = {"user_id": main.user_id, "asset": "USD", "label": "savings"}
    refused = house.post("/wallets", again, house.operator)
    assert refused.status_code == (400 if "fragile" in house.services.build.name else 409)
    assert house.post("/wallets", again | {"label": "ü b"}, house.operator).status_code == 422
    assert house.post("/wallets", again | {"label": ""}, house.operator).status_code in (400, 409)


def test_a_status_is_changed_only_over_what_was_read(hardened: House) -> None:
    account = hardened.account(1_00)
    path = f"/v1/wallets/{account.wallet_id}"

    def patch(status: str, tag: str | None) -> httpx.Response:
        headers = dict(hardened.operator) | ({} if tag is None else {"If-Match": tag})
        answer: httpx.Response = hardened.http.patch(path, json={"status": status}, headers=headers)
        return answer

    tag = hardened.http.get(path, headers=account.headers).headers["ETag"]
    assert tag == '"1"'
    for wrong in ('"0"', '"1-frozen"', f"W/{tag}", "1", '"2", "3"'):
        answer = patch("frozen", wrong)
        assert (answer.status_code, problem_of(answer)) == (412, "precondition-failed"), wrong
        assert answer.json()["errors"][0]["field"] == "If-Match"
    frozen = patch("frozen", f'"7", {tag}')
    assert (frozen.status_code, frozen.headers["ETag"]) == (200, '"1-frozen"')
    assert hardened.http.get(path, headers=account.headers).headers["ETag"] == '"1-frozen"'
    # Who has read it before it was frozen does not wake it up.
    assert patch("active", tag).status_code == 412
    assert patch("active", "*").status_code == 200
    hardened.deposit(account.wallet_id, 1_00)
    assert patch("frozen", tag).status_code == 412
    assert patch("frozen", None).status_code == 200
    nobody = hardened.http.patch(
        "/v1/wallets/999999",
        json={"status": "frozen"},
        headers=dict(hardened.operator) | {"If-Match": tag},
    )
    assert nobody.status_code == 404


def test_several_system_wallets_are_one_treasury(
    databases: Databases, postgres: PostgresServer
) -> None:
    build = "hardened,treasury=sharded"
    of_system = "FROM wallets w JOIN users u ON u.id = w.user_id WHERE u.role = 'system'"
    with house_of(build, databases, postgres, "") as house:
        for _ in range(5):
            house.deposit(house.account().wallet_id, 10_00)
        account = house.account(10_00)
        out = {"amount": house.money(4_00)}
        path = f"/wallets/{account.wallet_id}/withdrawals"
        assert house.post(path, out, account.headers).status_code == 201
        assert house.rows(f"SELECT count(*) {of_system}") == [(32,)]
        assert house.rows(f"SELECT count(*), sum(balance) {of_system} AND balance < 0") == [
            (6, -56_00)
        ]
        totals = house.get("/ledger/trial-balance", house.operator).json()
        assert {total["amount"] for total in totals["totals"]} == {0}
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200
        # Started again, it opens none twice.
        with house_in(house.database_url, build, "") as again:
            assert again.rows(f"SELECT count(*) {of_system}") == [(32,)]
