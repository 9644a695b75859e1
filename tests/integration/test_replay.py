"""A losing schedule from a real run, forced again; and files that cannot be."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scenarios import replaying
from scenarios.replaying import replay, told
from scenarios.schedule_file import ScheduleError, ScheduleFile, read_schedule
from scenarios.stand import Stand
from tests.integration.assay_command import Done, assay_here

ASSAY = (sys.executable, "-c", "from scenarios.cli import main; main()")
TIMES = 10


def assay(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ASSAY, *words],
        env={**os.environ, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that caught a double spend."""
    out = tmp_path_factory.mktemp("out")
    words = ("--build", "hardened,locking=none", "--only", "double-spend", "--seed", "3")
    done = assay("verify", *words, "--stores", "embedded", "--out", str(out))
    assert done.returncode == 1, done.stderr
    (folder,) = out.iterdir()
    return folder


@pytest.fixture(scope="module")
def losing(run_folder: Path) -> Path:
    """The schedule that lost."""
    (file,) = (run_folder / "schedules").iterdir()
    return file


@pytest.fixture
def here(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays on the stand that the tests share."""

    @contextmanager
    def shared(_: str) -> Iterator[Stand]:
        yield stand

    monkeypatch.setattr(replaying, "open_stand", shared)


def _changed(losing: Path, tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(json.loads(losing.read_text()) | changes))
    return file


@pytest.mark.slow
def test_the_evidence_names_the_file(run_folder: Path, losing: Path) -> None:
    (cell,) = json.loads((run_folder / "evidence.json").read_text())["cells"]
    named = [exploration["schedule_file"] for exploration in cell["explorations"]]
    assert named == [str(losing.relative_to(run_folder))]


def test_it_is_small_and_says_what_it_needs(losing: Path) -> None:
    schedule = read_schedule(losing)
    assert losing.stat().st_size < 20_000
    assert schedule.build == "hardened,locking=none"
    assert schedule.claim == "double-spend"
    assert "never paid out more than held" in schedule.violated
    assert len(schedule.requests) == 2
    switches = sum(a != b for a, b in zip(schedule.order, schedule.order[1:], strict=False))
    assert switches == 2, "one preemption, and back"
    assert len(schedule.trace) == len(schedule.order)


@pytest.mark.slow
def test_it_loses_again_every_time(losing: Path) -> None:
    done = assay("replay", str(losing), "--times", str(TIMES), "--stores", "embedded")
    assert done.returncode == 0, done.stderr
    assert f"reproduced {TIMES} of {TIMES} (never paid out more than held" in done.stdout
    assert "each time with the trace of the file" in done.stdout


def _replayed(file: Path) -> tuple[ScheduleFile, Any]:
    schedule = read_schedule(file)
    return schedule, replay(file, schedule, stores="embedded", times=2)


@pytest.mark.usefixtures("here")
def test_another_build_does_not_lose_and_has_another_trace(losing: Path, tmp_path: Path) -> None:
    schedule, replayed = _replayed(_changed(losing, tmp_path, build="hardened"))
    assert replayed.reproduced == replayed.same_trace == 0
    lines = told(schedule, replayed).splitlines()
    assert any(line.startswith("reproduced 0 of 2 (") for line in lines)
    (other,) = [line for line in lines if "trace" in line]
    assert other.startswith("the trace was another one in 2 of 2: first step ")
    assert "FOR NO KEY UPDATE" in other


@pytest.mark.usefixtures("here")
def test_it_loses_with_another_trace_and_says_so(losing: Path, tmp_path: Path) -> None:
    schedule, replayed = _replayed(
        _changed(losing, tmp_path, build="hardened,locking=none,ledger=single_entry")
    )
    assert replayed.reproduced == 2
    assert replayed.same_trace == 0
    assert "the trace was another one in 2 of 2" in told(schedule, replayed)


@pytest.mark.usefixtures("here")
def test_a_race_that_the_claim_does_not_have(losing: Path, tmp_path: Path) -> None:
    file = _changed(losing, tmp_path, race="three payments")
    with pytest.raises(ScheduleError, match="double-spend has no race named 'three payments'"):
        _replayed(file)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"assay_schedule": "2"}, "was written by another version of Assay"),
        ({"target": "a shop"}, "belongs to another service (a shop)"),
        ({"claim": "double-spent"}, "cannot be replayed here: "),
        ({"build": "hardened,lockin=none"}, "did you mean 'locking'?"),
        ({"order": [0, 1, 7]}, "names a request that it does not have"),
        ({"trace": 5}, "is no schedule of Assay: trace"),
    ],
)
def test_what_cannot_be_replayed_gets_one_clear_line(
    losing: Path, tmp_path: Path, changes: dict[str, Any], says: str, replayed: Callable[..., Done]
) -> None:
    _refused(replayed(_changed(losing, tmp_path, **changes)), says)


def test_garbage_and_nothing_get_one_clear_line(
    tmp_path: Path, replayed: Callable[..., Done]
) -> None:
    file = tmp_path / "no.json"
    _refused(replayed(file), "cannot be read: No such file or directory")
    file.write_text("{")
    _refused(assay("replay", str(file)), "is no schedule of Assay")


@pytest.fixture
def replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], Done]:
    """`assay replay` in this process."""
    monkeypatch.setenv("COLUMNS", "400")
    return lambda file: assay_here("replay", str(file), patching=monkeypatch, capturing=capsys)


def _refused(done: Done | subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
