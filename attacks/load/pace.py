"""When each request of a load is due: an open loop, which a slow service does not slow down.

A closed loop asks again when it was answered, so a service that stalls for a second is asked once
less often and looks quick (coordinated omission, G. Tene, "How NOT to measure latency"). Here the
due times are a function of the profile alone; whoever is late asks at once, and its wait counts.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Name = Literal["constant", "ramp", "spike"]
UNSENT = "unsent"
"""The name of a turn that was due and came to nobody: all users were waiting for answers."""
MOST_OPERATIONS = 2_000_000
"""In one process: ten minutes at 1,000 a second, three times over."""
PERIOD_S = 60.0
"""Of a ramp, and between two spikes, unless told otherwise."""
PEAK = 3.0
"""How many times the rate a spike is, unless told otherwise."""
RAMP_FROM = 0.1
"""The share of the rate that a ramp begins with."""
SPIKE_SHARE = 1 / 6
"""Of each period, its last part: ten seconds of a minute."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A rate that rises evenly until a time of the load."""

    rate: float
    """Requests a second where one looks."""
    slope: float = 0.0
    """Requests a second, a second."""
    until_s: float = math.inf


class Profile(Protocol):
    def piece(self, at_s: float) -> Piece: ...


@dataclass(frozen=True, kw_only=True)
class Constant:
    tps: float

    def piece(self, at_s: float) -> Piece:  # noqa: ARG002 - always the same
        return Piece(rate=self.tps)


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """Rises for a period from a tenth, then stays."""

    tps: float
    period_s: float

    def piece(self, at_s: float) -> Piece:
        if at_s >= self.period_s:
            return Piece(rate=self.tps)
        begin = self.tps * RAMP_FROM
        slope = (self.tps - begin) / self.period_s
        return Piece(rate=begin + slope * at_s, slope=slope, until_s=self.period_s)


@dataclass(frozen=True, kw_only=True)
class Spike:
    """`peak` times as many in the last sixth of each period."""

    tps: float
    period_s: float
    peak: float

    def piece(self, at_s: float) -> Piece:
        begin_s = math.floor(at_s / self.period_s) * self.period_s
        high_s = begin_s + self.period_s * (1 - SPIKE_SHARE)
        if at_s < high_s:
            return Piece(rate=self.tps, until_s=high_s)
        return Piece(rate=self.tps * self.peak, until_s=begin_s + self.period_s)


def profile_of(name: Name, *, tps: float, period_s: float, peak: float) -> Profile | None:
    """None for a rate of 0: as fast as answers come."""
    if not tps:
        return None
    if name == "ramp":
        return Ramp(tps=tps, period_s=period_s)
    if name == "spike":
        return Spike(tps=tps, period_s=period_s, peak=peak)
    return Constant(tps=tps)


def due_after(profile: Profile, at_s: float, requests: float) -> float:
    """When so many more requests are due than at `at_s`; both in seconds of the load."""
    while True:
        piece = profile.piece(at_s)
        rest_s = piece.until_s - at_s
        # What is left of a piece by rounding alone is no piece.
        if rest_s <= 1e-9:
            at_s = math.nextafter(piece.until_s, math.inf)
            continue
        if math.isinf(rest_s):
            return at_s + _taken_s(piece, requests)
        content = piece.rate * rest_s + piece.slope * rest_s * rest_s / 2
        if content >= requests:
            return min(at_s + _taken_s(piece, requests), piece.until_s)
        requests -= content
        at_s = piece.until_s


def _taken_s(piece: Piece, requests: float) -> float:
    """Solves rate·t + slope·t²/2 = requests, in the form that also has slope 0."""
    root = math.sqrt(piece.rate * piece.rate + 2 * piece.slope * requests)
    return 2 * requests / (piece.rate + root)


class Pace:
    """The due times of one process among several, each claimed once.

    Shared by all users of a process. Processes that hold the positions 0 to n-1 of n make the
    schedule of one together; when their number changes, what is claimed from then on follows.
    """

    def __init__(self, profile: Profile | None, now_s: Callable[[], float]) -> None:
        self._profile = profile
        self._now_s = now_s
        self._of = 1
        self._ahead = 0.0
        self._at_s = 0.0
        self._began_s = now_s()

    def begin(self, *, position: int = 0, of: int = 1, elapsed_s: float = 0.0) -> None:
        """The load began so long ago; nothing that was due before is asked for here."""
        self._began_s = self._now_s() - elapsed_s
        self._at_s = elapsed_s
        self._of = of
        self._ahead = float(position)

    def share(self, of: int) -> None:
        """So many processes share the load from the next claim on."""
        self._of = of

    def claim_s(self) -> float | None:
        """When the next request is due, by `now_s`; None: as soon as there was an answer."""
        if self._profile is None:
            return None
        self._at_s = due_after(self._profile, self._at_s, self._ahead)
        self._ahead = float(self._of)
        return self._began_s + self._at_s

    def claim_rest_s(self, until_s: float) -> Iterator[float]:
        """What was due by then and nobody has claimed; the load is over, nobody claims after it."""
        while (due_s := self.claim_s()) is not None and due_s <= until_s:
            yield due_s
