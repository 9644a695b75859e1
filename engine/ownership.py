"""What this process started, so that nothing stays behind.

A `Workspace` is a temporary folder with an owner. The owner holds a lock on the folder for as long
as it lives; the kernel gives the lock back however the owner ends, so `sweep()` can tell a dead
owner from a living one without trusting process ids or clocks. Children carry two marks that exist
before their program runs: the workspace in their environment and its log file as their output.
`sweep()` finds them by these marks, so that a kill at any moment loses no child. Containers carry
a label for the same reason.
"""

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psutil

MARK = "ASSAY_WORKSPACE"
PREFIX = "assay-"
POLL_S = 0.01
FORKED_COPY_S = 1.0


class WorkspaceError(Exception):
    """One clear line: what is wrong, where, what to do."""


class Child(Protocol):
    """What is needed of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...


class OwnedProcess:
    """A process that ends with this one; its output is in `log`."""

    def __init__(self, name: str, child: Child, log: Path, stop_signal: signal.Signals) -> None:
        self.name = name
        self.log = log
        self._child = child
        self._stop_signal = stop_signal

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def wait(self, deadline_s: float) -> int | None:
        """Its exit status (negative: the signal), or None when it still runs after the deadline."""
        try:
            return self._child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """SIGKILL for it and everything it started; returns when all are gone."""
        family = _family(self.pid) if self.alive else []
        for member in family:
            _send(member, signal.SIGKILL)
        self._child.wait()
        _wait_until_gone(family, deadline_s=10)

    def pause(self) -> None:
        """SIGSTOP for it and everything it started: they keep their sockets and answer nobody."""
        for member in _family(self.pid):
            _send(member, signal.SIGSTOP)

    def resume(self) -> None:
        for member in _family(self.pid):
            _send(member, signal.SIGCONT)

    def stop(self, deadline_s: float = 10.0, *, stop_signal: signal.Signals | None = None) -> None:
        """Ask it to end (also when paused), and kill it when it has not within the deadline."""
        if self.alive:
            self._child.send_signal(stop_signal or self._stop_signal)
            self.resume()
            if self.wait(deadline_s) is None:
                self.kill()

    def tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


class Workspace:
    """A temporary folder, and everything started in its name. Use it as a context manager.

    Raises WorkspaceError when the folder cannot be made.
    """

    def __init__(self) -> None:
        self.path, self._lock = _locked_folder()
        self._owner_pid = os.getpid()
        self._children: list[OwnedProcess] = []
        self._containers: list[str] = []
        self._closed = False
        self.folder("logs")
        self._record()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(  # noqa: PLR0913 - what a process is started with
        self,
        name: str,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        without: str | None = None,
        user: str | None = None,
        cwd: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> OwnedProcess:
        """Start a program in a session of its own, so that Ctrl-C does not reach it directly.

        `env` is added to this process's environment without the names that begin with `without`.
        `user` needs root. `stdin` is a file
        descriptor. `stop_signal` is what `stop()` and `close()` send first. Raises OSError when the
        program cannot be started.
        """
        log = self.log_file(name)
        left_out = {name for name in os.environ if without and name.startswith(without)}
        inherited = {name: os.environ[name] for name in os.environ.keys() - left_out}
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(args),
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **(env or {}), MARK: str(self.path)},
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=_group_of(user),
                extra_groups=None if user is None else [],
            )
        return self.adopt(name, child, log, stop_signal)

    def adopt(
        self, name: str, child: Child, log: Path, stop_signal: signal.Signals = signal.SIGTERM
    ) -> OwnedProcess:
        """Own a process that something of ours started, with the workspace's marks on it."""
        process = OwnedProcess(name, child, log, stop_signal)
        self._children.append(process)
        return process

    def log_file(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def folder(self, name: str) -> Path:
        """A folder of that name in the workspace, made when it is not there."""
        path = self.path / name
        if not path.is_dir():
            path.mkdir(parents=True)
            # Whatever the umask says: a child may run as another user.
            path.chmod(0o755)
        return path

    def note_container(self, container_id: str) -> None:
        """Call it before the container is made, with the name that it will get."""
        self._containers.append(container_id)
        self._record()

    def forget_container(self, container_id: str) -> None:
        with contextlib.suppress(ValueError):
            self._containers.remove(container_id)
        self._record()

    def close(self) -> None:
        """End every child, remove the containers and the folder. May be called again."""
        # A forked copy of the owner inherits this object, but owns nothing.
        if self._closed or os.getpid() != self._owner_pid:
            return
        for child in reversed(self._children):
            child.stop()
        # Also a child that was started as an exception struck, or one that a child left behind.
        _end_processes(_marked(self.path))
        try:
            if self._containers:
                _remove_containers(self.path, self._containers)
            _remove_folder(self.path)
        except WorkspaceError:
            # The engine does not answer now: the folder and its record stay for the next sweep.
            pass
        # Only now: a Ctrl-C on the way here leaves the rest to the next call, at exit.
        self._closed = True
        os.close(self._lock)
        atexit.unregister(self.close)

    def _record(self) -> None:
        """For whoever looks into the folder, and for `sweep()`: replaced as a whole, never torn."""
        owner = {"pid": self._owner_pid, "created": psutil.Process().create_time()}
        draft = self.path / "owner.json.new"
        draft.write_text(json.dumps({"owner": owner, "containers": self._containers}))
        draft.replace(self.path / "owner.json")


def sweep() -> list[str]:
    """Remove what dead owners left behind; one line for each thing cleaned.

    Folders of living owners and of other users are not touched. Two sweeps at once share the work.
    """
    cleaned: list[str] = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}????????")):
        lock = _lock_of_dead_owner(folder) if _is_ours(folder) else None
        if lock is None:
            continue
        try:
            cleaned += _sweep_folder(folder)
        finally:
            os.close(lock)
    return cleaned


def _remove_containers(workspace: Path, noted: Sequence[str]) -> list[str]:
    """Remove the containers with this workspace's label, noted or not; answers their names.

    Raises WorkspaceError when containers were noted and no engine answers.
    """
    # Imported here: the container engine's client is slow to import and rarely needed.
    from engine.stores import container_engine  # noqa: PLC0415

    engine = container_engine.connect()
    if isinstance(engine, str):
        if not noted:
            return []
        raise WorkspaceError(f"containers of {workspace} remain: {engine}")
    return container_engine.remove_labelled(engine, workspace)


def _sweep_folder(folder: Path) -> list[str]:
    left = _marked(folder)
    lines = [f"ended process {process.pid} of {folder}" for process in left]
    _end_processes(left)
    try:
        removed = _remove_containers(folder, _noted_containers(folder))
        lines += [f"removed container {name} of {folder}" for name in removed]
    except WorkspaceError as error:
        # The folder stays: its record is what the next sweep needs.
        return [*lines, str(error)]
    _remove_folder(folder)
    return [*lines, f"removed {folder}"]


def _end_processes(processes: list[psutil.Process], deadline_s: float = 5.0) -> None:
    """Ask them to end, and kill those that have not within the deadline."""
    for process in processes:
        # PostgreSQL, Redis and uvicorn all take SIGINT for "finish now and cleanly"; PostgreSQL
        # would take SIGTERM for "when the last client has left".
        _send(process, signal.SIGINT)
        _send(process, signal.SIGCONT)
    for process in _wait_until_gone(processes, deadline_s):
        _send(process, signal.SIGKILL)
    _wait_until_gone(processes, deadline_s)


def _locked_folder() -> tuple[Path, int]:
    """A new folder and the open descriptor that holds its lock."""
    try:
        for _ in range(10):
            path = Path(tempfile.mkdtemp(prefix=PREFIX))
            # Another user must be able to go through it (PostgreSQL does not run as root), not to
            # list it.
            path.chmod(0o711)
            lock = _lock(path)
            # A sweep may have taken the folder in the moment before it was locked.
            if lock is not None:
                return path, lock
    except OSError as error:
        raise WorkspaceError(
            f"cannot make a temporary folder in {tempfile.gettempdir()}: {error.strerror}; "
            "make room there or set TMPDIR to a folder that can be written"
        ) from error
    raise WorkspaceError(f"temporary folders in {tempfile.gettempdir()} vanish as they are made")


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the folder's lock, or None when somebody else holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    if not folder.exists():
        os.close(descriptor)
        return None
    return descriptor


def _lock_of_dead_owner(folder: Path) -> int | None:
    """The lock, or None when the owner lives.

    A copy of the owner holds the lock too until it becomes the program that it was forked for:
    wait a moment for it when the owner is dead already.
    """
    lock = _lock(folder)

    def decided() -> bool:
        nonlocal lock
        lock = lock if lock is not None else _lock(folder)
        return lock is not None or not folder.exists()

    if lock is None and not _owner_exists(folder):
        poll(decided, FORKED_COPY_S)
    return lock


def _owner_exists(folder: Path) -> bool:
    """Whether a process has the owner's id; also true while there is no record."""
    try:
        return psutil.pid_exists(json.loads((folder / "owner.json").read_text())["owner"]["pid"])
    except (OSError, ValueError, KeyError):
        return True


def _is_ours(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _marked(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_marked(process, folder)]


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    """Whether it was started in that workspace, or by something that was."""
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Some programs overwrite their environment to show a title; none closes its output.
        return process.environ().get(MARK) == str(folder) or any(
            opened.fd in {1, 2} and Path(opened.path).is_relative_to(folder)
            for opened in process.open_files()
        )
    except (psutil.Error, OSError):
        return False


def _noted_containers(folder: Path) -> list[str]:
    """Empty when the owner was killed before it could write a record."""
    try:
        noted = json.loads((folder / "owner.json").read_text())["containers"]
    except (OSError, ValueError, KeyError):
        return []
    return [str(container_id) for container_id in noted]


def _remove_folder(folder: Path) -> None:
    from engine.stores import shared_memory  # noqa: PLC0415

    for pid_file in folder.glob("*/*/postmaster.pid"):
        shared_memory.release(pid_file)
    shutil.rmtree(folder, ignore_errors=True)


def _family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants, stopped first so that none is added meanwhile."""
    try:
        head = psutil.Process(pid)
        head.suspend()
        return [head, *head.children(recursive=True)]
    except psutil.Error:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def _wait_until_gone(processes: list[psutil.Process], deadline_s: float) -> list[psutil.Process]:
    """Those that are still there after the deadline."""
    left: list[psutil.Process] = []

    def none_left() -> bool:
        left[:] = [process for process in processes if not _is_gone(process)]
        return not left

    poll(none_left, deadline_s)
    return left


def _is_gone(process: psutil.Process) -> bool:
    """A zombie is gone: its first parent is dead, and who inherited it may never reap it.

    Not before its last thread: until then it keeps its files and sockets open.
    """
    threads = Path(f"/proc/{process.pid}/task")
    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return False
        return sum(1 for _ in threads.iterdir()) <= 1
    except (psutil.Error, OSError):
        return True


def poll(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Whether the condition came true within the deadline; it is tried at least once."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd  # noqa: PLC0415 - only where there are users

    return pwd.getpwnam(user).pw_gid
