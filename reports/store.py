"""The folder of a run: what is written into it, and how it is read again.

Every file is replaced as a whole, so that a reader (or a killed run) never sees half of one.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from reports.evidence import EVIDENCE_VERSION, Evidence
from reports.html import render_html
from reports.junit import render_junit
from reports.markdown import render_markdown


class EvidenceError(Exception):
    """The evidence cannot be read; the message is one line for the person who asked."""


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
    """Read the evidence of a run's folder, or an evidence file.

    Raises EvidenceError when the file is missing, not JSON, of another version, or when a field
    is not as the schema says.
    """
    file = RunFolder(path=path).evidence if path.is_dir() else path
    document = json_object(file)
    version = document.get("version")
    if version != EVIDENCE_VERSION:
        raise EvidenceError(
            f"{file} has evidence version {version!r}; this Assay reads {EVIDENCE_VERSION!r}"
        )
    try:
        return Evidence.model_validate(document)
    except ValidationError as error:
        raise EvidenceError(f"{file} does not match the schema: {first_problem(error)}") from None


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


def json_object(file: Path) -> dict[str, object]:
    """Raises EvidenceError when it cannot be read as one."""
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise EvidenceError(f"{file} does not exist: is this the folder of a run?") from None
    except OSError as error:
        raise EvidenceError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise EvidenceError(f"{file} is not JSON: {why}") from None
    if not isinstance(document, dict):
        raise EvidenceError(f"{file} is not evidence: it holds no JSON object")
    return document


def first_problem(error: ValidationError) -> str:
    """In one line, with the field."""
    problems = error.errors(include_url=False)
    field = ".".join(str(part) for part in problems[0]["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = " ".join(problems[0]["msg"].split())
    return f"{field}: {message}{more}"


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
