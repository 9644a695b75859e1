"""A forked engine is a process like any other: it is owned, it dies, and nothing of it stays."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.fork_server import STATUS_UNKNOWN, ForkServer, ForkServerError
from engine.ownership import OwnedProcess, Workspace, poll, sweep

SENSELESS = {"DATABASE_URL": "nonsense", "ENGINE_BUILD": "hardened"}
OWNER = """
import sys, time
from engine.fork_server import ForkServer
from engine.ownership import Workspace

with Workspace() as workspace:
    build = "fragile,redis_policy=bounded"
    environment = {"DATABASE_URL": sys.argv[1], "ENGINE_BUILD": build, "JWT_SECRET": "s" * 32}
    print(ForkServer(workspace).start("asleep", environment).pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(workspace: Workspace) -> ForkServer:
    return ForkServer(workspace)


@pytest.fixture
def asleep_env() -> Iterator[dict[str, str]]:
    """For an engine that never gets further than to the question whether it may connect."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        yield {
            "DATABASE_URL": url,
            "ENGINE_BUILD": "fragile,redis_policy=bounded",
            "JWT_SECRET": "s" * 32,
        }


def _has_status(pid: int, *statuses: str) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() in statuses


def _gone(pid: int) -> bool:
    """Or dead, and never collected by who inherited it."""
    return not psutil.pid_exists(pid) or _has_status(pid, psutil.STATUS_ZOMBIE)


def _ended(process: OwnedProcess) -> bool:
    return process.wait(20) == STATUS_UNKNOWN and not process.alive


def test_its_last_words_are_in_a_log_of_its_own(server: ForkServer) -> None:
    one = server.start("first", SENSELESS)
    other = server.start("second", SENSELESS | {"ENGINE_BUILD": "no-such-build"})
    assert _ended(one)
    assert _ended(other)
    assert one.pid != other.pid
    assert one.tail().startswith("engine: ")
    assert "no-such-build" in other.tail()
    assert "no-such-build" not in one.tail()


def test_it_is_paused_resumed_and_stopped(workspace: Workspace, asleep_env: dict[str, str]) -> None:
    process = ForkServer(workspace).start("asleep", asleep_env)
    assert process.alive
    assert process.wait(0.1) is None
    assert os.getsid(process.pid) == process.pid
    process.pause()
    assert poll(lambda: _has_status(process.pid, psutil.STATUS_STOPPED), deadline_s=5)
    process.resume()
    assert poll(lambda: not _has_status(process.pid, psutil.STATUS_STOPPED), deadline_s=5)
    process.stop(deadline_s=0.2)
    assert _ended(process)


def test_it_is_killed(server: ForkServer, asleep_env: dict[str, str]) -> None:
    process = server.start("asleep", asleep_env)
    process.kill()
    assert _ended(process)
    assert not psutil.pid_exists(process.pid)


def test_it_ends_with_its_workspace(asleep_env: dict[str, str]) -> None:
    with Workspace() as workspace:
        process = ForkServer(workspace).start("asleep", asleep_env)
    assert not psutil.pid_exists(process.pid)


def test_a_sweep_finds_it_when_its_owner_was_killed(
    asleep_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", OWNER, asleep_env["DATABASE_URL"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    assert not _gone(pid)
    sweep()
    assert _gone(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_has_ended_is_said(asleep_env: dict[str, str]) -> None:
    with Workspace() as workspace:
        server = ForkServer(workspace)
        parent = psutil.Process(server.start("asleep", asleep_env).pid).parent()
        assert parent is not None
        parent.kill()
        parent.wait()
        with pytest.raises(ForkServerError, match="the process that starts engines has ended"):
            server.start("second", asleep_env)
