"""PINs: asked for on every movement, few tries, told to nobody."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from engine.defences import DefenceError
from engine.pins import MOST_FAILURES
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.batch_client import batch_of, executed
from tests.integration.engine_client import (
    OPERATOR_PASSWORD,
    PIN,
    Account,
    House,
    house_in,
    house_of,
    problem_of,
)

WRONG = "0815"


@pytest.fixture(scope="module", params=["hardened", "hardened-fast"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(house: House) -> Account:
    return house.account()


@pytest.fixture
def payer(house: House) -> Account:
    return house.account(10_00)


def sending(account: Account, pin: str | None) -> Account:
    headers = {name: value for name, value in account.headers.items() if name != "X-Pin"}
    return replace(account, headers=headers if pin is None else {**headers, "X-Pin": pin})


def paid(house: House, payer: Account, shop: Account, pin: str | None, key: str = "") -> str:
    """201, or the refusal's name."""
    answer = house.pay(sending(payer, pin), shop, 1, key=key)
    return "201" if answer.status_code == 201 else problem_of(answer)


def wrong_tries(house: House, payer: Account, shop: Account, times: int) -> list[str]:
    return [paid(house, payer, shop, WRONG) for _ in range(times)]


def counted(house: House, account: Account) -> tuple[int, bool]:
    """Failures, and whether the PIN is locked."""
    sql = "SELECT pin_failures, pin_locked_until > now() FROM users WHERE id = %s"
    ((failures, locked),) = house.rows(sql, account.user_id)
    return failures, bool(locked)


def test_every_movement_asks(house: House, payer: Account, shop: Account) -> None:
    amount = {"amount": house.money(1)}
    withdrawal = f"/wallets/{payer.wallet_id}/withdrawals"
    deposit = f"/wallets/{payer.wallet_id}/deposits"
    part = {"type": "WITHDRAWAL", "wallet_id": payer.wallet_id, **amount}
    before = house.money_and_keys()
    operator = {"Authorization": house.operator["Authorization"]}
    for pin, name in ((None, "pin-required"), (WRONG, "pin-wrong"), ("12345", "pin-malformed")):
        bare = sending(payer, pin).headers
        boss = operator if pin is None else {**operator, "X-Pin": pin}
        assert paid(house, payer, shop, pin) == name
        assert problem_of(house.post(withdrawal, amount, bare)) == name
        assert problem_of(house.post("/chains", {"movements": [part]}, bare)) == name
        assert problem_of(house.post(deposit, amount, boss)) == name
    assert house.money_and_keys() == before
    assert house.post(withdrawal, amount, payer.headers).status_code == 201
    assert house.post(deposit, amount, house.operator).status_code == 201


def test_what_was_set_up_before_asks_too(house: House, payer: Account, shop: Account) -> None:
    hold = {
        "from_wallet_id": payer.wallet_id,
        "to_wallet_id": shop.wallet_id,
        "amount": house.money(1),
    }
    held = house.post("/holds", hold, payer.headers).json()["id"]
    reversal = f"/transfers/{house.pay(payer, shop, 1).json()['id']}/reversals"
    batch = batch_of(house, payer, (shop, "0.01"))
    chosen = {"rows": [1]}
    before = house.money_and_keys()
    for pin, name in ((None, "pin-required"), (WRONG, "pin-wrong"), ("12345", "pin-malformed")):
        bare = sending(payer, pin)
        assert problem_of(house.post("/holds", hold, bare.headers)) == name
        assert problem_of(house.post(f"/holds/{held}/release", None, bare.headers)) == name
        assert problem_of(house.post(reversal, None, bare.headers)) == name
        assert problem_of(executed(house, bare, batch)) == name
        boss = sending(replace(payer, headers=house.operator), pin).headers
        assert problem_of(house.post(f"/batches/{batch}/compensations", chosen, boss)) == name
    assert house.money_and_keys() == before
    assert executed(house, payer, batch).json()["status"] == "COMPLETED"


def test_the_body_may_carry_it_and_the_key_does_not_remember_it(
    house: House, payer: Account, shop: Account
) -> None:
    body = {
        "from_wallet_id": payer.wallet_id,
        "to_wallet_id": shop.wallet_id,
        "amount": house.money(5),
    }
    bare = sending(payer, None).headers
    first = house.post("/transfers", {**body, "pin": PIN}, bare, key="by-body")
    assert first.status_code == 201
    again = house.post("/transfers", body, payer.headers, key="by-body")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


def test_a_refusal_for_the_pin_is_not_kept_under_the_key(
    house: House, payer: Account, shop: Account
) -> None:
    assert paid(house, payer, shop, None, "mine") == "pin-required"
    assert paid(house, payer, shop, WRONG, "mine") == "pin-wrong"
    assert house.rows("SELECT FROM idempotency_keys WHERE key = 'mine'") == []
    assert paid(house, payer, shop, PIN, "mine") == "201"
    assert paid(house, payer, shop, WRONG, "mine") == "pin-wrong", "no replay without the PIN"


def test_five_wrong_tries_lock(house: House, payer: Account, shop: Account) -> None:
    assert wrong_tries(house, payer, shop, 7) == ["pin-wrong"] * 5 + ["pin-locked"] * 2
    answer = house.pay(payer, shop, 1)
    assert (answer.status_code, problem_of(answer)) == (423, "pin-locked")
    assert counted(house, payer) == (5, True)
    assert house.balance(payer) == 10_00
    new = house.http.put("/v1/users/me/pin", json={"pin": "1111"}, headers=payer.headers)
    assert problem_of(new) == "pin-locked"
    # After a while there are five tries again.
    house.rows("UPDATE users SET pin_locked_until = now() WHERE id = %s", payer.user_id)
    assert wrong_tries(house, payer, shop, 1) == ["pin-wrong"]
    assert counted(house, payer) == (1, False)
    assert paid(house, payer, shop, PIN) == "201"
    assert counted(house, payer) == (0, False)


def test_the_right_pin_begins_the_count_anew(house: House, payer: Account, shop: Account) -> None:
    for _ in range(3):
        assert wrong_tries(house, payer, shop, 4) == ["pin-wrong"] * 4
        assert paid(house, payer, shop, PIN) == "201"


def test_what_is_malformed_is_no_try(house: House, payer: Account, shop: Account) -> None:
    for pin in ("12345", "123", "abcd", "47 1", "+123"):
        assert paid(house, payer, shop, pin) == "pin-malformed"
    assert paid(house, payer, shop, "") == "pin-required"
    assert counted(house, payer) == (0, False)


def test_without_a_pin_nothing_moves(house: House, shop: Account) -> None:
    user_id = house.user()
    wallet_id = house.wallet_for(user_id)
    house.deposit(wallet_id, 1_00)
    bare = Account(user_id=user_id, wallet_id=wallet_id, headers=house.token(user_id))
    assert paid(house, bare, shop, PIN) == "pin-not-set"
    assert paid(house, bare, shop, None) == "pin-required"
    house.set_pin(bare.headers)
    assert paid(house, bare, shop, PIN) == "201"


def test_changing_it_takes_the_current_one(house: House, payer: Account, shop: Account) -> None:
    def change(body: dict[str, Any], pin: str | None = None) -> str:
        headers = dict(sending(payer, pin).headers)
        answer = house.http.put("/v1/users/me/pin", json=body, headers=headers)
        return "204" if answer.status_code == 204 else problem_of(answer)

    assert change({"pin": "1234"}) == "pin-required"
    assert change({"pin": "1234"}, WRONG) == "pin-wrong"
    assert change({"pin": "1234", "current_pin": WRONG}) == "pin-wrong"
    assert counted(house, payer) == (2, False)
    assert change({"pin": "12a4"}, PIN) == "pin-malformed"
    assert change({"pin": "12345"}, PIN) == "invalid-request"
    assert change({"pin": 1234}, PIN) == "invalid-request"
    assert change({"pin": "1234", "current_pin": PIN}) == "204"
    assert paid(house, payer, shop, PIN) == "pin-wrong"
    assert paid(house, payer, shop, "1234") == "201"
    assert change({"pin": PIN}, "1234") == "204"
    bare = {"Content-Type": "application/json"}
    assert problem_of(house.http.put("/v1/users/me/pin", json={}, headers=bare)) == (
        "unauthenticated"
    )


def test_it_comes_after_the_body_and_before_the_key_and_the_owner(
    house: House, payer: Account, shop: Account
) -> None:
    thief = house.account()
    bad_body = {"from_wallet_id": "x", "to_wallet_id": shop.wallet_id}
    assert problem_of(house.post("/transfers", bad_body, sending(thief, WRONG).headers)) == (
        "invalid-request"
    )
    assert counted(house, thief) == (0, False)
    stolen = replace(payer, headers=sending(thief, WRONG).headers)
    assert problem_of(house.pay(stolen, shop, 1)) == "pin-wrong"
    assert problem_of(house.pay(replace(payer, headers=thief.headers), shop, 1)) == "forbidden"


def test_equal_pins_do_not_look_alike_and_none_is_kept(house: House, payer: Account) -> None:
    hashes = house.rows("SELECT pin_hash FROM users WHERE pin_hash IS NOT NULL")
    assert len(set(hashes)) == len(hashes) > 1
    assert all(PIN not in digest[:4] and len(digest) == 64 for (digest,) in hashes)
    assert "pin" not in house.get("/users/me", payer.headers).text


def test_nothing_tells_it(
    house: House, payer: Account, shop: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where everything fails: no answer, no log."""
    secret = "7093"
    with caplog.at_level(logging.DEBUG):
        house.rows("ALTER TABLE users RENAME COLUMN pin_failures TO gone")
        try:
            answers = [
                house.pay(sending(payer, secret), shop, 1),
                house.pay(sending(payer, f"{secret}{secret}"), shop, 1),
                house.post("/transfers", {"pin": [secret]}, payer.headers),
                house.post("/transfers", {"pin": secret}, payer.headers),
            ]
        finally:
            house.rows("ALTER TABLE users RENAME COLUMN gone TO pin_failures")
    assert [a.status_code for a in answers] == [500, 422, 422, 422]
    assert "engine" in {record.name for record in caplog.records}
    told = caplog.text + "".join(a.text for a in answers)
    assert secret not in told
    assert "pin_failures" not in "".join(a.text for a in answers)


@pytest.mark.parametrize("start", [0, 3])
def test_tries_at_once_do_not_pass_five(
    house: House, payer: Account, shop: Account, start: int
) -> None:
    wrong_tries(house, payer, shop, start)
    with ThreadPoolExecutor(8) as threads:
        tries = list(threads.map(lambda _: paid(house, payer, shop, WRONG), range(16)))
    assert tries.count("pin-wrong") == MOST_FAILURES - start
    assert tries.count("pin-locked") == len(tries) - (MOST_FAILURES - start)


@pytest.mark.parametrize(
    "case",
    [
        ("off", ["201"] * 7, "201"),
        ("unlimited", ["pin-wrong"] * 7, "201"),
        ("counted_after", ["pin-wrong"] * 5 + ["pin-locked"] * 2, "pin-locked"),
    ],
)
@pytest.mark.parametrize("scope", ["inline", "dependency"])
def test_fragile_values(
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
    case: tuple[str, list[str], str],
    scope: str,
) -> None:
    pin, tries, then = case
    build = f"hardened,pin={pin},session_scope={scope}"
    with house_of(build, databases, postgres, redis_server.url) as house:
        payer, shop = house.account(10_00), house.account()
        assert wrong_tries(house, payer, shop, 7) == tries
        assert paid(house, payer, shop, PIN) == then
        if pin == "counted_after":
            assert counted(house, payer) == (5, True)
            house.rows("UPDATE users SET pin_locked_until = now() WHERE id = %s", payer.user_id)
            assert wrong_tries(house, payer, shop, 1) == ["pin-wrong"]
            assert paid(house, payer, shop, PIN) == "201"
            assert counted(house, payer) == (0, False)
        if pin == "off":
            body = {"pin": PIN}
            answer = house.http.put("/v1/users/me/pin", json=body, headers=dict(payer.headers))
            assert problem_of(answer) == "not-found"


def test_a_held_session_is_counted_as_well(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    build = "hardened,session_scope=dependency,locking=serializable"
    with house_of(build, databases, postgres, redis_server.url) as house:
        payer, shop = house.account(10_00), house.account()
        assert wrong_tries(house, payer, shop, 4) == ["pin-wrong"] * 4
        assert paid(house, payer, shop, PIN) == "201"
        assert wrong_tries(house, payer, shop, 6) == ["pin-wrong"] * 5 + ["pin-locked"]


def test_the_count_outlives_the_process(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with house_of("hardened", databases, postgres, redis_server.url) as house:
        payer, shop = house.account(10_00), house.account()
        wrong_tries(house, payer, shop, 4)
    with house_in(
        house.database_url, "hardened", redis_server.url, operator_password=OPERATOR_PASSWORD
    ) as again:
        assert wrong_tries(again, payer, shop, 2) == ["pin-wrong", "pin-locked"]


def test_a_short_pepper_is_refused(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        pytest.raises(DefenceError, match="PIN_PEPPER has 5 bytes"),
        house_of("hardened", databases, postgres, redis_server.url, pin_pepper="short"),
    ):
        pass
