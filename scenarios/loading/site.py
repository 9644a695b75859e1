"""Where a load happens: one engine of the build, its database, wallets with money in them."""

import math
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from attacks.history import PREPARATION, Recorder
from attacks.http.sender import Sender
from attacks.load.plan import Operator
from engine.defences import Build
from engine.process import EngineConfig, EngineError, EngineProcess, start_engine
from engine.stores import RedisServer, StoreError
from reports.evidence import Verdict
from scenarios.audit import Check
from scenarios.loading.plan import LoadPlan
from scenarios.loading.refusals import LoadFailed
from scenarios.stand import POOL_SIZE, Stand
from scenarios.targets.engine_wallet import EngineWallet
from scenarios.targets.protocol import TargetError, WalletRef

OPENING_MINOR = 100_00
TOKENS_OUTLAST_S = 3600
"""For thousands of wallets that are prepared, and faults that hold a load up."""
KEYS_AT_ONCE = 1000
RECONCILIATION = "the engine's own reconciliation agrees"


@dataclass(frozen=True, kw_only=True)
class Site:
    """One engine of the build, its database, and where the histories go."""

    stand: Stand
    build: Build
    engine: EngineProcess
    database_url: str
    target: EngineWallet
    floats: bool
    folder: Path


@contextmanager
def open_site(stand: Stand, plan: LoadPlan, build: Build, folder: Path) -> Iterator[Site]:
    """Gone afterwards, but for the folder. Raises StoreError, MigrationError, EngineError."""
    with ExitStack() as opened:
        database = stand.databases.create(build.defences)
        opened.callback(_drop, stand, database)
        opened.callback(_forget, stand.redis, database)
        config = config_of(stand, plan, build, database)
        engine = start_engine(stand.launch, config)
        opened.callback(engine.stop)
        folder.mkdir(parents=True, exist_ok=True)
        meta = _meta(engine)
        yield Site(
            stand=stand,
            build=build,
            engine=engine,
            database_url=config.database_url,
            target=EngineWallet(meta, engine.operator_password),
            floats=meta["defences"]["money"] != "minor_units",
            folder=folder,
        )


def _drop(stand: Stand, database: str) -> None:
    """Raises StoreError where it stays behind: on a server that is not ours."""
    try:
        stand.databases.drop(database)
    except StoreError:
        # Broken by a fault, ours takes it along when it goes.
        if stand.postgres.choice.kind == "external":
            raise


def _forget(redis: RedisServer, namespace: str) -> None:
    """What an engine keeps in a Redis that is not ours does not stay there. It is away: it does."""
    if redis.choice.kind != "external":
        return
    with suppress(RedisError), Redis.from_url(redis.url, socket_timeout=5) as client:
        keys = client.scan_iter(f"{namespace}:*", count=KEYS_AT_ONCE)
        while some := tuple(islice(keys, KEYS_AT_ONCE)):
            client.unlink(*some)


def config_of(stand: Stand, plan: LoadPlan, build: Build, database: str) -> EngineConfig:
    # The wallets' owners log in once, before the load, and ask until its end.
    tokens_last_s = math.ceil(plan.warm_up_s + plan.duration_s) + TOKENS_OUTLAST_S
    return EngineConfig(
        build=build,
        database_url=stand.postgres.url(database),
        redis_url=stand.redis.url,
        redis_namespace=database,
        pool_size=POOL_SIZE,
        workers=plan.workers,
        settings={"JWT_LIFETIME_S": str(tokens_last_s)},
    )


def _meta(engine: EngineProcess) -> dict[str, Any]:
    """The build's switches. Raises EngineError."""
    try:
        return dict(_ask(engine, "GET", "/v1/meta"))
    except (httpx.HTTPError, ValueError) as error:
        raise EngineError(f"the engine does not say what it is: {error!r}") from error


def prepare(site: Site, how_many: int) -> tuple[WalletRef, ...]:
    """Owners signed up and logged in, wallets with money in them. Raises LoadFailed."""
    with (site.folder / "preparation.jsonl").open("w") as file:
        recorder = Recorder(file, since_epoch=True, keep=False)
        sender = Sender(site.engine.base_url, recorder)
        with closing(sender):
            try:
                return tuple(_wallet(site.target, sender) for _ in range(how_many))
            except TargetError as error:
                raise LoadFailed(f"the wallets could not be prepared: {error}") from error


def _wallet(target: EngineWallet, sender: Sender) -> WalletRef:
    """Raises TargetError."""
    wallet = target.open_wallet(sender.ask, can_pay=True)
    deposit = target.deposit(wallet, OPENING_MINOR, key=secrets.token_hex(12))
    operation = sender.send(deposit, actor=PREPARATION)
    if operation.outcome != "ok":
        raise TargetError(f"{operation.text} was answered {operation.answer}")
    return wallet


def operator_of(target: EngineWallet, wallet: WalletRef) -> Operator:
    """Who pays money in: what its requests carry, once a wallet has been opened."""
    headers = target.deposit(wallet, OPENING_MINOR, key="").headers
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    return Operator(token=token or None, pin=headers.get("X-Pin"))


def reconciliation(engine: EngineProcess) -> Check:
    """What the engine says of its own books."""
    try:
        login = {"username": "operator", "password": engine.operator_password}
        token = _ask(engine, "POST", "/v1/auth/token", json=login)["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = _ask(engine, "GET", "/v1/ledger/reconciliation", headers=headers)
        balanced = answer["balanced"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        detail = f"the engine did not say: {error!r}"
        return Check(claim=RECONCILIATION, verdict=Verdict.UNKNOWN, detail=detail)
    if balanced:
        return Check(claim=RECONCILIATION, verdict=Verdict.HELD)
    known = {name: said for name, said in answer["first_difference"].items() if said is not None}
    different = ", ".join(f"{name.replace('_', ' ')} {said}" for name, said in known.items())
    detail = f"the first that differs: {different}"
    return Check(claim=RECONCILIATION, verdict=Verdict.VIOLATED, detail=detail)


def _ask(engine: EngineProcess, method: str, path: str, **how: Any) -> Any:
    with httpx.Client(base_url=engine.base_url, trust_env=False, timeout=20) as client:
        return client.request(method, path, **how).json()
