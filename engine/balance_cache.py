"""Balances in Redis for 60 s (switch `balance_cache`). No decision is ever made on a cached balance.

The versioned cache keeps, in a generation of keys, the newest version of a wallet that anybody wrote. Reader and
writer go through one script, which refuses an older version and an older generation; the generation
changes whenever Redis comes back (see `redis_client.Bounded`), so that nothing cached before an
outage is served after it.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Protocol

from redis import Redis

from engine.defences import Defences
from engine.redis_client import RedisAccess
from engine.wallets import WalletState

LIFETIME_S = 60
JITTER_S = 6

STORE_IF_NEWER = """
local generation = redis.call('GET', KEYS[1])
if not generation or generation ~= ARGV[1] then return 0 end
local key = KEYS[2] .. generation
local version = redis.call('HGET', key, 'version')
if version and tonumber(version) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', key, 'version', ARGV[2], 'state', ARGV[3])
redis.call('EXPIRE', key, ARGV[4])
return 1
"""
FIND = """
local generation = redis.call('GET', KEYS[1])
if not generation then
    redis.call('SET', KEYS[1], ARGV[1])
    generation = ARGV[1]
end
return {generation, redis.call('HGET', KEYS[2] .. generation, 'state') or false}
"""


class BalanceCache(Protocol):
    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:
        """The cached wallet, if any, and a token that `fill` wants back."""

    def fill(self, wallet: WalletState, token: str) -> None:
        """Offer what a reader has read from the database."""

    def before_commit(self, wallet_ids: Iterable[int]) -> None: ...

    def after_commit(self, wallets: Iterable[WalletState]) -> None: ...

    def forget(self, wallet_id: int) -> None:
        """Something beside the balance has changed."""


class NoCache:
    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:  # noqa: ARG002
        return None, ""

    def fill(self, wallet: WalletState, token: str) -> None:
        pass

    def before_commit(self, wallet_ids: Iterable[int]) -> None:
        pass

    def after_commit(self, wallets: Iterable[WalletState]) -> None:
        pass

    def forget(self, wallet_id: int) -> None:
        pass


class DroppedBeforeCommit:
    """Deletes the cached balance where the change is made: inside the database transaction."""

    def __init__(self, redis: RedisAccess, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace

    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:
        text = self._redis.call(lambda client: client.get(self._key(wallet_id)))
        return (_read(text) if text else None), ""

    def fill(self, wallet: WalletState, token: str) -> None:  # noqa: ARG002
        key, state = self._key(wallet.id), _written(wallet)
        self._redis.call(lambda client: client.setex(key, LIFETIME_S, state))

    def before_commit(self, wallet_ids: Iterable[int]) -> None:
        keys = [self._key(wallet_id) for wallet_id in wallet_ids]
        self._redis.call(lambda client: client.delete(*keys))

    def after_commit(self, wallets: Iterable[WalletState]) -> None:
        pass

    def forget(self, wallet_id: int) -> None:
        self.before_commit([wallet_id])

    def _key(self, wallet_id: int) -> str:
        return f"{self._namespace}:balance:{wallet_id}"


class Versioned:
    """Written after commit, only forwards; one script serves readers and writers."""

    def __init__(self, redis: RedisAccess, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace

    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:
        keys = [generation_key(self._namespace), self._prefix(wallet_id)]
        found = self._redis.call(lambda client: client.eval(FIND, 2, *keys, secrets.token_hex(8)))
        if not found:
            return None, ""
        generation, text = found
        return (_read(text) if text else None), generation

    def fill(self, wallet: WalletState, token: str) -> None:
        if token:
            self._store(wallet, token)

    def before_commit(self, wallet_ids: Iterable[int]) -> None:
        pass

    def after_commit(self, wallets: Iterable[WalletState]) -> None:
        generation = self._redis.call(lambda client: client.get(generation_key(self._namespace)))
        if generation:
            for wallet in wallets:
                self._store(wallet, generation)

    def forget(self, wallet_id: int) -> None:
        _, generation = self.find(wallet_id)
        if generation:
            key = self._prefix(wallet_id) + generation
            self._redis.call(lambda client: client.delete(key))

    def _store(self, wallet: WalletState, generation: str) -> None:
        keys = [generation_key(self._namespace), self._prefix(wallet.id)]
        lifetime_s = LIFETIME_S - secrets.randbelow(JITTER_S)
        values: list[Any] = [generation, wallet.version, _written(wallet), lifetime_s]
        self._redis.call(lambda client: client.eval(STORE_IF_NEWER, 2, *keys, *values))

    def _prefix(self, wallet_id: int) -> str:
        return f"{self._namespace}:balance:{wallet_id}:"


def generation_key(namespace: str) -> str:
    return f"{namespace}:generation"


def start_generation(client: "Redis", namespace: str) -> None:
    """Forget everything cached so far; its keys fall to their time to live."""
    client.set(generation_key(namespace), secrets.token_hex(8))


def balance_cache(defences: Defences, redis: RedisAccess, namespace: str) -> BalanceCache:
    value = defences.balance_cache
    if value == "off":
        return NoCache()
    return (Versioned if value == "versioned" else DroppedBeforeCommit)(redis, namespace)


def _written(wallet: WalletState) -> str:
    return json.dumps(asdict(wallet))


def _read(text: str) -> WalletState:
    return WalletState(**json.loads(text))
