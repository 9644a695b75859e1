"""What a load is asked to be."""

from dataclasses import dataclass
from pathlib import Path

from attacks.load.pace import (
    MOST_OPERATIONS,
    PEAK,
    PERIOD_S,
    SPIKE_SHARE,
    Name,
    due_after,
    profile_of,
)
from attacks.load.thresholds import Threshold
from engine.defences import Build
from scenarios.loading.faults import Fault
from scenarios.loading.refusals import LoadRefused

WARM_UP_S = 2.0
CLOSED_LOOP = 0.0


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """Who pays whom for how long, and what goes wrong meanwhile."""

    command: str
    """As the user typed it, for the report."""
    build: Build
    against: Build | None = None
    """Gets the same load afterwards, on a database of its own."""
    stores: str
    users: int
    wallets: int
    tps: float = CLOSED_LOOP
    profile: Name = "constant"
    period_s: float = PERIOD_S
    """How long a ramp rises, how often a spike comes."""
    peak: float = PEAK
    """How many times `tps` a spike is."""
    mix: str = "payments,readers"
    warm_up_s: float = WARM_UP_S
    duration_s: int
    workers: int = 1
    """Processes of the engine."""
    processes: int = 1
    """Processes of Locust."""
    faults: tuple[Fault, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    threshold_abort: bool = False
    """A threshold that is missed on the way ends the load."""
    seed: int
    out: Path

    @property
    def builds(self) -> tuple[Build, ...]:
        return (self.build,) if self.against is None else (self.build, self.against)


def refuse_a_profile_that_is_not_seen(plan: LoadPlan) -> None:
    """Raises LoadRefused for a ramp that does not end within the load, or a spike after it."""
    lasts_s = plan.warm_up_s + plan.duration_s
    needs_s = {"ramp": plan.period_s, "spike": plan.period_s * (1 - SPIKE_SHARE)}
    if needs_s.get(plan.profile, 0.0) >= lasts_s:
        raise LoadRefused(
            f"a {plan.profile} takes {needs_s[plan.profile]:g} s, the whole load {lasts_s:g} s: "
            "take a shorter --tps-period-s or a longer --duration-s"
        )
    if plan.profile != "constant" and plan.tps == CLOSED_LOOP:
        raise LoadRefused(f"a {plan.profile} needs a pace: say --tps")


def refuse_what_is_too_much(plan: LoadPlan) -> None:
    """Raises LoadRefused for turns that Locust's processes would not all record."""
    lasts_s, most = plan.warm_up_s + plan.duration_s, MOST_OPERATIONS * plan.processes
    profile = profile_of(plan.profile, tps=plan.tps, period_s=plan.period_s, peak=plan.peak)
    if profile is None or plan.tps * plan.peak * lasts_s < most:
        return
    full_s = due_after(profile, 0.0, most)
    if full_s < lasts_s:
        raise LoadRefused(
            f"a Locust process records {MOST_OPERATIONS:,} operations at most, which are due "
            f"within {full_s:,.0f} s of {lasts_s:,.0f} s: take more --processes, or less "
            "of --tps or --duration-s"
        )
