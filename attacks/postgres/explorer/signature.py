"""What two runs of one schedule must have in common: the trace without what differs by nature."""

import re
from collections.abc import Sequence
from itertools import takewhile

from attacks.postgres.explorer.run import Run, Taken

UUID = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?")
SECRET = re.compile(r"\b[0-9a-f]{32,}\b", re.IGNORECASE)

EXCERPT = 60
"""Characters of a statement in a message."""

Line = tuple[str, str, tuple[str | None, ...], str, tuple[tuple[str | None, ...], ...]]


def signature(run: Run) -> tuple[Line, ...]:
    """The steps that were parked, in the order of their release; ids and times masked.

    The rows of an answer are sorted: without ORDER BY their order follows the plan and the place of
    the rows in the table, which are not the service's to repeat.
    """
    return tuple(_line(taken) for taken in run.taken if taken.choice is not None)


def difference(one: Sequence[Line], other: Sequence[Line]) -> str | None:
    """Where two traces part, in one line; None when they are the same."""
    for number, (left, right) in enumerate(zip(one, other, strict=False), start=1):
        if left != right:
            return f"step {number} {_parted(left, right)}"
    if len(one) != len(other):
        return f"{len(one)} steps before and {len(other)} now"
    return None


def masked(text: str) -> str:
    # The longest first: in a hash there is room for a uuid.
    for pattern, mask in ((SECRET, "<hex>"), (UUID, "<uuid>"), (MOMENT, "<time>")):
        text = pattern.sub(mask, text)
    return text


def _line(taken: Taken) -> Line:
    answer = taken.reply.sqlstate or taken.reply.tag or ""
    rows = tuple(sorted((_masked_values(row) for row in taken.reply.rows), key=repr))
    values = _masked_values(taken.step.parameters)
    return (chr(ord("A") + taken.racer), masked(taken.step.sql), values, answer, rows)


def _masked_values(values: Sequence[str | None]) -> tuple[str | None, ...]:
    return tuple(None if value is None else masked(value) for value in values)


def _parted(left: Line, right: Line) -> str:
    if left[0] != right[0]:
        return f"was {left[0]}: {_excerpt(left[1])} and is now {right[0]}: {_excerpt(right[1])}"
    parts = zip(("statement", "parameters", "answer", "rows"), left[1:], right[1:], strict=True)
    what, was, now = next(part for part in parts if part[1] != part[2])
    before, after = _words(was), _words(now)
    pairs = zip(before, after, strict=False)
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return f"({left[0]}): {what} was {_excerpt(before, at)} and is now {_excerpt(after, at)}"


def _words(part: object) -> str:
    return " ".join(str(part).split())


def _excerpt(text: str, at: int = 0) -> str:
    """So much of it that the place can be seen."""
    first = max(0, at - EXCERPT // 3)
    last = first + EXCERPT
    text = " ".join(text.split())
    return ("…" if first else "") + text[first:last] + ("…" if text[last:] else "")
