"""What a process and all that it has started take of the machine."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

MB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Used:
    """Processor time so far, and the memory that is resident now."""

    cpu_s: float
    """With that of the members that have ended."""
    memory_mb: float


def used_by_family(pid: int) -> Used | None:
    """None when there is no such process. Of this very process without those that it has started.

    A member that ends while it is looked at may be missing from this look, and is in the next.
    """
    try:
        head = psutil.Process(pid)
        # Its own first: what ends after that is not counted twice.
        found = [_used(head, with_ended=pid != os.getpid())]
        for member in _members(head) if pid != os.getpid() else ():
            with suppress(psutil.Error):
                found.append(_used(member, with_ended=True))
    except psutil.Error:
        return None
    return Used(
        cpu_s=sum(one.cpu_s for one in found), memory_mb=sum(one.memory_mb for one in found)
    )


def cpu_s_of(pid: int) -> float:
    """Of one process alone; 0 when there is none."""
    try:
        return _used(psutil.Process(pid), with_ended=False).cpu_s
    except psutil.Error:
        return 0.0


def _used(process: psutil.Process, *, with_ended: bool) -> Used:
    times = process.cpu_times()
    ended_s = times.children_user + times.children_system if with_ended else 0.0
    return Used(cpu_s=times.user + times.system + ended_s, memory_mb=process.memory_info().rss / MB)


def _members(head: psutil.Process) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        yield from head.children(recursive=True)
