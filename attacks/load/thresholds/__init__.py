"""Thresholds for a load test: what must hold of its figures, judged at the end or while it runs.

    tps>=200   p95<50ms   errors<0.1%   violations==0   transfer.p95<50ms   max<2s   rps>100

Pure: this package needs Python's standard library and nothing of Assay; `thresholds.plugin` brings
it into Locust. A threshold on something that was not measured is unknown, and that is no pass.
"""

from .expressions import Threshold, ThresholdError, parse, parse_lines
from .judging import Metrics, Result, Verdict, exit_code, judge
from .shown import junit, table

__all__ = [
    "Metrics",
    "Result",
    "Threshold",
    "ThresholdError",
    "Verdict",
    "exit_code",
    "judge",
    "junit",
    "parse",
    "parse_lines",
    "table",
]
