"""What a load is asked to be."""

from dataclasses import dataclass
from pathlib import Path

from attacks.load.thresholds import Threshold
from engine.defences import Build
from scenarios.loading.faults import Fault

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
    profile: str = "constant"
    mix: str = "payments,readers"
    warm_up_s: float = WARM_UP_S
    duration_s: int
    workers: int = 1
    """Processes of the engine."""
    processes: int = 1
    """Processes of Locust."""
    faults: tuple[Fault, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    seed: int
    out: Path

    @property
    def builds(self) -> tuple[Build, ...]:
        return (self.build,) if self.against is None else (self.build, self.against)
