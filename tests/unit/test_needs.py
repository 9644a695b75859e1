"""Conditions over switches: they hold, they read aloud, they name what they look at."""

from scenarios.needs import SERIALISED, all_of, any_of, never, nothing, switch

FRAGILE = {"locking": "none", "lock_order": "request", "retry": "none"}


def test_a_switch_has_one_of_its_values() -> None:
    need = switch("locking", "row", "version", "conditional", "advisory", "serializable")
    assert not need.holds(FRAGILE)
    assert need.holds({**FRAGILE, "locking": "version"})
    assert need.text == "locking is row or version or conditional or advisory or serializable"
    assert need.switches == ("locking",)
    assert SERIALISED.text == need.text


def test_conditions_combine_and_read_as_they_mean() -> None:
    either = any_of(switch("lock_order", "sorted"), switch("retry", "bounded"))
    both = all_of(SERIALISED, either)
    assert both.text == (
        "locking is row or version or conditional or advisory or serializable and "
        "(lock_order is sorted, or retry is bounded)"
    )
    assert both.switches == ("locking", "lock_order", "retry")
    row = {**FRAGILE, "locking": "row"}
    assert not both.holds(row)
    assert both.holds({**row, "retry": "bounded"})
    assert both.holds({**row, "lock_order": "sorted"})
    assert not both.holds({**FRAGILE, "retry": "bounded"})
    assert all_of(SERIALISED, SERIALISED).switches == ("locking",)


def test_always_and_never() -> None:
    assert nothing().holds(FRAGILE)
    assert not never().holds(FRAGILE)
    assert (nothing().text, never().text) == ("always", "never")
