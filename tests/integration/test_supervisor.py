"""The supervisor by itself, with workers that do nothing or die."""

import subprocess
import sys

import pytest

WITHIN_S = 20
PROGRAM = """
import os, signal, sys
from engine.workers import Supervisor

def work(number, ready):
    if number == 1:
        {how_it_dies}
    ready()
    signal.pause()
    return 0

sys.exit(Supervisor(work, 3, stopping=lambda: None, died=lambda pid: None).run())
"""


@pytest.mark.parametrize(
    "how_it_dies", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(1)", "raise MemoryError"]
)
def test_a_worker_that_dies_before_it_can_serve_ends_the_engine(how_it_dies: str) -> None:
    program = PROGRAM.format(how_it_dies=how_it_dies)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        start_new_session=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "worker 1 ended with" in ended.stderr
    assert "before it could serve" in ended.stderr
