"""The System V segment that PostgreSQL leaves when it is killed.

It is a few bytes that keep two servers off one data directory. A restart in the same directory
takes it over; when the directory is deleted instead, nobody does.
"""

import ctypes
from pathlib import Path

IPC_RMID = 0
LISTING = Path("/proc/sysvipc/shm")


def release(pid_file: Path) -> None:
    """Remove the segment that this `postmaster.pid` names, when nobody is attached to it."""
    named = _named_segment(pid_file)
    if named is not None and named in _unattached_segments():
        ctypes.CDLL(None).shmctl(named[1], IPC_RMID, None)


def _named_segment(pid_file: Path) -> tuple[int, int] | None:
    """Key and id, from the seventh line of the file."""
    try:
        key, segment_id = pid_file.read_text().splitlines()[6].split()
        return _signed(int(key)), int(segment_id)
    except (OSError, IndexError, ValueError):
        return None


def _unattached_segments() -> set[tuple[int, int]]:
    """Key and id of each; empty where the system has no such listing."""
    try:
        rows = [line.split() for line in LISTING.read_text().splitlines()]
    except OSError:
        return set()
    if not rows:
        return set()
    key, segment_id, attached = (rows[0].index(name) for name in ("key", "shmid", "nattch"))
    return {(_signed(int(r[key])), int(r[segment_id])) for r in rows[1:] if r[attached] == "0"}


def _signed(key: int) -> int:
    """The kernel lists keys as signed, PostgreSQL writes them unsigned."""
    return ctypes.c_int32(key).value
