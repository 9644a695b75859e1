"""Thresholds judged by what a load measured and by what its audit found."""

from collections.abc import Sequence
from pathlib import Path

from attacks.load.thresholds import (
    Metrics,
    Result,
    Threshold,
    ThresholdError,
    Verdict,
    judge,
    parse,
    parse_lines,
)
from reports.evidence import Verdict as AuditVerdict
from reports.load import ThresholdCheck
from scenarios.audit import Audit
from scenarios.loading.figures import Figures
from scenarios.loading.refusals import LoadRefused

MET = {Verdict.PASSED: True, Verdict.FAILED: False, Verdict.UNKNOWN: None}


def read_thresholds(texts: Sequence[str], file: Path | None) -> tuple[Threshold, ...]:
    """Those given one by one, then those of the file. Raises LoadRefused."""
    try:
        given = tuple(map(parse, texts))
        if file is None:
            return given
        return (*given, *parse_lines(file.read_text(encoding="utf-8"), str(file)))
    except OSError as error:
        raise LoadRefused(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LoadRefused(f"{file} is no text: {error}") from error
    except ThresholdError as error:
        raise LoadRefused(str(error)) from error


def judged(
    thresholds: Sequence[Threshold], figures: Figures | None, audit: Audit
) -> tuple[ThresholdCheck, ...]:
    """In their order; unknown what was not measured."""
    return tuple(
        ThresholdCheck(
            text=result.threshold.text,
            met=MET[result.verdict],
            observed=_shown(result),
        )
        for result in _results(thresholds, figures, violations(audit))
    )


def missed_so_far(
    thresholds: Sequence[Threshold], figures: Figures, violations_seen: int
) -> tuple[Threshold, str] | None:
    """The first that is not met by what was measured until now, and what that was."""
    results = _results(thresholds, figures, violations_seen)
    missed = (result for result in results if result.verdict is Verdict.FAILED)
    return next(((result.threshold, _shown(result)) for result in missed), None)


def _results(
    thresholds: Sequence[Threshold], figures: Figures | None, violated: float | None
) -> Sequence[Result]:
    metrics: Metrics = {t.key: _value(t, figures, violated) for t in thresholds}
    return judge(thresholds, metrics, {"violations": "the audit could not say"})


def _value(threshold: Threshold, figures: Figures | None, violated: float | None) -> float | None:
    if threshold.metric == "violations":
        return violated
    if figures is None:
        return None
    return figures.measured(threshold.request, threshold.metric, threshold.percentile)


def violations(audit: Audit) -> float | None:
    """How many of its checks are violated; None when none is, and not all could be made."""
    violated = sum(check.verdict is AuditVerdict.VIOLATED for check in audit.checks)
    return float(violated) if violated or audit.verdict is AuditVerdict.HELD else None


def _shown(result: Result) -> str:
    threshold, value = result.threshold, result.value
    if value is None:
        return result.reason
    if threshold.metric == "errors":
        return f"{value:.3%}"
    if threshold.percentile is not None or threshold.metric in {"min", "avg", "max"}:
        return f"{value:,.1f} ms"
    return f"{value:,.1f}".removesuffix(".0")
