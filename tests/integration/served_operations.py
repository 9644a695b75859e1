"""Every operation that a build serves, as its own OpenAPI document describes it."""

import math
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jsonschema

from engine.app import create_app
from engine.defences import parse_build
from engine.settings import Settings
from tests.integration.engine_client import PEPPER, SECRET

METHODS = ("get", "put", "post", "patch", "delete")
JSON_TYPE = "application/json"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    description: Mapping[str, Any]
    components: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def could_be(self, url: str) -> bool:
        """Whether this path, its parameters filled in, could be that one."""
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.path))
        return re.fullmatch(pattern, url) is not None

    def parameters(self, place: str) -> dict[str, Any]:
        """Name and schema of each parameter of that kind: path, query or header."""
        found = self.description.get("parameters", [])
        return {p["name"]: p["schema"] for p in found if p["in"] == place}

    @property
    def secured(self) -> bool:
        return "security" in self.description

    @property
    def body(self) -> Any:
        """The schema of its JSON; None where it takes none."""
        content = self.description.get("requestBody", {}).get("content", {})
        return content[JSON_TYPE]["schema"] if JSON_TYPE in content else None

    @property
    def media_types(self) -> list[str]:
        return list(self.description.get("requestBody", {}).get("content", {}))

    def fields(self) -> dict[str, Any]:
        """The schemas of the body's own fields."""
        return dict(self._resolved(self.body).get("properties", {}))

    def takes(self, schema: Any, value: Any) -> bool:
        """Whether the schema allows this value, which JSON can carry and PostgreSQL store."""
        if _is_broken(value):
            return False
        with_components = schema | {"components": self.components}
        return bool(jsonschema.Draft202012Validator(with_components).is_valid(value))

    def example(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """A body with every field, as described; `known` are values that would do."""
        return {name: self._example(name, s, known) for name, s in self.fields().items()}

    def _example(self, name: str, schema: Any, known: Mapping[str, Any]) -> Any:
        if name in known and self.takes(schema, known[name]):
            return known[name]
        schema = self._resolved(schema)
        if "default" in schema and schema["default"] is not None:
            return schema["default"]
        if schema.get("enum"):
            return schema["enum"][0]
        if schema.get("type") == "object":
            parts = schema.get("properties", {}).items()
            return {part: self._example(part, s, known) for part, s in parts}
        if schema.get("type") == "array":
            return [self._example(name, schema["items"], known)]
        return {"integer": 1, "number": 1.0, "boolean": True}.get(schema.get("type", ""), "word")

    def _resolved(self, schema: Any) -> Any:
        """Behind references, and the first choice where there are several."""
        if "anyOf" in schema:
            return self._resolved(schema["anyOf"][0])
        if "$ref" in schema:
            return self._resolved(self.components["schemas"][schema["$ref"].rpartition("/")[2]])
        return schema

    def url(self, values: Mapping[str, Any]) -> str:
        """Path parameters that `values` does not know get something that fits their schema."""
        path = self.path
        for name, schema in self.parameters("path").items():
            known = values.get(name, _fitting(schema))
            path = path.replace("{" + name + "}", quote(str(known), safe=""))
        return path


def operations_of(build: str) -> list[Operation]:
    """Without a database: none is asked for the description."""
    given = Settings(
        database_url="postgresql://nobody@localhost/nothing",
        jwt_secret=SECRET,
        pin_pepper=PEPPER,
        engine_build=build,
    )
    document = create_app(given, parse_build(build)).openapi()
    return list(_operations(document))


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield Operation(
                    method=method.upper(),
                    path=path,
                    description=methods[method],
                    components=document["components"],
                )


def _fitting(schema: Any) -> str:
    if schema.get("format") == "uuid":
        return str(uuid.UUID(int=1))
    return "1"


def _is_broken(value: Any) -> bool:
    """A float that JSON has no word for, or text that is no text."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_is_broken(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_is_broken(part) for part in value)
    return False
