"""The locustfile as a process of its own: what it says, how it ends, what it leaves."""

import json
import re
import resource
import subprocess
import threading
from collections import Counter
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from attacks.history import History, read_history
from attacks.load.pace import UNSENT
from engine.stores import free_port
from tests.integration.locust_runs import (
    LOCUSTFILE,
    WITHIN_S,
    Answer,
    command_of,
    environment_of,
    locust,
    plan_file,
    service,
)
from tests.unit.test_load_requests import THEIRS

pytestmark = pytest.mark.slow

SHORT = ("-u", "4", "-r", "4", "-t", "2s", "-s", "3")
LONG = ("-u", "4", "-r", "4", "-t", "90s", "-s", "3")
"""Ended by what is tested, long before its time is up."""


def always(status: int, document: Any = None) -> Answer:
    return lambda *_: (status, document if document is not None else {"id": "x"})


def processes(workers: int) -> tuple[str, ...]:
    """Two loads on one machine each have a port of their own."""
    port = str(free_port())
    return ("--processes", str(workers), "--master-bind-port", port, "--master-port", port)


def ended(history: History) -> bool:
    return any(event.text == "load ended" for event in history.events)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return plan_file(tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--threshold", "p95<50"), "'p95<50': p95 takes ms, s or us, not nothing"),
        (("--threshold", "fast"), "'fast' is no threshold"),
        (("--threshold-file", "missing.txt"), "missing.txt cannot be read"),
        (("--tps", "-1"), "'-1' is no number from 0 to 100000"),
        (("--tps-profile", "saw"), "invalid choice: 'saw'"),
        (("--profile", "spike"), "say --tps-profile spike"),
        (("--mix", "payments,gold"), "no mix is called 'gold'"),
        (("--wallets", "1"), "'1' is no whole number from 2"),
        (("--tags", "nothing"), "nobody comes"),
        (("--threshold-grace-s", "nan"), "'nan' is no number of seconds"),
    ],
)
def test_what_it_is_told_wrongly_is_said_before_anything_is_sent(
    plan: Path, words: tuple[str, ...], says: str
) -> None:
    sent: list[str] = []

    def answer(_: str, path: str, __: bytes) -> tuple[int, Any]:
        sent.append(path)
        return 200, {}

    with service(answer) as host:
        done = locust(host, *SHORT, *words, plan=plan)
    assert done.returncode == 2, done.stdout
    assert says in done.stdout
    assert not sent


@pytest.mark.parametrize(
    ("document", "says"),
    [("{", "is not a plan"), ('{"money": "euro", "wallets": []}', "money is 'euro'")],
)
def test_a_plan_that_is_none(tmp_path: Path, document: str, says: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(document)
    done = locust("http://127.0.0.1:9", *SHORT, plan=plan)
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert says in done.stdout


@pytest.mark.parametrize(
    ("host", "code", "says"),
    [
        ("http://192.0.2.1:8000", 2, "http://192.0.2.1:8000 is not a loopback address"),
        ("http://127.0.0.1.example.org", 2, "is not a loopback address"),
        ("127.0.0.1:8000", 2, "is no address of a service"),
        ("http://127.0.0.1:{closed}", 4, "nobody answers at http://127.0.0.1:"),
    ],
)
def test_a_host_that_cannot_be_loaded_is_said_in_one_line(
    plan: Path, tmp_path: Path, host: str, code: int, says: str
) -> None:
    host = host.format(closed=free_port())
    done = locust(host, *LONG, *processes(1), plan=plan, history=tmp_path / "history")
    assert done.returncode == code, done.stdout
    assert sum("assay load:" in line for line in done.stdout.splitlines()) == 1
    assert says in done.stdout


def test_wallets_that_the_requests_cannot_name_end_it_at_once(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    document = {"money": "minor_units", "wallets": [{"id": "alice"}, {"id": "bob"}]}
    plan.write_text(json.dumps(document))
    with service(always(201)) as host:
        done = locust(host, *LONG, "--mix", "payments", plan=plan)
    assert done.returncode == 2, done.stdout
    assert "transfer cannot be filled: " in done.stdout
    assert "is no number" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(("status", "says"), [(500, "20 x 500"), (401, "20 x 401")])
def test_nothing_but_errors_from_the_start_ends_it_at_once(
    plan: Path, tmp_path: Path, status: int, says: str
) -> None:
    with service(always(status)) as host:
        done = locust(host, *LONG, "--mix", "payments", plan=plan, history=tmp_path / "history")
    assert done.returncode == 4, done.stdout
    assert f"{host} answers nothing but errors: {says}" in done.stdout
    history = read_history(tmp_path / "history" / "load.jsonl")
    expected = "unknown" if status == 500 else "failed"
    assert {operation.outcome for operation in history.operations} == {expected}
    assert len(history.operations) >= 20
    assert ended(history)


def test_whoever_answered_once_may_fail_later(plan: Path) -> None:
    answers = Counter[str]()
    lock = threading.Lock()

    def answer(*_: Any) -> tuple[int, Any]:
        with lock:
            answers["n"] += 1
            return (201, {"id": answers["n"]}) if answers["n"] <= 5 else (500, {})

    with service(answer) as host:
        done = locust(
            host, *SHORT, "--mix", "payments", "--tps", "50", "--threshold", "errors<1%", plan=plan
        )
    assert done.returncode == 1, done.stdout
    assert "answers nothing but errors" not in done.stdout


def test_a_service_that_falls_silent_ends_it_after_some_patience(
    plan: Path, tmp_path: Path
) -> None:
    """It answers five times; from then on each connection is closed without a word."""
    answers = Counter[str]()
    lock = threading.Lock()

    def answer(*_: Any) -> tuple[int, Any]:
        with lock:
            answers["n"] += 1
            if answers["n"] > 5:
                raise ConnectionAbortedError
            return 201, {"id": answers["n"]}

    words = (*LONG, "--mix", "payments", "--tps", "40", "--patience-s", "1")
    with service(answer) as host:
        done = locust(host, *words, plan=plan, history=tmp_path / "history")
    assert done.returncode == 4, done.stdout
    assert f"nobody answers at {host}: no answer:" in done.stdout
    assert f"nobody has answered at {host} for" in done.stdout
    assert ended(read_history(tmp_path / "history" / "load.jsonl"))


def test_a_load_that_reaches_its_bound_is_not_the_one_that_was_asked_for(
    plan: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.py"
    small.write_text("from attacks.load.driving import traffic\ntraffic.MOST_OPERATIONS = 30\n")
    with service(always(201)) as host:
        words = ("-f", f"{LOCUSTFILE},{small}", *LONG, "--mix", "payments", "--threshold", "tps>0")
        done = locust(host, *words, plan=plan)
    assert done.returncode == 3, done.stdout
    assert "the load ends here: 30 operations are its bound" in done.stdout


def test_a_history_is_never_written_over(plan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "load.jsonl").write_text("kept")
    done = locust("http://127.0.0.1:9", *SHORT, plan=plan, history=folder)
    assert done.returncode == 2
    assert "there is a history in" in done.stdout
    assert (folder / "load.jsonl").read_text() == "kept"


def test_a_worker_that_cannot_write_ends_the_load_for_all(plan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "load.1.jsonl").write_text("kept")
    with service(always(201)) as host:
        done = locust(host, *LONG, *processes(2), plan=plan, history=folder)
    assert done.returncode == 2, done.stdout
    assert "worker 1: there is a history in" in done.stdout
    assert (folder / "load.1.jsonl").read_text() == "kept"


def test_a_plan_file_is_sent_to_nobody(plan: Path, tmp_path: Path) -> None:
    port = str(free_port())
    asks = [*command_of("http://127.0.0.1:9", ("--worker", "--master-port", port))]
    with service(always(201)) as host, (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(asks, env=environment_of(), stdout=log, stderr=log)
        try:
            words = ("--master", "--expect-workers", "1", "--master-bind-port", port)
            done = locust(host, *LONG, *words, plan=plan)
        finally:
            worker.kill()
            worker.wait(WITHIN_S)
    assert done.returncode == 2, done.stdout
    assert "worker 0 has no plan: set its ASSAY_LOAD_PLAN" in done.stdout


def test_a_full_disk_under_the_history_ends_the_load(plan: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    with service(always(201)) as host:
        words = (*LONG, "--mix", "payments")
        folder = tmp_path / "history"
        done = locust(host, *words, plan=plan, history=folder, preexec=small_files)
    assert done.returncode == 4, done.stdout
    assert "load.jsonl cannot be written any more: File too large" in done.stdout
    assert "operations are missing in" in done.stdout
    history = read_history(folder / "load.jsonl", torn=True)
    assert history.operations
    assert not ended(history)


def test_another_service_s_requests_take_the_place_of_ours(tmp_path: Path) -> None:
    asked: list[tuple[str, str, Any]] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, Any]:
        asked.append((method, path, json.loads(body)))
        return 200, {"payment": {"reference": "r-1"}}

    plan = plan_file(tmp_path, requests=THEIRS)
    with service(answer) as host:
        done = locust(f"{host}/bank", *SHORT, "--tps", "40", plan=plan, history=tmp_path / "h")
    assert done.returncode == 0, done.stdout
    history = read_history(tmp_path / "h" / "load.jsonl")
    # A busy machine may leave turns over at the end.
    sent = [operation for operation in history.operations if operation.name != UNSENT]
    assert {operation.name for operation in sent} == {"transfer"}
    assert {operation.values["id"] for operation in sent} == {"r-1"}
    assert len(asked) == len(sent)
    method, path, body = asked[0]
    assert method == "PUT"
    assert path.startswith("/bank/accounts/")
    assert set(body) == {"to", "cents", "euro"}
    keys = {path.rpartition("/")[2] for _, path, _ in asked}
    assert keys == {operation.key for operation in sent}


def test_what_is_due_is_recorded_and_a_stall_counts(plan: Path, tmp_path: Path) -> None:
    """One request hangs, and one user sends all: the others wait for it, on the record."""
    released = threading.Event()
    first = threading.Lock()

    def answer(*_: Any) -> tuple[int, Any]:
        if first.acquire(blocking=False):
            released.wait(1.5)
        return 201, {"id": "x"}

    with service(answer) as host:
        words = ("-u", "1", "-t", "3s", "-s", "3", "--mix", "payments", "--tps", "50")
        limits = ("--threshold", "p75>=100ms", "--threshold", "max>=1400ms")
        done = locust(host, *words, *limits, plan=plan, history=tmp_path / "h")
    assert done.returncode == 0, done.stdout
    paced = [o for o in read_history(tmp_path / "h" / "load.jsonl").operations if o.intended_s]
    # A history is in the order of the answers.
    due = sorted(operation.intended_s or 0 for operation in paced)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert gaps == pytest.approx([0.02] * len(gaps), abs=1e-6)
    assert paced[1].duration_s < 1.4 <= paced[1].response_time_s + 0.1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stall_at_the_end_counts_though_nobody_was_free_to_ask(
    plan: Path, tmp_path: Path, workers: int
) -> None:
    """After twenty answers both users wait until the time is up, and so does what is due."""
    answered, given_up = count(), threading.Event()

    def answer(*_: Any) -> tuple[int, Any]:
        if next(answered) >= 20:
            given_up.wait(WITHIN_S)
        return 201, {"id": "x"}

    crew = processes(workers) if workers else ()
    limits = ("p95<500ms", "transfer.p95<500ms", "unsent.requests<10", "errors<1%")
    words = ("-u", "2", "-r", "2", "-t", "4s", "-s", "1", "--mix", "payments", "--tps", "40")
    given = [word for limit in limits for word in ("--threshold", limit)]
    with service(answer) as host:
        done = locust(host, *words, *crew, *given, plan=plan, history=tmp_path / "h")
        given_up.set()
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("FAILED") == len(limits), done.stdout
    for path in (tmp_path / "h").glob("load*.jsonl"):
        paced = [o for o in read_history(path).operations if o.intended_s is not None]
        due = sorted(operation.intended_s or 0 for operation in paced)
        gaps = [later - earlier for earlier, later in pairwise(due)]
        assert gaps == pytest.approx([max(1, workers) / 40] * len(gaps), abs=1e-6), "one is missing"
        assert {o.outcome for o in paced if o.name == "unsent"} == {"failed"}


def test_users_may_follow_the_profile_too(plan: Path, tmp_path: Path) -> None:
    both = f"{LOCUSTFILE},{LOCUSTFILE.parent}/attacks/load/driving/users_by_profile.py"
    words = ("-f", both, "-u", "10", "-r", "100", "-t", "6s", "-s", "3", "--mix", "payments")
    with service(always(201)) as host:
        ramp = ("--tps-profile", "ramp", "--tps-period-s", "3", "--loglevel", "INFO")
        done = locust(host, *words, *ramp, "--tps", "50", plan=plan, history=tmp_path / "h")
    assert done.returncode == 0, done.stdout
    history = read_history(tmp_path / "h" / "load.jsonl")
    actors = [o.actor for o in history.operations if o.name != UNSENT]
    steps = [int(found) for found in re.findall(r"updating to (\d+) users", done.stdout)]
    assert steps[0] < 10 == steps[-1]
    assert len(set(actors)) == 10


def test_thresholds_decide_the_exit_code_and_are_shown(plan: Path, tmp_path: Path) -> None:
    lines = tmp_path / "slo.txt"
    lines.write_text("# at the end\ntransfer.errors==0\nrequests>=1\n")
    base = (*SHORT, "--mix", "payments", "--tps", "40", "--threshold-file", str(lines))
    with service(always(201)) as host:
        passed = locust(host, *base, "--threshold", "tps>=1", plan=plan)
        junit = tmp_path / "junit.xml"
        words = ("--threshold", "p50<1us", "--threshold", "read-balance.p95<9s")
        failed = locust(host, *base, *words, "--threshold-junit", str(junit), plan=plan)
        unknown = locust(host, *base, "--threshold", "violations==0", plan=plan)
    assert (passed.returncode, failed.returncode, unknown.returncode) == (0, 1, 3), failed.stdout
    assert "tps>=1" in passed.stdout
    assert passed.stdout.count("PASSED") == 3
    assert "nobody looked: an audit has to say so" in unknown.stdout
    (suite,) = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "1")


FOREIGN = """
from locust import HttpUser, events, task
from attacks.load.thresholds import plugin

plugin.install(events)


class Visitor(HttpUser):
    @task
    def visit(self):
        self.client.get("/page")
"""


@pytest.mark.parametrize(
    ("threshold", "code", "shown"), [("/page.p95<9s", 0, "PASSED"), ("/page.p50<1us", 1, "FAILED")]
)
def test_any_locustfile_can_have_thresholds(
    tmp_path: Path, threshold: str, code: int, shown: str
) -> None:
    file, junit = tmp_path / "theirs.py", tmp_path / "missing" / "junit.xml"
    file.write_text(FOREIGN)
    with service(always(200)) as host:
        words = (*SHORT, "--reset-stats", "--threshold", threshold, "--threshold", "rps>0")
        command = [
            str(file) if word == str(LOCUSTFILE) else word for word in command_of(host, words)
        ]
        environment = environment_of()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert shown in done.stdout
        unwritten = subprocess.run(
            [*command, "--threshold-junit", str(junit)],
            env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
    assert unwritten.returncode == (code or 2), unwritten.stdout + unwritten.stderr
    assert f"{junit} cannot be written: No such file or directory" in unwritten.stderr


def test_a_threshold_may_end_the_load_while_it_runs(plan: Path) -> None:
    words = ("--threshold", "p50<1us", "--threshold-abort", "--threshold-grace-s", "1")
    with service(always(201)) as host:
        done = locust(host, *LONG, "--mix", "payments", "--tps", "40", *words, plan=plan)
    assert done.returncode == 1, done.stdout
    assert "threshold p50<1us failed: measured" in done.stdout
    assert "FAILED" in done.stdout
