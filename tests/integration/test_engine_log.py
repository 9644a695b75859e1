"""The log of a running engine: JSON, with request ids, and without anything that is secret."""

import dataclasses
import json
import secrets
from contextlib import closing
from typing import Any

import httpx
import psycopg2

from engine.defences import parse_build
from engine.ownership import Workspace
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer

PIN = "4711"


def configured(
    databases: Databases, postgres: PostgresServer, redis: RedisServer, **settings: str
) -> EngineConfig:
    build = parse_build("hardened")
    return EngineConfig(
        build=build,
        database_url=postgres.url(databases.create(build.defences)),
        redis_url=redis.url,
        redis_namespace="test-log",
        settings=settings,
    )


def lines_of(engine: EngineProcess) -> list[dict[str, Any]]:
    """All of them, when the engine has ended: then they are written."""
    engine.stop()
    return [json.loads(line) for line in engine.log(10_000).splitlines()]


def test_a_line_for_each_request_and_no_secret_in_it(
    workspace: Workspace,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> None:
    config = configured(databases, postgres, redis_server, ACCESS_LOG="true")
    engine = start_engine(launched_in(workspace), dataclasses.replace(config, workers=2))
    password = secrets.token_hex(8)
    body = {"username": "somebody", "password": password}
    with httpx.Client(base_url=engine.base_url, timeout=20) as http:
        http.post("/v1/users", json=body, headers={"X-Request-Id": "sign-up"})
        token = http.post("/v1/auth/token", json=body).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        set_pin = {**bearer, "X-Request-Id": "pin"}
        http.put("/v1/users/me/pin", json={"pin": PIN}, headers=set_pin)
        headers = {**bearer, "X-Pin": PIN, "X-Request-Id": "mine"}
        assert http.get("/v1/users/me", headers=headers).status_code == 200
        lost = http.get("/v1/nothing/hunter2", headers={"X-Request-Id": "lost"})
        assert lost.status_code == 404
    lines = lines_of(engine)
    about = {line["request_id"]: line for line in lines if line["logger"] == "engine.access"}
    assert (about["sign-up"]["route"], about["sign-up"]["status"]) == ("/v1/users", 201)
    assert (about["mine"]["route"], about["mine"]["status"]) == ("/v1/users/me", 200)
    assert (about["lost"]["route"], about["lost"]["status"]) == ("unmatched", 404)
    assert about["mine"]["took_ms"] > 0
    written = engine.log(10_000)
    for secret in (password, token, "hunter2", "somebody"):
        assert secret not in written
    assert about.keys() >= {"sign-up", "pin", "mine", "lost"}
    # Four digits may be in a time or a number that nobody chose.
    assert not [line for line in lines if PIN in f"{line['message']} {line['route']}"]


def test_what_goes_wrong_in_a_request_is_told_with_its_id(
    workspace: Workspace,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> None:
    config = configured(databases, postgres, redis_server)
    engine = start_engine(launched_in(workspace), config)
    with closing(psycopg2.connect(config.database_url)) as side, side, side.cursor() as cursor:
        cursor.execute("ALTER TABLE asset_types RENAME TO gone")
    answer = httpx.get(f"{engine.base_url}/v1/assets", headers={"X-Request-Id": "broken"})
    assert answer.status_code == 500
    (line,) = lines_of(engine)
    assert (line["request_id"], line["level"]) == ("broken", "ERROR")
    assert "GET /v1/assets failed" in line["message"]


def test_a_quiet_engine_writes_nothing(
    workspace: Workspace,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> None:
    engine = start_engine(launched_in(workspace), configured(databases, postgres, redis_server))
    assert httpx.get(f"{engine.base_url}/v1/health/ready").status_code == 200
    assert lines_of(engine) == []
