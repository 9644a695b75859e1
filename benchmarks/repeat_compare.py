"""Does `assay compare` say the same every time? Runs it again and again and counts.

    python -m benchmarks.repeat_compare --runs 20

Prints how many runs gave the same table, the spread of their durations, and for each claim that
`fragile` breaks in how many rounds plain racing caught it: where luck decides, it shows here.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--stores", default="embedded")
    wanted = parser.parse_args()
    runs = [_compare(number, wanted.runs, wanted.stores) for number in range(1, wanted.runs + 1)]
    _print_result(runs)
    return (
        0
        if len({_table(run) for run in runs}) == 1 and not any(r["exit_code"] for r in runs)
        else 1
    )


def _compare(number: int, runs: int, stores: str) -> dict[str, Any]:
    command = [sys.executable, "-c", "from scenarios.cli import main; main()"]
    command += ["compare", "--stores", stores, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    evidence: dict[str, Any] = json.loads(done.stdout)
    evidence["exit_code"] = done.returncode
    wrong = [c["scenario"] for c in evidence["cells"] if c["verdict"] != c["predicted"]]
    print(f"run {number} of {runs}: exit {done.returncode}, {evidence['duration_s']:.0f} s", *wrong)
    sys.stdout.flush()
    return evidence


def _table(evidence: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    return tuple((c["scenario"], c["build"], c["verdict"]) for c in evidence["cells"])


def _print_result(runs: list[dict[str, Any]]) -> None:
    tables = Counter(_table(run) for run in runs)
    same = tables.most_common(1)[0][1]
    green = sum(run["exit_code"] == 0 for run in runs)
    durations = [run["duration_s"] for run in runs]
    environment = runs[0]["environment"]
    print()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(
        f"PostgreSQL {environment['postgres']['version']} ({environment['postgres']['kind']}), ",
        end="",
    )
    print(f"Redis {environment['redis']['version']} ({environment['redis']['kind']})")
    print(
        f"same table in {same} of {len(runs)} runs, every prediction true in {green} of {len(runs)}"
    )
    low, middle, high = min(durations), statistics.median(durations), max(durations)
    print(f"duration {middle:.0f} s (median; {low:.0f} to {high:.0f})")
    print()
    print("claims broken by fragile, rounds in which it was caught (least, median, most of a run):")
    for name, (rounds, caught) in _caught(runs).items():
        spread = f"{min(caught)}, {statistics.median(caught):g}, {max(caught)}"
        print(f"  {name:<19} {spread} of {rounds}")


def _caught(runs: list[dict[str, Any]]) -> dict[str, tuple[int, list[int]]]:
    counts: dict[str, list[int]] = defaultdict(list)
    rounds: dict[str, int] = {}
    for run in runs:
        for cell in run["cells"]:
            if cell["build"] == "fragile" and cell["predicted"] == "violated":
                counts[cell["scenario"]].append(cell["strength"]["violated_rounds"])
                rounds[cell["scenario"]] = cell["strength"]["rounds"]
    return {name: (rounds[name], caught) for name, caught in counts.items()}


if __name__ == "__main__":
    sys.exit(main())
