"""A load under way: Locust sends, and everything else looks on."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field

import psycopg2
import redis

from attacks.history import Recorder
from attacks.load.thresholds import Threshold
from engine.stores.redis_embedded import server_info
from scenarios.loading.faults import Strike, Strikes, Victims
from scenarios.loading.figures import Figures
from scenarios.loading.generator import Generator, last_words, start_generator, wait_for
from scenarios.loading.histories import Follower
from scenarios.loading.limits import missed_so_far
from scenarios.loading.live import Watch
from scenarios.loading.plan import LoadPlan
from scenarios.loading.sampling import ENGINE, OFTEN_S, SAMPLES, Sampler
from scenarios.loading.site import Site
from scenarios.loading.watching import LoadWatcher, Moment
from scenarios.scale import LiveAudit
from scenarios.stand import became_quiet
from scenarios.targets.protocol import WalletRef

TELL_EVERY_S = 1.0
GRACE_S = 10.0
"""So long a load may miss its thresholds before one ends it; …"""
LOOK_EVERY_S = 5.0
"""… then they are looked at so often."""
SHORT_SHARE = 0.1
"""Of its time, what may be missing where Locust was slow to begin."""


@dataclass(kw_only=True)
class Course:
    """What is seen of a load; `figures` is None until the first request starts the clock."""

    site: Site
    plan: LoadPlan
    follower: Follower
    strikes: Strikes
    watcher: LoadWatcher
    figures: Figures | None = None
    watch: Watch = field(init=False)
    sampler: Sampler = field(init=False)
    doubts: list[str] = field(default_factory=list)
    missed: Threshold | None = None
    """It was missed on the way, which ended the load."""
    _looked_s: float = 0.0
    _has_planned: bool = False
    _generator: Generator | None = None
    _told_s: float = 0.0

    def __post_init__(self) -> None:
        site = self.site
        self.watch = Watch(
            open_judge=lambda: LiveAudit(
                site.database_url, site.target, site.folder, place=site.stand.workspace.path
            ),
            since_clock_s=self.since_clock_s,
        )
        stand = self.site.stand
        self.sampler = Sampler(
            database_url=self.site.database_url,
            pids={
                ENGINE: lambda: self.site.engine.pid if self.site.engine.alive else None,
                "Redis": lambda: _redis_here(stand.redis.choice.kind, stand.redis.url),
                "Locust": lambda: self._generator.pid if self._generator else None,
                "Assay": os.getpid,
            },
            postgres_is_here=stand.postgres.choice.kind == "embedded",
            since_clock_s=self.since_clock_s,
            every_s=max(OFTEN_S, self.plan.duration_s / SAMPLES),
        )

    def since_clock_s(self) -> float:
        """Negative during the warm-up."""
        if self.figures is None:
            return -self.plan.warm_up_s
        return self.now_s() - self.figures.clock_s

    def now_s(self) -> float:
        """On the clock of the histories, which nobody can set."""
        return self.strikes.recorder.now_s()

    def run(self, wallets: Sequence[WalletRef]) -> None:
        """Return when Locust is at its end, and everything that was broken is mended."""
        with ExitStack() as looked:
            looked.callback(self.sampler.stop)
            looked.callback(self.watch.stop)
            self.watch.begin()
            with ExitStack() as opened:
                self._generator = start_generator(self.site, self.plan, wallets)
                opened.callback(self._generator.end)
                opened.callback(self.strikes.finish)
                ended = wait_for(self._generator, self.plan, self._why_stop)
                self.doubts += () if self.missed else ended
                ended_s = self.since_clock_s()
            with suppress(psycopg2.Error):
                became_quiet(self.site.database_url)
            self.watch.conclude()
        self._follow()
        self._told_s = 0.0
        self._tell()
        if self.figures is not None and not self.doubts and self.missed is None:
            self.doubts += why_short(ended_s, self.plan.duration_s)
        self.doubts += filter(None, (self.watch.problem, self.sampler.problem))
        for strike in self.strikes.all:
            too_late = self.missed is not None and strike.struck_s is None
            if strike.problem not in {"", *self.doubts} and not too_late:
                self.doubts.append(strike.problem)

    def why_partial(self) -> str | None:
        return self.follower.why_partial(self.plan.processes)

    def _follow(self) -> None:
        """Take in what the histories have grown by."""
        new = list(self.follower.operations())
        if new and self.figures is None:
            began_s = min(operation["started_s"] for operation in new)
            self.figures = Figures(began_s + self.plan.warm_up_s)
            self.strikes.begin(self.figures.clock_s)
            self.sampler.begin()
        for operation in new:
            if self.figures is not None:
                self.figures.add(operation)

    def _plan_again(self) -> None:
        """Once, when the clock starts: no session goes on with what it planned for empty tables.

        Autovacuum would see to that within a minute, which is longer than many a load.
        """
        if self.figures is None or self._has_planned or self.since_clock_s() < 0:
            return
        self._has_planned = True
        with suppress(psycopg2.Error), closing(psycopg2.connect(self.site.database_url)) as side:
            side.autocommit = True
            with side.cursor() as cursor:
                cursor.execute("ANALYZE")

    def _why_stop(self) -> str | None:
        """Called every moment; None: go on."""
        self._follow()
        self._plan_again()
        self._tell()
        engine = self.site.engine
        if not self.strikes.engine_is_broken and not engine.alive:
            return f"the engine ended in the middle of the load: {last_words(engine.log(3))}"
        if self.strikes.problem:
            return self.strikes.problem
        if self._generator and (lost := self._why_lost(self._generator)):
            return lost
        return self._why_missed()

    def _why_missed(self) -> str | None:
        """Looked at now and then, where a missed threshold is to end the load."""
        at_s = self.since_clock_s()
        waits = at_s < max(GRACE_S, self._looked_s + LOOK_EVERY_S)
        if self.figures is None or not self.plan.threshold_abort or waits:
            return None
        self._looked_s = at_s
        seen = len(self.watch.seen[-1].violations) if self.watch.seen else 0
        found = missed_so_far(self.plan.thresholds, self.figures, seen)
        if found is None:
            return None
        self.missed, measured = found
        why = f"{self.missed.text} is missed after {at_s:.0f} s ({measured}): the load ends here"
        self.watcher.tell(why)
        return why

    def _why_lost(self, generator: Generator) -> str | None:
        """Processes do not end at the same moment: who wrote its last line is not lost."""
        gone = generator.gone_workers()
        if gone:
            self._follow()
        if len(gone) <= self.follower.finished:
            return None
        who = ", ".join(map(str, gone))
        return f"a Locust process ({who}) ended in the middle of the load: {generator.last_words()}"

    def _tell(self) -> None:
        now_s = time.monotonic()
        if self.figures is None or now_s < self._told_s + TELL_EVERY_S:
            return
        self._told_s = now_s
        last = self.watch.seen[-1] if self.watch.seen else None
        self.watcher.moment(
            Moment(
                build=self.site.build.name,
                at_s=self.since_clock_s(),
                duration_s=self.plan.duration_s,
                recent=self.figures.recent(self.now_s()),
                payments=self.figures.payments,
                violations=None if last is None else last.violations,
                checked=0 if last is None else last.checked,
                broken=tuple(s.fault.text for s in self.strikes.all if s.is_felt),
            )
        )


def why_short(ended_s: float, duration_s: float) -> list[str]:
    """Why a load that ended by itself at `ended_s` is not the one that was asked for."""
    if ended_s >= duration_s - max(1.0, SHORT_SHARE * duration_s):
        return []
    return [f"the load ended after {ended_s:.0f} s of {duration_s:g} s"]


def strikes_of(site: Site, plan: LoadPlan, recorder: Recorder) -> Strikes:
    return Strikes(
        victims=Victims(engine=site.engine, postgres=site.stand.postgres, redis=site.stand.redis),
        recorder=recorder,
        all=tuple(Strike(fault=fault) for fault in plan.faults),
    )


def _redis_here(kind: str, url: str) -> int | None:
    """Its process, where it runs on this machine and answers."""
    if kind != "embedded":
        return None
    try:
        return int(str(server_info(url)["process_id"]))
    except redis.RedisError:
        return None
