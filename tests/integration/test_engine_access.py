"""Who may do what: forged tokens, other people's wallets, and the order in which one is refused."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from engine.identity import ALGORITHM, AUDIENCE, ISSUER
from engine.provision import Databases
from engine.signing_keys import kid_of
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import (
    OPERATOR_PASSWORD,
    SECRET,
    Account,
    House,
    house_of,
    problem_of,
)


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
def owner(house: House) -> Account:
    return house.account(10_00)


def claims_of(owner: Account, **changes: Any) -> dict[str, Any]:
    now_s = int(time.time())
    claims = {
        "sub": str(owner.user_id), "role": "user", "iat": now_s, "exp": now_s + 60, "iss": ISSUER,
        "aud": AUDIENCE, "jti": "a-token",
    }  # fmt: skip
    return {name: v for name, v in (claims | changes).items() if v is not None}


def signed(claims: dict[str, Any], secret: str = SECRET, algorithm: str = ALGORITHM) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid_of(SECRET)})


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unsigned(claims: dict[str, Any], algorithm: str) -> str:
    header = json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid_of(SECRET)}).encode()
    return f"{part(header)}.{part(json.dumps(claims).encode())}."


def test_a_good_token_is_believed(house: House, owner: Account) -> None:
    headers = {"Authorization": f"Bearer {signed(claims_of(owner))}"}
    assert house.get("/users/me", headers).json()["id"] == owner.user_id


FORGED: dict[str, Callable[[Account], str]] = {
    "other secret": lambda o: signed(claims_of(o), "another secret of more than 32 bytes"),
    "tutorial's secret": lambda o: signed(claims_of(o), "secret" * 6),
    "expired": lambda o: signed(claims_of(o, exp=int(time.time()) - 5)),
    "issued in the future": lambda o: signed(claims_of(o, iat=int(time.time()) + 600)),
    "other audience": lambda o: signed(claims_of(o, aud="shop")),
    "other issuer": lambda o: signed(claims_of(o, iss="shop")),
    "without exp": lambda o: signed(claims_of(o, exp=None)),
    "without iat": lambda o: signed(claims_of(o, iat=None)),
    "without sub": lambda o: signed(claims_of(o, sub=None)),
    "without iss": lambda o: signed(claims_of(o, iss=None)),
    "without jti": lambda o: signed(claims_of(o, jti=None)),
    "jti is no name": lambda o: signed(claims_of(o, jti="' OR 1=1")),
    "jti is a list": lambda o: signed(claims_of(o, jti=["a"])),
    "without kid": lambda o: jwt.encode(claims_of(o), SECRET, algorithm=ALGORITHM),
    "other kid": lambda o: jwt.encode(
        claims_of(o), SECRET, algorithm=ALGORITHM, headers={"kid": "another"}
    ),
    "far too long": lambda o: signed(claims_of(o, exp=2**60)),
    "not yet valid": lambda o: signed(claims_of(o, nbf=int(time.time()) + 600)),
    "without aud": lambda o: signed(claims_of(o, aud=None)),
    "alg none": lambda o: unsigned(claims_of(o), "none"),
    "alg None": lambda o: unsigned(claims_of(o), "None"),
    "unsigned HS256": lambda o: unsigned(claims_of(o), "HS256"),
    "HS512": lambda o: signed(claims_of(o), algorithm="HS512"),
    "subject is no number": lambda o: signed(claims_of(o, sub="1 OR 1=1")),
    "subject of other digits": lambda o: signed(claims_of(o, sub="\u0661")),
    "subject too long": lambda o: signed(claims_of(o, sub="9" * 40)),
    "endless exp": lambda o: signed(claims_of(o, exp=1e400)),
    "nested header": lambda o: f"{part(b'[' * 20_000)}.{part(b'{}')}.{part(b'x')}",
    "header is a list": lambda o: f"{part(b'[]')}.{part(b'{}')}.{part(b'x')}",
    "not base64": lambda o: "a.b.c",
    "no token": lambda o: "",
    "text": lambda o: "hello",
}  # fmt: skip


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_401(
    house: House, owner: Account, forge: Callable[[Account], str]
) -> None:
    headers = {"Authorization": f"Bearer {forge(owner)}"}
    answer = house.get("/users/me", headers)
    assert problem_of(answer) == "unauthenticated"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "bearer  ", "Bearer \xff"])
def test_any_other_authorization_is_401(house: House, header: str) -> None:
    answer = house.http.get("/v1/wallets", headers={"Authorization": header.encode("latin-1")})
    assert problem_of(answer) == "unauthenticated"


def test_logging_in(house: House) -> None:
    user = {"username": "ada", "password": "correct horse"}
    assert house.post("/users", user).status_code == 201
    token = house.post("/auth/token", user).json()["access_token"]
    me = house.get("/users/me", {"Authorization": f"Bearer {token}"}).json()
    assert (me["username"], me["role"]) == ("ada", "user")
    for wrong in ({"username": "ada", "password": "wrong"}, {"username": "bob", "password": "x"}):
        answer = house.post("/auth/token", wrong)
        assert problem_of(answer) == "unauthenticated"
        assert answer.json()["detail"] == "username or password is wrong"
    boss = {"username": "operator", "password": OPERATOR_PASSWORD}
    assert house.post("/auth/token", boss).status_code == 200


@pytest.mark.parametrize("name", ["operator", "Operator", "system"])
def test_reserved_names_are_taken(house: House, name: str) -> None:
    assert problem_of(house.post("/users", {"username": name})) == "already-exists"


def test_a_name_is_taken_once(house: House) -> None:
    assert house.post("/users", {"username": "eve"}).status_code == 201
    assert problem_of(house.post("/users", {"username": "eve"})) == "already-exists"


def test_nobody_pays_from_a_wallet_that_is_not_theirs(house: House, owner: Account) -> None:
    thief = house.account()
    before = house.money_and_keys()
    body = {
        "from_wallet_id": owner.wallet_id,
        "to_wallet_id": thief.wallet_id,
        "amount": house.money(1),
    }
    assert problem_of(house.post("/transfers", body, thief.headers)) == "forbidden"
    withdrawal = f"/wallets/{owner.wallet_id}/withdrawals"
    amount = {"amount": house.money(1)}
    assert problem_of(house.post(withdrawal, amount, thief.headers)) == "forbidden"
    assert problem_of(house.post(withdrawal, amount, house.operator)) == "forbidden"
    deposit = f"/wallets/{thief.wallet_id}/deposits"
    assert problem_of(house.post(deposit, amount, thief.headers)) == "forbidden"
    assert house.money_and_keys() == before


def test_wallets_that_do_not_exist_look_like_other_peoples(house: House, owner: Account) -> None:
    stranger, nowhere = house.account(), 2**40

    def refusals(wallet_id: int) -> list[str]:
        mine, amount = stranger.headers, house.money(1)
        sides = {"from_wallet_id": wallet_id, "to_wallet_id": stranger.wallet_id}
        answers = [
            house.get(f"/wallets/{wallet_id}", mine),
            house.get(f"/wallets/{wallet_id}/entries", mine),
            house.post("/wallets/balances", {"wallet_ids": [wallet_id]}, mine),
            house.post("/transfers", sides | {"amount": amount}, mine),
            house.post(f"/wallets/{wallet_id}/deposits", {"amount": amount}, mine),
        ]
        return [problem_of(answer) for answer in answers]

    assert refusals(owner.wallet_id) == refusals(nowhere) == ["forbidden"] * 5
    assert problem_of(house.get(f"/wallets/{nowhere}", house.operator)) == "not-found"


def test_other_peoples_things_are_not_shown(house: House, owner: Account) -> None:
    stranger = house.account()
    paid = house.pay(owner, house.account(), 1)
    for path in (
        f"/users/{owner.user_id}",
        "/users",
        "/ledger/reconciliation",
        "/ledger/trial-balance",
        f"/transfers/{paid.json()['id']}",
    ):
        assert problem_of(house.get(path, stranger.headers)) == "forbidden", path
        assert house.get(path, house.operator).status_code == 200, path
    own = house.get("/wallets", stranger.headers).json()["wallets"]
    assert [w["id"] for w in own] == [stranger.wallet_id]


def test_a_wallet_is_opened_for_oneself(house: House) -> None:
    user_id = house.user()
    mine = house.token(user_id)
    assert problem_of(house.post("/wallets", {"user_id": 1}, mine)) == "forbidden"
    assert house.post("/wallets", {}, mine).json()["user_id"] == user_id
    assert problem_of(house.post("/wallets", {}, mine)) == "already-exists"
    assert problem_of(house.post("/wallets", {"asset": "NONE"}, mine)) == "asset-mismatch"


def test_refusals_come_in_one_order(house: House, owner: Account) -> None:
    """401, then 400 for the key, then 400 or 422 for the body, then key, 403, 404."""
    other = house.account()
    bad_body: dict[str, Any] = {"from_wallet_id": "x"}

    def send(headers: dict[str, str], **body: Any) -> str:
        content = {"content": body.pop("content")} if "content" in body else {"json": body}
        sent = {"Content-Type": "application/json", **headers}
        return problem_of(house.http.post("/v1/transfers", headers=sent, **content))

    keyed = {**other.headers, "Idempotency-Key": "order"}
    assert send({}, content=b"{") == "unauthenticated"
    assert send({"Idempotency-Key": "k"}, **bad_body) == "unauthenticated"
    assert send(dict(other.headers), content=b"{") == "idempotency-key-missing"
    assert send(dict(other.headers), **bad_body) == "idempotency-key-missing"
    assert send(keyed, content=b"{") == "malformed-body"
    assert send(keyed, **bad_body) == "invalid-request"
    foreign = {"from_wallet_id": owner.wallet_id, "to_wallet_id": 2**40, "amount": house.money(1)}
    assert send(keyed, **foreign) == "forbidden"
    assert send(keyed, **foreign | {"to_wallet_id": 2**41}) == "idempotency-key-reused"
