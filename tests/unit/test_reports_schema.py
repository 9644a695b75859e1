"""The schema in the repository is the one of the models, and the evidence obeys it."""

import json

import jsonschema
import pytest

from reports.evidence import Evidence
from reports.schema import SCHEMA_FILE, schema_text
from tests.unit.evidence_samples import clean_sample, interrupted_sample, sample
from tests.unit.exploration_samples import explored_sample


def test_the_schema_file_is_up_to_date() -> None:
    stale = f"{SCHEMA_FILE.name} is stale: run `python -m reports.schema`"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), stale


@pytest.mark.parametrize(
    "evidence", [sample(), clean_sample(), interrupted_sample(), explored_sample()]
)
def test_evidence_is_valid_by_the_schema(evidence: Evidence) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(json.loads(evidence.model_dump_json()))


def test_the_schema_refuses_an_unknown_verdict() -> None:
    document = json.loads(sample().model_dump_json())
    document["cells"][0]["verdict"] = "perhaps"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(schema_text()))
