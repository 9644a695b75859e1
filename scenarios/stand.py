"""Setting up what a run stands on: stores for the whole run, a service for each cell."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from psycopg2 import sql
from redis import Redis
from redis.exceptions import RedisError

from attacks.history import Recorder
from attacks.http.sender import Sender, trusted
from attacks.postgres.explorer.exploring import Budget
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from attacks.redis.link import Link
from engine.defences import Build
from engine.fork_server import ForkServer
from engine.ownership import Workspace, sweep
from engine.process import EngineConfig, EngineError, EngineProcess, Launch, start_engine
from engine.provision import Databases
from engine.stores import (
    PostgresServer,
    RedisServer,
    ReservedPort,
    StoreError,
    open_postgres,
    open_redis,
)
from scenarios.ground import Ground
from scenarios.invariants import Invariant
from scenarios.lab import AttackFailed, Lab
from scenarios.racing import Explorer
from scenarios.redis_beside import Outside, RedisMemory
from scenarios.striking import Striker
from scenarios.targets.engine_access import EngineAccess
from scenarios.targets.engine_wallet import EngineWallet
from scenarios.targets.protocol import Target

POOL_SIZE = 10
PROBE_S = 1.0
QUIET_WITHIN_S = 15.0
POLL_S = 0.02
FIRST_ID_OF_TRIES = 1_000_000
STILL_WORKING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND backend_type = 'client backend' AND state <> 'idle'
"""


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Stores that all cells of a run share."""

    workspace: Workspace
    postgres: PostgresServer
    redis: RedisServer
    databases: Databases
    launch: Launch
    """Starts the services."""
    isolation_level: str
    """What every session of a service begins with unless it asks for another."""


@contextmanager
def open_stand(stores: str) -> Iterator[Stand]:
    """PostgreSQL and Redis of this kind (auto, external, container, embedded), gone afterwards.

    Raises StoreError or WorkspaceError.
    """
    sweep()
    with Workspace() as workspace, ExitStack() as opened:
        fork_server = ForkServer(workspace)  # It imports while the stores start.
        postgres = open_postgres(stores, workspace)
        opened.callback(postgres.close)
        redis = open_redis(stores, workspace)
        opened.callback(redis.close)
        yield Stand(
            workspace=workspace,
            postgres=postgres,
            redis=redis,
            databases=Databases(postgres),
            launch=fork_server.start,
            isolation_level=_isolation_level(postgres.admin_url),
        )


@contextmanager
def open_lab(  # noqa: PLR0913 - what a lab is made of
    stand: Stand,
    build: Build,
    recorder: Recorder,
    *,
    invariants: tuple[Invariant, ...],
    seed: str,
    effort: float,
    schedules: Path | None = None,
    settings: Mapping[str, str] | None = None,
    processes: int = 1,
) -> Iterator[Lab]:
    """A database of its own and a running service of this build, gone afterwards.

    `invariants` judge every schedule that the explorer tries; `schedules` gets a line for each;
    `settings` are the scenario's for the service.
    Raises StoreError, MigrationError, EngineError or ObserverError when it cannot be brought up.
    """
    _must_answer(stand.redis)
    with ExitStack() as opened:
        database = opened.enter_context(_database(stand, build))
        link = opened.enter_context(closing(Link(stand.redis.host, stand.redis.port)))
        database_url = _for_races(stand.postgres, database)
        proxy = opened.enter_context(closing(_proxy_before(database_url)))
        reserved = opened.enter_context(closing(ReservedPort()))
        base_url = f"http://127.0.0.1:{reserved.port}"
        # Before the service: what its sessions begin with has to be seen.
        track = opened.enter_context(_track(proxy, link, database_url, base_url))
        config = EngineConfig(
            build=build,
            database_url=stand.postgres.url(database, port=proxy.port),
            redis_url=_through(link, stand.redis),
            redis_namespace=database,
            pool_size=POOL_SIZE,
            reserved=reserved,
            settings=settings or {},
        )
        service = start_engine(stand.launch, config)
        opened.callback(service.stop)
        senders = _senders(service, processes, recorder, opened)
        target = EngineWallet(_meta(service), service.operator_password)
        ground = opened.enter_context(
            _ground(
                track,
                target,
                database_url,
                base_url,
                memory=RedisMemory(stand.redis, link, database),
                invariants=invariants,
                fresh_keys=build.defences.idempotency == "memory",
            )
        )
        yield Lab(
            target=target,
            sender=senders[0],
            senders=senders,
            access=EngineAccess(target, service.jwt_secret),
            recorder=recorder,
            service=service,
            postgres=stand.postgres,
            redis=stand.redis,
            link=link,
            explorer=Explorer(ground=ground, budget=Budget(), log=schedules),
            striker=_striker(ground, service, recorder),
            base_url=service.base_url,
            database_url=database_url,
            pool_size=POOL_SIZE,
            effort=effort,
            random=random.Random(seed),  # noqa: S311 - repeatable, not secret
        )


@contextmanager
def _database(stand: Stand, build: Build) -> Iterator[str]:
    """Its name."""
    name = stand.databases.create(build.defences)
    try:
        yield name
    finally:
        stand.databases.drop(name)


def _striker(ground: Ground, service: EngineProcess, recorder: Recorder) -> Striker:
    return Striker(
        ground=ground,
        service=service,
        recorder=recorder,
        wait_until_quiet=partial(became_quiet, ground.database_url),
    )


def _senders(
    service: EngineProcess, processes: int, recorder: Recorder, opened: ExitStack
) -> tuple[Sender, ...]:
    """One for each process of the service; the further ones are started here."""
    others = [service.another() for _ in range(processes - 1)]
    for other in others:
        opened.callback(other.stop)
        other.wait_until_ready()
    urls = [process.base_url for process in (service, *others)]
    return tuple(opened.enter_context(closing(Sender(url, recorder))) for url in urls)


@contextmanager
def _track(proxy: Proxy, link: Link, database_url: str, base_url: str) -> Iterator[RaceTrack]:
    with (
        closing(Observer(database_url)) as observer,
        httpx.Client(base_url=base_url, verify=trusted()) as client,
    ):
        yield RaceTrack(proxy, observer, outside=Outside(link), probe=partial(_answers, client))


@contextmanager
def _ground(  # noqa: PLR0913 - what it is made of
    track: RaceTrack,
    target: Target,
    database_url: str,
    base_url: str,
    *,
    memory: RedisMemory,
    invariants: tuple[Invariant, ...],
    fresh_keys: bool,
) -> Iterator[Ground]:
    with ExitStack() as opened:
        reader = opened.enter_context(closing(psycopg2.connect(database_url)))
        opened.callback(memory.close)
        recorder = Recorder(ids_from=FIRST_ID_OF_TRIES)
        sender = Sender(base_url, recorder)
        opened.callback(sender.close)
        yield Ground(
            track=track,
            database_url=database_url,
            sender=sender,
            recorder=recorder,
            invariants=invariants,
            read_truth=partial(target.read_truth, reader),
            forget=memory.forget,
            fresh_keys=fresh_keys,
        )


def _answers(client: httpx.Client) -> bool:
    """Whether the service answers a trivial request, whatever it answers."""
    try:
        client.head("/", timeout=PROBE_S)
    except httpx.HTTPError:
        return False
    return True


def _for_races(postgres: PostgresServer, database: str) -> str:
    """The database's URL. Deadlocks are found at once in it: the explorer makes many."""
    url = postgres.url(database)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        with suppress(psycopg2.errors.InsufficientPrivilege):
            name = sql.Identifier(database)
            cursor.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = 1").format(name))
    return url


def _proxy_before(database_url: str) -> Proxy:
    with closing(psycopg2.connect(database_url)) as connection:
        return Proxy(connection.info.host, connection.info.port)


def _isolation_level(url: str) -> str:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW default_transaction_isolation")
        row = cursor.fetchone()
    return str(row[0]) if row else "unknown"


def _must_answer(redis: RedisServer) -> None:
    """An outage that an earlier cell left behind must not be taken for this one's."""
    try:
        Redis.from_url(redis.url, socket_timeout=5, socket_connect_timeout=5).ping()
    except RedisError as error:
        raise StoreError(f"Redis does not answer before the attack: {error}") from error


def became_quiet(database_url: str) -> bool:
    """Whether no session of the service is at work any more. Raises psycopg2.Error."""
    until_s = time.monotonic() + QUIET_WITHIN_S
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while time.monotonic() < until_s:
                cursor.execute(STILL_WORKING)
                if cursor.fetchone() == (0,):
                    return True
                time.sleep(POLL_S)
    return False


def wait_until_quiet(lab: Lab) -> None:
    """Return when the service is at rest. Raises AttackFailed."""
    with suppress(psycopg2.Error):
        if became_quiet(lab.database_url):
            return
    raise AttackFailed(f"the service was still at work {QUIET_WITHIN_S:g} s after the attack")


def _through(link: Link, redis: RedisServer) -> str:
    password = f":{redis.password}@" if redis.password else ""
    return f"redis://{password}{link.host}:{link.port}/{redis.database}"


def _meta(service: EngineProcess) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = httpx.get(
            f"{service.base_url}/v1/meta", timeout=5, verify=trusted()
        ).json()
    except (httpx.HTTPError, ValueError) as error:
        raise EngineError(f"the engine did not say which build it is: {error!r}") from error
    return meta
