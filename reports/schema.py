"""The JSON schema of the evidence: `python -m reports.schema` writes it anew from the models."""

import json
from pathlib import Path

from reports.evidence import EVIDENCE_VERSION, Evidence

SCHEMA_FILE = Path(__file__).with_name("evidence.schema.json")


def schema_text() -> str:
    """The schema as it stands in the repository, with sorted keys and a final newline."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": f"The evidence of one Assay run, version {EVIDENCE_VERSION}.",
        **Evidence.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
