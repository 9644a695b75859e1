"""The wallets of the service itself: nobody names, opens, limits or freezes one."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.batch_client import batch_of, executed, rows_of
from tests.integration.engine_client import Account, House, house_in, house_of, problem_of

LENIENT = "hardened,authentication=none,authorization=trust_body,pin=off"


@pytest.fixture(
    scope="module", params=["hardened", "hardened,execution=orm", "hardened-fast", LENIENT]
)
def house(
    request: pytest.FixtureRequest, databases: Databases, postgres: PostgresServer
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, "") as opened:
        yield opened


@pytest.fixture(params=["system", "escrow"])
def service(request: pytest.FixtureRequest, house: House) -> tuple[int, int]:
    """Its user and the wallet of dollars."""
    found = house.rows(
        "SELECT u.id, w.id FROM users u JOIN wallets w ON w.user_id = u.id "
        "JOIN asset_types a ON a.id = w.asset_type_id WHERE u.role = %s AND a.code = 'USD'",
        request.param,
    )
    ((user_id, wallet_id),) = found
    return user_id, wallet_id


def everything(house: House) -> list[Any]:
    return [*house.money_and_keys(), *house.rows("SELECT * FROM daily_limits")]


def test_no_movement_names_one(house: House, service: tuple[int, int]) -> None:
    payer = house.account(10_00)
    _, wallet = service
    amount = house.money(1_00)
    parts = [
        {"type": "WITHDRAWAL", "wallet_id": payer.wallet_id, "amount": amount},
        {"type": "DEPOSIT", "wallet_id": wallet, "amount": amount},
    ]
    paid = {"from_wallet_id": payer.wallet_id, "to_wallet_id": wallet, "amount": amount}
    taken = {"from_wallet_id": wallet, "to_wallet_id": payer.wallet_id, "amount": amount}
    before = everything(house)
    for path, body, headers in (
        ("/transfers", paid, payer.headers),
        ("/transfers", taken, payer.headers),
        ("/holds", paid, payer.headers),
        ("/holds", taken, payer.headers),
        ("/chains", {"movements": parts}, payer.headers),
        *(
            (f"/wallets/{wallet}/{name}", {"amount": amount}, house.operator)
            for name in ("deposits", "withdrawals", "top-ups", "spends", "bonuses")
        ),
        (
            f"/wallets/{wallet}/bonuses",
            {"amount": amount, "campaign": "FOR-THE-SERVICE"},
            house.operator,
        ),
    ):
        answer = house.post(path, body, headers)
        assert (answer.status_code, problem_of(answer)) == (403, "forbidden"), (path, answer.text)
    assert everything(house) == before


def test_a_batch_pays_none(house: House, service: tuple[int, int]) -> None:
    payer, payee = house.account(10_00), house.account()
    _, wallet = service
    own = Account(user_id=0, wallet_id=wallet, headers={})
    batch = batch_of(house, payer, (payee, "1.00"), (own, "2.00"))
    assert executed(house, payer, batch).json()["success_count"] == 1
    paid, refused = rows_of(house, payer, batch)
    assert (paid["status"], refused["status"]) == ("PAID", "REFUSED")
    assert refused["error"].startswith("forbidden: ")
    assert (house.balance(payer), house.balance(payee)) == (9_00, 1_00)


def test_nobody_opens_freezes_or_limits_one(house: House, service: tuple[int, int]) -> None:
    user, wallet = service
    before = everything(house)

    def sent(method: str, path: str, body: Any) -> httpx.Response:
        answer: httpx.Response = house.http.request(
            method, f"/v1{path}", json=body, headers=dict(house.operator)
        )
        return answer

    for answer in (
        sent("POST", "/wallets", {"user_id": user, "asset": "USD", "label": "shard-1"}),
        sent("PATCH", f"/wallets/{wallet}", {"status": "frozen"}),
        sent("PUT", f"/users/{user}/limits/USD", {"daily_cap": house.money(1)}),
        sent("PUT", f"/users/{user}/limits/USD", {"overdraft": house.money(1)}),
    ):
        assert (answer.status_code, problem_of(answer)) == (403, "forbidden"), answer.text
    assert everything(house) == before


def test_what_a_user_may_do_with_money_goes_on(house: House) -> None:
    """The refusals are for what is named: the other side of a movement is the service's."""
    payer, payee = house.account(10_00), house.account()
    amount = {"amount": house.money(1_00)}
    sides = {"from_wallet_id": payer.wallet_id, "to_wallet_id": payee.wallet_id}
    held = house.post("/holds", sides | amount, payer.headers)
    assert house.post(f"/holds/{held.json()['id']}/capture", None, payee.headers).status_code == 200
    out = house.post(f"/wallets/{payer.wallet_id}/withdrawals", amount, payer.headers)
    assert out.status_code == 201
    back = house.post(f"/transfers/{out.json()['id']}/reversals", None, house.operator)
    assert back.status_code == 201, back.text
    assert (house.balance(payer), house.balance(payee)) == (9_00, 1_00)


def test_only_what_was_opened_as_a_shard_is_one(
    databases: Databases, postgres: PostgresServer
) -> None:
    build = "hardened,treasury=sharded"
    with house_of("hardened", databases, postgres, "") as first:
        # As an earlier version would open them: older than the shards, and so before them.
        first.rows(
            "INSERT INTO wallets (user_id, asset_type_id, label) SELECT u.id, a.id, l "
            "FROM users u, asset_types a, unnest(ARRAY['mine', 'shard-x']) l "
            "WHERE u.role IN ('system', 'escrow')"
        )
        with house_in(first.database_url, build, "") as house:
            for _ in range(20):
                account = house.account(1_00)
                amount = {"amount": house.money(50)}
                path = f"/wallets/{account.wallet_id}"
                assert house.post(f"{path}/spends", amount, account.headers).status_code == 201
            touched = house.rows(
                "SELECT count(*) FROM wallets w JOIN users u ON u.id = w.user_id "
                "WHERE u.role = 'system' AND w.version > 0 GROUP BY w.label = ANY(%s)",
                ["mine", "shard-x"],
            )
            assert touched == [(16,)]
