"""`assay serve`: one build for a person, on stores of its own, until Ctrl-C."""

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.defences import Build
from engine.migrations import Shape, up
from engine.ownership import Workspace, sweep
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine
from engine.stores import PostgresServer, StoreError, open_postgres, open_redis

DATABASE = "assay_serve"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is served, for the line that is printed."""

    engine: EngineProcess
    database_url: str
    postgres: str
    redis: str


def serve(  # noqa: PLR0913 - what the command offers
    build: Build,
    *,
    stores: str,
    host: str,
    port: int,
    data: Path | None,
    workers: int = 1,
    ready: Callable[[Serving], None],
) -> None:
    """Serve until the engine ends or this process is told to. Raises StoreError, EngineError."""
    sweep()
    with Workspace() as workspace, ExitStack() as opened:
        postgres = open_postgres(stores, workspace, data=data)
        opened.callback(postgres.close)
        redis = open_redis(stores, workspace, data=data)
        opened.callback(redis.close)
        shape = Shape.of(build.defences)
        url = _database(postgres, f"{DATABASE}_{shape.label.replace('-', '_')}")
        up(url, shape)
        config = EngineConfig(
            build=build,
            database_url=url,
            redis_url=redis.url,
            redis_namespace=DATABASE,
            port=port,
            host=host,
            workers=workers,
            credential_hashing="full",
            pin_pepper=_pin_pepper(data) if data else None,
        )
        engine = start_engine(launched_in(workspace), config)
        ready(
            Serving(
                engine=engine,
                database_url=url,
                postgres=f"PostgreSQL {postgres.version}, {postgres.choice.kind}",
                redis=f"Redis {redis.version}, {redis.choice.kind}: {redis.url}",
            )
        )
        engine.wait()


def _database(postgres: PostgresServer, name: str) -> str:
    """A new one, or with --data the one of the last time."""
    try:
        return postgres.create_database(name)
    except StoreError as error:
        if "exists already" not in str(error):
            raise
        return postgres.url(name)


def _pin_pepper(data: Path) -> str:
    """The one of the last time: under another one no PIN would be right any more."""
    file = data / "pin-pepper"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(48))
    return file.read_text()
