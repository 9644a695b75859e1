"""`assay audit`: the histories of a load that somebody else started, and every cent looked for."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from engine.defences import parse_build
from engine.process import EngineConfig, start_engine
from engine.stores import free_port
from scenarios.stand import Stand, became_quiet
from tests.integration.locust_runs import locust

CODE = "from scenarios.cli import main; main()"
UNGUARDED = "SET session_replication_role = replica"
ONE_TRANSFER = "(SELECT max(id::text) FROM transactions WHERE type = 'TRANSFER')"


@pytest.fixture(scope="module")
def database_url(stand: Stand) -> str:
    return stand.postgres.url(stand.databases.create(parse_build("hardened").defences))


@pytest.fixture(scope="module")
def loaded(stand: Stand, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The histories of a short load; the engine is gone since."""
    config = EngineConfig(
        build=parse_build("hardened"),
        database_url=database_url,
        redis_url=stand.redis.url,
        redis_namespace=secrets.token_hex(4),
    )
    engine = start_engine(stand.launch, config)
    folder = tmp_path_factory.mktemp("loaded")
    try:
        done = locust(
            engine.base_url,
            *("-u", "4", "-r", "4", "-t", "2s", "-s", "3", "--wallets", "4"),
            *("--mix", "payments,cash"),
            history=folder,
            OPERATOR_PASSWORD=engine.operator_password,
        )
        assert done.returncode == 0, done.stdout
        assert became_quiet(database_url)
    finally:
        engine.stop()
    return folder


def audited(
    folder: Path, database_url: str, build: str = "hardened"
) -> subprocess.CompletedProcess[str]:
    words = ["audit", str(folder), "--database-url", database_url, "--build", build]
    return subprocess.run(
        [sys.executable, "-c", CODE, *words],
        capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = (done.stdout + done.stderr).splitlines()
    return line


def test_a_load_that_kept_every_cent_and_one_whose_payment_is_gone(
    loaded: Path, database_url: str, tmp_path: Path
) -> None:
    partial = tmp_path / "partial"
    shutil.copytree(loaded, partial)
    done = audited(loaded, database_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every acknowledged payment is recorded once" in done.stdout
    assert "FAIL" not in done.stdout
    _proves_nothing_unfinished(partial, database_url)
    with closing(psycopg2.connect(database_url)) as side, side, side.cursor() as cursor:
        cursor.execute(UNGUARDED)
        cursor.execute(f"DELETE FROM transactions WHERE id::text = {ONE_TRANSFER}")
        assert cursor.rowcount == 1
    # What was made of the folder before is no answer to what is asked now.
    done = audited(loaded, database_url)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL    every acknowledged payment is recorded once" in done.stdout


def _proves_nothing_unfinished(folder: Path, database_url: str) -> None:
    """Without its last line, and without the file that it belongs with."""
    (folder / "preparation.jsonl").rename(folder.parent / "preparation.jsonl")
    done = audited(folder, database_url)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "preparation.jsonl" in done.stdout
    (folder.parent / "preparation.jsonl").rename(folder / "preparation.jsonl")
    history = folder / "load.jsonl"
    *lines, last = history.read_text().splitlines(keepends=True)
    assert json.loads(last)["event"]["text"] == "load ended"
    history.write_text("".join(lines))
    done = audited(folder, database_url)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "load.jsonl was not finished" in done.stdout
    assert "operations may be missing here" in done.stdout


def test_a_folder_without_histories_is_said(database_url: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        done = audited(folder, database_url)
        assert done.returncode == 4, done.stdout + done.stderr
        assert only_line(done).startswith(f"assay: {folder.name} has no history")


def test_a_database_that_is_away_is_said(loaded: Path) -> None:
    done = audited(loaded, f"postgresql://assay:secret@127.0.0.1:{free_port()}/wallet")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Connection refused" in only_line(done)
    assert "secret" not in only_line(done)


def test_a_database_that_may_not_be_read_is_said(loaded: Path, database_url: str) -> None:
    role = f"stranger_{secrets.token_hex(4)}"
    with closing(psycopg2.connect(database_url)) as side, side.cursor() as cursor:
        side.autocommit = True
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            place = urlsplit(database_url)
            netloc = f"{role}:x@{place.hostname}:{place.port}"
            done = audited(loaded, place._replace(netloc=netloc).geturl())
        finally:
            cursor.execute(f"DROP ROLE {role}")
    assert done.returncode == 4, done.stdout + done.stderr
    assert only_line(done).startswith("assay: the database could not be read: permission denied")


def test_another_build_s_database_is_refused(loaded: Path, database_url: str, stand: Stand) -> None:
    done = audited(loaded, database_url, "fragile")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "name the build that was loaded" in only_line(done)
    empty = stand.postgres.url("postgres")
    done = audited(loaded, empty)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the database is no wallet engine's" in only_line(done)
