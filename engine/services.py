"""One engine put together: each switch has chosen its part, and is not asked again."""

import socket
from dataclasses import dataclass, replace

import sqlalchemy as sa

from engine.assets import Assets
from engine.balance_cache import BalanceCache, balance_cache
from engine.batches.compensation import Compensations, compensation_of
from engine.batches.execution import Executions
from engine.batches.running import runs_of
from engine.books import Execution, OpenBooks, execution_of
from engine.database import SessionScope, create_engine, waits_of
from engine.defences import Build
from engine.funding import funding_of
from engine.idempotency import KeyRules, Keys, KeysIgnored, keys_of
from engine.identity import Permissions, Tokens
from engine.limits import limit_check_of
from engine.locking import Locking, lock_order_of
from engine.metrics import Metrics
from engine.money import Money, is_strict, money_of
from engine.passwords import Passwords
from engine.payments import Parts, Payments
from engine.pins import Pins
from engine.rate_limits import RateLimits
from engine.readings import BulkRead, bulk_read_of
from engine.redis_client import RedisAccess, redis_access
from engine.replay_cache import NoReplayCache, ReplayCache, replay_cache
from engine.retry import Retry
from engine.revocation import Revocations
from engine.settings import Settings
from engine.shape import Shape
from engine.treasury import shards_of
from engine.unit_of_work import UnitOfWork
from engine.whole_transfers import WholeTransfers


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the API's routes use."""

    build: Build
    settings: Settings
    metrics: Metrics
    database: sa.Engine
    scope: SessionScope
    redis: RedisAccess
    rate_limits: RateLimits
    passwords: Passwords
    tokens: Tokens
    revocations: Revocations
    permissions: Permissions
    pins: Pins
    keys: Keys
    key_rules: KeyRules
    money: Money
    strict: bool
    double_entry: bool
    chained: bool
    look_first: bool
    """The database knows nothing of names that may be taken once: whoever takes one looks first."""
    deadline_s: float | None
    payments: Payments
    whole_transfers: WholeTransfers | None
    """Where a transfer is one call of the database."""
    retry: Retry
    """For writers beside the payments."""
    locking: Locking
    cache: BalanceCache
    assets: Assets
    books: OpenBooks
    bulk_read: BulkRead
    executions: Executions
    compensations: Compensations


def assemble(settings: Settings, build: Build) -> Services:
    """Raises DefenceError when the switches or settings make no sense together."""
    defences = build.defences
    metrics = Metrics(settings.metrics_folder)
    waits = waits_of(defences, settings)
    database = create_engine(settings, waits, pool_size=build.traits.pool_size)
    # The cache needs Redis, and is what Redis has to tell when it comes back.
    redis = redis_access(settings, defences, on_return=lambda client: cache.restart(client))  # noqa: PLW0108
    namespace = settings.redis_namespace
    cache = balance_cache(defences, redis, namespace)
    shape = Shape.of(defences)
    rules = KeyRules.of(defences, locks_keys=build.traits.locks_keys)
    keys = keys_of(defences, redis, namespace, rules)
    replays = replay_cache(defences, redis, namespace, rules)
    scope = SessionScope(database, defences)
    tokens = Tokens(settings, defences)
    rate_limits = RateLimits(
        defences, redis, settings, lambda *decided: metrics.rate_limit.labels(*decided).inc()
    )
    retry = Retry(defences, lambda reason: metrics.retries.labels(reason).inc())
    work = UnitOfWork(defences)
    execution = execution_of(defences, shape=shape, traits=build.traits, one_commit=work.one_commit)
    parts = _parts(build, work, execution, retry, keys=keys, replays=replays, cache=cache)
    # A row of a batch is claimed by its own state, not by a key.
    rows = Payments(replace(parts, keys=KeysIgnored(), replays=NoReplayCache()))
    place = f"{socket.gethostname()}:{settings.engine_port}"
    if settings.engine_worker:
        place = f"{place}/{settings.engine_worker}"  # What it leased is not another worker's.
    return Services(
        build=build,
        settings=settings,
        metrics=metrics,
        database=database,
        scope=scope,
        redis=redis,
        rate_limits=rate_limits,
        passwords=Passwords(settings.credential_hashing),
        tokens=tokens,
        revocations=Revocations(database, scope.new, parts.retry, heeded=tokens.revocable),
        permissions=parts.permissions,
        pins=Pins(settings, defences, parts.retry, scope.alone),
        keys=keys,
        key_rules=rules,
        money=money_of(shape.money, strict=parts.strict),
        strict=parts.strict,
        double_entry=shape.double_entry,
        chained=shape.chained,
        look_first=not shape.constraints,
        deadline_s=waits.deadline_s,
        payments=Payments(parts),
        whole_transfers=WholeTransfers(
            database, assets=parts.assets, cache=cache, retry=parts.retry
        )
        if execution.transfers_whole
        else None,
        retry=parts.retry,
        locking=parts.locking,
        cache=cache,
        assets=parts.assets,
        books=parts.books,
        bulk_read=bulk_read_of(defences),
        executions=Executions(
            runs_of(defences, place),
            rows,
            scope.new,
            lambda event: metrics.batches.labels(event).inc(),
        ),
        compensations=Compensations(compensation_of(defences), rows),
    )


def _parts(  # noqa: PLR0913 - what other parts share
    build: Build,
    work: UnitOfWork,
    execution: Execution,
    retry: Retry,
    *,
    keys: Keys,
    replays: ReplayCache,
    cache: BalanceCache,
) -> Parts:
    defences = build.defences
    assets = Assets(shards=shards_of(defences))
    return Parts(
        keys=keys,
        replays=replays,
        locking=Locking(defences, build.traits),
        lock_order=lock_order_of(defences),
        books=execution.books,
        work=work,
        retry=retry,
        permissions=Permissions(defences),
        cache=cache,
        assets=assets,
        funding=funding_of(defences, assets),
        limits=limit_check_of(defences),
        strict=is_strict(defences),
    )
