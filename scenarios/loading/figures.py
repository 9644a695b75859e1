"""What a load did, second by second and name by name: gathered from its history as it grows.

Nothing but what is needed for exact percentiles is kept: some thirty bytes a request, and sixty
more of each payment, so that none counts twice.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from attacks.load.pace import UNSENT
from attacks.load.parts import PART
from attacks.load.requests import Meaning, our_meaning
from reports.load import Latencies, RequestRow, Series
from scenarios.loading.recovery import Answers
from scenarios.percentiles import percentile

MS = 1000
TOTAL = "all"
"""The name of the row of all requests together."""
RECENT_S = 5


@dataclass(kw_only=True)
class Named:
    """Requests of one name after the warm-up."""

    requests: int = 0
    refused: int = 0
    failures: int = 0
    done: int = 0
    """Movements of money once each, however often they were acknowledged."""
    latencies_ms: "array[float]" = field(default_factory=lambda: array("f"))


@dataclass(frozen=True, kw_only=True)
class Recent:
    """The last seconds, for people who watch."""

    answered_per_s: float
    p95_ms: float | None
    failures: int


class Figures:
    """`clock_s` is when the warm-up was over, on the clock of the history."""

    def __init__(self, clock_s: float, meaning: Meaning | None = None) -> None:
        """`meaning` says which answers are failures; None: as of Assay's own wallet."""
        self.clock_s = clock_s
        self._meaning = meaning or our_meaning()
        self._named: defaultdict[str, Named] = defaultdict(Named)
        self._answered: Counter[int] = Counter()
        self._payments: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()
        self._failures: Counter[int] = Counter()
        self._due_ms: defaultdict[int, array[float]] = defaultdict(lambda: array("f"))
        self._due_s, self._served_s, self._took_ms = array("d"), array("d"), array("f")
        self._paid: set[int] = set()
        self._payments_due = 0
        self._ended_s = clock_s

    @property
    def payments(self) -> int:
        """Acknowledged, each once; with those of the warm-up."""
        return len(self._paid)

    @property
    def requests(self) -> int:
        """Those of the warm-up too."""
        return len(self._due_s)

    @property
    def lasted_s(self) -> float:
        """From the end of the warm-up to the last answer, also when nobody could ask at first."""
        return self._ended_s - self.clock_s

    @property
    def payments_per_s(self) -> float:
        """Of those that were due after the warm-up: what it left over is none of them."""
        return self._payments_due / self.lasted_s if self.lasted_s else 0.0

    def add(self, operation: Mapping[str, Any]) -> None:
        """An operation as the history has it. Raises KeyError or TypeError when it is none."""
        if operation["name"] == PART:
            return  # Its request has a line of its own.
        started_s, ended_s = operation["started_s"], operation["ended_s"]
        due_s = started_s if operation.get("intended_s") is None else operation["intended_s"]
        # Turns that nobody took end with the load; they are missing when they are due.
        at_s = due_s if operation["name"] == UNSENT else ended_s
        second = math.floor(at_s - self.clock_s)
        took_ms = (ended_s - due_s) * MS
        outcome, status = operation["outcome"], operation["status"]
        failed = self._meaning.is_error(status)
        refused = outcome == "failed" and not failed
        self._answered[second] += not failed
        self._refused[second] += refused
        self._failures[second] += failed
        self._due_ms[math.floor(due_s - self.clock_s)].append(took_ms)
        self._due_s.append(due_s - self.clock_s)
        self._took_ms.append(took_ms)
        if not failed:
            self._served_s.append(ended_s - self.clock_s)
        is_new = outcome == "ok"
        if is_new and operation["moves"]:
            is_new = self._is_new_payment(operation["key"])
            self._payments[second] += is_new
            self._payments_due += is_new and due_s >= self.clock_s
        if due_s >= self.clock_s:
            named = self._named[operation["name"]]
            named.requests += 1
            named.refused += refused
            named.failures += failed
            named.done += is_new
            named.latencies_ms.append(took_ms)
            self._ended_s = max(self._ended_s, ended_s)

    def _is_new_payment(self, key: str | None) -> bool:
        known = len(self._paid)
        # A hash of each key is enough to know it again.
        self._paid.add(hash(key))
        return len(self._paid) > known

    def rows(self) -> tuple[RequestRow, ...]:
        """One a name, then all together; none when nothing was asked."""
        if not self._named:
            return ()
        total = Named()
        for named in self._named.values():
            total.requests += named.requests
            total.refused += named.refused
            total.failures += named.failures
            total.latencies_ms.extend(named.latencies_ms)
        each = [*sorted(self._named.items()), (TOTAL, total)]
        return tuple(self._row(name, named) for name, named in each)

    def measured(self, request: str | None, metric: str, share: float | None) -> float | None:
        """What a threshold asks for; None where no such request was sent.

        Times are in milliseconds (`share` is the percentile's), rates a second, errors a share.
        """
        chosen = [n for name, n in self._named.items() if request in {None, name}]
        if not chosen:
            return None
        requests = sum(named.requests for named in chosen)
        if request not in {None, UNSENT} and UNSENT in self._named:
            # Whose turns those were nobody knows: their waiting counts for every name.
            chosen.append(Named(latencies_ms=self._named[UNSENT].latencies_ms))
        took_ms = sorted(ms for named in chosen for ms in named.latencies_ms)
        failures = sum(named.failures for named in chosen)
        done = sum(named.done for named in chosen)
        per_s = 1 / self.lasted_s if self.lasted_s else 0.0
        values = {
            "tps": self.payments_per_s if request is None else done * per_s,
            "rps": requests * per_s,
            "requests": float(requests),
            "errors": failures / requests,
            "min": took_ms[0],
            "avg": fmean(took_ms),
            "max": took_ms[-1],
        }
        return percentile(took_ms, share) if share is not None else values.get(metric)

    def _row(self, name: str, named: Named) -> RequestRow:
        return RequestRow(
            name=name,
            requests=named.requests,
            per_s=round(named.requests / self.lasted_s, 2) if self.lasted_s else 0.0,
            latencies=latencies_of(named.latencies_ms),
            refused=named.refused,
            failures=named.failures,
        )

    def series(self) -> Series:
        seconds = _from_first_to_last([*self._answered, *self._due_ms])
        ordered = {second: sorted(values) for second, values in self._due_ms.items()}

        def at(share: float) -> tuple[float | None, ...]:
            return tuple(_at(ordered.get(second, ()), share) for second in seconds)

        return Series(
            at_s=tuple(float(second) for second in seconds),
            answered=tuple(self._answered[second] for second in seconds),
            payments=tuple(self._payments[second] for second in seconds),
            refused=tuple(self._refused[second] for second in seconds),
            failures=tuple(self._failures[second] for second in seconds),
            p50_ms=at(0.50),
            p95_ms=at(0.95),
            p99_ms=at(0.99),
        )

    def answers(self, *, paced: bool) -> Answers:
        """`paced`: the requests were due by a profile."""
        order = sorted(range(len(self._due_s)), key=self._due_s.__getitem__)
        return Answers(
            ended_s=sorted(self._served_s),
            due_s=[self._due_s[place] for place in order],
            took_ms=[self._took_ms[place] for place in order],
            paced=paced,
        )

    def recent(self, now_s: float) -> Recent:
        """The last whole seconds before now, on the clock of the history."""
        last = math.floor(now_s - self.clock_s)
        seconds = range(last - RECENT_S, last)
        took_ms = sorted(ms for second in seconds for ms in self._due_ms.get(second, ()))
        return Recent(
            answered_per_s=sum(self._answered[second] for second in seconds) / RECENT_S,
            p95_ms=_at(took_ms, 0.95),
            failures=sum(self._failures[second] for second in seconds),
        )


def latencies_of(took_ms: Iterable[float]) -> Latencies:
    ordered = sorted(took_ms)
    return Latencies(
        p50_ms=_at(ordered, 0.50),
        p90_ms=_at(ordered, 0.90),
        p95_ms=_at(ordered, 0.95),
        p99_ms=_at(ordered, 0.99),
        p999_ms=_at(ordered, 0.999),
        max_ms=_at(ordered, 1.0),
    )


def _at(ordered: Sequence[float], share: float) -> float | None:
    return round(percentile(ordered, share), 2) if ordered else None


def _from_first_to_last(seconds: Sequence[int]) -> range:
    return range(min(seconds), max(seconds) + 1) if seconds else range(0)
