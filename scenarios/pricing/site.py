"""One engine with a database of its own, people who can pay, and what it takes of the machine."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

import psycopg2
import psycopg2.extensions

from attacks.http.pump import PumpSite, Shot
from engine.defences import Build
from engine.identity import Tokens
from engine.process import EngineConfig, EngineProcess, start_engine
from engine.settings import Settings
from scenarios.pricing.filling import PIN, Connection, Filled, fill
from scenarios.pricing.workload import Purse, Supply
from scenarios.process_family import Used, cpu_s_of, used_by_family
from scenarios.stand import POOL_SIZE, Stand, became_quiet

OPERATORS = 16
TOKENS_LAST_S = 24 * 3600
BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
ROLLED_BACK = """
SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""
HOUSEKEEPING = "VACUUM (ANALYZE)"
SUM = "SELECT coalesce(sum(balance), 0), count(*) FILTER (WHERE {negative}) FROM wallets"
NEGATIVE = "balance < 0 AND NOT allow_negative"


@dataclass(frozen=True, kw_only=True)
class Population:
    """Who is there before the clock starts."""

    wallets: int
    acting: int | None = None
    """So many owners can pay; None: all."""
    limited: bool = False
    then: Callable[[Connection, Filled], None] | None = None
    """Further filling, before the engine starts."""


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """Seconds used so far."""

    engine_s: float
    backends_s: Mapping[int, float] = field(default_factory=dict)
    """By process id; empty where PostgreSQL is not on this machine."""

    def since(self, before: "Cpu") -> tuple[float, float | None]:
        """Of the engine and of the backends in between; None where nobody knows."""
        backends = [s - before.backends_s.get(pid, 0.0) for pid, s in self.backends_s.items()]
        return self.engine_s - before.engine_s, sum(backends) if backends else None


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running engine and those who can pay."""

    build: Build
    engine: EngineProcess
    database_url: str
    side: psycopg2.extensions.connection
    """A connection past the engine, in autocommit."""
    supply: Supply
    headers: tuple[Mapping[str, str], ...]
    opening_sum: float
    backends_here: bool

    def pumped(self, clients: tuple[tuple[Shot, ...], ...]) -> PumpSite:
        return PumpSite(
            host="127.0.0.1", port=self.engine.port, headers=self.headers, clients=clients
        )

    def cpu(self) -> Cpu:
        """Now. Of PostgreSQL those that are there: a backend that has ended is not counted."""
        with self.side.cursor() as cursor:
            cursor.execute(BACKENDS)
            pids = [int(pid) for (pid,) in cursor.fetchall()]
        return Cpu(
            engine_s=self._used().cpu_s,
            backends_s={pid: cpu_s_of(pid) for pid in pids} if self.backends_here else {},
        )

    def rolled_back(self) -> int:
        """Database transactions that were, as far as PostgreSQL has counted them."""
        with self.side.cursor() as cursor:
            cursor.execute(ROLLED_BACK)
            (count,) = cursor.fetchone() or (0,)
        return int(count)

    def plan_again(self) -> None:
        """Let no session keep what it planned while a table was empty: reading all of it.

        Autovacuum sees to that within a minute, which is the longer part of a measurement.
        """
        with self.side.cursor() as cursor:
            cursor.execute("ANALYZE")

    def memory_mb(self) -> float:
        """Resident, of the engine and its workers."""
        return self._used().memory_mb

    def _used(self) -> Used:
        return used_by_family(self.engine.pid) or Used(cpu_s=0.0, memory_mb=0.0)

    def wrong_books(self, deposited_minor: int = 0) -> str:
        """What does not add up after a load; "" when everything does.

        `deposited_minor`: what was paid in from outside where deposits have no counterpart.
        """
        if not became_quiet(self.database_url):
            return "it was still at work long after the load"
        money = self.build.defences.money
        with self.side.cursor() as cursor:
            cursor.execute(SUM.format(negative=NEGATIVE))
            total, overdrawn = cursor.fetchone() or (0, 0)
        made = deposited_minor if self.build.defences.funding == "open" else 0
        expected = self.opening_sum + made / _minor_per_unit(self.build)
        tolerance = 1e-2 if money == "float" else 0
        if overdrawn:
            return f"{overdrawn} wallets are overdrawn"
        if abs(float(total) - expected) > tolerance:
            return f"all balances together are {total}, they should be {expected:g}"
        return ""


def _minor_per_unit(build: Build) -> int:
    return 1 if build.defences.money == "minor_units" else 100


@contextmanager
def open_site(
    stand: Stand,
    build: Build,
    population: Population,
    settings: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
) -> Iterator[Site]:
    """`workers`: processes of the engine, each with a pool of its own.

    Raises StoreError, MigrationError, EngineError, psycopg2.Error.
    """
    with ExitStack() as opened:
        database = stand.databases.create(build.defences)
        opened.callback(stand.databases.drop, database)
        database_url = stand.postgres.url(database)
        side = opened.enter_context(closing(psycopg2.connect(database_url)))
        pepper = secrets.token_urlsafe(48)
        filled = fill(
            side,
            wallets=population.wallets,
            acting=population.acting or population.wallets,
            operators=OPERATORS,
            minor_per_unit=_minor_per_unit(build),
            pepper=pepper,
            limited=population.limited,
        )
        if population.then:
            population.then(side, filled)
        side.autocommit = True
        with side.cursor() as cursor:
            cursor.execute(HOUSEKEEPING)
        engine = start_engine(
            stand.launch,
            EngineConfig(
                build=build,
                database_url=database_url,
                redis_url=stand.redis.url,
                redis_namespace=database,
                pool_size=POOL_SIZE,
                workers=workers,
                pin_pepper=pepper,
                settings=settings or {},
            ),
        )
        opened.callback(engine.stop)
        with side.cursor() as cursor:
            cursor.execute(SUM.format(negative=NEGATIVE))
            opening_sum, _ = cursor.fetchone() or (0, 0)
        yield Site(
            build=build,
            engine=engine,
            database_url=database_url,
            side=side,
            supply=_supply(build, filled),
            headers=_headers(build, engine, filled),
            opening_sum=float(opening_sum),
            backends_here=stand.postgres.choice.kind == "embedded",
        )


def _supply(build: Build, filled: Filled) -> Supply:
    owners = len(filled.owners)
    return Supply(
        purses=tuple(
            Purse(wallet=wallet, headers=number) for number, (wallet, _) in enumerate(filled.owners)
        ),
        operators=tuple(range(owners, owners + len(filled.operators))),
        bare_numbers=build.defences.money != "minor_units",
    )


def _headers(build: Build, engine: EngineProcess, filled: Filled) -> tuple[Mapping[str, str], ...]:
    """Of the owners, then of the operators."""
    defences = build.defences
    tokens = Tokens(
        Settings(database_url="", jwt_secret=engine.jwt_secret, jwt_lifetime_s=TOKENS_LAST_S),
        defences,
    )
    one = partial(_one_caller, tokens, named=defences.authentication != "none")
    pin = {"X-Pin": PIN} if defences.pin != "off" else {}
    return tuple(
        {**one(user, role), **pin}
        for role, users in (
            ("user", [user for _, user in filled.owners]),
            ("operator", filled.operators),
        )
        for user in users
    )


def _one_caller(tokens: Tokens, user: int, role: str, *, named: bool) -> dict[str, str]:
    kind = {"Content-Type": "application/json"}
    return {**kind, "Authorization": f"Bearer {tokens.issue(user, role)}"} if named else kind
