"""PostgreSQL as a child process: its own cluster, on a free loopback port."""

import os
import pwd
import re
import secrets
import signal
from pathlib import Path

import psutil

from engine.ownership import OwnedProcess, Workspace
from engine.stores.databases import Databases, server_version, wait_until_ready
from engine.stores.model import Choice, StoreError
from engine.stores.placement import spread_folders_of
from engine.stores.ports import LOOPBACK, free_port
from engine.stores.postgres_binaries import Binaries, find_binaries, readable_by
from engine.stores.shared_memory import release
from engine.stores.unprivileged import can_write, give, unprivileged_user
from engine.stores.urls import with_database

ROLE = "assay"
READY_S = 30.0
STOP_S = 20.0
PORT_ATTEMPTS = 5
# Durability stays as PostgreSQL ships it. Waiting in a circle is found after 20 ms instead of 1 s:
# the explorer makes many. Dynamic memory lies in files of the cluster, so that a killed server
# leaves none in /dev/shm.
SETTINGS = (
    "max_connections=200",
    "deadlock_timeout=20ms",
    "fsync=on",
    "synchronous_commit=on",
    "dynamic_shared_memory_type=mmap",
    "unix_socket_directories=",
    f"listen_addresses={LOOPBACK}",
)


class EmbeddedPostgres:
    """See `PostgresServer`. Raises StoreError when it cannot be started."""

    restartable = True

    def __init__(self, workspace: Workspace, choice: Choice, *, data: Path | None = None) -> None:
        self.choice = choice
        self._workspace = workspace
        self._keeps_data = data is not None
        self._cluster = _fresh_place(workspace) if data is None else _data_home(data) / "cluster"
        self._user = _cluster_user(self._cluster)
        _make_folder(self._cluster, self._user)
        self._binaries = readable_by(find_binaries(), self._user, workspace.folder("programs"))
        self._password = _make_cluster(self._cluster, self._user, self._binaries, workspace)
        self._process = self._start_on_free_port()
        self.version = server_version(self.admin_url)
        self._databases = Databases(self.admin_url)

    @property
    def admin_url(self) -> str:
        return f"postgresql://{ROLE}:{self._password}@{LOOPBACK}:{self._port}/postgres"

    def url(self, database: str, *, port: int | None = None) -> str:
        return with_database(self.admin_url, database, proxy_port=port)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        return self._databases.create(name, template)

    def drop_database(self, name: str) -> None:
        self._databases.drop(name)

    def restart(self) -> None:
        self._process.stop(STOP_S, stop_signal=signal.SIGINT)
        self.start()

    def kill(self) -> None:
        self._process.kill()

    def start(self) -> None:
        if self._process.alive:
            return
        self._process = self._launch(self._port)
        if not self._is_ready():
            raise _start_failed(self._process)

    def close(self) -> None:
        self._process.stop(STOP_S)
        if not self._keeps_data:
            release(self._cluster / "postmaster.pid")

    def _start_on_free_port(self) -> OwnedProcess:
        for _ in range(PORT_ATTEMPTS):
            self._port = free_port()
            self._process = self._launch(self._port)
            if self._is_ready():
                return self._process
            # Somebody else was faster to bind the port: take the next one.
            if self._process.alive or "could not bind" not in self._process.tail():
                break
        raise _start_failed(self._process)

    def _launch(self, port: int) -> OwnedProcess:
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        program = self._binaries.program("postgres")
        # A cluster that goes away needs no last checkpoint; one that stays is shut down cleanly.
        stop_signal = signal.SIGINT if self._keeps_data else signal.SIGQUIT
        try:
            return self._workspace.start(
                "postgres",
                [program, "-D", str(self._cluster), "-p", str(port), *settings],
                user=self._user,
                cwd=self._cluster,
                stop_signal=stop_signal,
            )
        except OSError as error:
            raise StoreError(
                f"cannot start {program}: {error}; `assay doctor` shows the programs found"
            ) from error

    def _is_ready(self) -> bool:
        return wait_until_ready(
            self.admin_url, alive=lambda: self._process.alive, deadline_s=READY_S
        )


def _fresh_place(workspace: Workspace) -> Path:
    home = workspace.folder("postgres")
    spread_folders_of(home)
    # The disk places it by its name: with the same one, each run would follow the last.
    return home / f"cluster-{secrets.token_hex(4)}"


def _data_home(data: Path) -> Path:
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot use {data} for data: {error.strerror}; name a folder that can be written"
        ) from error
    return data.absolute()


def _cluster_user(cluster: Path) -> str | None:
    """Who owns an existing cluster when this is root; else see `unprivileged_user`."""
    if not cluster.is_dir():
        return unprivileged_user()
    owner = cluster.stat().st_uid
    if os.geteuid() not in {0, owner}:
        raise StoreError(
            f"the cluster in {cluster} belongs to user id {owner}; "
            "run as that user or name another data folder"
        )
    user = unprivileged_user()
    return user if user is None or owner == 0 else pwd.getpwuid(owner).pw_name


def _make_folder(cluster: Path, user: str | None) -> None:
    if cluster.is_dir():
        return
    try:
        cluster.mkdir(mode=0o700)
        give(cluster, user)
    except OSError as error:
        raise _no_cluster(cluster, error) from error
    if not can_write(cluster, user):
        cluster.rmdir()
        raise StoreError(
            f"PostgreSQL runs as user {user} here, and {user} cannot enter {cluster.parent}; "
            "set TMPDIR (or --data) to a folder that everybody can enter"
        )


def _make_cluster(cluster: Path, user: str | None, binaries: Binaries, workspace: Workspace) -> str:
    """Run initdb unless there is a cluster already; answers the password of its role."""
    kept_password = cluster.with_name("postgres.password")
    if (cluster / "PG_VERSION").exists():
        _refuse_if_unusable(cluster, binaries)
        return _read(kept_password)
    password = secrets.token_urlsafe(18)
    handed_over = workspace.path / "initdb.password"
    try:
        for file in (kept_password, handed_over):
            file.touch(mode=0o600)
            file.write_text(password)
        give(handed_over, user)
        _initdb(cluster, user, binaries, workspace, handed_over)
    except OSError as error:
        raise _no_cluster(cluster, error) from error
    finally:
        handed_over.unlink(missing_ok=True)
    return password


def _initdb(
    cluster: Path, user: str | None, binaries: Binaries, workspace: Workspace, password: Path
) -> None:
    options = ["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"]
    process = workspace.start(
        "initdb",
        [
            binaries.program("initdb"),
            f"--pgdata={cluster}",
            f"--username={ROLE}",
            f"--pwfile={password}",
            *options,
        ],
        user=user,
        cwd=cluster,
    )
    status = process.wait(READY_S)
    process.stop()
    if status != 0:
        raise StoreError(
            f"initdb failed in {cluster}: {_telling_line(process)}; "
            "make room there or choose another folder (TMPDIR, --data)"
        )


def _refuse_if_unusable(cluster: Path, binaries: Binaries) -> None:
    made_by = _read(cluster / "PG_VERSION")
    if binaries.version.split(".")[0] != made_by:
        raise StoreError(
            f"the cluster in {cluster} was made by PostgreSQL {made_by}, the programs are "
            f"{binaries.version}; set ASSAY_EMBEDDED_POSTGRES={made_by} or name another data folder"
        )
    pid_file = cluster / "postmaster.pid"
    if pid_file.exists():
        pid = int(_read(pid_file).splitlines()[0])
        if _is_postgres(pid):
            raise StoreError(
                f"the cluster in {cluster} is in use by process {pid}; "
                "stop that server or name another data folder"
            )


def _is_postgres(pid: int) -> bool:
    try:
        return "postgres" in psutil.Process(pid).name()
    except psutil.Error:
        return False


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise StoreError(
            f"cannot read {file}: {error.strerror}; run as the user who made this data folder, "
            "or name another one"
        ) from error


def _no_cluster(cluster: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot make a PostgreSQL cluster in {cluster}: {error.strerror}; "
        "make room there, or set TMPDIR (or --data) to another folder"
    )


def _start_failed(process: OwnedProcess) -> StoreError:
    how = "did not answer in time" if process.alive else "ended at once"
    process.stop()
    return StoreError(
        f"embedded PostgreSQL {how}: {_telling_line(process)}; "
        "make room or free its port, or choose another folder (TMPDIR, --data)"
    )


def _telling_line(process: OwnedProcess) -> str:
    """Its first complaint since its last start that is not about us asking too early."""
    log = process.tail(200).rpartition("starting PostgreSQL")[2]
    complaints = re.findall(r"(?:FATAL|PANIC|ERROR|error): +(.*)", log)
    telling = [c for c in complaints if "the database system is" not in c]
    return (telling or log.splitlines()[-1:] or ["it wrote nothing"])[0]
