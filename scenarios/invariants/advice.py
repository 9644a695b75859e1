"""Refusals and errors: what they advise, what they give away, and what a key tells after them."""

import re

from attacks.history import Operation
from scenarios.invariants.observed import Finding, Observed

INSIDES = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b|psycopg2|sqlalchemy|Traceback|File \\?\""
)
"""SQL, drivers and stacks: an exception's text on its way to a stranger."""


def errors_advise(observed: Observed) -> tuple[Finding, ...]:
    """Every answer of 4xx or 5xx says whether a retry is safe, and with which key."""
    silent = [o for o in _refused(observed) if "advice" not in o.values]
    if not silent:
        return ()
    first = silent[0]
    return (
        Finding(
            invariant="errors say what to do",
            summary=f"A request to {first.text} was answered {first.answer}, and nothing tells "
            "its client whether to try again, and with which key.",
            expected="a problem document that says whether a retry is safe",
            observed=f"{len(silent)} of {len(_refused(observed))} refusals say nothing",
            round=observed.round,
            operations=tuple(o.id for o in silent),
        ),
    )


def errors_quote_nothing(observed: Observed) -> tuple[Finding, ...]:
    """No answer of 4xx or 5xx has SQL, a driver's name or a stack in it."""
    for operation in _refused(observed):
        if found := INSIDES.search(str(operation.values.get("body", ""))):
            return (
                Finding(
                    invariant="errors quote no exception",
                    summary=f"A request to {operation.text} was answered {operation.answer}, and "
                    f"the answer shows what is inside: {found.group(0)!r}.",
                    expected="no word of the implementation",
                    observed=found.group(0),
                    round=observed.round,
                    operations=(operation.id,),
                ),
            )
    return ()


def the_key_tells(observed: Observed) -> tuple[Finding, ...]:
    """Asked when nothing was under way, the service knows what became of each key.

    Settled: with the answer that whoever used the key got or gets. Unknown: nobody was told of
    success before.
    """
    for fate in observed.operations:
        if fate.name != "key-fate":
            continue
        same = [o for o in observed.operations if o.key == fate.key and o.moves]
        if wrong := _contradiction(fate, same):
            return (
                Finding(
                    invariant="the key tells",
                    summary=f"{fate.actor} went to {fate.text} and was told: {fate.answer}; "
                    f"{wrong}.",
                    expected="what became of it",
                    observed=fate.answer,
                    round=observed.round,
                    operations=(*(o.id for o in same), fate.id),
                ),
            )
    return ()


def _contradiction(fate: Operation, same: list[Operation]) -> str | None:
    said = fate.values.get("fate")
    acknowledged = [o for o in same if o.outcome == "ok"]
    if said == "settled":
        others = [o for o in acknowledged if o.values.get("body") != fate.values["body"]]
        return f"the client was told otherwise ({others[0].answer})" if others else None
    if said != "unknown":
        return "nothing was under way any more"
    before = [o for o in acknowledged if o.ended_s <= fate.started_s]
    return f"it had been acknowledged ({before[0].answer})" if before else None


def _refused(observed: Observed) -> list[Operation]:
    """Not the answer "unknown" to who asks for a key: that is what was asked."""
    return [o for o in observed.operations if (o.status or 0) >= 400 and o.outcome != "ok"]
