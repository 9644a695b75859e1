"""Tokens: worthless after log-out, in every process; keys that are rotated without a break."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from engine.defences import DefenceError
from engine.provision import Databases
from engine.signing_keys import kid_of
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import (
    OPERATOR_PASSWORD,
    SECRET,
    House,
    house_in,
    house_of,
    problem_of,
)

NEWER = "a newer secret, also of 32 bytes and more"


@pytest.fixture(scope="module", params=["hardened", "hardened-fast"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        yield opened


def log_out(house: House, headers: dict[str, str]) -> int:
    return int(house.http.post("/v1/auth/logout", headers=headers).status_code)


def test_a_token_is_worthless_after_log_out(house: House) -> None:
    payer, shop = house.account(1_00), house.account()
    stolen = dict(payer.headers)
    assert log_out(house, stolen) == 204
    before = house.money_and_keys()
    for answer in (
        house.get("/users/me", stolen),
        house.get(f"/wallets/{payer.wallet_id}", stolen),
        house.pay(payer, shop, 1),
        house.http.post("/v1/transfers", content=b"{", headers=stolen),
        house.http.post("/v1/auth/logout", headers=stolen),
        house.http.put("/v1/users/me/pin", json={"pin": "1111"}, headers=stolen),
    ):
        assert problem_of(answer) == "unauthenticated"
        assert answer.json()["detail"] == "the token was logged out"
    assert house.money_and_keys() == before
    other = house.token(payer.user_id)
    assert house.get("/users/me", other).status_code == 200, "the user's other tokens are good"


def test_a_log_out_is_seen_by_another_process_and_after_a_restart(
    house: House, redis_server: RedisServer
) -> None:
    headers = house.token(house.user())
    settings = {"operator_password": OPERATOR_PASSWORD}
    with house_in(house.database_url, "hardened", redis_server.url, **settings) as other:
        assert other.get("/users/me", headers).status_code == 200
        assert log_out(house, headers) == 204
        assert problem_of(other.get("/users/me", headers)) == "unauthenticated"


def test_only_what_expired_long_ago_is_forgotten(house: House) -> None:
    for jti, age in (("old", "2 days"), ("fresh", "1 hour")):
        house.rows(
            "INSERT INTO revoked_tokens (jti, expires_at) VALUES (%s, now() - %s::interval)",
            jti,
            age,
        )
    assert log_out(house, house.token(house.user())) == 204
    kept = {jti for (jti,) in house.rows("SELECT jti FROM revoked_tokens")}
    assert "fresh" in kept
    assert "old" not in kept


def test_logging_out_twice_at_once_is_no_error(house: House) -> None:
    headers = house.token(house.user())
    principal = house.services.tokens.authenticate(headers["Authorization"])
    for _ in range(2):
        house.services.revocations.revoke(principal)
    assert problem_of(house.get("/users/me", headers)) == "unauthenticated"


def test_nobody_logs_out_without_a_token(house: House) -> None:
    assert problem_of(house.http.post("/v1/auth/logout")) == "unauthenticated"


def test_keys_are_rotated(house: House, redis_server: RedisServer) -> None:
    user_id = house.user()
    old = house.token(user_id)
    settings = {"operator_password": OPERATOR_PASSWORD}
    during: dict[str, Any] = {
        **settings,
        "jwt_secret": NEWER,
        "jwt_previous_secrets": (SECRET, f"{SECRET}!"),
    }
    with house_in(house.database_url, "hardened", redis_server.url, **during) as rotated:
        new = rotated.token(user_id)
        assert rotated.get("/users/me", old).status_code == 200
        assert rotated.get("/users/me", new).status_code == 200
        header = jwt.get_unverified_header(new["Authorization"].split()[1])
        assert header["kid"] == kid_of(NEWER)
        assert log_out(rotated, old) == 204
    assert problem_of(house.get("/users/me", old)) == "unauthenticated"
    assert problem_of(house.get("/users/me", new)) == "unauthenticated", "signed by an unknown key"
    after = {**settings, "jwt_secret": NEWER}
    older = house.token(user_id)
    with house_in(house.database_url, "hardened", redis_server.url, **after) as rotated:
        assert problem_of(rotated.get("/users/me", older)) == "unauthenticated"
        assert rotated.get("/users/me", new).status_code == 200


ROTATION: list[dict[str, Any]] = [
    {"jwt_secret": SECRET},
    {"jwt_secret": SECRET, "jwt_previous_secrets": (NEWER,)},
    {"jwt_secret": NEWER, "jwt_previous_secrets": (SECRET,)},
    {"jwt_secret": NEWER},
]
"""As `engine.signing_keys` describes it."""


@pytest.mark.parametrize("step", [1, 2])
def test_while_a_step_of_a_rotation_reaches_them_processes_believe_each_other(
    house: House, redis_server: RedisServer, step: int
) -> None:
    user_id = house.user()
    url = house.database_url
    with (
        house_in(url, "hardened", redis_server.url, **ROTATION[step - 1]) as before,
        house_in(url, "hardened", redis_server.url, **ROTATION[step]) as after,
    ):
        for issuer, reader in ((before, after), (after, before)):
            assert reader.get("/users/me", issuer.token(user_id)).status_code == 200
    # The last step waits until what the old secret signed has expired.
    with house_in(url, "hardened", redis_server.url, **ROTATION[2]) as before:
        new = before.token(user_id)
    with house_in(url, "hardened", redis_server.url, **ROTATION[3]) as after:
        assert after.get("/users/me", new).status_code == 200


def test_a_short_secret_is_refused_also_among_the_old_ones(
    house: House, redis_server: RedisServer
) -> None:
    with (
        pytest.raises(DefenceError, match="JWT_PREVIOUS_SECRETS has 5 bytes"),
        house_in(house.database_url, "hardened", redis_server.url, jwt_previous_secrets=("short",)),
    ):
        pass


def test_where_tokens_are_weak_a_log_out_changes_nothing(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    build = "hardened,authentication=weak"
    with house_of(build, databases, postgres, redis_server.url) as weak:
        headers = weak.token(weak.user())
        assert log_out(weak, headers) == 204
        assert weak.get("/users/me", headers).status_code == 200
