"""Limits: never more than so many in a window, and never a refusal below that.

An answered request was let through at some moment between its start and its end; nobody knows
which. So a finding says only what is so at whatever moments it was.
"""

from collections.abc import Sequence

from attacks.history import Operation
from scenarios.invariants.observed import Finding, Invariant, Observed

CLOCKS_DIFFER_S = 0.05
"""The service's clock and ours may drift apart by so much within a window."""


def at_most(limit: int, window_s: float, *, of: str) -> Invariant:
    """No window of this length holds more requests of this name that were let through."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        passed = sorted(
            (o for o in _asked(observed, of) if o.outcome == "ok"), key=lambda o: o.started_s
        )
        for first, operation in enumerate(passed):
            until_s = operation.started_s + window_s - CLOCKS_DIFFER_S
            within = [o for o in passed[first:] if o.ended_s < until_s]
            if len(within) > limit:
                return (_too_many(observed, within, limit, window_s, of),)
        return ()

    return judge


def refused_only_above(limit: int, window_s: float, *, of: str) -> Invariant:
    """Who is refused was let through `limit` times in the window before."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        asked = _asked(observed, of)
        for refused in (o for o in asked if o.outcome == "failed"):
            since_s = refused.started_s - window_s - CLOCKS_DIFFER_S
            counted = [
                o
                for o in asked
                if o.outcome != "failed" and o.ended_s > since_s and o.started_s < refused.ended_s
            ]
            if len(counted) < limit:
                return (_too_early(observed, refused, len(counted), limit, window_s),)
        return ()

    return judge


def _asked(observed: Observed, name: str) -> Sequence[Operation]:
    return [o for o in observed.operations if o.name == name]


def _too_many(
    observed: Observed, within: Sequence[Operation], limit: int, window_s: float, name: str
) -> Finding:
    span_s = max(o.ended_s for o in within) - min(o.started_s for o in within)
    return Finding(
        invariant=f"at most {limit} in {window_s:g} s",
        summary=f"{len(within)} requests to {name} of one caller were let through within "
        f"{span_s:.2f} s; the limit is {limit} in any {window_s:g} s.",
        expected=f"at most {limit}",
        observed=f"{len(within)} in {span_s:.2f} s",
        round=observed.round,
        operations=tuple(o.id for o in within),
    )


def _too_early(
    observed: Observed, refused: Operation, counted: int, limit: int, window_s: float
) -> Finding:
    return Finding(
        invariant="refused only above the limit",
        summary=f"{refused.actor} was refused ({refused.answer}) though only {counted} of {limit} "
        f"requests had been let through in the last {window_s:g} s.",
        expected=f"let through: {counted} of {limit} were used",
        observed=refused.answer,
        round=observed.round,
        operations=(refused.id,),
    )
