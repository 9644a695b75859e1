"""The named builds: what each stands for, and the switches in which it differs from its beginning.

`fragile` begins with the leftmost value of every switch, each other build with the first value that
is not fragile. A new switch needs a line in a build only where that is not what the build has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_IDENTITY = {
    "authentication": "none",
    "authorization": "trust_body",
    "pin": "off",
}


@dataclass(frozen=True, kw_only=True)
class Traits:
    """How the service that a build stands for does what others do as well: nothing to ablate."""

    locks_for_update: bool = False
    """A literal FOR UPDATE of wallets, for which foreign-key checks wait; else FOR NO KEY UPDATE.

    This and the next two where `locking=row`.
    """
    locks_by_owner: bool = False
    """Wallets are locked in the order of their owners; else of their own ids."""
    locks_pairs: bool = False
    """Before a wallet's row a number is locked that stands for its owner and asset."""
    locks_keys: bool = False
    """A twin waits for a number that stands for the key; else for the key's row.

    Where `key_in_flight=wait`.
    """
    pool_size: int = 10
    """Connections of a process that is not told another number."""

    @property
    def words(self) -> tuple[str, ...]:
        """What differs from other builds, as one reads it."""
        told = {
            "wallets are locked FOR UPDATE": self.locks_for_update,
            "in the order of their owners": self.locks_by_owner,
            "after a number for each owner and asset": self.locks_pairs,
            "a twin waits for a number that stands for the key": self.locks_keys,
            f"{self.pool_size} connections": self.pool_size != Traits.pool_size,
        }
        return tuple(words for words, true in told.items() if true)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a named build is made."""

    stands_for: str
    begins_fragile: bool = False
    legacy_routes: bool = False
    """Whether the unversioned routes of the engine that it stands for answer too."""
    traits: Traits = field(default_factory=Traits)
    differs: Mapping[str, str] = field(default_factory=dict)


RECIPES: Mapping[str, Recipe] = {
    "fragile": Recipe(
        stands_for="the vulnerable wallet engine",
        begins_fragile=True,
        legacy_routes=True,
        differs={
            # A transfer of the engine that it stands for is whole; a chain of movements is not.
            "unit_of_work": "per_movement",
            # Its PostgreSQL is set up as it is shipped.
            "durability": "sync",
            "balance_cache": "before_commit",
            # It has a table of transactions.
            "ledger": "single_entry",
        },
    ),
    "g-wallet": Recipe(
        stands_for="G-Wallet: identity, PIN and batch payouts on floats, without Redis",
        traits=Traits(locks_for_update=True),
        differs={
            "retry": "none",
            "key_scope": "global",
            "pin": "unlimited",
            "replay_cache": "off",
            "money": "float",
            "ledger": "single_entry",
            "rate_limit": "off",
            "balance_cache": "off",
            "execution": "orm",
        },
    ),
    "correctness-first": Recipe(
        stands_for="the correctness-first wallet service: versions, 409 for whoever loses",
        differs={
            "locking": "version",
            "retry": "none",
            "ledger": "single_entry",
            **NO_IDENTITY,
            "rate_limit": "off",
            "balance_cache": "off",
            "execution": "core",
        },
    ),
    "dino": Recipe(
        stands_for="the Dino wallet service: several assets, double entry, cached balances",
        traits=Traits(
            locks_for_update=True,
            locks_by_owner=True,
            locks_pairs=True,
            locks_keys=True,
            pool_size=50,
        ),
        differs={
            "retry": "none",
            "key_in_flight": "wait",
            "replay_cache": "off",
            "money": "numeric",
            **NO_IDENTITY,
            "execution": "core",
        },
    ),
    "hardened": Recipe(
        stands_for="the best of all of them",
        differs={"balance_cache": "versioned", "execution": "core"},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Hollow:
    """A defence that is asked for and cannot work beside another setting."""

    switch: str
    values: tuple[str, ...]
    beside: tuple[str, str]
    because: str


WITHOUT_KEYS = "idempotency=off ignores every key"
HOLLOW = (
    Hollow(
        switch="pin",
        values=("lockout",),
        beside=("authentication", "none"),
        because="authentication=none asks nobody for a name, so that there is nobody whose PIN "
        "it could be",
    ),
    Hollow(
        switch="authorization",
        values=("owner",),
        beside=("authentication", "none"),
        because="authentication=none asks nobody for a name, so that there is no owner to compare",
    ),
    Hollow(
        switch="key_fingerprint",
        values=("on",),
        beside=("idempotency", "off"),
        because=WITHOUT_KEYS,
    ),
    Hollow(
        switch="key_scope",
        values=("caller_and_route",),
        beside=("idempotency", "off"),
        because=WITHOUT_KEYS,
    ),
    Hollow(
        switch="key_in_flight",
        values=("conflict", "wait"),
        beside=("idempotency", "off"),
        because=WITHOUT_KEYS,
    ),
    Hollow(
        switch="key_in_flight",
        values=("conflict", "wait"),
        beside=("idempotency", "redis_only"),
        because="idempotency=redis_only claims nothing, so that a twin is not seen to be in flight",
    ),
    Hollow(
        switch="key_failures",
        values=("terminal_4xx",),
        beside=("idempotency", "off"),
        because=WITHOUT_KEYS,
    ),
)


def hollow(asked: Mapping[str, str]) -> str | None:
    """Why these settings, all of them asked for, make no sense together; None when they do.

    Only what is asked for: a build that merely has both is honest about its weakness.
    """
    for rule in HOLLOW:
        other, value = rule.beside
        if asked.get(rule.switch) in rule.values and asked.get(other) == value:
            mine = f"{rule.switch}={asked[rule.switch]}"
            return f"{mine} makes no sense beside {other}={value}: {rule.because}"
    return None
