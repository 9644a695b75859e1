"""What happens once, what is held, what is frozen: right histories pass, wrong ones are told."""

from dataclasses import replace
from decimal import Decimal

from attacks.history import Operation, Outcome
from scenarios.invariants import (
    Observed,
    holds_are_counted,
    no_asset_becomes_another,
    nothing_moves_after_the_end,
    settled_once,
)
from scenarios.truth import Held
from tests.unit.histories.small import move, observed, operation


def settling(
    number: int, name: str = "capture", outcome: Outcome = "ok", *, key: str = "", what: str = "7"
) -> Operation:
    values = {"settles": f"hold {what}"} if outcome != "unknown" else {}
    return operation(
        number, move(None, "b", 60), name=name, outcome=outcome, key=key or str(number),
        values=values,
    )  # fmt: skip


def held(status: str, hold: str = "7", *, payer: str = "a", asset: str = "USD") -> Held:
    return Held(
        id=hold, payer=payer, payee="b", asset=asset, amount_minor=Decimal(60), status=status
    )


def holding(
    operations: tuple[Operation, ...], *holds: Held, escrow: dict[str, int] | None = None
) -> Observed:
    seen = observed(operations, {"a": 0, "b": 0})
    waiting = None if escrow is None else {a: Decimal(amount) for a, amount in escrow.items()}
    return replace(seen, truth=replace(seen.truth, holds=holds, escrow=waiting))


def test_one_deed_may_be_repeated_with_its_key_and_refused_with_another() -> None:
    right = (
        settling(1, key="k"),
        settling(2, key="k"),
        settling(3, outcome="failed"),
        settling(4, outcome="unknown"),
        settling(5, what="8"),
        operation(6, move("a", "b", 5)),
    )
    assert settled_once(observed(right, {"b": 60})) == ()


def test_two_deeds_are_told_with_what_went() -> None:
    (finding,) = settled_once(
        observed((settling(1), settling(2, "release"), settling(3, what="8")), {"b": 120})
    )
    assert finding.operations == (1, 2)
    assert finding.summary.startswith("Hold 7 may be settled once and was acknowledged 2 times")
    assert finding.summary.endswith("1.20 went where 0.60 was due.")


def test_a_hold_has_the_end_that_was_acknowledged() -> None:
    ends = (settling(1), settling(2, "release", what="8"), settling(3, "release", "failed"))
    right = holding(
        ends,
        held("captured"),
        held("released", "8"),
        held("active", "9"),
        held("captured", "of others", payer="x"),
    )
    strangers = replace(
        right, truth=replace(right.truth, balances={"a": right.truth.balances["a"]})
    )
    assert holds_are_counted(strangers) == ()
    (finding,) = holds_are_counted(holding(ends, held("released")))
    assert "is released in the database; by the answers it is captured" in finding.summary
    (finding,) = holds_are_counted(holding(ends, held("captured", "9")))
    assert (finding.expected, finding.observed) == ("active", "captured")


def test_a_lost_answer_may_have_ended_any_hold_but_not_undone_an_end() -> None:
    lost = settling(1, outcome="unknown")
    for status in ("active", "captured"):
        assert holds_are_counted(holding((lost,), held(status))) == ()
    assert holds_are_counted(holding((lost, settling(2)), held("active")))


def test_escrow_has_what_active_holds_add_up_to() -> None:
    holds = (held("active"), held("active", "8", payer="x"), held("active", "9", asset="GOLD"))
    assert holds_are_counted(holding((), *holds, escrow={"USD": 120, "GOLD": 60, "TIN": 0})) == ()
    assert holds_are_counted(holding((), *holds, escrow=None)) == ()
    (finding,) = holds_are_counted(holding((), *holds, escrow={"USD": 60, "GOLD": 60}))
    assert finding.summary == "2 active holds of USD add up to 1.20, and 0.60 waits in escrow."


def test_an_asset_stays_what_it_is() -> None:
    swap = operation(2, move("gold", None, 60), move(None, "a", 60), name="chain")
    seen = observed(
        (
            operation(1, move(None, "gold", 100), move(None, "a", 100), name="deposit"),
            swap,
            replace(swap, id=3, outcome="failed", key="other"),
            operation(4, move("a", "b", 5)),
            operation(5, move("gold", "a", 7), outcome="unknown"),
        ),
        {"a": 160, "gold": 40, "b": 0},
    )
    balances = dict(seen.truth.balances)
    balances["gold"] = replace(balances["gold"], asset="GOLD")
    mixed = replace(seen, truth=replace(seen.truth, balances=balances))
    (finding,) = no_asset_becomes_another(mixed)
    assert finding.operations == (2,)
    assert finding.summary.endswith("0.60 GOLD went, and 0.60 USD came.")
    assert no_asset_becomes_another(seen) == ()


def status(number: int, new: str, outcome: Outcome = "ok", *, wallet: str = "a") -> Operation:
    return operation(number, name="set-status", outcome=outcome, values={"status": {wallet: new}})


def test_after_a_freeze_only_refusals_and_credits() -> None:
    right = (
        operation(1, move("a", "b", 5)),
        status(2, "frozen"),
        status(2, "active", wallet="b"),
        operation(3, move("a", "b", 5), outcome="failed"),
        operation(4, move("b", "a", 5)),
    )
    assert nothing_moves_after_the_end(observed(right, {"a": 0, "b": 5})) == ()
    refused = (status(1, "frozen", "failed"), operation(2, move("a", "b", 5)))
    assert nothing_moves_after_the_end(observed(refused, {"a": 0, "b": 5})) == ()
    late = operation(2, move("a", "b", 5), at=(0.5, 9.0))
    (finding,) = nothing_moves_after_the_end(
        observed((status(1, "frozen"), late), {"a": 0, "b": 5})
    )
    assert finding.operations == (1, 2)
    assert "and after that A was told that 0.05 of it was paid" in finding.summary


def test_a_closed_wallet_is_empty() -> None:
    seen = observed((), {"a": 0, "b": 5})
    closed = {w: replace(b, status="closed") for w, b in seen.truth.balances.items()}
    (finding,) = nothing_moves_after_the_end(
        replace(seen, truth=replace(seen.truth, balances=closed))
    )
    assert finding.summary.startswith("Wallet b is closed and holds 0.05")
    assert nothing_moves_after_the_end(seen) == ()
