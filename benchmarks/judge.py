"""How many operations a second does the judge at scale reconcile, and in how much memory?

    python -m benchmarks.judge                     # 10⁵ and 10⁶ operations
    python -m benchmarks.judge --largest 10000000  # 10⁷ too: wanted 200,000 a second, linear
    python -m benchmarks.judge --profile           # what each statement costs

A made-up load (judge_made.py): 1,000 wallets, one of them the merchant whom every fifth payment
goes to, 5 % of the payments sent twice, 1 % refused, 0.1 % without an answer, two ledger legs a
payment. "judge" is the audit of an archive; "archive" makes the archive of JSON lines and of ground
truth as PostgreSQL copies it out. Each runs in a process of its own, whose largest resident set is
shown, and the CPU seconds of its threads, which tell more on a busy machine; so does the small
judge (history and ground truth as Python objects), as far as it goes. With
--violated one payment is recorded twice, and the audit has to say so.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.figures import row, spread, table
from benchmarks.judge_made import MadeTruth, make_archive, make_lines, read_small
from reports.evidence import Verdict
from scenarios.audit import audit
from scenarios.scale import audit_archive
from scenarios.scale.archive import archive_from
from scenarios.scale.store import MEMORY_LIMIT, Store

WANTED_PER_S = 200_000
SIZES = (100_000, 1_000_000, 10_000_000)
MOST_AS_LINES = 1_000_000
MOST_SMALL = 100_000
LINEAR = 2.0
"""Seconds an operation at the largest size may be so many times those of a tenth of it."""
MOST_MB = 1200
"""Of a load of any size: what DuckDB may take, and the process beside it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--violated", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--only", choices=("judge", "archive", "small"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.only:
        return _alone(wanted.only, wanted.folder, profile=wanted.profile)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, DuckDB "
        f"{duckdb.__version__} with {MEMORY_LIMIT}; median of {wanted.repetitions} (least to most)"
    )
    table("operations", "what", "seconds", "CPU, s", "operations/s", "peak memory, MB", "verdict")
    sizes = [size for size in SIZES if size <= max(wanted.largest, min(SIZES))]
    return _said([_measure(size, wanted) for size in sizes])


def _said(measured: list[tuple[float, float]]) -> int:
    """Of a load of 10⁵ operations the start takes the greater part of the time."""
    rates, peaks_mb = zip(*measured, strict=True)
    print(f"wanted: at least {WANTED_PER_S:,} operations/s; reached {min(rates[1:] or rates):,.0f}")
    if len(rates) < 3:
        return 0
    slower = rates[-2] / rates[-1]
    print(f"against a load of a tenth an operation takes {slower:.2f} times the time")
    print(f"wanted: at most {MOST_MB:,} MB; taken {max(peaks_mb):,.0f}")
    reached = rates[-1] >= WANTED_PER_S and slower <= LINEAR and max(peaks_mb) <= MOST_MB
    return 0 if reached else 1


def _measure(size: int, wanted: argparse.Namespace) -> tuple[float, float]:
    """Operations a second of the judge, and its peak memory in MB."""
    with tempfile.TemporaryDirectory(prefix="assay-judge-") as made:
        folder = Path(made)
        make_archive(folder, size, violated=wanted.violated)
        judged = _repeated("judge", folder, size, wanted)
        if size <= MOST_AS_LINES:
            make_lines(folder)
            _repeated("archive", folder, size, wanted)
        if size <= MOST_SMALL:
            _repeated("small", folder, size, wanted)
    return judged


def _repeated(
    what: str, folder: Path, size: int, wanted: argparse.Namespace
) -> tuple[float, float]:
    runs = [_in_a_process(what, folder, profile=wanted.profile) for _ in range(wanted.repetitions)]
    seconds = sorted(run["seconds"] for run in runs)
    verdicts = {run["verdict"] for run in runs}
    expected = Verdict.VIOLATED if wanted.violated else Verdict.HELD
    if what != "archive" and verdicts != {str(expected)}:
        raise SystemExit(f"{what}: {verdicts}, and it should be {expected}")
    middle = seconds[len(seconds) // 2]
    row(
        f"{size:,}",
        what,
        spread(seconds, 2),
        spread([run["cpu_s"] for run in runs], 1),
        f"{size / middle:,.0f}",
        spread([run["peak_mb"] for run in runs]),
        "/".join(sorted(verdicts)),
    )
    return size / middle, max(run["peak_mb"] for run in runs)


def _in_a_process(what: str, folder: Path, *, profile: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.judge", "--only", what, "--folder", str(folder)]
    command += ["--profile"] if profile else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    sys.stderr.write(done.stderr)
    return dict(json.loads(done.stdout))


def _alone(what: str, folder: Path, *, profile: bool) -> int:
    if profile:
        _profile_statements()
    verdict = ""
    if what == "archive":
        began_s = time.monotonic()
        archive_from(folder / "lines", MadeTruth(folder=folder / "truth"))
    elif what == "small":
        history, truth = read_small(folder)
        began_s = time.monotonic()
        verdict = str(audit(history, truth).verdict)
    else:
        began_s = time.monotonic()
        judged = audit_archive(folder)
        verdict = str(judged.verdict)
        if profile:
            sys.stderr.writelines(f"{check}\n" for check in judged.checks)
    seconds = time.monotonic() - began_s
    # Of the imports too, which is a second at most.
    cpu_s = time.process_time()
    found = {"seconds": seconds, "cpu_s": cpu_s, "peak_mb": _peak_mb(), "verdict": verdict}
    print(json.dumps(found))
    return 0


def _peak_mb() -> float:
    """Of this program alone: `getrusage` counts in whoever started it (getrusage(2))."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found, "Linux tells it there"
    return int(found[1]) / 1024


def _profile_statements() -> None:
    """Every statement's seconds, to standard error."""
    run, rows = Store.run, Store.rows

    def timed(call, self, sql, *parameters):  # type: ignore[no-untyped-def]
        began_s = time.monotonic()
        result = call(self, sql, *parameters)
        took_s = time.monotonic() - began_s
        if took_s > 0.05:
            sys.stderr.write(f"{took_s:8.2f} s  {' '.join(sql.split())[:110]}\n")
        return result

    Store.run = lambda self, sql, *p: timed(run, self, sql, *p)  # type: ignore[method-assign]
    Store.rows = lambda self, sql, *p: timed(rows, self, sql, *p)  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
