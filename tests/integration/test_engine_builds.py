"""Every build starts and serves, or says in one line why not; its documents are whole."""

import json
import secrets
from collections.abc import Callable, Iterator

import jsonschema
import pytest
from fastapi.testclient import TestClient

from engine.app import create_app
from engine.defences import (
    DefenceError,
    Defences,
    named_builds,
    parse_build,
    switches,
    values_of,
)
from engine.migrations import Shape
from engine.provision import Databases
from engine.settings import Settings
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import PEPPER, SECRET, House, house_in, house_of


def single_changes() -> list[str]:
    builds = list(named_builds())
    for base in ("fragile", "hardened", "hardened-fast"):
        defences = parse_build(base).defences
        builds += [
            f"{base},{switch}={value}"
            for switch in switches()
            for value in values_of(switch)
            if value != getattr(defences, switch) and _can_be_had(f"{base},{switch}={value}")
        ]
    return builds


def _can_be_had(text: str) -> bool:
    try:
        parse_build(text)
    except DefenceError:
        return False
    return True


@pytest.fixture(scope="module")
def url_for(databases: Databases, postgres: PostgresServer) -> Callable[[Defences], str]:
    """One database for all builds of a shape."""
    urls: dict[Shape, str] = {}

    def find(defences: Defences) -> str:
        shape = Shape.of(defences)
        if shape not in urls:
            urls[shape] = postgres.url(databases.create(defences))
        return urls[shape]

    return find


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, marks=pytest.mark.slow) if "," in text else text
        for text in single_changes()
    ],
)
def test_every_build_and_every_single_change_starts_and_serves(
    text: str, url_for: Callable[[Defences], str], redis_server: RedisServer
) -> None:
    with house_in(url_for(parse_build(text).defences), text, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        key = secrets.token_hex(8)
        paid = house.pay(payer, payee, 2_50, key=key)
        assert paid.status_code == 201, paid.text
        again = house.pay(payer, payee, 2_50, key=key)
        poor = house.pay(payer, payee, 500_00)
        assert poor.status_code in {400, 402}
        ignores_keys = house.services.build.defences.idempotency == "off"
        assert ("Idempotent-Replayed" in again.headers) != ignores_keys
        left = 5_00 if ignores_keys else 7_50
        assert (house.balance(payer), house.balance(payer)) == (left, left)
        assert house.post(
            "/wallets/balances", {"wallet_ids": [payer.wallet_id]}, payer.headers
        ).is_success
        chain = {
            "movements": [
                {"type": kind, "wallet_id": account.wallet_id, "amount": house.money(1_00)}
                for kind, account in (("WITHDRAWAL", payer), ("DEPOSIT", payee))
            ]
        }
        assert house.post("/chains", chain, payer.headers).status_code == 201
        assert house.get(f"/wallets/{payer.wallet_id}/entries", payer.headers).is_success
        books = house.get("/ledger/reconciliation", house.operator)
        # Without any record nothing can be proved.
        unproved = house.services.build.defences.ledger == "none"
        assert books.status_code == (503 if unproved else 200), books.text
        assert house.get("/meta").json()["build"] == text


@pytest.fixture(scope="module", params=["fragile", "hardened"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        yield opened


def given_settings(**changes: str) -> Settings:
    values = {
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "jwt_secret": SECRET,
        "pin_pepper": PEPPER,
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("hardened", {"jwt_secret": "short"}, "JWT_SECRET has 5 bytes"),
        ("hardened,idempotency=redis_only", {}, "set REDIS_URL"),
        ("fragile", {}, "redis_policy=required takes an error of Redis for the request's own"),
        ("hardened", {"database_url": "nonsense"}, "DATABASE_URL"),
        ("hardened", {"redis_url": "nonsense"}, "REDIS_URL"),
        ("fragile", {"redis_url": "redis://127.0.0.1:port/0"}, "REDIS_URL"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    text: str, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(DefenceError) as caught:
        create_app(given_settings(**changes), parse_build(text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_redis_hardened_serves(databases: Databases, postgres: PostgresServer) -> None:
    with house_of("hardened", databases, postgres, "") as house:
        account = house.account(5_00)
        assert house.balance(account) == 5_00
        ready = house.get("/health/ready")
        assert ready.json() == {"status": "ready", "database": "up", "redis": "none"}


def test_ready_says_what_is_up(house: House) -> None:
    assert house.get("/health/live").json() == {"status": "alive"}
    assert house.get("/health/ready").json()["redis"] == "up"


SAY_ALL_BY_THEIR_PATH = ("/reversals", "/capture", "/release", "/auth/logout")


def test_the_api_is_described_whole(house: House) -> None:
    document = house.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["tags"], where
            assert operation["responses"]["default"]["content"], where
            assert any(status.startswith("2") for status in operation["responses"]), where
            says_all = method == "get" or path.endswith(SAY_ALL_BY_THEIR_PATH)
            assert says_all or "requestBody" in operation, where
    served = {
        "/v1/users", "/v1/users/me", "/v1/users/{user_id}", "/v1/auth/token", "/v1/wallets",
        "/v1/auth/logout", "/v1/users/me/pin",
        "/v1/wallets/{wallet_id}", "/v1/wallets/balances", "/v1/wallets/{wallet_id}/entries",
        "/v1/wallets/{wallet_id}/deposits", "/v1/wallets/{wallet_id}/withdrawals", "/v1/transfers",
        "/v1/wallets/{wallet_id}/top-ups", "/v1/wallets/{wallet_id}/spends",
        "/v1/wallets/{wallet_id}/bonuses", "/v1/transfers/{transfer_id}/reversals", "/v1/holds",
        "/v1/holds/{hold_id}", "/v1/holds/{hold_id}/capture", "/v1/holds/{hold_id}/release",
        "/v1/transfers/{transfer_id}", "/v1/chains", "/v1/idempotency/{key}", "/v1/assets",
        "/v1/ledger/reconciliation", "/v1/ledger/trial-balance", "/v1/health/live",
        "/v1/health/ready", "/v1/meta", "/v1/batches", "/v1/batches/{batch_id}",
        "/v1/batches/{batch_id}/rows", "/v1/batches/{batch_id}/executions",
        "/v1/batches/{batch_id}/compensations",
    }  # fmt: skip
    assert served <= set(document["paths"])


def test_every_reference_in_the_description_leads_somewhere(house: House) -> None:
    text = house.http.get("/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= set(schemas)
    assert "HTTPValidationError" not in text


def test_an_error_looks_as_described(house: House) -> None:
    schema = house.http.get("/openapi.json").json()["components"]
    answer = house.http.get("/v1/wallets/none", headers=dict(house.operator))
    described = {"$ref": "#/components/schemas/Error", "components": schema}
    jsonschema.validate(answer.json(), described)


def test_answers_look_as_described(house: House) -> None:
    document = house.http.get("/openapi.json").json()
    payer, payee = house.account(10_00), house.account()
    paid = house.pay(payer, payee, 1_00)
    wallet = f"/wallets/{payer.wallet_id}"
    ids = {"wallet_ids": [payer.wallet_id, payee.wallet_id]}
    answers = {
        ("post", "/transfers"): paid,
        ("get", "/transfers/{transfer_id}"): house.get(
            f"/transfers/{paid.json()['id']}", payer.headers
        ),
        ("post", "/wallets"): house.post("/wallets", {"user_id": house.user()}, house.operator),
        ("get", "/wallets"): house.get("/wallets", payer.headers),
        ("get", "/wallets/{wallet_id}"): house.get(wallet, payer.headers),
        ("get", "/wallets/{wallet_id}/entries"): house.get(f"{wallet}/entries", payer.headers),
        ("post", "/wallets/balances"): house.post("/wallets/balances", ids, house.operator),
        ("post", "/users"): house.post("/users", {"username": "described"}),
        ("get", "/users"): house.get("/users", house.operator),
        ("get", "/users/{user_id}"): house.get(f"/users/{payer.user_id}", house.operator),
    }
    for (method, path), answer in answers.items():
        described = document["paths"][f"/v1{path}"][method]["responses"][str(answer.status_code)]
        schema = described["content"]["application/json"]["schema"]
        assert schema, path
        jsonschema.validate(answer.json(), schema | {"components": document["components"]})


def test_docs_need_no_network(house: House) -> None:
    page = house.http.get("/docs").text
    addresses = [part.split('"')[0] for part in page.split('src="')[1:] + page.split('href="')[1:]]
    assert len(addresses) == 3
    for address in addresses:
        assert address.startswith("/docs/assets/")
        assert house.http.get(address).status_code == 200
    assert "//cdn" not in page


def test_the_unversioned_routes_answer_where_they_belong(house: House) -> None:
    if not house.services.build.legacy_routes:
        assert house.http.post("/transfer/", json={}).status_code == 404
        return
    users = [house.http.post("/users/", json={"username": n}).json() for n in ("old-a", "old-b")]
    first, second = (user["wallet"]["id"] for user in users)
    deposit = house.http.post(f"/wallets/{first}/deposit", json={"amount": 12.5})
    assert deposit.status_code == 201
    body = {"from_wallet_id": first, "to_wallet_id": second, "amount": 2.25}
    assert house.http.post("/transfer/", json=body).status_code == 201
    out = house.http.post(f"/wallets/{first}/deposit", json={"amount": -0.25})
    assert out.status_code == 201
    balances = {w["id"]: w["balance"] for w in house.http.get("/wallets/?limit=1000").json()}
    assert (balances[first], balances[second]) == (10.0, 2.25)
    assert len(house.http.get("/users/").json()) >= 2


@pytest.mark.parametrize("amount", ["NaN", "1e400", "-Infinity"])
def test_fragile_takes_what_is_no_number_and_still_answers_json(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, amount: str
) -> None:
    with house_of("fragile", databases, postgres, redis_server.url) as house:
        account = house.account()
        path = f"/v1/wallets/{account.wallet_id}/deposits"
        headers = {"Content-Type": "application/json"}
        answer = house.http.post(path, content=f'{{"amount": {amount}}}', headers=headers)
        assert answer.status_code == 201
        for url in (f"/wallets/{account.wallet_id}", f"/wallets/{account.wallet_id}/entries",
                    "/ledger/reconciliation", "/ledger/trial-balance"):  # fmt: skip
            read = house.get(url)
            assert read.status_code < 500 or read.json()["balanced"] is False
            json.loads(read.text, parse_constant=pytest.fail)


def test_another_schema_is_refused_at_start(databases: Databases, postgres: PostgresServer) -> None:
    name = databases.create(parse_build("fragile").defences)
    app = create_app(
        given_settings(database_url=postgres.url(name), engine_build="hardened"),
        parse_build("hardened"),
    )
    message = "was migrated as float-unconstrained-single"
    with pytest.raises(DefenceError, match=message), TestClient(app):
        pass
