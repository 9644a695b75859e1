"""A served engine for the browser tests, and what they need of it past its pages."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg2

from engine.defences import parse_build
from engine.ownership import Workspace
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer

PIN = "4711"
PASSWORD = "correct horse"


@dataclass(kw_only=True)
class Site:
    """One engine and a client for it; amounts are in cents."""

    engine: EngineProcess
    http: httpx.Client
    floats: bool
    identity: bool
    database_url: str
    _operator: dict[str, str] = field(default_factory=dict)

    @property
    def pages(self) -> str:
        return f"{self.engine.base_url}/ui/"

    def ask(self, method: str, path: str, json: Any = None, headers: Any = None) -> Any:
        keyed = {"Idempotency-Key": secrets.token_hex(8), **(headers or {})}
        answer = self.http.request(method, f"/v1{path}", json=json, headers=keyed)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def user(self, **more: Any) -> tuple[int, str]:
        """A new user's id and name."""
        name = f"u{secrets.token_hex(5)}"
        body = {"username": name, "password": PASSWORD, **more}
        return int(self.ask("POST", "/users", body)["id"]), name

    def wallet(self, user_id: int, label: str = "") -> int:
        body = {"user_id": user_id, "label": label}
        return int(self.ask("POST", "/wallets", body, self.operator())["id"])

    def operator(self) -> dict[str, str]:
        if self.identity and not self._operator:
            who = {"username": "operator", "password": self.engine.operator_password}
            token = self.ask("POST", "/auth/token", who)["access_token"]
            self._operator = {"Authorization": f"Bearer {token}"}
            self.ask("PUT", "/users/me/pin", {"pin": PIN}, self._operator)
            self._operator["X-Pin"] = PIN
        return self._operator

    def deposit(self, wallet_id: int, cents: int) -> None:
        amount = cents / 100 if self.floats else {"amount": cents, "asset": "USD"}
        self.ask("POST", f"/wallets/{wallet_id}/deposits", {"amount": amount}, self.operator())

    def balance(self, wallet_id: int) -> int:
        wire = self.ask("GET", f"/wallets/{wallet_id}", headers=self.operator())["balance"]
        return round(wire * 100) if self.floats else int(wire["amount"])

    def sql(self, statement: str) -> None:
        """Past the engine; committed."""
        with closing(psycopg2.connect(self.database_url)) as connection, connection:
            connection.cursor().execute(statement)


@contextmanager
def site_of(
    name: str,
    workspace: Workspace,
    databases: Databases,
    postgres: PostgresServer,
    redis: RedisServer,
) -> Iterator[Site]:
    build = parse_build(name)
    config = EngineConfig(
        build=build,
        database_url=postgres.url(databases.create(build.defences)),
        redis_url=redis.url,
        redis_namespace=f"pages-{secrets.token_hex(4)}",
    )
    engine = start_engine(launched_in(workspace), config)
    try:
        with httpx.Client(base_url=engine.base_url, timeout=20) as http:
            switches = http.get("/v1/meta").json()["defences"]
            yield Site(
                engine=engine,
                http=http,
                floats=switches["money"] != "minor_units",
                identity=switches["authentication"] != "none",
                database_url=config.database_url,
            )
    finally:
        engine.stop()
