"""One engine put together: each switch has chosen its part, and is not asked again."""

from dataclasses import dataclass

import sqlalchemy as sa

from engine.assets import Assets
from engine.balance_cache import BalanceCache, balance_cache
from engine.books import OpenBooks, books_of
from engine.database import SessionScope, create_engine, waits_of
from engine.defences import Build, Defences
from engine.funding import funding_of
from engine.idempotency import KeyRules, Keys, keys_of
from engine.identity import Permissions, Tokens
from engine.locking import Locking, lock_order_of
from engine.money import Money, is_strict, money_of
from engine.payments import Parts, Payments
from engine.readings import BulkRead, bulk_read_of
from engine.redis_client import RedisAccess, redis_access
from engine.replay_cache import ReplayCache, replay_cache
from engine.retry import Retry
from engine.settings import Settings
from engine.shape import Shape
from engine.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the API's routes use."""

    build: Build
    settings: Settings
    database: sa.Engine
    scope: SessionScope
    redis: RedisAccess
    tokens: Tokens
    permissions: Permissions
    keys: Keys
    key_rules: KeyRules
    money: Money
    strict: bool
    double_entry: bool
    deadline_s: float | None
    payments: Payments
    locking: Locking
    cache: BalanceCache
    assets: Assets
    books: OpenBooks
    bulk_read: BulkRead


def assemble(settings: Settings, build: Build) -> Services:
    """Raises DefenceError when the switches or settings make no sense together."""
    defences = build.defences
    waits = waits_of(defences)
    database = create_engine(settings, waits)
    # The cache needs Redis, and is what Redis has to tell when it comes back.
    redis = redis_access(settings, defences, on_return=lambda client: cache.restart(client))  # noqa: PLW0108
    namespace = settings.redis_namespace
    cache = balance_cache(defences, redis, namespace)
    shape = Shape.of(defences)
    rules = KeyRules.of(defences)
    keys = keys_of(defences, redis, namespace, rules)
    replays = replay_cache(defences, redis, namespace, rules)
    parts = _parts(defences, shape, keys, replays, cache)
    return Services(
        build=build,
        settings=settings,
        database=database,
        scope=SessionScope(database, defences),
        redis=redis,
        tokens=Tokens(settings, defences),
        permissions=parts.permissions,
        keys=keys,
        key_rules=rules,
        money=money_of(shape.money, strict=parts.strict),
        strict=parts.strict,
        double_entry=shape.double_entry,
        deadline_s=waits.deadline_s,
        payments=Payments(parts),
        locking=parts.locking,
        cache=cache,
        assets=parts.assets,
        books=parts.books,
        bulk_read=bulk_read_of(defences),
    )


def _parts(
    defences: Defences, shape: Shape, keys: Keys, replays: ReplayCache, cache: BalanceCache
) -> Parts:
    work = UnitOfWork(defences)
    assets = Assets()
    return Parts(
        keys=keys,
        replays=replays,
        locking=Locking(defences),
        lock_order=lock_order_of(defences),
        books=books_of(defences, double_entry=shape.double_entry, one_commit=work.one_commit),
        work=work,
        retry=Retry(defences),
        permissions=Permissions(defences),
        cache=cache,
        assets=assets,
        funding=funding_of(defences, assets),
        strict=is_strict(defences),
    )
