"""The invariants so far: judged against the database while the load goes on."""

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import psycopg2

from reports.load import SoFar
from reports.load_words import money
from scenarios.invariants.observed import total_of
from scenarios.targets.engine_wallet import EngineWallet
from scenarios.truth import GroundTruth

EVERY_S = 3.0
SHARE_OF_TIME = 0.05
"""Judging takes at most so much of the time: the load has the machine, not the judge."""


HALF_A_CENT = Decimal("0.5")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one look at the database says."""

    acknowledged: int
    checked: int
    violations: tuple[str, ...]
    lasted_s: float


class Judge(Protocol):
    """Called every few seconds; never raises a false alarm for what is in flight."""

    def step(self) -> Judged:
        """Raises psycopg2.Error while the database is away."""


@dataclass(kw_only=True)
class SnapshotJudge:
    """Conservation and overdraft, each time in one snapshot of the whole database.

    A movement whose parts are committed one after the other is seen in between by a snapshot: what
    is called violated was so in two of them.
    """

    database_url: str
    target: EngineWallet
    acknowledged: Callable[[], int]
    _suspected: frozenset[str] = frozenset()

    def step(self) -> Judged:
        began_s = time.monotonic()
        with closing(psycopg2.connect(self.database_url, connect_timeout=2)) as connection:
            truth = self.target.read_truth(connection)
        found = contradictions(truth)
        lasting = tuple(text for kind, text in found.items() if kind in self._suspected)
        self._suspected = frozenset(found)
        return Judged(
            acknowledged=self.acknowledged(),
            checked=len(truth.effects),
            violations=lasting,
            lasted_s=time.monotonic() - began_s,
        )


def contradictions(truth: GroundTruth) -> dict[str, str]:
    """What the database contradicts by itself: a sentence by the name of what is broken."""
    found: dict[str, str] = {}
    own = [b for b in truth.balances.values() if b.wallet not in truth.system_wallets]
    overdrawn = [b for b in own if b.amount_minor < 0 and not b.may_be_negative]
    if overdrawn:
        found["overdraft"] = f"{len(overdrawn)} wallets are overdrawn"
    if truth.records_kept:
        paid_in = sum((e.amount_minor for e in truth.effects if e.payer is None), Decimal(0))
        paid_out = sum((e.amount_minor for e in truth.effects if e.payee is None), Decimal(0))
        difference = total_of(b.amount_minor for b in own) - paid_in + paid_out
        # Numbers with fractions of a cent do not add up to the last digit, whatever is done.
        if difference.is_nan() or abs(difference) >= HALF_A_CENT:
            more = "more" if difference > 0 else "less"
            found["conservation"] = (
                f"{money(float(abs(difference)))} {more} in the wallets than was ever paid in"
            )
    return found


@dataclass(kw_only=True)
class Watch:
    """The judge in a thread of its own, until `stop`."""

    judge: Judge
    since_clock_s: Callable[[], float]
    """Seconds since the warm-up was over."""
    seen: list[SoFar] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="invariants so far")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause_s = EVERY_S
        while not self._over.wait(pause_s):
            at_s = self.since_clock_s()
            # The database may be away: a fault may have struck it.
            with suppress(psycopg2.Error):
                judged = self.judge.step()
                self.seen.append(_so_far(judged, at_s))
                pause_s = max(EVERY_S, judged.lasted_s / SHARE_OF_TIME)


def _so_far(judged: Judged, at_s: float) -> SoFar:
    return SoFar(
        at_s=round(at_s, 2),
        acknowledged=judged.acknowledged,
        checked=judged.checked,
        violations=judged.violations,
        lasted_s=round(judged.lasted_s, 3),
    )
