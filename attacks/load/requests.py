"""The requests of a load as data: what is sent for each kind, and what its answer means.

The document is described in docs/load.md; `wallet_requests.json` beside this module is the one for
Assay's own wallet. What no rule declares definite is unknown: nobody can say what happened.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from attacks.history import Operation, Outcome
from attacks.load.parts import PART, UNTOLD, Part, Parts, field_at, parts_of
from attacks.load.templates import (
    Template,
    TemplateError,
    json_template,
    path_template,
    text_template,
)

OURS = Path(__file__).with_name("wallet_requests.json")
GIVEN: Mapping[str, frozenset[str]] = {
    "transfer": frozenset({"payer", "payee", "amount", "key"}),
    "deposit": frozenset({"operator", "payee", "amount", "key"}),
    "withdrawal": frozenset({"payer", "amount", "key"}),
    "read-balance": frozenset({"wallet"}),
    "read-history": frozenset({"wallet"}),
    "set-up-batch": frozenset({"payer", "key"}),
    "upload-batch": frozenset({"payer", "batch", "rows"}),
    "execute-batch": frozenset({"payer", "batch"}),
    "read-batch": frozenset({"payer", "batch"}),
}
"""The kinds of requests that customers make, and what each may be filled with."""
FIELDS: Mapping[str, tuple[str, ...]] = {
    "payer": ("payer.id", "payer.token", "payer.pin"),
    "payee": ("payee.id",),
    "wallet": ("wallet.id", "wallet.token", "wallet.pin"),
    "operator": ("operator.token", "operator.pin"),
    "amount": ("amount", "amount_minor", "amount_major", "asset"),
    "key": ("key",),
    "batch": ("batch",),
    "rows": ("rows",),
}


class RequestsError(Exception):
    """The document cannot be used. One clear line."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; to begin with: nothing."""

    outcome: Outcome = "unknown"
    status: int | None = None
    text: str = "stopped before an answer came"
    values: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why Locust's statistics count it as a failure; a refusal is an answer."""
    replayed: bool = False
    parts: Mapping[str, Part] = field(default_factory=dict)
    """What became of each movement, by payee, where that was asked."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a field of the answer has to say."""

    name: str
    equals: Any = None
    ends: str | None = None
    status: int | None = None
    """With this status only."""

    def met(self, body: Mapping[str, Any]) -> bool:
        value = field_at(body, self.name)
        return str(value).endswith(self.ends) if self.ends is not None else value == self.equals


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What an answer's status says of what was done."""

    done: frozenset[int]
    not_done: frozenset[int]
    not_done_if: tuple[Condition, ...] = ()
    errors: frozenset[int] = frozenset()
    replayed_header: str | None = None

    def is_error(self, status: int | None) -> bool:
        """No answer, or one that is neither what was asked for nor a refusal of it."""
        refused = status in self.not_done and status not in self.errors
        return not (status in self.done or refused)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request as it goes out."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Requests that differ in their values alone."""

    name: str
    method: str
    path: Template
    headers: tuple[tuple[str, Template], ...]
    body: Template | None
    meaning: Meaning
    id_field: str | None = None
    done_if: Condition | None = None
    apart: bool = False
    """Some of its moves may happen without the others."""
    parts: Parts | None = None
    """Its answer tells what became of each of them."""

    def filled(self, values: Mapping[str, Any]) -> Sent:
        """A header with a hole whose value is None is left out."""
        headers = {
            name: template.filled(values)
            for name, template in self.headers
            if not any(
                values[piece.name] is None
                for piece in template.pieces
                if not isinstance(piece, str)
            )
        }
        body = None if self.body is None else self.body.filled(values).encode()
        return Sent(method=self.method, path=self.path.filled(values), headers=headers, body=body)

    def answer(self, status: int, header: Callable[[str], str | None], content: bytes) -> Answer:
        """`header` gives an answer's header by its name, or None."""
        meaning = self.meaning
        outcome: Outcome = "unknown"
        if status in meaning.done:
            outcome = "ok"
        elif status in meaning.not_done:
            outcome = "failed"
        body: Mapping[str, Any] | None = None
        text = str(status)
        if outcome == "unknown":
            body = _json(content)
            if any(
                rule.status in (None, status) and rule.met(body) for rule in meaning.not_done_if
            ):
                outcome, text = "failed", f"{status} nothing committed"
        elif outcome == "ok" and self.done_if is not None:
            body = _json(content)
            if not self.done_if.met(body):
                outcome, text = "unknown", f"{status} not all of it"
        replayed = bool(meaning.replayed_header and header(meaning.replayed_header))
        values: dict[str, Any] = {}
        told: Mapping[str, Part] = {}
        if outcome == "ok" and (self.id_field or self.parts):
            body = _json(content) if body is None else body
            found = field_at(body, self.id_field) if self.id_field else None
            values = {} if found is None else {"id": found}
            told = self.parts.told(body) if self.parts else {}
        return Answer(
            outcome=outcome,
            status=status,
            text=f"{text} replayed" if replayed else text,
            values=values,
            error=f"answered {status}" if meaning.is_error(status) else "",
            replayed=replayed,
            parts=told,
        )

    def recorded(
        self, operation: Operation, new_id: Callable[[], int], told: Mapping[str, Part]
    ) -> tuple[Operation, ...]:
        """As it goes into the history; `told` is what became of each of its moves, by payee.

        Where some of them may have happened without the others, each is a piece of work of its
        own beside the request: judges take what one operation moves as whole or not at all.
        """
        if not self.apart or operation.outcome != "unknown":
            return (operation,)
        each = enumerate(operation.moves, start=1)
        parts = ((number, move, told.get(str(move.payee), UNTOLD)) for number, move in each)
        return (
            replace(operation, moves=()),
            *(
                replace(
                    operation,
                    id=new_id(),
                    name=PART,
                    moves=(move,),
                    key=f"{operation.key}/{number}",
                    outcome=part.outcome,
                    answer=part.state,
                    values={} if part.id is None else {"id": part.id},
                )
                for number, move, part in parts
            ),
        )


@cache
def our_document() -> Any:
    return json.loads(OURS.read_text(encoding="utf-8"))


def our_meaning() -> Meaning:
    """Of the answers of Assay's own wallet."""
    return _meaning(our_document()["answers"])


def requests_of(document: Any) -> Mapping[str, Kind]:
    """The kinds that a document describes, by their names. Raises RequestsError."""
    try:
        meaning = _meaning(document["answers"])
        described = document["requests"].items()
        kinds = {name: _kind(name, how, meaning) for name, how in described}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestsError(f"these are no requests: {error!r}") from error
    except TemplateError as error:
        raise RequestsError(str(error)) from error
    if not kinds:
        raise RequestsError("these are no requests: none is described")
    return kinds


def _meaning(answers: Mapping[str, Any]) -> Meaning:
    return Meaning(
        done=_statuses(answers["done"]),
        not_done=_statuses(answers["not_done"]),
        not_done_if=tuple(_condition(rule) for rule in answers.get("not_done_if", ())),
        errors=_statuses(answers.get("errors", ())),
        replayed_header=answers.get("replayed_header"),
    )


def _kind(name: str, how: Mapping[str, Any], meaning: Meaning) -> Kind:
    if name not in GIVEN:
        raise RequestsError(f"nobody makes a request {name!r}; there are: {', '.join(GIVEN)}")
    unknown = set(how) - {
        "method",
        "path",
        "headers",
        "json",
        "text",
        "id",
        "done_if",
        "apart",
        "parts",
    }
    if unknown:
        raise RequestsError(f"request {name!r}: what is {min(unknown)!r}?")
    headers = dict(how.get("headers", {}))
    body = None
    if "json" in how:
        body = json_template(how["json"])
        headers = {"Content-Type": "application/json"} | headers
    elif "text" in how:
        body = text_template(how["text"])
    done_if = how.get("done_if")
    kind = Kind(
        name=name,
        method=str(how["method"]).upper(),
        path=path_template(how["path"]),
        headers=tuple((key, text_template(value)) for key, value in headers.items()),
        body=body,
        meaning=meaning,
        id_field=how.get("id"),
        done_if=None if done_if is None else _condition(done_if),
        apart=bool(how.get("apart", False)),
        parts=parts_of(how["parts"]) if "parts" in how else None,
    )
    _must_be_known(kind)
    return kind


def _must_be_known(kind: Kind) -> None:
    templates = [kind.path, *(template for _, template in kind.headers)]
    templates += [kind.body] if kind.body else []
    known = {name for given in GIVEN[kind.name] for name in FIELDS[given]}
    for name in sorted(frozenset().union(*(template.names for template in templates)) - known):
        raise RequestsError(
            f"request {kind.name!r}: nothing fills {{{name}}}; there are: "
            + ", ".join(sorted(known))
        )


def _condition(rule: Mapping[str, Any]) -> Condition:
    return Condition(
        name=rule["field"], equals=rule.get("is"), ends=rule.get("ends"), status=rule.get("status")
    )


def _statuses(words: Any) -> frozenset[int]:
    """409, or "4xx" for all of a class."""
    found: set[int] = set()
    for word in words:
        text = str(word)
        if len(text) == 3 and text.endswith("xx") and text[0] in "12345":
            found.update(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
        else:
            found.add(int(text))
    return frozenset(found)


def _json(content: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
