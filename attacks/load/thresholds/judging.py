"""Figures against thresholds. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .expressions import Threshold

Metrics = Mapping[str, float | None]
"""By `Threshold.key`: times in milliseconds, shares from 0 to 1, rates a second. What is missing,
None or no number was not measured."""


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Result:
    """A threshold with what was measured."""

    threshold: Threshold
    value: float | None
    verdict: Verdict
    reason: str = ""
    """Why it is unknown."""


def judge(
    thresholds: Sequence[Threshold], metrics: Metrics, reasons: Mapping[str, str] | None = None
) -> tuple[Result, ...]:
    """Each threshold in its order; `reasons` says by metric why it could not be measured."""
    return tuple(_judged(threshold, metrics, reasons or {}) for threshold in thresholds)


def _judged(threshold: Threshold, metrics: Metrics, reasons: Mapping[str, str]) -> Result:
    value = metrics.get(threshold.key)
    if value is None or math.isnan(value):
        reason = reasons.get(threshold.key) or reasons.get(threshold.metric) or "not measured"
        return Result(threshold=threshold, value=None, verdict=Verdict.UNKNOWN, reason=reason)
    verdict = Verdict.PASSED if threshold.holds(value) else Verdict.FAILED
    return Result(threshold=threshold, value=value, verdict=verdict)


def exit_code(results: Sequence[Result]) -> int:
    """0 all passed, 1 one failed, 3 none failed and one is unknown."""
    verdicts = {result.verdict for result in results}
    if Verdict.FAILED in verdicts:
        return 1
    return 3 if Verdict.UNKNOWN in verdicts else 0
