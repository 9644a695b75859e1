"""One build of the engine inside the test's process, and a client that speaks its money."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psycopg2
from fastapi.testclient import TestClient

from engine.app import create_app
from engine.defences import parse_build
from engine.provision import Databases
from engine.services import Services
from engine.settings import Settings
from engine.stores import PostgresServer

SECRET = "only for tests, and 32 bytes long"
PEPPER = "a pepper for tests, 32 bytes or more"
PIN = "4711"
OPERATOR_PASSWORD = "operator's password"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user with one wallet, and the headers that prove it."""

    user_id: int
    wallet_id: int
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class House:
    """A running engine with its database."""

    http: TestClient
    services: Services
    database_url: str
    side: psycopg2.extensions.connection
    """A connection past the engine, in autocommit."""
    operator: Mapping[str, str]

    def token(self, user_id: int, role: str = "user") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.services.tokens.issue(user_id, role)}"}

    def money(self, amount_minor: int, asset: str = "USD") -> Any:
        if self.services.build.defences.money == "minor_units":
            return {"amount": amount_minor, "asset": asset}
        return amount_minor / 100

    def minor(self, wire: Any) -> int:
        return int(wire["amount"]) if isinstance(wire, dict) else round(wire * 100)

    def post(
        self, path: str, body: Any, headers: Mapping[str, str] | None = None, *, key: str = ""
    ) -> httpx.Response:
        """With a fresh idempotency key unless one is given."""
        keyed = {"Idempotency-Key": key or secrets.token_hex(8), **(headers or {})}
        answer: httpx.Response = self.http.post(f"/v1{path}", json=body, headers=keyed)
        return answer

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        answer: httpx.Response = self.http.get(f"/v1{path}", headers=headers)
        return answer

    def user(self) -> int:
        answer = self.post("/users", {"username": f"u{secrets.token_hex(6)}"})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def operator_headers(self) -> dict[str, str]:
        """The role is the token's own claim: without an operator's password any user will do."""
        found = self.rows("SELECT id, pin_hash FROM users WHERE role = 'operator' ORDER BY id")
        user_id, pin_hash = found[0] if found else (self.user(), None)
        headers = self.token(user_id, "operator")
        return {**headers, "X-Pin": PIN} if pin_hash else self.set_pin(headers)

    def set_pin(self, headers: Mapping[str, str]) -> dict[str, str]:
        """These headers, and with a PIN where the build asks for one."""
        defences = self.services.build.defences
        if defences.pin == "off" or defences.authentication == "none":
            return dict(headers)
        body = {"pin": PIN}
        answer = self.http.put("/v1/users/me/pin", json=body, headers=dict(headers))
        assert answer.status_code == 204, answer.text
        return {**headers, "X-Pin": PIN}

    def wallet_for(self, user_id: int, asset: str = "USD") -> int:
        answer = self.post("/wallets", {"user_id": user_id, "asset": asset}, self.operator)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def account(self, amount_minor: int = 0, asset: str = "USD") -> Account:
        """A new user whose one wallet holds that much."""
        user_id = self.user()
        wallet_id = self.wallet_for(user_id, asset)
        if amount_minor:
            self.deposit(wallet_id, amount_minor, asset)
        headers = self.set_pin(self.token(user_id))
        return Account(user_id=user_id, wallet_id=wallet_id, headers=headers)

    def deposit(self, wallet_id: int, amount_minor: int, asset: str = "USD") -> None:
        body = {"amount": self.money(amount_minor, asset)}
        answer = self.post(f"/wallets/{wallet_id}/deposits", body, self.operator)
        assert answer.status_code == 201, answer.text

    def pay(
        self, payer: Account, payee: Account, amount_minor: int, *, key: str = ""
    ) -> httpx.Response:
        body = {
            "from_wallet_id": payer.wallet_id,
            "to_wallet_id": payee.wallet_id,
            "amount": self.money(amount_minor),
        }
        return self.post("/transfers", body, payer.headers, key=key)

    def balance(self, account: Account) -> int:
        """In minor units, through the API."""
        answer = self.get(f"/wallets/{account.wallet_id}", account.headers)
        assert answer.status_code == 200, answer.text
        return self.minor(answer.json()["balance"])

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Straight from the database, past the engine; committed."""
        with self.side.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def money_and_keys(self) -> list[tuple[Any, ...]]:
        """Every row that a movement could leave behind."""
        tables = ["wallets", "transactions"]
        if self.services.double_entry:
            tables.append("ledger_entries")
        return [row for t in tables for row in self.rows(f"SELECT * FROM {t} ORDER BY id")]


@contextmanager
def house_of(
    build: str, databases: Databases, postgres: PostgresServer, redis_url: str, **settings: Any
) -> Iterator[House]:
    """With a database of its own."""
    url = postgres.url(databases.create(parse_build(build).defences))
    with house_in(url, build, redis_url, operator_password=OPERATOR_PASSWORD, **settings) as house:
        yield house


@contextmanager
def house_in(url: str, build: str, redis_url: str, **settings: Any) -> Iterator[House]:
    """In a database that is there already, in the build's shape."""
    given = Settings(
        database_url=url,
        redis_url=redis_url,
        engine_build=build,
        **{
            "redis_namespace": secrets.token_hex(4),
            "jwt_secret": SECRET,
            "pin_pepper": PEPPER,
            "credential_hashing": "least",
            **settings,
        },
    )
    app = create_app(given, parse_build(build))
    with (
        TestClient(app, raise_server_exceptions=False) as http,
        closing(psycopg2.connect(url)) as side,
    ):
        side.autocommit = True
        services: Services = app.state.services
        house = House(http=http, services=services, database_url=url, side=side, operator={})
        yield replace(house, operator=house.operator_headers())


def problem_of(answer: httpx.Response) -> str:
    """The stable name of a refusal, after a look at the whole document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"] != ""
    assert document["type"].startswith("urn:problem-type:assay:")
    assert set(document) == {
        "type", "title", "status", "detail", "instance", "retriable", "retry_with_same_key",
        "request_id", "errors",
    }  # fmt: skip
    return str(document["type"].rpartition(":")[2])
