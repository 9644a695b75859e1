"""Balances in Redis for 60 s (switch `balance_cache`). No decision is ever made on a cached one.

The versioned cache keeps, in a generation of keys, the newest version of a wallet that anybody
wrote. Readers and writers go through one script, which refuses an older version and an older
generation. The generation changes whenever Redis comes back (see `redis_client.Bounded`), and a
restarted server is told by its run id, whatever it loaded from its disk: nothing cached before an
outage is served after it.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from redis import Redis

from engine.defences import Defences
from engine.redis_client import RedisAccess
from engine.wallets import WalletState

LIFETIME_S = 60
JITTER_S = 6

PRESENT_GENERATION = """
local generation = redis.call('GET', KEYS[1])
if not generation then
    generation = ARGV[1]
    redis.call('SET', KEYS[1], generation)
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local present = generation .. ':' .. run .. ':'
"""
FIND = (
    PRESENT_GENERATION
    + """
return {present, redis.call('HGET', KEYS[2] .. present, 'state') or ''}
"""
)
STORE_IF_NEWER = (
    PRESENT_GENERATION
    + """
local changed = ARGV[2] ~= present
if changed and ARGV[4] == 'read' then return present end
for i = 2, #KEYS do
    local key, version, state = KEYS[i] .. present, ARGV[2 * i + 1], ARGV[2 * i + 2]
    -- Nobody knows how old this write is: no wallet reaches that version, so nothing is cached.
    if changed then version, state = '9007199254740992', '' end
    local stored = redis.call('HGET', key, 'version')
    if not stored or tonumber(stored) < tonumber(version) then
        redis.call('HSET', key, 'version', version, 'state', state)
        redis.call('EXPIRE', key, ARGV[3])
    end
end
return present
"""
)


class BalanceCache(Protocol):
    def restart(self, client: "Redis") -> None:
        """Redis is here, for the first time or again: believe nothing that it holds."""

    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:
        """The cached wallet, if any, and a token that `fill` wants back."""

    def fill(self, wallet: WalletState, token: str) -> None:
        """Offer what a reader has read from the database."""

    def begin(self) -> str:
        """Called before wallets are changed: a token that `after_commit` wants back."""

    def before_commit(self, wallet_ids: Iterable[int]) -> None: ...

    def after_commit(self, wallets: Iterable[WalletState], token: str) -> None: ...

    def forget(self, wallet_id: int) -> None:
        """Something beside the balance has changed, or perhaps it has."""


class NoCache:
    def restart(self, client: "Redis") -> None:
        pass

    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:  # noqa: ARG002
        return None, ""

    def fill(self, wallet: WalletState, token: str) -> None:
        pass

    def begin(self) -> str:
        return ""

    def before_commit(self, wallet_ids: Iterable[int]) -> None:
        pass

    def after_commit(self, wallets: Iterable[WalletState], token: str) -> None:
        pass

    def forget(self, wallet_id: int) -> None:
        pass


class Plain:
    """A balance under a key with a time to live, deleted when it changes, or never.

    Before the commit a reader caches the old balance again right after the deletion. After it only
    a reader that was late by the whole of a movement does, or nobody deletes because Redis is away.
    """

    def __init__(self, redis: RedisAccess, namespace: str, *, dropped: str) -> None:
        self._redis = redis
        self._namespace = namespace
        self._dropped = dropped

    def restart(self, client: "Redis") -> None:
        pass

    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:
        text = self._redis.call(lambda client: client.get(self._key(wallet_id)))
        return (_read(text) if text else None), ""

    def fill(self, wallet: WalletState, token: str) -> None:  # noqa: ARG002
        key, state = self._key(wallet.id), _written(wallet)
        self._redis.call(lambda client: client.set(key, state, ex=LIFETIME_S))

    def begin(self) -> str:
        return ""

    def before_commit(self, wallet_ids: Iterable[int]) -> None:
        if self._dropped == "before_commit":
            self._drop(wallet_ids)

    def after_commit(self, wallets: Iterable[WalletState], token: str) -> None:  # noqa: ARG002
        if self._dropped == "after_commit":
            self._drop(wallet.id for wallet in wallets)

    def forget(self, wallet_id: int) -> None:
        if self._dropped != "never_invalidated":
            self._drop([wallet_id])

    def _drop(self, wallet_ids: Iterable[int]) -> None:
        if keys := [self._key(wallet_id) for wallet_id in wallet_ids]:
            self._redis.call(lambda client: client.delete(*keys))

    def _key(self, wallet_id: int) -> str:
        return f"{self._namespace}:balance:{wallet_id}"


class Versioned:
    """Written after commit, only forwards; one script serves readers and writers.

    A write belongs to the generation that was there before its database transaction. When that
    has changed meanwhile, newer writes may have gone to the old one: the wallet stays uncached.
    """

    def __init__(self, redis: RedisAccess, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace
        self._generation_key = f"{namespace}:generation"
        self._generation = ""
        """The last one seen: asking for it before each write would cost a round trip."""

    def restart(self, client: "Redis") -> None:
        """A new generation: the old one's keys fall to their time to live."""
        fresh = secrets.token_hex(8)
        client.set(self._generation_key, fresh)
        self._generation = client.eval(FIND, 2, self._generation_key, self._prefix(0), fresh)[0]

    def find(self, wallet_id: int) -> tuple[WalletState | None, str]:
        keys = [self._generation_key, self._prefix(wallet_id)]
        found = self._redis.call(lambda client: client.eval(FIND, 2, *keys, secrets.token_hex(8)))
        if not found:
            return None, ""
        self._generation, text = found
        return (_read(text) if text else None), found[0]

    def fill(self, wallet: WalletState, token: str) -> None:
        self._store([wallet], token, "read")

    def begin(self) -> str:
        return self._generation or self.find(0)[1]

    def before_commit(self, wallet_ids: Iterable[int]) -> None:
        pass

    def after_commit(self, wallets: Iterable[WalletState], token: str) -> None:
        self._store(wallets, token, "write")

    def forget(self, wallet_id: int) -> None:
        # Its version has not changed, so that a request under way could bring the old state back:
        # written for no generation it stays uncached until such requests are long gone.
        self._store_states({wallet_id: (0, "")}, "", "write")

    def _store(self, wallets: Iterable[WalletState], generation: str, mode: str) -> None:
        states = {wallet.id: (wallet.version, _written(wallet)) for wallet in wallets}
        self._store_states(states, generation, mode)

    def _store_states(
        self, states: Mapping[int, tuple[int, str]], generation: str, mode: str
    ) -> None:
        """`states`: by wallet its version and what is to be read back."""
        if not states:
            return
        keys = [self._generation_key, *map(self._prefix, states)]
        lifetime_s = LIFETIME_S - secrets.randbelow(JITTER_S)
        values: list[Any] = [secrets.token_hex(8), generation, lifetime_s, mode]
        for state in states.values():
            values += state
        found = self._redis.call(
            lambda client: client.eval(STORE_IF_NEWER, len(keys), *keys, *values)
        )
        self._generation = found or self._generation

    def _prefix(self, wallet_id: int) -> str:
        return f"{self._namespace}:balance:{wallet_id}:"


def balance_cache(defences: Defences, redis: RedisAccess, namespace: str) -> BalanceCache:
    value = defences.balance_cache
    if value == "off":
        return NoCache()
    if value == "versioned":
        return Versioned(redis, namespace)
    return Plain(redis, namespace, dropped=value)


def _written(wallet: WalletState) -> str:
    # Its fields as they are: `asdict` copies each of them, which takes as long as a round trip.
    return json.dumps(vars(wallet), default=float)  # A Decimal, where there is one.


def _read(text: str) -> WalletState | None:
    try:
        return WalletState(**json.loads(text))
    except (ValueError, TypeError):
        return None  # Written by another version of this engine, or by nobody we know.
