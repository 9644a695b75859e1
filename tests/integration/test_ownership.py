"""Nothing stays behind, however a run ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.ownership import OwnedProcess, Workspace, WorkspaceError, poll, sweep

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
# Ends on SIGTERM the way the command line does, by a normal exit.
OWNER = """
import os, signal, sys, time
from pathlib import Path
from engine.ownership import Workspace
from engine.stores import open_postgres, open_redis

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
# A shell lets what it starts in the background ignore this one.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Workspace() as workspace:
    data = Path(os.environ["DATA"]) if "DATA" in os.environ else None
    open_postgres("embedded", workspace, data=data)
    open_redis("embedded", workspace, data=data)
    workspace.folder("ready")
    time.sleep(600)
"""
# What is there when the owner is killed: at the beginning, in the middle, when all is up.
MOMENTS = ("logs", "logs/initdb.log", "logs/postgres.log", "logs/redis.log", "ready")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of this test alone, also for the processes that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def started_from(place: Path) -> list[psutil.Process]:
    """Living processes that name the place in their command or work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.cwd()]
            if any(str(place) in word for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return found


def segments() -> set[str]:
    """Ids of the System V segments of this system."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {row.split()[1] for row in rows}


def segments_of(place: Path) -> set[str]:
    """Ids of those that a server started there has named."""
    named = set()
    for pid_file in place.rglob("postmaster.pid"):
        lines = pid_file.read_text().splitlines()
        named |= {line.split()[1] for line in lines[6:7]}
    return named


def start_owner(place: Path, moment: str) -> subprocess.Popen[bytes]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER])
    seen = poll(lambda: any(place.glob(f"assay-*/{moment}")), deadline_s=30)
    assert seen, f"the owner did not come as far as {moment}"
    return owner


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_owner_is_swept(place: Path, moment: str) -> None:
    owner = start_owner(place, moment)
    assert sweep() == [], "a living owner's folder was touched"
    owner.kill()
    owner.wait()
    named = segments_of(place)
    cleaned = sweep()
    assert cleaned[-1].startswith("removed")
    assert started_from(place) == []
    assert list(place.iterdir()) == []
    assert not named & segments()
    assert sweep() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_owner_cleans_up_itself(place: Path, number: signal.Signals) -> None:
    owner = start_owner(place, "ready")
    named = segments_of(place)
    assert named <= segments()
    owner.send_signal(number)
    assert owner.wait(30) != 0
    assert started_from(place) == []
    assert list(place.iterdir()) == []
    assert not named & segments()


def test_a_killed_postmaster_leaves_no_segment(place: Path) -> None:
    from engine.stores import open_postgres

    with Workspace() as workspace:
        server = open_postgres("embedded", workspace)
        named = segments_of(place)
        server.kill()
        assert named <= segments(), "the segment is expected to outlive its server"
    assert not named & segments()


def test_a_killed_owner_s_data_folder_can_be_used_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.stores import open_postgres

    data = place / "data"
    monkeypatch.setenv("DATA", str(data))
    owner = start_owner(place, "ready")
    owner.kill()
    owner.wait()
    named = segments_of(place)
    assert len(named) == 1
    sweep()
    assert started_from(place) == []
    assert [left.name for left in place.iterdir()] == ["data"]
    with Workspace() as workspace:
        open_postgres("embedded", workspace, data=data)
        named |= segments_of(place)
    assert not named & segments()


def test_two_sweeps_at_once_share_the_work(place: Path) -> None:
    owner = start_owner(place, "ready")
    owner.kill()
    owner.wait()
    sweeper = [sys.executable, "-c", "from engine.ownership import sweep; print(len(sweep()))"]
    both = [subprocess.Popen(sweeper, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    done = [int(one.communicate(timeout=60)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert max(done) > 0
    assert started_from(place) == []
    assert list(place.iterdir()) == []


def test_a_sweep_leaves_strangers_alone(place: Path) -> None:
    (place / "assay-notours").write_text("a file")
    (place / "assay-else").mkdir()
    (place / "assay-a-longer-name").mkdir()
    reader = subprocess.Popen(SLEEPER, cwd=place, stdout=subprocess.DEVNULL)
    try:
        assert sweep() == []
        assert reader.poll() is None
        assert len(list(place.iterdir())) == 3
    finally:
        reader.kill()
        reader.wait()


def test_an_empty_folder_of_a_dead_owner_goes(place: Path) -> None:
    """The owner was killed after it made the folder and before it wrote anything."""
    (place / "assay-12345678").mkdir()
    assert len(sweep()) == 1
    assert list(place.iterdir()) == []


def started(workspace: Workspace, args: list[str] = SLEEPER) -> OwnedProcess:
    process = workspace.start("sleeper", args)
    assert poll(lambda: "up" in process.tail(), deadline_s=20)
    return process


def test_a_child_is_paused_resumed_and_stopped(place: Path) -> None:
    with Workspace() as workspace:
        process = started(workspace)
        process.pause()
        seen = psutil.Process(process.pid)
        assert poll(lambda: seen.status() == psutil.STATUS_STOPPED, deadline_s=5)
        process.resume()
        assert poll(lambda: seen.status() != psutil.STATUS_STOPPED, deadline_s=5)
        process.pause()
        process.stop()
        assert not process.alive
        assert process.wait(0) == -signal.SIGTERM


def test_a_child_that_ignores_the_request_is_killed(place: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    with Workspace() as workspace:
        process = started(
            workspace, [sys.executable, "-c", deaf + "print('up', flush=True); time.sleep(600)"]
        )
        began = time.monotonic()
        process.stop(deadline_s=0.2)
        assert not process.alive
        assert time.monotonic() - began < 5


def test_a_killed_child_takes_its_children_along(place: Path) -> None:
    nested = (
        f"import subprocess, time; subprocess.Popen({SLEEPER!r}, start_new_session=True); "
        "time.sleep(600)"
    )
    with Workspace() as workspace:
        process = started(workspace, [sys.executable, "-c", nested])
        grandchildren = psutil.Process(process.pid).children(recursive=True)
        assert grandchildren
        process.kill()
        assert not process.alive
        assert poll(lambda: all(is_over(child) for child in grandchildren), deadline_s=5)


def is_over(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_closing_twice_is_harmless_and_the_folder_is_gone(place: Path) -> None:
    workspace = Workspace()
    process = started(workspace)
    workspace.close()
    workspace.close()
    assert not process.alive
    assert list(place.iterdir()) == []


def test_a_forked_copy_owns_nothing(place: Path) -> None:
    with Workspace() as workspace:
        process = started(workspace)
        copy = os.fork()
        if copy == 0:
            workspace.close()
            os._exit(0)
        assert os.waitpid(copy, 0)[1] == 0
        assert process.alive
        assert workspace.path.is_dir()


def test_an_unusable_place_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(WorkspaceError, match=r"in /nowhere: No such file.*; .*TMPDIR") as refused:
        Workspace()
    assert "\n" not in str(refused.value)
