"""The user that PostgreSQL runs as when Assay runs as root, which PostgreSQL refuses."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from engine.stores.model import StoreError

CANDIDATES = ("postgres", "nobody")


def unprivileged_user() -> str | None:
    """None when this process is unprivileged itself. Raises StoreError when there is no user."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        if _exists(name):
            return name
    raise StoreError(
        "PostgreSQL refuses to run as root and this system has neither a user postgres nor nobody; "
        "create one (useradd --system postgres) or run Assay as another user"
    )


def give(path: Path, user: str | None) -> None:
    """Make the user the owner of one file or folder (not of what is in it)."""
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def can_run(program: Path, user: str | None) -> bool:
    """Whether that user can run the program where it lies, found out by running `--version`."""
    return _succeeds([str(program), "--version"], user)


def can_write(folder: Path, user: str | None) -> bool:
    """Whether that user can come to the folder and write there."""
    return _succeeds(["test", "-w", str(folder)], user)


def _succeeds(args: list[str], user: str | None) -> bool:
    try:
        done = subprocess.run(
            args,
            cwd="/",
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _exists(name: str) -> bool:
    try:
        return pwd.getpwnam(name).pw_uid != 0
    except KeyError:
        return False
