"""A threshold as one writes it: `[request.]metric comparison value[unit]`."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
TIME_UNITS_MS: Mapping[str, float] = {"us": 0.001, "ms": 1.0, "s": 1000.0}
SHARE_UNITS: Mapping[str, float] = {"%": 0.01}
TIMES = ("min", "avg", "max")
COUNTS = ("tps", "rps", "requests", "violations")
SHARES = ("errors",)
METRICS = f"{', '.join((*COUNTS, *SHARES, *TIMES))}, p50, p95, p99.9 and so on"
_METRIC = r"p\d{1,2}(?:\.\d+)?|" + "|".join((*COUNTS, *SHARES, *TIMES))
_EXPRESSION = re.compile(
    rf"(?:(?P<request>\S(?:.*\S)?)\.)?(?P<metric>{_METRIC})\s*"
    r"(?P<comparison>>=|<=|==|!=|>|<)\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s|%)?"
)


class ThresholdError(ValueError):
    """One clear line: what is no threshold, and why."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One line that must hold."""

    text: str
    """As it was written."""
    request: str | None
    """None: all requests together."""
    metric: str
    comparison: str
    value: float
    """Times in milliseconds, shares from 0 to 1, everything else as it is."""

    @property
    def key(self) -> str:
        """What `judge` looks it up by, e.g. `p95` or `transfer.p95`."""
        return self.metric if self.request is None else f"{self.request}.{self.metric}"

    @property
    def is_time(self) -> bool:
        return self.metric in TIMES or self.percentile is not None

    @property
    def percentile(self) -> float | None:
        """0.95 for `p95`; None for what is no percentile."""
        digits = self.metric[1:]
        return float(digits) / 100 if self.metric[0] == "p" and digits[:1].isdigit() else None

    def holds(self, value: float) -> bool:
        return COMPARISONS[self.comparison](value, self.value)


def parse(text: str) -> Threshold:
    """Raises ThresholdError."""
    found = _EXPRESSION.fullmatch(text.strip())
    if found is None:
        raise ThresholdError(
            f"{text.strip()!r} is no threshold: write one as tps>=200, p95<50ms, errors<0.1% or "
            f"transfer.p99<1s; the metrics are {METRICS}"
        )
    metric, unit = found["metric"], found["unit"]
    if metric == "violations" and found["request"] is not None:
        raise ThresholdError(f"{text.strip()!r}: violations are those of the whole load")
    return Threshold(
        text=text.strip(),
        request=found["request"],
        metric=metric,
        comparison=found["comparison"],
        value=float(found["value"]) * _factor(text.strip(), metric, found["value"], unit),
    )


def parse_lines(text: str, source: str) -> tuple[Threshold, ...]:
    """One a line, `#` begins a comment. `source` is where they are from. Raises ThresholdError."""
    thresholds = []
    for number, line in enumerate(text.splitlines(), start=1):
        # A request's name may hold a `#`: only one at the beginning or after a space ends a line.
        meant = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not meant:
            continue
        try:
            thresholds.append(parse(meant))
        except ThresholdError as error:
            raise ThresholdError(f"{source}:{number}: {error}") from error
    if not thresholds:
        raise ThresholdError(f"{source}: there is no threshold in it")
    return tuple(thresholds)


def _factor(text: str, metric: str, digits: str, unit: str | None) -> float:
    """What a value of this unit is multiplied with. Raises ThresholdError."""
    if metric in COUNTS:
        if unit is not None:
            raise ThresholdError(f"{text!r}: {metric} is a number without a unit, not {unit}")
        return 1.0
    units, example = (SHARE_UNITS, "%") if metric in SHARES else (TIME_UNITS_MS, "ms, s or us")
    if unit is not None and unit in units:
        return units[unit]
    if unit is None and float(digits) == 0:
        return 1.0
    given = unit or "nothing"
    raise ThresholdError(f"{text!r}: {metric} takes {example}, not {given}")
