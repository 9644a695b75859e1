"""Text with holes, compiled once and filled for each request.

`{payer.id}` is a hole: a name, and how its value is written. In a body of JSON a string that is
nothing but one hole becomes the value itself, a number, an object or null; `{payer.id:number}`
makes a number of digits that the plan writes as text. Anywhere else a value is text; in a path it
is quoted.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

HOLE = re.compile(r"\{([a-z][a-z_.]*)(:number)?\}")
_MARK = re.compile(r'"?\\u0000(\d+)\\u0000"?')
Write = Callable[[Any], str]


class TemplateError(Exception):
    """One clear line: what cannot be filled, or not with this."""


@dataclass(frozen=True, kw_only=True)
class Hole:
    name: str
    write: Write


@dataclass(frozen=True, kw_only=True)
class Template:
    """Pieces in their order; text stands for itself."""

    pieces: tuple[str | Hole, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(piece.name for piece in self.pieces if isinstance(piece, Hole))

    def filled(self, values: Mapping[str, Any]) -> str:
        """Raises KeyError for a name without a value."""
        return "".join(
            [
                piece if isinstance(piece, str) else piece.write(values[piece.name])
                for piece in self.pieces
            ]
        )


def text_template(source: str) -> Template:
    """For a header, or a body that is no JSON."""
    return _split(source, str)


def path_template(source: str) -> Template:
    return _split(source, lambda value: quote(str(value), safe=""))


def json_template(document: Any) -> Template:
    """Raises TemplateError."""
    holes: list[Hole] = []
    marked = json.dumps(_marked(document, holes))
    pieces: list[str | Hole] = []
    end = 0
    for found in _MARK.finditer(marked):
        pieces += [marked[end : found.start()], holes[int(found[1])]]
        end = found.end()
    return Template(pieces=(*pieces, marked[end:]))


def _marked(document: Any, holes: list[Hole]) -> Any:
    if isinstance(document, dict):
        return {name: _marked(value, holes) for name, value in document.items()}
    if isinstance(document, list):
        return [_marked(value, holes) for value in document]
    if not isinstance(document, str):
        return document
    found = HOLE.fullmatch(document)
    if found:
        holes.append(Hole(name=found[1], write=_as_number if found[2] else _as_json))
        return f"\x00{len(holes) - 1}\x00"
    if HOLE.search(document):
        raise TemplateError(f"{document!r}: in JSON a hole is the whole string")
    return document


def _split(source: str, write: Write) -> Template:
    pieces: list[str | Hole] = []
    end = 0
    for found in HOLE.finditer(source):
        pieces += [source[end : found.start()], Hole(name=found[1], write=write)]
        end = found.end()
    return Template(pieces=(*pieces, source[end:]))


def _as_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _as_number(value: Any) -> str:
    try:
        return str(int(value))
    except (ValueError, TypeError) as error:
        raise TemplateError(f"{value!r} is no number") from error
