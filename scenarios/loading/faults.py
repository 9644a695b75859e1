"""What goes wrong during a load: what can, when it is to, and doing it.

A fault is written KIND@WHEN or KIND@WHEN+HOW-LONG, both counted from the end of the warm-up:
redis-down@20s+10s, kill-engine@40s, restart-postgres@1m.
"""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from attacks.history import Recorder
from engine.process import EngineError
from engine.stores import PostgresServer, RedisServer, StoreError
from scenarios.loading.recovery import LEAST_BEFORE_S
from scenarios.loading.refusals import LoadRefused

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}
TIME = r"(\d+(?:\.\d+)?)(ms|s|m)"
WRITTEN = re.compile(rf"([a-z][a-z-]*)@{TIME}(?:\+{TIME})?")
ROOM_AFTER_S = 5.0
"""A load goes on for so long after its last fault: who is not seen to recover has not."""


class Engine(Protocol):
    """What faults do to the engine."""

    def kill(self) -> None: ...

    def start(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Victims:
    """What can be broken."""

    engine: Engine
    postgres: PostgresServer
    redis: RedisServer


Deed = Callable[[Victims], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to go wrong: how it is done and how it is mended."""

    victim: str
    """engine, postgres or redis."""
    meaning: str
    strike: Deed
    mend: Deed = lambda _: None
    lasts: bool
    """It makes no sense without a duration."""


KINDS = {
    "redis-down": Kind(
        victim="redis",
        meaning="kill -9 of Redis, which comes back empty",
        strike=lambda v: v.redis.kill(),
        mend=lambda v: v.redis.start(),
        lasts=True,
    ),
    "pause-redis": Kind(
        victim="redis",
        meaning="Redis keeps its connections and answers nobody",
        strike=lambda v: v.redis.pause(),
        mend=lambda v: v.redis.resume(),
        lasts=True,
    ),
    "kill-engine": Kind(
        victim="engine",
        meaning="kill -9 of the engine, which is started again",
        strike=lambda v: v.engine.kill(),
        mend=lambda v: v.engine.start(),
        lasts=False,
    ),
    "pause-engine": Kind(
        victim="engine",
        meaning="the engine keeps its connections and answers nobody",
        strike=lambda v: v.engine.pause(),
        mend=lambda v: v.engine.resume(),
        lasts=True,
    ),
    "restart-postgres": Kind(
        victim="postgres",
        meaning="PostgreSQL ends every session and starts again",
        strike=lambda v: v.postgres.restart(),
        lasts=False,
    ),
    "kill-postgres": Kind(
        victim="postgres",
        meaning="kill -9 of PostgreSQL, which is started again and recovers",
        strike=lambda v: v.postgres.kill(),
        mend=lambda v: v.postgres.start(),
        lasts=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault at its time, in seconds after the warm-up."""

    kind: str
    at_s: float
    lasts_s: float
    """How long what is broken stays so; 0: it is mended at once."""

    @property
    def text(self) -> str:
        lasting = f"+{self.lasts_s:g}s" if self.lasts_s else ""
        return f"{self.kind}@{self.at_s:g}s{lasting}"

    @property
    def victim(self) -> str:
        return KINDS[self.kind].victim


def parse_fault(text: str) -> Fault:
    """Raises LoadRefused, which says what is wrong and what there is."""
    name, _, when = text.strip().partition("@")
    if name not in KINDS:
        raise LoadRefused(f"no fault is called {name!r}; there are {', '.join(KINDS)}")
    found = WRITTEN.fullmatch(text.strip())
    if found is None:
        what = f"{when!r} is no time" if when else "it does not say when"
        example = f"{name}@20s+10s" if KINDS[name].lasts else f"{name}@20s"
        raise LoadRefused(f"the fault {text!r} cannot be read: {what}; write it like {example}")
    _, at, at_unit, lasts, unit = found.groups()
    lasts_s = float(lasts) * UNITS_S[unit] if lasts else 0.0
    if KINDS[name].lasts and not lasts_s:
        raise LoadRefused(
            f"the fault {text!r} does not say how long it lasts; "
            f"write it like {name}@{at}{at_unit}+10s"
        )
    if name == "restart-postgres" and lasts_s:
        raise LoadRefused(
            f"the fault {text!r} lasts as long as PostgreSQL takes; write {name}@{at}{at_unit}"
        )
    return Fault(kind=name, at_s=float(at) * UNITS_S[at_unit], lasts_s=lasts_s)


def parse_faults(texts: Sequence[str], *, duration_s: float) -> tuple[Fault, ...]:
    """In the order in which they strike. Raises LoadRefused."""
    faults = sorted(map(parse_fault, texts), key=lambda fault: fault.at_s)
    free_from_s: dict[str, Fault] = {}
    if faults and faults[0].at_s < LEAST_BEFORE_S:
        raise LoadRefused(
            f"{faults[0].text} strikes before it was seen what is usual: let it come "
            f"{LEAST_BEFORE_S:g} s after the warm-up or later"
        )
    for fault in faults:
        if fault.at_s + fault.lasts_s + ROOM_AFTER_S > duration_s:
            raise LoadRefused(
                f"{fault.text} leaves no time to recover in a load of {duration_s:g} s; it needs "
                f"{ROOM_AFTER_S:g} s after its end: let it come earlier or the load last longer"
            )
        before = free_from_s.get(fault.victim)
        if before is not None and fault.at_s <= before.at_s + before.lasts_s:
            raise LoadRefused(
                f"{before.text} and {fault.text} break the same at the same time: let one be over "
                "before the other begins"
            )
        free_from_s[fault.victim] = fault
    return tuple(faults)


def refuse_what_is_not_ours(
    faults: Sequence[Fault], postgres: PostgresServer, redis: RedisServer
) -> None:
    """Raises LoadRefused when a fault would break a server that Assay did not start."""
    stores = {"postgres": postgres.restartable, "redis": redis.restartable}
    for fault in faults:
        if not stores.get(fault.victim, True):
            raise LoadRefused(
                f"{fault.text} is refused: Assay did not start this {fault.victim}; "
                "use --stores container or --stores embedded"
            )


@dataclass(kw_only=True)
class Strike:
    """What became of one fault; times are seconds since 1970."""

    fault: Fault
    struck_s: float | None = None
    mended_s: float | None = None
    problem: str = ""

    @property
    def is_felt(self) -> bool:
        """It struck, and what it broke is not mended yet."""
        return self.struck_s is not None and self.mended_s is None


@dataclass(kw_only=True)
class Strikes:
    """Every fault in a thread of its own, so that none is late because another takes its time."""

    victims: Victims
    recorder: Recorder
    """Its clock counts from 1970, as the histories' do."""
    all: tuple[Strike, ...]
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _mended: defaultdict[str, threading.Lock] = field(
        default_factory=lambda: defaultdict(threading.Lock)
    )
    """Of each victim: one that is about to be mended is not broken again."""

    def begin(self, clock_s: float) -> None:
        """The clock started then."""
        for strike in self.all:
            name = strike.fault.text
            thread = threading.Thread(target=self._do, args=(strike, clock_s), name=name)
            thread.start()
            self._threads.append(thread)

    @property
    def engine_is_broken(self) -> bool:
        """It is down because a fault says so, or did not come back from that."""
        return any(s.fault.victim == "engine" and s.is_felt for s in self.all)

    @property
    def problem(self) -> str:
        """The first thing that did not go as it was to."""
        return next((strike.problem for strike in self.all if strike.problem), "")

    def finish(self) -> None:
        """Return when everything that was broken is mended. May be called again."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        for strike in self.all:
            if strike.is_felt and not strike.problem:
                strike.problem = f"{strike.fault.text} was not mended"

    def _do(self, strike: Strike, clock_s: float) -> None:
        fault, kind = strike.fault, KINDS[strike.fault.kind]
        if self._over.wait(max(0.0, clock_s + fault.at_s - self.recorder.now_s())):
            strike.problem = f"{fault.text} did not strike: the load was over before its time"
            return
        with self._mended[kind.victim]:
            self._strike(strike)

    def _strike(self, strike: Strike) -> None:
        fault, kind = strike.fault, KINDS[strike.fault.kind]
        strike.struck_s = self.recorder.now_s()
        try:
            with self._recorded(fault):
                kind.strike(self.victims)
                self._over.wait(fault.lasts_s)
                kind.mend(self.victims)
            strike.mended_s = self.recorder.now_s()
        except (EngineError, StoreError, OSError) as error:
            strike.problem = f"{fault.text}: {error}"
        except Exception as error:  # noqa: BLE001 - nobody else hears of it in this thread
            strike.problem = f"{fault.text}: {error!r}"

    def _recorded(self, fault: Fault) -> AbstractContextManager[None]:
        return self.recorder.lasting(fault.kind, f"{fault.text}: {KINDS[fault.kind].meaning}")
