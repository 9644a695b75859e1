"""How a forked process ends, whatever its life came to."""

import subprocess
import sys

import pytest

WITHIN_S = 20
PROGRAM = """
import os, sys
from engine.forked import live_and_end

def life():
    {life}

try:
    if (pid := os.fork()) == 0:
        live_and_end(life)
    _, status = os.waitpid(pid, 0)
finally:
    sys.stdout.write("once\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(
    ("life", "code", "said"),
    [
        ("return 3", 3, ""),
        ("sys.exit(4)", 4, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('too early')", 1, "too early"),
        ("raise MemoryError", 1, "MemoryError"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("sys.stdout.close(); return 5", 5, ""),
    ],
)
def test_it_ends_as_a_program_and_never_goes_back(life: str, code: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(life=life)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, "once\n")
    assert said in ended.stderr
    assert said or not ended.stderr
