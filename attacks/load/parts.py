"""What became of each of several movements that one request asked for, as the service tells it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attacks.history import Outcome

PART = "part"
"""The name of a line of the history that is one movement of several; its request has a line too."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One movement."""

    outcome: Outcome
    state: str
    """The service's word for it."""
    id: Any = None
    """Of the movement, where the service names it."""


UNTOLD = Part(outcome="unknown", state="nobody said")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where an answer tells it, and in which words: fields of the answer and of what it lists."""

    listed: str
    payee: str
    state: str
    id: str | None
    done: frozenset[str]
    not_done: frozenset[str]

    def told(self, body: Mapping[str, Any]) -> Mapping[str, Part]:
        """By payee; not of one who is named more than once."""
        found = field_at(body, self.listed)
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        named = Counter(str(field_at(row, self.payee)) for row in rows)
        by_payee = {str(field_at(row, self.payee)): self._part(row) for row in rows}
        return {payee: part for payee, part in by_payee.items() if named[payee] == 1}

    def _part(self, row: Mapping[str, Any]) -> Part:
        state = str(field_at(row, self.state))
        outcome: Outcome = "unknown"
        if state in self.done:
            outcome = "ok"
        elif state in self.not_done:
            outcome = "failed"
        return Part(
            outcome=outcome, state=state, id=None if self.id is None else field_at(row, self.id)
        )


def parts_of(document: Mapping[str, Any]) -> Parts:
    """Raises KeyError, TypeError or ValueError for a document that describes none."""
    unknown = set(document) - {"list", "payee", "state", "id", "done", "not_done"}
    if unknown:
        raise ValueError(f"parts: what is {min(unknown)!r}?")
    return Parts(
        listed=str(document["list"]),
        payee=str(document["payee"]),
        state=str(document["state"]),
        id=document.get("id"),
        done=frozenset(map(str, document["done"])),
        not_done=frozenset(map(str, document["not_done"])),
    )


def field_at(body: Mapping[str, Any], name: str) -> Any:
    """`a.b` is b within a; None where there is nothing."""
    value: Any = body
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
