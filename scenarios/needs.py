"""Under which switches a claim must hold: conditions that can be evaluated and read aloud."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Switches = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Need:
    """A condition over the values of switches."""

    holds: Callable[[Switches], bool]
    text: str
    switches: tuple[str, ...]
    """The switches it looks at, in the order of its text."""


def switch(name: str, *values: str) -> Need:
    """The switch has one of these values."""
    return Need(
        holds=lambda switches: switches[name] in values,
        text=f"{name} is {' or '.join(values)}",
        switches=(name,),
    )


def unless(name: str, *values: str) -> Need:
    """The switch has any value but these."""
    return Need(
        holds=lambda switches: switches[name] not in values,
        text=f"{name} is not {' or '.join(values)}",
        switches=(name,),
    )


def all_of(*needs: Need) -> Need:
    return Need(
        holds=lambda switches: all(need.holds(switches) for need in needs),
        text=" and ".join(_grouped(need) for need in needs),
        switches=_together(needs),
    )


def any_of(*needs: Need) -> Need:
    return Need(
        holds=lambda switches: any(need.holds(switches) for need in needs),
        text=", or ".join(_apart(need) for need in needs),
        switches=_together(needs),
    )


def nothing() -> Need:
    """Holds in every build: the database gives it for free."""
    return Need(holds=lambda _: True, text="always", switches=())


def never() -> Need:
    """Holds in no build: the canary's."""
    return Need(holds=lambda _: False, text="never", switches=())


def _apart(need: Need) -> str:
    return f"({need.text})" if " and " in need.text else need.text


def _grouped(need: Need) -> str:
    return f"({need.text})" if ", or " in need.text else need.text


def _together(needs: tuple[Need, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for need in needs for name in need.switches))


SERIALISED = any_of(
    switch("locking", "advisory_session", "row", "version", "conditional", "advisory"),
    all_of(
        switch("locking", "serializable"),
        switch("retry", "none", "blind", "bounded"),
        switch("unit_of_work", "per_step", "per_movement", "atomic"),
    ),
)
"""Two movements of one wallet do not write over each other.

At SERIALIZABLE PostgreSQL refuses what no serial order explains, and the refusal must be heeded.
"""

ASKS_REDIS = any_of(
    unless("rate_limit", "off"),
    unless("replay_cache", "off"),
    unless("balance_cache", "off"),
    switch("idempotency", "redis_only"),
)
"""A payment asks Redis for something: elsewhere there is nothing to take away."""
WHOLE = switch("unit_of_work", "per_movement", "atomic")
"""A movement's record and its money are one, and an error of either undoes both."""
ONE_COMMIT = switch("unit_of_work", "per_movement", "swallow_then_commit", "atomic")
HEEDED_SERIALIZABLE = all_of(
    switch("locking", "serializable"), switch("retry", "none", "blind", "bounded"), WHOLE
)
RETRIED = any_of(unless("locking", "serializable"), switch("retry", "blind", "bounded"))
"""What SERIALIZABLE refuses is run again: otherwise its error reaches the client."""
RECORDED = switch("ledger", "single_entry", "double_entry", "hash_chain")
"""Movements are recorded: what was done before can be looked up."""
GRANTED_ONCE = any_of(all_of(switch("constraints", "on"), RECORDED, WHOLE), HEEDED_SERIALIZABLE)
"""A unique index has the last word, or PostgreSQL refuses what no serial order explains."""
ONCE = any_of(
    GRANTED_ONCE,
    all_of(
        switch("locking", "stale", "advisory_session", "row", "version", "advisory"), ONE_COMMIT
    ),
)
"""Who looks whether a thing was done keeps others from doing it, or a unique index does."""
SETTLED_ONCE = any_of(
    GRANTED_ONCE,
    all_of(switch("locking", "advisory_session", "row", "advisory"), ONE_COMMIT),
    all_of(switch("locking", "version"), switch("funding", "system"), ONE_COMMIT),
)
"""As `ONCE`, of a hold. Versions protect it only in an escrow wallet that both ends touch."""
