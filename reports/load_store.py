"""The folder of a load: `load.json` and what is drawn from it."""

import re
from pathlib import Path

from reports.document import read_document
from reports.load import LOAD_VERSION, LoadDocument
from reports.load_junit import render_load_junit
from reports.load_markdown import render_load_markdown
from reports.load_page import render_load_html
from reports.store import RunFolder, checksums, replace_file

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
    """Read the document of a load's folder, or the file itself. Raises EvidenceError."""
    file = path / DOCUMENT if path.is_dir() else path
    return read_document(file, LoadDocument, LOAD_VERSION)


def _text(document: LoadDocument) -> str:
    """Indented, with a series of numbers on one line."""
    text = document.model_dump_json(indent=1)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"
