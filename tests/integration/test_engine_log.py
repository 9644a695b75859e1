"""The log of a running engine: JSON, with request ids, and without anything that is secret."""

import dataclasses
import json
import secrets
from contextlib import closing
from typing import Any

import httpx
import psycopg2

from engine.ownership import Workspace
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine

PIN = "4711"


def lines_of(engine: EngineProcess) -> list[dict[str, Any]]:
    """All of them, when the engine has ended: then they are written."""
    engine.stop()
    return [json.loads(line) for line in engine.log(10_000).splitlines()]


def test_a_line_for_each_request_and_no_secret_in_it(
    workspace: Workspace, config: EngineConfig
) -> None:
    settings = {**config.settings, "ACCESS_LOG": "true"}
    config = dataclasses.replace(config, workers=2, settings=settings)
    engine = start_engine(launched_in(workspace), config)
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


def test_a_quiet_engine_writes_nothing(workspace: Workspace, config: EngineConfig) -> None:
    engine = start_engine(launched_in(workspace), config)
    assert httpx.get(f"{engine.base_url}/v1/health/ready").status_code == 200
    assert lines_of(engine) == []


def test_what_goes_wrong_in_a_request_is_told_with_its_id(
    workspace: Workspace, config: EngineConfig
) -> None:
    """Last, since the database is broken for good."""
    engine = start_engine(launched_in(workspace), config)
    with closing(psycopg2.connect(config.database_url)) as side, side, side.cursor() as cursor:
        cursor.execute("ALTER TABLE asset_types RENAME TO gone")
    answer = httpx.get(f"{engine.base_url}/v1/assets", headers={"X-Request-Id": "broken"})
    assert answer.status_code == 500
    (line,) = lines_of(engine)
    assert (line["request_id"], line["level"]) == ("broken", "ERROR")
    assert "GET /v1/assets failed" in line["message"]
