"""The command as people meet it: exit codes, one clear line, and nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from engine.ownership import MARK
from tests.integration.assay_command import Done, assay_here

ASSAY = (sys.executable, "-c", "from scenarios.cli import main; main()")


def assay(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ASSAY, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """`assay` in this process, as it is met where no external stores are named."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("ASSAY_POSTGRES_URL", "")
    monkeypatch.setenv("ASSAY_REDIS_URL", "")
    return partial(assay_here, patching=monkeypatch, capturing=capsys)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("compare", "--build", "fragil"), 2, "did you mean 'fragile'?"),
        (("compare", "--build", "hardened,lockin=none"), 2, "did you mean 'locking'?"),
        (
            ("compare", "--build", "hardened,locking=rows"),
            2,
            "there are: advisory, advisory_session, conditional, none, row, serializable, stale",
        ),
        (
            ("compare", "--only", "nothing"),
            2,
            "there are: access, acked-not-committed, asset-mismatch",
        ),
        (("compare", "--stores", "cloud"), 2, "'cloud' is not one of"),
        (("verify",), 2, "Missing option '--build'"),
        (("report", "/nowhere"), 2, "is this the folder of a run?"),
        (("explain", "nothing"), 2, "no claim or suite is called nothing"),
        (("compare", "--only", "canary", "--stores", "external"), 4, "ASSAY_POSTGRES_URL"),
        (("migrate", "up", "--url", "nonsense"), 4, "nothing was changed"),
        (("load", "--build", "nothing"), 2, "unknown build"),
    ],
)
def test_bad_input_gets_a_clear_line_and_its_exit_code(
    words: tuple[str, ...], code: int, says: str, here: Callable[..., Done]
) -> None:
    done = here(*words)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_url_is_named() -> None:
    done = assay("compare", "--only", "canary", ASSAY_POSTGRES_URL="nonsense")
    assert done.returncode == 4
    assert "ASSAY_POSTGRES_URL cannot be read" in done.stderr


def test_a_busy_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = assay("serve", "--build", "fragile", "--port", port, "--stores", "embedded")
    assert done.returncode == 4
    assert f"port {port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("build", "code"), [("hardened", 0), ("fragile", 1)])
def test_verify_is_a_gate(build: str, code: int, tmp_path: Path) -> None:
    done = assay(
        "verify",
        *("--build", build, "--only", "self-transfer", "--only", "canary"),
        *("--stores", "embedded", "--jobs", "1", "--out", str(tmp_path), "--json"),
    )
    assert done.returncode == code, done.stderr
    evidence = json.loads(done.stdout)
    verdicts = {cell["scenario"]: cell["verdict"] for cell in evidence["cells"]}
    assert verdicts == {"self-transfer": "held" if code == 0 else "violated", "canary": "violated"}
    (folder,) = tmp_path.iterdir()
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False
    )
    assert checked.returncode == 0


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder that PostgreSQL's unprivileged user may enter, as it may enter /tmp."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_leaves_evidence_and_nothing_else(
    number: signal.Signals, tmp_path: Path, temporary: Path
) -> None:
    words = ("compare", "--only", "canary", "--only", "redis-outage", "--stores", "embedded")
    two_lanes = ("--jobs", "2")
    out = tmp_path / "out"
    child = subprocess.Popen(
        [*ASSAY, *words, *two_lanes, "--out", str(out)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_an_engine(temporary)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert errors.startswith("assay: interrupted")
    assert not list(temporary.glob("assay-*"))
    assert not _children_in(temporary)
    again = assay("report", "last", "--out", str(out))
    assert again.returncode == 0
    assert "Interrupted after" in again.stdout


@pytest.mark.slow
def test_two_lanes_run_what_one_runs(tmp_path: Path) -> None:
    """The same cells in the same order of the plan, whichever was done first."""
    found = {}
    for jobs in ("1", "2"):
        words = ("compare", "--only", "canary", "--only", "wrong-types", "--only", "self-transfer")
        stores = ("--stores", "embedded", "--seed", "7", "--jobs", jobs)
        done = assay(*words, *stores, "--out", str(tmp_path / jobs), "--json")
        assert done.returncode == 0, done.stderr
        cells = json.loads(done.stdout)["cells"]
        found[jobs] = [(c["scenario"], c["build"], c["verdict"], c["strength"]) for c in cells]
        (folder,) = (tmp_path / jobs).iterdir()
        assert len(list((folder / "histories").iterdir())) == len(cells) == 6
    assert found["1"] == found["2"]


@pytest.mark.slow
def test_a_lane_that_dies_is_named_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    words = ("compare", "--only", "redis-outage", "--stores", "embedded", "--jobs", "2")
    child = subprocess.Popen(
        [*ASSAY, *words, "--out", str(tmp_path)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_an_engine(temporary)
    lanes = [c for c in psutil.Process(child.pid).children() if "spawn_main" in str(c.cmdline())]
    lanes[0].kill()
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 4
    assert errors == "assay: a process that runs claims ended before it was done\n"
    assert not list(temporary.glob("assay-*"))
    assert not _children_in(temporary)


def _wait_for_an_engine(temporary: Path) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        if list(temporary.glob("assay-*/logs/engine-*.log")):
            return
        time.sleep(0.05)
    pytest.fail("no engine was started within 60 s")


def _children_in(temporary: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
        except psutil.Error:
            continue
        if mark.startswith(str(temporary)):
            found.append(process)
    return found
