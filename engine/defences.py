"""Every switch of the engine and every named build.

A switch is a field of `Defences`. Its values are listed from fragile to hardened; the annotation
says how many of them are fragile, which are only variants (they change speed, not safety), what the
fragile code does and what the hardened code does about it. Each switch is read at exactly one
place in the engine; a test holds that.
"""

import dataclasses
import difflib
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

from engine.builds import RECIPES, Recipe, Traits, beyond_the_procedure, hollow


class DefenceError(Exception):
    """An unknown build, switch or value, or values that make no sense together; one clear line."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What is known of one switch beside its values."""

    fragile_count: int
    """How many of the values, from the left, are fragile."""
    fragile_does: str
    hardened_does: str
    variants: tuple[str, ...] = ()
    """Values that only change speed or shape: priced, never ablated."""
    changes_schema: bool = False


@dataclass(frozen=True, kw_only=True)
class Defences:
    """The effective value of every switch."""

    locking: Annotated[
        Literal[
            "none",
            "stale",
            "advisory_session",
            "version_unchecked",
            "row",
            "version",
            "conditional",
            "advisory",
            "serializable",
        ],
        Switch(
            fragile_count=4,
            fragile_does="reads a balance, compares, and writes an absolute balance back, or locks "
            "a row whose object was loaded before and keeps its old attributes, or leaves a "
            "session's lock behind when a statement fails, or never looks whether its versioned "
            "UPDATE changed a row",
            hardened_does="locks the wallets' rows, or a number that stands for each, before it "
            "reads them, or writes only over the version that was read, or adds the change only "
            "where enough is left, or lets PostgreSQL refuse what no serial order explains",
        ),
    ]
    lock_order: Annotated[
        Literal["request", "sorted"],
        Switch(
            fragile_count=1,
            fragile_does="touches payer, then payee, so that opposite transfers wait in a circle",
            hardened_does="touches wallets in the order of their ids",
        ),
    ]
    retry: Annotated[
        Literal["none", "stale_values", "blind", "bounded"],
        Switch(
            fragile_count=3,
            fragile_does="passes a deadlock or a serialisation failure on as 500, or writes what "
            "it read before that failure once more, or runs everything again also when the answer "
            "to COMMIT was lost",
            hardened_does="runs the whole unit of work again, at most 5 times with full jitter, "
            "never after COMMIT was sent",
        ),
    ]
    unit_of_work: Annotated[
        Literal["per_step", "per_movement", "swallow_then_commit", "atomic"],
        Switch(
            fragile_count=3,
            fragile_does="commits after each step, or after each movement of a chain, or logs the "
            "error of a write and commits all the same",
            hardened_does="decides everything, then writes everything in one database transaction",
        ),
    ]
    reads: Annotated[
        Literal["per_wallet", "single_statement", "snapshot"],
        Switch(
            fragile_count=1,
            fragile_does="reads several wallets with one SELECT each in READ COMMITTED",
            hardened_does="reads them in one statement, or in one REPEATABLE READ snapshot",
        ),
    ]
    idempotency: Annotated[
        Literal["off", "memory", "redis_only", "check_then_insert", "claim"],
        Switch(
            fragile_count=4,
            fragile_does="ignores the key, or keeps it only in the process or in Redis, or looks "
            "it up before the locks and inserts it at the end",
            hardened_does="stores key, money and answer in one database transaction",
        ),
    ]
    key_fingerprint: Annotated[
        Literal["off", "on"],
        Switch(
            fragile_count=1,
            fragile_does="answers another payload with the old answer",
            hardened_does="refuses a key that comes back with another payload (422)",
        ),
    ]
    key_scope: Annotated[
        Literal["global", "caller_and_route"],
        Switch(
            fragile_count=1,
            fragile_does="shares keys between callers, so that other people's answers leak",
            hardened_does="a key belongs to its caller, method and path",
        ),
    ]
    key_in_flight: Annotated[
        Literal["error", "conflict", "wait"],
        Switch(
            fragile_count=1,
            fragile_does="lets a twin that arrives meanwhile run into the unique key, for a 500",
            hardened_does="a twin gets 409 with Retry-After at once, or waits and gets the replay",
        ),
    ]
    key_failures: Annotated[
        Literal["not_stored", "terminal_4xx"],
        Switch(
            fragile_count=1,
            fragile_does="forgets refusals, so that a retry may be decided differently",
            hardened_does="stores definite refusals under the key and repeats them",
        ),
    ]
    replay_cache: Annotated[
        Literal["unscoped", "scoped", "off"],
        Switch(
            fragile_count=1,
            fragile_does="answers replays from Redis by the bare key",
            hardened_does="answers replays from Redis by scope, key and fingerprint",
            variants=("off",),
        ),
    ]
    money: Annotated[
        Literal["float", "numeric", "minor_units"],
        Switch(
            fragile_count=2,
            fragile_does="keeps money in binary fractions, or in decimal ones that the database "
            "rounds to two digits, each balance by itself",
            hardened_does="keeps money in whole minor units (cents)",
            changes_schema=True,
        ),
    ]
    validation: Annotated[
        Literal["lax", "strict"],
        Switch(
            fragile_count=1,
            fragile_does="lets negative amounts, NaN, true, 1e400 and self-transfers pass, and "
            "compares the asset with the first wallet only; makes a new wallet's row of whatever "
            "the body names",
            hardened_does="takes whole positive amounts up to 2^53 - 1 between two wallets of one "
            "asset",
        ),
    ]
    constraints: Annotated[
        Literal["off", "on"],
        Switch(
            fragile_count=1,
            fragile_does="has no CHECK, UNIQUE or FOREIGN KEY",
            hardened_does="the database itself refuses negative balances and orphans",
            changes_schema=True,
        ),
    ]
    ledger: Annotated[
        Literal["none", "single_entry", "double_entry", "hash_chain"],
        Switch(
            fragile_count=2,
            fragile_does="changes balances and records no movement, or writes one row a transfer, "
            "from which no balance can be proved",
            hardened_does="writes a debit and a credit leg with the balance after each, or also "
            "chains the legs of a wallet by their hashes",
            changes_schema=True,
        ),
    ]
    authentication: Annotated[
        Literal["none", "weak", "jwt"],
        Switch(
            fragile_count=2,
            fragile_does="asks for nothing, or reads a token without checking its signature",
            hardened_does="checks algorithm, signature, expiry, issuer and audience",
        ),
    ]
    authorization: Annotated[
        Literal["trust_body", "owner"],
        Switch(
            fragile_count=1,
            fragile_does="takes the payer from the body",
            hardened_does="the payer's wallet must belong to the token's user; minting and "
            "freezing need the operator's role",
        ),
    ]
    pin: Annotated[
        Literal["off", "unlimited", "counted_after", "lockout"],
        Switch(
            fragile_count=3,
            fragile_does="asks for no PIN, or lets anybody try as often as they like, or counts "
            "the wrong tries after it has compared them, so that those that come together are all "
            "compared",
            hardened_does="asks for the PIN on every movement, counts and compares in one "
            "statement, and locks after five wrong tries",
        ),
    ]
    rate_limit: Annotated[
        Literal["off", "fixed_racy", "sliding"],
        Switch(
            fragile_count=2,
            fragile_does="lets everybody ask as often as they like, or counts in a fixed window "
            "with GET, INCR and EXPIRE, between which others come",
            hardened_does="counts in a sliding window: one script for all processes, and in each "
            "process by itself when Redis is away",
        ),
    ]
    balance_cache: Annotated[
        Literal["never_invalidated", "before_commit", "after_commit", "versioned", "off"],
        Switch(
            fragile_count=2,
            fragile_does="leaves the cached balance to its time to live, or drops it inside the "
            "database transaction, where a reader caches the old one again",
            hardened_does="drops it after commit, or writes it after commit, only forwards in "
            "versions, and starts a new generation of keys after an outage",
            variants=("off",),
        ),
    ]
    redis_policy: Annotated[
        Literal["required", "unbounded", "bounded"],
        Switch(
            fragile_count=2,
            fragile_does="uses the client's defaults: one call blocks for seconds, and an error "
            "becomes the request's",
            hardened_does="50 ms, no retries, a circuit breaker; without Redis the database "
            "answers",
        ),
    ]
    timeouts: Annotated[
        Literal["off", "on"],
        Switch(
            fragile_count=1,
            fragile_does="nothing bounds a wait",
            hardened_does="connect 3 s, lock 5 s, statement 10 s, idle in transaction 15 s, "
            "pool 2 s, whole request 20 s",
        ),
    ]
    durability: Annotated[
        Literal["async", "sync"],
        Switch(
            fragile_count=1,
            fragile_does="acknowledges commits that PostgreSQL has not yet written to disk",
            hardened_does="PostgreSQL writes a commit to disk before it is acknowledged",
        ),
    ]
    session_scope: Annotated[
        Literal["dependency", "inline"],
        Switch(
            fragile_count=1,
            fragile_does="holds the connection in a yield dependency until after the answer",
            hardened_does="takes a connection when it needs one and returns it before answering",
        ),
    ]
    batch: Annotated[
        Literal["naive", "resumable"],
        Switch(
            fragile_count=1,
            fragile_does="pays a batch in a loop, a commit a row, ignores the batch's key, and "
            "after a crash begins the file again",
            hardened_does="claims a batch by a lease, and marks each row in the database "
            "transaction that pays it",
        ),
    ]
    compensation: Annotated[
        Literal["naive", "once"],
        Switch(
            fragile_count=1,
            fragile_does="pays a batch's row back by a new transfer each time it is asked to",
            hardened_does="marks the row as paid back in the database transaction that does it",
        ),
    ]
    funding: Annotated[
        Literal["open", "system"],
        Switch(
            fragile_count=1,
            fragile_does="deposits create money without a counterpart",
            hardened_does="deposits are paid by a system wallet, so that everything sums to zero",
        ),
    ]
    limit_lock: Annotated[
        Literal["payer", "owner"],
        Switch(
            fragile_count=1,
            fragile_does="adds up what a limit over several wallets is about while nothing but the "
            "payer's wallet is locked",
            hardened_does="adds it up under a lock on the owner's row, one payment after the other",
        ),
    ]
    treasury: Annotated[
        Literal["single", "sharded"],
        Switch(
            fragile_count=0,
            fragile_does="",
            hardened_does="one system wallet an asset, or sixteen, so that not all deposits wait "
            "for one row",
            variants=("single", "sharded"),
        ),
    ]
    execution: Annotated[
        Literal["orm", "core", "function"],
        Switch(
            fragile_count=0,
            fragile_does="",
            hardened_does="ORM objects, a flush a step; or Core SQL, six round trips a transfer; "
            "or a procedure in the database, one round trip a transfer",
            variants=("orm", "core", "function"),
        ),
    ]
    errors: Annotated[
        Literal["generic", "problem"],
        Switch(
            fragile_count=1,
            fragile_does="answers 400 or 500 with the text of the exception",
            hardened_does="answers problem details that say whether a retry is safe",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Build:
    """A named setting of all switches."""

    name: str
    defences: Defences
    legacy_routes: bool
    """Whether the unversioned routes of the engine that `fragile` stands for answer too."""
    traits: Traits


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Defences, include_extras=True)


def switches() -> dict[str, Switch]:
    """Every switch by name, in the order of `Defences`."""
    return {name: hint.__metadata__[0] for name, hint in _hints().items()}


def values_of(switch: str) -> tuple[str, ...]:
    """The values of a switch, from fragile to hardened."""
    return get_args(get_args(_hints()[switch])[0])


def named_builds() -> dict[str, Build]:
    """Every build that has a name, from fragile to hardened."""
    return {name: _made(name, recipe) for name, recipe in RECIPES.items()}


def _made(name: str, recipe: Recipe) -> Build:
    first: dict[str, Any] = {
        switch: values_of(switch)[0 if recipe.begins_fragile else facts.fragile_count]
        for switch, facts in switches().items()
    }
    defences = Defences(**{**first, **recipe.differs})
    return Build(
        name=name,
        defences=defences,
        legacy_routes=recipe.legacy_routes,
        traits=recipe.traits,
    )


def parse_build(text: str) -> Build:
    """Read "hardened" or "hardened,locking=none,retry=none".

    Raises DefenceError with one line that names what is unknown and what there is instead, or why
    the settings make no sense together.
    """
    base_name, *settings = [part.strip() for part in text.split(",")]
    builds = named_builds()
    if base_name not in builds:
        raise DefenceError(f"unknown build {base_name!r}{_instead(base_name, builds)}")
    base = builds[base_name]
    changed: dict[str, Any] = {}
    for setting in settings:
        switch, _, value = setting.partition("=")
        _check_setting(switch, value)
        if switch in changed:
            raise DefenceError(f"switch {switch} is set twice: leave one of them out")
        changed[switch] = value
    if reason := hollow(changed):
        raise DefenceError(reason)
    defences = dataclasses.replace(base.defences, **changed)
    if reason := beyond_the_procedure(as_dict(defences)):
        raise DefenceError(reason)
    return dataclasses.replace(base, name=text, defences=defences)


def _check_setting(switch: str, value: str) -> None:
    if switch not in switches():
        raise DefenceError(f"unknown switch {switch!r}{_instead(switch, switches())}")
    if value not in values_of(switch):
        raise DefenceError(
            f"switch {switch} has no value {value!r}{_instead(value, values_of(switch))}"
        )


def _instead(word: str, known: Any) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (there are: {', '.join(names)})"


def as_dict(defences: Defences) -> dict[str, str]:
    return dataclasses.asdict(defences)


def in_words(defences: Defences) -> list[dict[str, Any]]:
    """Every switch with its value, what that value stands for, and what it does."""
    return [
        _in_words(name, facts, str(getattr(defences, name))) for name, facts in switches().items()
    ]


def _in_words(name: str, facts: Switch, value: str) -> dict[str, Any]:
    values = values_of(name)
    fragile = values.index(value) < facts.fragile_count
    if value in facts.variants:
        return {"name": name, "value": value, "stands_for": "variant", "does": ""}
    return {
        "name": name,
        "value": value,
        "stands_for": "fragile" if fragile else "hardened",
        "does": facts.fragile_does if fragile else facts.hardened_does,
    }
