"""What every request meets before any route: an id, a limit to its body, a deadline."""

import asyncio
import time
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from engine.api.problems import error_style, install_error_handlers
from engine.api.reception import LARGEST_BODY_BYTES, Reception
from engine.defences import parse_build

STYLE = error_style(parse_build("hardened").defences)


def client_of(deadline_s: float | None = None) -> TestClient:
    app = FastAPI()
    install_error_handlers(app, STYLE)
    app.add_middleware(Reception, style=STYLE, deadline_s=deadline_s)
    app.state.finished = []

    @app.get("/slow")
    def slow() -> dict[str, bool]:
        time.sleep(0.3)
        app.state.finished.append("slow")
        return {"finished": True}

    @app.get("/wrong")
    def wrong() -> None:
        raise RuntimeError("password=hunter2")

    @app.post("/body")
    async def body(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("sent", ["abc-1", "a" * 100, "0:1.2_3"])
def test_a_harmless_request_id_is_echoed(sent: str) -> None:
    answer = client_of().get("/nowhere", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 101, "a b", "<script>", "é".encode()])
def test_any_other_is_replaced(sent: Any) -> None:
    answer = client_of().get("/nowhere", headers={"X-Request-Id": sent})
    assert len(answer.headers["X-Request-Id"]) == 32


def test_a_fault_is_a_problem_document_that_tells_nothing() -> None:
    answer = client_of().get("/wrong", headers={"X-Request-Id": "abc"})
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "abc"
    assert "hunter2" not in answer.text


def test_a_body_is_limited_however_it_is_sent() -> None:
    client = client_of()
    assert client.post("/body", content=b"x" * LARGEST_BODY_BYTES).status_code == 200
    whole = client.post("/body", content=b"x" * (LARGEST_BODY_BYTES + 1))
    in_chunks = client.post("/body", content=(b"x" * 1024 for _ in range(300)))
    assert whole.status_code == in_chunks.status_code == 413
    assert whole.json()["type"].endswith(":body-too-large")


def test_after_the_deadline_the_outcome_is_unknown_and_the_work_goes_on() -> None:
    with client_of(deadline_s=0.05) as client:
        started_s = time.monotonic()
        answer = client.get("/slow", headers={"X-Request-Id": "late"})
        assert time.monotonic() - started_s < 0.25
        assert answer.status_code == 504
        assert answer.headers["X-Request-Id"] == "late"
        document = answer.json()
        assert (document["retriable"], document["retry_with_same_key"]) == (False, True)
        assert client.portal is not None
        client.portal.call(asyncio.sleep, 0.35)
        app: Any = client.app
        assert app.state.finished == ["slow"]


def test_in_time_the_deadline_is_not_noticed() -> None:
    assert client_of(deadline_s=5).get("/slow").json() == {"finished": True}
