"""Who may read `/metrics`, and what a process that is no more leaves in it."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from engine.app import create_app
from engine.defences import parse_build
from engine.metrics import forget_worker
from engine.settings import Settings

TOKEN = "only for metrics"


def client_from(address: str, token: str = TOKEN) -> TestClient:
    settings = Settings.model_construct(
        database_url="postgresql://nobody@127.0.0.1:1/nowhere",
        jwt_secret="only for tests, and 32 bytes long",
        pin_pepper="a pepper for tests, 32 bytes or more",
        metrics_token=token,
    )
    return TestClient(create_app(settings, parse_build("hardened")), client=(address, 50_000))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_needs_no_token(address: str) -> None:
    assert client_from(address).get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"), [(None, 401), ("Bearer wrong", 401), (f"Bearer {TOKEN}", 200)]
)
def test_another_machine_needs_the_token(sent: str | None, status: int) -> None:
    headers = {"Authorization": sent} if sent else {}
    answer = client_from("192.0.2.7").get("/metrics", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["type"].endswith(":unauthenticated")


@pytest.mark.parametrize("sent", ["Bearer ", "Bearer", ""])
def test_without_a_token_nobody_else_may(sent: str) -> None:
    headers = {"Authorization": sent, "X-Forwarded-For": "127.0.0.1"}
    assert client_from("192.0.2.7", token="").get("/metrics", headers=headers).status_code == 401


def test_of_a_dead_worker_only_what_it_counted_stays(tmp_path: Path) -> None:
    left = {"counter_7.db", "histogram_7.db", "gauge_livesum_77.db"}
    for name in (*left, "gauge_livesum_7.db", "gauge_livemin_7.db"):
        (tmp_path / name).touch()
    forget_worker(str(tmp_path), 7)
    assert {file.name for file in tmp_path.iterdir()} == left
