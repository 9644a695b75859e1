"""Conditions over switches: they hold, they read aloud, they name what they look at."""

from scenarios.needs import (
    GRANTED_ONCE,
    ONCE,
    SERIALISED,
    SETTLED_ONCE,
    all_of,
    any_of,
    never,
    nothing,
    switch,
)

FRAGILE = {"locking": "none", "lock_order": "request", "retry": "none"}


def test_a_switch_has_one_of_its_values() -> None:
    need = switch("locking", "row", "version")
    assert not need.holds(FRAGILE)
    assert need.holds({**FRAGILE, "locking": "version"})
    assert need.text == "locking is row or version"
    assert need.switches == ("locking",)


def test_conditions_combine_and_read_as_they_mean() -> None:
    either = any_of(switch("lock_order", "sorted"), switch("retry", "bounded"))
    both = all_of(switch("locking", "row"), either)
    assert both.text == "locking is row and (lock_order is sorted, or retry is bounded)"
    assert any_of(both, nothing()).text == f"({both.text}), or always"
    assert both.switches == ("locking", "lock_order", "retry")
    row = {**FRAGILE, "locking": "row"}
    assert not both.holds(row)
    assert both.holds({**row, "retry": "bounded"})
    assert both.holds({**row, "lock_order": "sorted"})
    assert not both.holds({**FRAGILE, "retry": "bounded"})
    assert all_of(both, both).switches == both.switches


def test_serializable_protects_whoever_heeds_its_refusals() -> None:
    build = {**FRAGILE, "locking": "serializable", "unit_of_work": "atomic"}
    assert SERIALISED.holds(build)
    assert not SERIALISED.holds({**build, "retry": "stale_values"})
    assert not SERIALISED.holds({**build, "unit_of_work": "swallow_then_commit"})
    assert not SERIALISED.holds({**build, "locking": "none"})
    assert SERIALISED.holds({**build, "locking": "row", "retry": "stale_values"})


def test_once_takes_locks_or_an_index_and_one_commit() -> None:
    build = {**FRAGILE, "unit_of_work": "atomic", "constraints": "off", "funding": "open"}
    build["ledger"] = "single_entry"
    locked, indexed = {**build, "locking": "row"}, {**build, "constraints": "on"}
    assert not ONCE.holds(build)
    assert ONCE.holds(locked)
    assert ONCE.holds(indexed)
    for work in ("per_step", "swallow_then_commit"):
        assert ONCE.holds({**locked, "unit_of_work": work}) == (work != "per_step")
        assert not ONCE.holds({**indexed, "unit_of_work": work})
    assert not GRANTED_ONCE.holds(locked)
    assert GRANTED_ONCE.holds(indexed)
    assert not GRANTED_ONCE.holds({**indexed, "ledger": "none"})
    versions = {**build, "locking": "version"}
    assert ONCE.holds(versions)
    assert not SETTLED_ONCE.holds(versions)
    assert SETTLED_ONCE.holds({**versions, "funding": "system"})


def test_always_and_never() -> None:
    assert nothing().holds(FRAGILE)
    assert not never().holds(FRAGILE)
    assert (nothing().text, never().text) == ("always", "never")
