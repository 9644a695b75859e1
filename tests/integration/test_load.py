"""`assay load` as a user types it: builds under load, faults, and the audit afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from attacks.history import read_history
from engine.defences import parse_build
from engine.ownership import poll
from reports.load import LoadDocument
from reports.load_store import read_load
from scenarios.loading import generator
from scenarios.loading.load import load
from scenarios.loading.plan import LoadPlan
from scenarios.loading.watching import LoadWatcher
from scenarios.scale.judge import CLAIMS

pytestmark = pytest.mark.slow

CODE = "from scenarios.cli import main; main()"
SHORT = (
    "--stores",
    "embedded",
    "--users",
    "8",
    "--wallets",
    "10",
    "--warm-up-s",
    "1",
    "--seed",
    "3",
)
WITHIN_S = 60.0


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where whatever is started keeps its things; nothing of them is left afterwards."""
    # Not in pytest's own folder: PostgreSQL's user cannot enter that one.
    folder = Path(tempfile.mkdtemp(prefix="under-load-"))
    folder.chmod(0o711)
    yield folder
    left = list(folder.glob("assay-*"))
    shutil.rmtree(folder)
    assert left == []


def command(out: Path, *options: str) -> list[str]:
    return [sys.executable, "-c", CODE, "load", "--out", str(out), *SHORT, *options]


def run_load(out: Path, temporary: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, *options),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


@contextmanager
def under_way(out: Path, temporary: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A load whose first requests are in its history."""
    process = subprocess.Popen(
        command(out, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        assert poll(
            lambda: any(p.stat().st_size for p in out.glob("*/histories/*/load*.jsonl")), WITHIN_S
        )
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(WITHIN_S)


def has_begun(out: Path) -> bool:
    return any(path.stat().st_size for path in out.glob("*/histories/*/load*.jsonl"))


def member(process: subprocess.Popen[str], words: str) -> psutil.Process:
    """The first descendant with these words in its command line."""
    family = psutil.Process(process.pid).children(recursive=True)
    return next(one for one in family if words in " ".join(one.cmdline()))


def asked_by(process: subprocess.Popen[str], client: psutil.Process) -> psutil.Process:
    """The descendant that listens where this one is connected to."""
    ports = {c.raddr.port for c in client.net_connections() if c.status == psutil.CONN_ESTABLISHED}
    family = psutil.Process(process.pid).children(recursive=True)
    return next(one for one in family if ports & listens_at(one))


def listens_at(one: psutil.Process) -> set[int]:
    listening = (c for c in one.net_connections() if c.status == psutil.CONN_LISTEN)
    return {each.laddr.port for each in listening}


def left_by(out: Path) -> LoadDocument:
    (folder,) = out.iterdir()
    return read_load(folder)


def test_hardened_keeps_every_cent_through_faults(tmp_path: Path, temporary: Path) -> None:
    out = tmp_path / "out"
    done = run_load(
        out, temporary, "--duration-s", "16", "--tps", "40", "--mix", "all",
        *("--fault", "redis-down@2s+1s", "--fault", "kill-engine@5s"),
        *("--fault", "restart-postgres@8s"),
        *("--threshold", "violations==0", "--threshold", "transfer.tps>0"),
    )  # fmt: skip
    document = left_by(out)
    (run,) = document.runs
    assert run.verdict == "held", done.stdout + done.stderr
    assert [fault.struck for fault in run.faults] == [True, True, True], done.stdout
    assert all(fault.before_per_s and fault.silent_s is not None for fault in run.faults)
    # How soon it is back is the machine's affair; whoever was not seen to be is named.
    not_back = [fault.text for fault in run.faults if fault.is_not_back]
    assert done.returncode == (3 if not_back else 0), done.stdout + done.stderr
    assert all(text in document.conclusion for text in not_back)
    assert [threshold.met for threshold in run.thresholds] == [True, True]
    assert not run.partial
    assert run.payments > 0
    assert {"deposit", "transfer", "read-balance", "all"} <= {row.name for row in run.rows}
    assert len(run.series.at_s) == len(run.series.p95_ms)
    assert any(sessions for sessions in run.samples.connections)
    assert any(percent for percent in run.samples.cpu_percent["engine"])
    assert any(percent for percent in run.samples.cpu_percent["PostgreSQL"])
    (folder,) = out.iterdir()
    histories = folder / run.histories
    events = read_history(histories / "faults.jsonl").events
    assert [event.kind for event in events] == ["redis-down", "kill-engine", "restart-postgres"]
    operations = read_history(histories / "load.jsonl").operations
    assert all(
        operation.intended_s is not None for operation in operations if operation.name == "deposit"
    )
    assert len(read_history(histories / "preparation.jsonl").operations) == 10
    assert (histories / "locust.html").exists()
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert all(b"Bearer" not in content and b"eyJ" not in content for content in contents)


def test_fragile_under_the_same_load_shows_the_missing_money(
    tmp_path: Path, temporary: Path
) -> None:
    out = tmp_path / "out"
    done = run_load(out, temporary, "--against", "fragile", "--duration-s", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    document = left_by(out)
    hardened, fragile = document.runs
    assert (hardened.verdict, fragile.verdict) == ("held", "violated")
    assert fragile.losses.invented_minor
    assert "in wallets than was ever paid in" in document.conclusion
    assert "fragile, under the same load" in done.stdout
    redrawn = subprocess.run(
        [sys.executable, "-c", CODE, "report", str(next(out.iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert document.conclusion in redrawn.stdout


def test_fragile_alone_is_caught(tmp_path: Path, temporary: Path) -> None:
    out = tmp_path / "out"
    done = run_load(out, temporary, "--build", "fragile", "--duration-s", "5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL    money is conserved" in done.stdout


def test_a_missed_threshold_is_a_failure_though_no_cent_is_missing(
    tmp_path: Path, temporary: Path
) -> None:
    out = tmp_path / "out"
    done = run_load(out, temporary, "--duration-s", "3", "--threshold", "p95<1us")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "kept every cent, but missed p95<1us" in left_by(out).conclusion


def test_a_threshold_may_end_the_load_which_is_audited_all_the_same(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is set for other loads of the user is nothing to this one.
    monkeypatch.setenv("LOCUST_TAGS", "hot")
    out = tmp_path / "out"
    done = run_load(
        out, temporary, "--duration-s", "90", "--threshold", "p95<1us", "--threshold-abort",
        "--mix", "payments", "--fault", "redis-down@80s+1s",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    document = left_by(out)
    (run,) = document.runs
    assert (run.verdict, run.stopped_by, run.doubts) == ("held", "p95<1us", ())
    assert run.lasted_s < 60
    assert "p95<1us ended it after" in document.conclusion


def test_a_locust_that_dies_leaves_a_partial_history_that_is_audited(
    tmp_path: Path, temporary: Path
) -> None:
    out = tmp_path / "out"
    with under_way(out, temporary, "--duration-s", "60") as process:
        member(process, "-m locust").kill()
        told, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3, told
    (run,) = left_by(out).runs
    assert run.partial
    assert run.checks, "what there was has been judged"
    assert "Locust ended with -9" in told
    assert "the history is partial" in told


def test_one_of_several_locust_processes_that_dies_ends_the_load(
    tmp_path: Path, temporary: Path
) -> None:
    out = tmp_path / "out"
    with under_way(out, temporary, "--duration-s", "60", "--processes", "2") as process:
        member(process, "-m locust").children()[0].kill()
        told, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3, told
    assert left_by(out).runs[0].partial
    assert "ended in the middle of the load" in told


def test_an_engine_that_dies_is_said_at_once(tmp_path: Path, temporary: Path) -> None:
    out = tmp_path / "out"
    with under_way(out, temporary, "--duration-s", "60") as process:
        engine = asked_by(process, member(process, "-m locust"))
        engine.kill()
        told, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3, told
    assert "the engine ended in the middle of the load" in told


def test_an_interrupted_load_leaves_nothing_running(tmp_path: Path, temporary: Path) -> None:
    out = tmp_path / "out"
    with under_way(out, temporary, "--duration-s", "60") as process:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 128 + signal.SIGINT, told
    _, alive = psutil.wait_procs(family, timeout=WITHIN_S)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert left_by(out).status == "interrupted"


def plan_in(out: Path, **changes: object) -> LoadPlan:
    values: dict[str, object] = {
        "command": "assay load",
        "build": parse_build("hardened"),
        "stores": "embedded",
        "users": 8,
        "wallets": 10,
        "warm_up_s": 1.0,
        "duration_s": 4,
        "seed": 3,
        "out": out,
    }
    return LoadPlan(**{**values, **changes})  # type: ignore[arg-type]


def test_a_full_disk_under_the_history_makes_it_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generator.locust_command

    def limited(plan: LoadPlan, base_url: str, report: Path) -> list[str]:
        return ["prlimit", "--fsize=30000", *whole(plan, base_url, report)]

    monkeypatch.setattr(generator, "locust_command", limited)
    loaded = load(plan_in(tmp_path / "out", duration_s=60), LoadWatcher())
    (run,) = loaded.document.runs
    assert loaded.exit_code == 3
    assert run.partial
    assert run.checks
    assert any("cannot be written any more" in doubt for doubt in run.doubts), run.doubts


@pytest.mark.parametrize(("build", "verdict"), [("hardened", "held"), ("fragile", "violated")])
def test_a_small_load_is_judged_by_every_claim_too(
    build: str, verdict: str, tmp_path: Path
) -> None:
    loaded = load(plan_in(tmp_path / "out", build=parse_build(build)), LoadWatcher())
    (run,) = loaded.document.runs
    assert run.verdict == verdict, run.doubts
    assert {check.claim for check in run.checks} >= {claim.name for claim in CLAIMS}
    assert bool(run.losses.invented_minor) == (verdict == "violated")
    assert run.losses.payments_without_record == 0
    assert (loaded.folder / run.histories / "operations.parquet").exists()


def test_a_report_that_cannot_be_written_is_said_and_the_verdict_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, document: LoadDocument) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scenarios.loading.load.write_load", full)
    loaded = load(plan_in(tmp_path / "out", duration_s=2), LoadWatcher())
    assert loaded.document.verdict == "held"
    assert "No space left on device" in loaded.unwritten
    assert loaded.exit_code == 4
