"""`assay load` as a user types it: an engine under load, and the audit afterwards."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attacks.history import read_history

pytestmark = pytest.mark.slow

SHORT = ("--stores", "embedded", "--duration-s", "4", "--users", "8", "--wallets", "10")


def run_load(build: str, out: Path) -> subprocess.CompletedProcess[str]:
    code = "from scenarios.cli import main; main()"
    command = [sys.executable, "-c", code, "load", "--build", build, "--out", str(out), *SHORT]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def payments_in(output: str) -> int:
    found = re.search(r"(\d+) acknowledged payments", output)
    assert found, output
    return int(found[1])


def test_hardened_keeps_every_cent(tmp_path: Path) -> None:
    done = run_load("hardened", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert payments_in(done.stdout) > 0
    (folder,) = tmp_path.iterdir()
    load = read_history(folder / "load.jsonl").operations
    assert len({o.key for o in load if o.name == "transfer" and o.outcome == "ok"}) == payments_in(
        done.stdout
    )
    assert any(o.answer == "201 replayed" for o in load), "no client ever asked twice"
    assert len(read_history(folder / "preparation.jsonl").operations) == 10
    assert all("Bearer" not in path.read_text() for path in folder.iterdir())


def test_fragile_is_caught(tmp_path: Path) -> None:
    done = run_load("fragile", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL    money is conserved" in done.stdout
    assert "FAIL    every acknowledged payment is recorded once" in done.stdout
