"""Reading a versioned JSON document again, or one line on why that cannot be done."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class EvidenceError(Exception):
    """The evidence cannot be read; the message is one line for the person who asked."""


def read_document(file: Path, model: type[Model], version: str) -> Model:
    """Read it as this version of this model.

    Raises EvidenceError when the file is missing, not JSON, of another version, or when a field
    is not as the schema says.
    """
    document = _json_object(file)
    found = document.get("version")
    if found != version:
        raise EvidenceError(f"{file} has version {found!r}; this Assay reads {version!r}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise EvidenceError(f"{file} does not match the schema: {_first_problem(error)}") from None


def _json_object(file: Path) -> dict[str, object]:
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


def _first_problem(error: ValidationError) -> str:
    """In one line, with the field."""
    problems = error.errors(include_url=False)
    field = ".".join(str(part) for part in problems[0]["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = " ".join(problems[0]["msg"].split())
    return f"{field}: {message}{more}"
