"""What `assay ablate` removes, and what each removal needs to be caught."""

import pytest

from engine.defences import DefenceError, as_dict, named_builds, switches, values_of
from scenarios.ablation import Removal, removals
from scenarios.catalogue import SCENARIOS

HARDENED = as_dict(named_builds()["hardened"].defences)
ALL = removals(SCENARIOS)
SINGLES = [removal for removal in ALL if len(removal.removed) == 1]


def _of(build: str) -> Removal:
    return next(removal for removal in ALL if removal.build.name == build)


def test_every_fragile_value_of_every_defence_is_removed_once() -> None:
    expected = [
        {name: value}
        for name, switch in switches().items()
        for value in values_of(name)[: switch.fragile_count]
        if value not in switch.variants
    ]
    assert [removal.removed for removal in SINGLES] == expected
    assert {"execution": "orm"} not in expected, "it only changes speed"
    names = [removal.build.name for removal in ALL]
    assert len(set(names)) == len(names)


def test_what_has_to_break_is_predicted_by_the_claims() -> None:
    for removal in ALL:
        values = HARDENED | removal.removed
        assert not any(claim.holds_when.holds(values) for claim in removal.breaks)
        assert all(claim.holds_when.holds(values) for claim in removal.keeps)
        for claim in removal.scenarios:
            assert set(removal.removed) & set(claim.holds_when.switches)
            assert not claim.canary


def test_every_removal_is_caught_or_covered() -> None:
    uncaught = [one.build.name for one in SINGLES if not one.breaks and not one.covered_in]
    assert uncaught == []


def test_a_defence_that_another_one_covers_is_removed_together_with_it() -> None:
    alone, pair = _of("hardened,lock_order=request"), _of("hardened,lock_order=request,retry=none")
    assert [claim.name for claim in alone.keeps] == ["deadlock"]
    assert pair.build.name in alone.covered_in
    assert [claim.name for claim in pair.breaks] == ["deadlock"]


def test_a_pair_breaks_only_what_neither_of_the_two_breaks_alone() -> None:
    for pair in (removal for removal in ALL if len(removal.removed) > 1):
        for name, value in pair.removed.items():
            for claim in pair.breaks:
                assert claim.holds_when.holds(HARDENED | {name: value})


def test_a_defence_or_one_of_its_values_is_chosen_with_its_pairs() -> None:
    chosen = removals(SCENARIOS, ["retry=blind", "reads"])
    assert [removal.build.name for removal in chosen] == [
        "hardened,retry=blind",
        "hardened,reads=per_wallet",
        "hardened,retry=blind,idempotency=off",
    ]


def test_a_bound_keeps_the_claims_that_name_the_removal_best() -> None:
    whole, (bounded,) = (
        _of("hardened,idempotency=off"),
        removals(SCENARIOS, ["idempotency=off"], most=2),
    )
    assert len(bounded.breaks) == 2 < len(whole.breaks)
    kept = [len(claim.holds_when.switches) for claim in bounded.breaks]
    left = [len(c.holds_when.switches) for c in whole.breaks if c not in bounded.breaks]
    assert max(kept) <= min(left)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lokcing", "unknown switch 'lokcing'; did you mean 'locking'?"),
        ("locking=rows", "switch locking has no value 'rows'"),
        ("locking=row", "locking=row is nothing to remove: its fragile values are none"),
        ("execution", "execution is nothing to remove: none is fragile"),
    ],
)
def test_what_cannot_be_removed_is_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(DefenceError) as caught:
        removals(SCENARIOS, [text])
    assert message in str(caught.value)
