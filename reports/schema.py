"""The JSON schemas of the documents: `python -m reports.schema` writes them from the models."""

import json
from pathlib import Path

from pydantic import BaseModel

from reports.evidence import EVIDENCE_VERSION, Evidence
from reports.load import LOAD_VERSION, LoadDocument

SCHEMA_FILE = Path(__file__).with_name("evidence.schema.json")
LOAD_SCHEMA_FILE = Path(__file__).with_name("load.schema.json")


def schema_text() -> str:
    """The schema as it stands in the repository, with sorted keys and a final newline."""
    return _text(Evidence, f"The evidence of one Assay run, version {EVIDENCE_VERSION}.")


def load_schema_text() -> str:
    """As `schema_text`, of what a load leaves."""
    return _text(LoadDocument, f"What one load by Assay left, version {LOAD_VERSION}.")


def _text(document: type[BaseModel], description: str) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": description,
        **document.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    LOAD_SCHEMA_FILE.write_text(load_schema_text(), encoding="utf-8")
