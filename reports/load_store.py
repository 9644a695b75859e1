"""The folder of a load: `load.json` and what is drawn from it."""

import re
from pathlib import Path

from pydantic import ValidationError

from reports.load import LOAD_VERSION, LoadDocument
from reports.load_junit import render_load_junit
from reports.load_markdown import render_load_markdown
from reports.load_page import render_load_html
from reports.store import (
    EvidenceError,
    RunFolder,
    checksums,
    first_problem,
    json_object,
    replace_file,
)

DOCUMENT = "load.json"
NUMBERS = re.compile(r"\[\s+((?:-?[\d.e+-]+|null)(?:,\s+(?:-?[\d.e+-]+|null))*)\s+\]")


def write_load(folder: Path, document: LoadDocument) -> None:
    """The document, what people and CI read, then the checksums of everything in the folder."""
    run = RunFolder(path=folder)
    replace_file(folder / DOCUMENT, _text(document).encode())
    replace_file(run.junit, render_load_junit(document).encode())
    replace_file(run.summary, render_load_markdown(document).encode())
    replace_file(run.page, render_load_html(document).encode())
    replace_file(run.checksums, checksums(folder))


def is_load(folder: Path) -> bool:
    """Whether the folder of this run is that of a load."""
    return (folder / DOCUMENT).is_file()


def read_load(path: Path) -> LoadDocument:
    """Read the document of a load's folder. Raises EvidenceError when that cannot be done."""
    file = path / DOCUMENT if path.is_dir() else path
    found = json_object(file)
    if found.get("version") != LOAD_VERSION:
        raise EvidenceError(
            f"{file} has version {found.get('version')!r}; this Assay reads {LOAD_VERSION!r}"
        )
    try:
        return LoadDocument.model_validate(found)
    except ValidationError as error:
        raise EvidenceError(f"{file} does not match the schema: {first_problem(error)}") from None


def _text(document: LoadDocument) -> str:
    """Indented, with a series of numbers on one line."""
    text = document.model_dump_json(indent=1)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"
