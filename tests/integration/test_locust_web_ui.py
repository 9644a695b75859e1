"""The locustfile behind Locust's web UI: one load after the other in one process."""

import subprocess
import threading
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from attacks.history import read_history
from engine.stores import free_port
from tests.integration.locust_runs import (
    WITHIN_S,
    command_of,
    environment_of,
    plan_file,
    service,
    wait_for,
)

pytestmark = pytest.mark.slow


def test_the_web_ui_starts_one_load_after_the_other(tmp_path: Path) -> None:
    plan = plan_file(tmp_path)
    port = free_port()
    page = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
    words = ("--web-host", "127.0.0.1", "--web-port", str(port), "--class-picker")
    log, folder = tmp_path / "log", tmp_path / "history"

    def recorded(name: str) -> bool:
        # The page's own figures are kept for two seconds: they may be of the load before.
        history = folder / "load.jsonl"
        return history.exists() and name in {
            operation.name for operation in read_history(history, torn=True).operations
        }

    with service(lambda *_: (201, {"id": "x"})) as host, log.open("wb") as file:
        command = [word for word in command_of(host, words) if word != "--headless"]
        environment = environment_of(plan=plan, history=folder)
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            wait_for(lambda: page_answers(page), f"no page: {log.read_text()}")
            assert "tps_profile" in page.get("/").text
            for user, sends in (("Payments", "transfer"), ("Readers", "read-balance")):
                form = {"user_count": "2", "spawn_rate": "2", "host": host, "tps": "40"}
                started = page.post("/swarm", data={**form, "user_classes": user}).json()
                assert started["success"], started
                wait_for(partial(recorded, sends), f"no load: {log.read_text()}")
                assert page.post("/stop").json()["success"]
            form = {"user_count": "2", "spawn_rate": "2", "host": host, "tps": "-1"}
            page.post("/swarm", data=form)
            said = "'-1.0' is no number from 0"
            wait_for(lambda: said in log.read_text(), f"not said: {log.read_text()}")
        finally:
            process.terminate()
            process.wait(WITHIN_S)
    history = read_history(folder / "load.jsonl")
    assert {o.name for o in history.operations} >= {"transfer", "read-balance"}
    assert any(event.text == "load ended" for event in history.events)


def test_a_preparation_that_failed_is_begun_again_and_stays_with_its_service(
    tmp_path: Path,
) -> None:
    numbers, works = count(1), threading.Event()

    def answer(_: str, path: str, __: bytes) -> tuple[int, Any]:
        if path == "/v1/meta":
            names = {"money": "minor_units", "authentication": "none", "pin": "off"}
            return 200, {"defences": names}
        if path.endswith("/deposits") and not works.is_set():
            return 500, {}
        return 201, {"id": next(numbers)}

    port, log, folder = free_port(), tmp_path / "log", tmp_path / "history"
    page = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
    words = ("--web-host", "127.0.0.1", "--web-port", str(port), "--wallets", "4")
    form = {"user_count": "2", "spawn_rate": "2", "tps": "40"}

    def says(what: str) -> None:
        wait_for(lambda: what in log.read_text(), f"not said: {log.read_text()}")

    with service(answer) as host, service(answer) as another, log.open("wb") as file:
        command = [word for word in command_of(host, words) if word != "--headless"]
        environment = environment_of(history=folder)
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            wait_for(lambda: page_answers(page), f"no page: {log.read_text()}")
            page.post("/swarm", data={**form, "host": host})
            says("/deposits was answered 500")
            works.set()
            page.post("/swarm", data={**form, "host": host})
            history = folder / "load.jsonl"
            wait_for(lambda: "transfer" in history.read_text(), f"no load: {log.read_text()}")
            assert page.post("/stop").json()["success"]
            page.post("/swarm", data={**form, "host": another})
            says(f"the wallets are those of {host}: start Locust anew to load {another}")
        finally:
            process.terminate()
            process.wait(WITHIN_S)
    prepared = read_history(folder / "preparation.jsonl").operations
    assert [operation.outcome for operation in prepared] == ["ok"] * 4


def page_answers(page: httpx.Client) -> bool:
    try:
        return page.get("/").status_code == 200
    except httpx.TransportError:
        return False
