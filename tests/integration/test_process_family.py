"""What real processes have used, those that have ended included."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.process_family import cpu_s_of, used_by_family

BURNT_S = 0.3
TICK_S = 0.05
BURN = f"import time\nwhile time.process_time() < {BURNT_S}: pass"
RUN = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}], check=True)"
THEN_STAY = "\nprint('ready', flush=True)\nsys.stdin.read()"


@contextmanager
def running(code: str) -> Iterator[int]:
    """The process id, once it has said that it is ready."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


def test_a_child_that_has_ended_counts() -> None:
    with running(RUN + THEN_STAY) as pid:
        used = used_by_family(pid)
        assert used is not None
        assert used.cpu_s >= BURNT_S
        assert cpu_s_of(pid) < used.cpu_s


def test_so_does_what_a_member_has_started_that_has_ended() -> None:
    member = RUN + THEN_STAY
    head = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {member!r}])"
    with running(head) as pid:
        used = used_by_family(pid)
        assert used is not None
        assert used.cpu_s >= BURNT_S
        assert used.memory_mb > 0


def test_of_this_very_process_only_itself_counts() -> None:
    subprocess.run([sys.executable, "-c", BURN], check=True)
    used = used_by_family(os.getpid())
    assert used is not None
    # Both go by the kernel's accounts, and one of them leaves fractions of a tick away.
    assert used.cpu_s <= time.process_time() + TICK_S
    assert used.cpu_s + BURNT_S <= sum(os.times()[:4]) + TICK_S


def test_who_is_not_there_has_used_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert used_by_family(process.pid) is None
    assert cpu_s_of(process.pid) == 0
