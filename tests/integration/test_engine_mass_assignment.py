"""Mass assignment: what the service itself decides is not taken from a request's body."""

import secrets
from collections.abc import Iterator

import pytest

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


OWN_FIELDS = {
    "id": 1, "user_id": 1, "balance": 10**9, "status": "COMPLETED", "role": "operator",
    "version": 10**6, "allow_negative": True, "limited": False, "password_hash": "xyzzy",
    "pin_failures": -1000, "type": "DEPOSIT", "batch_id": 1, "success_count": 7,
    "total_amount": 0, "asset_type_id": 1, "idempotency_key": "xyzzy", "timestamp": "2000-01-01",
}  # fmt: skip
"""Columns of the engine's tables that no request may set."""


def test_columns_cannot_be_set_by_naming_them(house: House) -> None:
    """Mass assignment: what the service itself decides is not taken from a body."""
    name, payee = f"mass-{secrets.token_hex(4)}", house.account()
    user = house.post("/users", {**OWN_FIELDS, "username": name}).json()
    assert (user["role"], user["id"] > 1) == ("user", True)
    ((hashed, failures),) = house.rows(
        "SELECT password_hash, pin_failures FROM users WHERE id = %s", user["id"]
    )
    assert (hashed, failures) == (None, 0)
    headers = house.set_pin(house.token(user["id"]))
    mine = {n: v for n, v in OWN_FIELDS.items() if n != "user_id"}
    wallet = house.post("/wallets", mine, headers).json()
    stored = house.rows(
        "SELECT user_id, balance, version, status, allow_negative, limited FROM wallets "
        "WHERE id = %s", wallet["id"]
    )  # fmt: skip
    assert stored == [(user["id"], 0, 0, "active", False, False)]
    assert house.post("/wallets", OWN_FIELDS, headers).status_code == 403, "user_id is a field"
    house.deposit(wallet["id"], 10_00)
    account = Account(user_id=user["id"], wallet_id=wallet["id"], headers=headers)
    body = {"from_wallet_id": account.wallet_id, "to_wallet_id": payee.wallet_id}
    answer = house.post("/transfers", {**OWN_FIELDS, **body, "amount": house.money(1_00)}, headers)
    assert (answer.status_code, answer.json()["type"]) == (201, "TRANSFER")
    recorded = house.rows(
        "SELECT type, amount, to_wallet_id FROM transactions WHERE id = %s", answer.json()["id"]
    )
    assert recorded == [("TRANSFER", 1_00, payee.wallet_id)]
    batch = house.post("/batches", {**OWN_FIELDS, "source_wallet_id": account.wallet_id}, headers)
    assert (batch.json()["status"], batch.json()["success_count"]) == ("PENDING", 0)
    frozen = house.http.patch(
        f"/v1/wallets/{account.wallet_id}",
        json={**OWN_FIELDS, "status": "frozen"},
        headers=dict(house.operator),
    )
    assert (frozen.status_code, frozen.json()["status"]) == (200, "frozen")
    ((balance, owner),) = house.rows(
        "SELECT balance, user_id FROM wallets WHERE id = %s", account.wallet_id
    )
    assert (balance, owner) == (9_00, user["id"])
