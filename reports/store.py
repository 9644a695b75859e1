"""The folder of a run: what is written into it, and how it is read again.

Every file is replaced as a whole, so that a reader (or a killed run) never sees half of one.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from reports.document import read_document
from reports.evidence import EVIDENCE_VERSION, Evidence
from reports.html import render_html
from reports.junit import render_junit
from reports.markdown import render_markdown


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Where the files of one run are."""

    path: Path

    @property
    def evidence(self) -> Path:
        return self.path / "evidence.json"

    @property
    def junit(self) -> Path:
        return self.path / "junit.xml"

    @property
    def summary(self) -> Path:
        return self.path / "summary.md"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    @property
    def checksums(self) -> Path:
        return self.path / "SHA256SUMS"

    @property
    def histories(self) -> Path:
        return self.path / "histories"


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write `evidence.json`; called after every cell, so that a killed run keeps what it saw."""
    folder.mkdir(parents=True, exist_ok=True)
    text = evidence.model_dump_json(indent=2) + "\n"
    replace_file(RunFolder(path=folder).evidence, text.encode())


def write_reports(folder: Path, evidence: Evidence) -> None:
    """Write what people and CI read, then the checksums of everything in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    run = RunFolder(path=folder)
    replace_file(run.junit, render_junit(evidence, folder=folder).encode())
    replace_file(run.summary, render_markdown(evidence, folder=folder).encode())
    replace_file(run.page, render_html(evidence, folder=folder).encode())
    replace_file(run.checksums, checksums(folder))


def read_evidence(path: Path) -> Evidence:
    """Read the evidence of a run's folder, or an evidence file. Raises EvidenceError."""
    file = RunFolder(path=path).evidence if path.is_dir() else path
    return read_document(file, Evidence, EVIDENCE_VERSION)


def checksums(folder: Path) -> bytes:
    """The lines of SHA256SUMS for every file below the folder, as `sha256sum -c` reads them."""
    own = RunFolder(path=folder).checksums
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    named = sorted((path.relative_to(folder).as_posix(), path) for path in files if path != own)
    return b"".join(_checksum_line(name, path) for name, path in named if not _is_draft(path))


def _checksum_line(name: str, path: Path) -> bytes:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # sha256sum marks a name with escapes by a backslash before the digest.
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  ".encode() + os.fsencode(escaped) + b"\n"


def replace_file(path: Path, content: bytes) -> None:
    """Write it as a whole: nobody ever reads half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix == ".draft"
