"""PostgreSQL and Redis for a run: external, in a container, or embedded."""

from engine.stores.choose import open_postgres, open_redis
from engine.stores.inspection import Found, inspect_stores
from engine.stores.model import Choice, PostgresServer, RedisServer, StoreError
from engine.stores.ports import ReservedPort, free_port

__all__ = [
    "Choice",
    "Found",
    "PostgresServer",
    "RedisServer",
    "ReservedPort",
    "StoreError",
    "free_port",
    "inspect_stores",
    "open_postgres",
    "open_redis",
]
