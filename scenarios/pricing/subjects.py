"""What is priced: pairs of builds that differ in one switch, and what they are loaded with.

Every switch is here or in `NOT_PRICED` with the reason; a test holds that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from engine.defences import Build, DefenceError, named_builds, parse_build, switches, values_of
from scenarios.pricing.workload import Workload

BASE = "hardened"
NOT_PRICED: Mapping[str, str] = {
    "batch": "no single movement goes through it; benchmarks/batch.py pays a batch out",
    "compensation": "only paying a batch's row back goes through it",
    "errors": "only requests that are refused are answered differently",
    "key_failures": "only requests that are refused are kept or not",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`hardened` with a switch on and off (or with another value), and with what it is loaded."""

    switch: str
    on: str
    off: str
    workload: Workload = "payments"
    both: Mapping[str, str] = field(default_factory=dict)
    """What is changed on both sides, so that only the switch differs."""
    why: str = ""
    """Why the workload or `both` are what they are."""

    @property
    def name(self) -> str:
        """Such as "idempotency=claim against off"."""
        beside = "" if self.workload == "payments" else f", {self.workload}"
        return f"{self.switch}={self.on} against {self.off}{beside}"

    @cached_property
    def builds(self) -> tuple[Build, Build]:
        """On, off."""
        return self._build(self.on), self._build(self.off)

    def _build(self, value: str) -> Build:
        base = getattr(named_builds()[BASE].defences, self.switch)
        settings = {**self.both, **({self.switch: value} if value != base else {})}
        return parse_build(",".join([BASE, *(f"{k}={v}" for k, v in settings.items())]))


ALONE = {"pin": "off", "authorization": "trust_body"}
READ_WHY = "what is read is what differs"
_ALL = (
    Subject(switch="locking", on="row", off="none"),
    Subject(switch="lock_order", on="sorted", off="request"),
    Subject(switch="retry", on="bounded", off="none"),
    Subject(switch="unit_of_work", on="atomic", off="per_step"),
    Subject(
        switch="reads", on="single_statement", off="per_wallet", workload="bulk reads", why=READ_WHY
    ),
    Subject(switch="reads", on="snapshot", off="per_wallet", workload="bulk reads", why=READ_WHY),
    Subject(switch="idempotency", on="claim", off="off"),
    Subject(switch="key_fingerprint", on="on", off="off"),
    Subject(switch="key_scope", on="caller_and_route", off="global"),
    Subject(switch="key_in_flight", on="conflict", off="error"),
    Subject(
        switch="replay_cache",
        on="scoped",
        off="off",
        workload="retries",
        why="it answers requests that come again",
    ),
    Subject(switch="replay_cache", on="scoped", off="off"),
    Subject(switch="money", on="minor_units", off="float"),
    Subject(switch="money", on="minor_units", off="numeric"),
    Subject(switch="validation", on="strict", off="lax"),
    Subject(switch="constraints", on="on", off="off"),
    Subject(switch="ledger", on="single_entry", off="none"),
    Subject(switch="ledger", on="double_entry", off="none"),
    Subject(switch="ledger", on="hash_chain", off="double_entry"),
    Subject(
        switch="authentication",
        on="jwt",
        off="none",
        both=ALONE,
        why="a PIN and an owner are asked for only where a token is: both sides go without them",
    ),
    Subject(switch="authorization", on="owner", off="trust_body"),
    Subject(switch="pin", on="lockout", off="off"),
    Subject(switch="rate_limit", on="sliding", off="off"),
    Subject(
        switch="balance_cache",
        on="versioned",
        off="off",
        workload="looks",
        why="four reads of a balance for each transfer",
    ),
    Subject(switch="balance_cache", on="versioned", off="off"),
    Subject(switch="redis_policy", on="bounded", off="required"),
    Subject(switch="timeouts", on="on", off="off"),
    Subject(switch="durability", on="sync", off="async"),
    Subject(switch="session_scope", on="inline", off="dependency"),
    Subject(
        switch="funding",
        on="system",
        off="open",
        workload="deposits",
        both={"treasury": "sharded"},
        why="of all movements deposits differ; sharded, so that the hot row is not priced with it",
    ),
    Subject(
        switch="limit_lock",
        on="owner",
        off="payer",
        workload="limited payments",
        why="only owners who have a limit are locked",
    ),
    Subject(
        switch="treasury",
        on="sharded",
        off="single",
        workload="deposits",
        why="deposits are what waits for the system wallet",
    ),
    Subject(switch="execution", on="core", off="orm"),
    Subject(switch="execution", on="function", off="core"),
)


def all_subjects() -> tuple[Subject, ...]:
    """Those whose values this engine has."""
    return tuple(s for s in _ALL if {s.on, s.off} <= set(values_of(s.switch)))


def subjects(only: Iterable[str] = ()) -> tuple[Subject, ...]:
    """All of them, or those of the switches named. Raises DefenceError."""
    chosen = tuple(only)
    for name in chosen:
        _check(name)
    return tuple(s for s in all_subjects() if not chosen or s.switch in chosen)


def _check(name: str) -> None:
    if name not in switches():
        parse_build(f"{BASE},{name}=?")  # It says what there is instead.
    if name in NOT_PRICED:
        raise DefenceError(f"{name} has no price: {NOT_PRICED[name]}")
