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
    "hardened-fast": Recipe(
        stands_for="hardened for load: a transfer is one round trip to the database",
        differs={"balance_cache": "versioned", "execution": "function"},
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


BESIDE_THE_PROCEDURE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "locking": (("row",), "the procedure locks the wallets' rows"),
    "lock_order": (("sorted",), "the procedure locks the smaller wallet first"),
    "retry": (("none", "blind", "bounded"), "a call that failed has read nothing to go on with"),
    "unit_of_work": (("atomic",), "one call moves all of the money or none"),
    "idempotency": (("claim",), "the procedure keeps the key with the money"),
    "key_fingerprint": (("on",), "the procedure compares payloads"),
    "key_in_flight": (("conflict",), "the procedure never waits for a twin"),
    "key_failures": (("terminal_4xx",), "the procedure stores what it refuses"),
    "replay_cache": (("scoped", "off"), "a transfer asks the database for its key, and not Redis"),
    "money": (("minor_units",), "the procedure counts whole cents"),
    "validation": (("strict",), "the procedure is strict with both wallets and their balances"),
    "constraints": (("on",), "the procedure leaves the last word to them"),
    "ledger": (("double_entry", "hash_chain"), "the procedure writes two legs"),
    "authentication": (("weak", "jwt"), "the procedure asks for the PIN of whoever pays"),
    "authorization": (("owner",), "the procedure compares the wallet's owner"),
    "pin": (("lockout",), "the procedure counts and compares"),
    "balance_cache": (
        ("never_invalidated", "after_commit", "versioned", "off"),
        "the call commits by itself, so that there is no moment before it",
    ),
    "session_scope": (("inline",), "the call takes a connection of its own"),
    "limit_lock": (("owner",), "the procedure adds up under the owner's lock"),
}
"""Of each switch that the procedure has a part in: the values that it can have there, and why."""


def beyond_the_procedure(values: Mapping[str, str]) -> str | None:
    """Why a transfer of one call cannot be had beside another of these settings; None if it can."""
    if values["execution"] != "function":
        return None
    for switch, (possible, because) in BESIDE_THE_PROCEDURE.items():
        if values[switch] not in possible:
            pair = f"execution=function makes no sense beside {switch}={values[switch]}"
            return f"{pair}: {because} ({switch} is {' or '.join(possible)} there)"
    return None
