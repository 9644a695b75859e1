"""The five rules of dependence, each both ways, and what holds for every footprint."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.postgres.dependence import dependent
from attacks.postgres.footprint import ADVISORY, Footprint, nothing, together
from attacks.postgres.relations import ONE_OUTSIDE, OUTSIDE, Isolation, overlap

A, B = frozenset({"a"}), frozenset({"b"})
READ_A = Footprint(reads=A)
WRITE_A = Footprint(writes=A)
WRITE_B = Footprint(writes=B)
COMMIT_A = Footprint(ends=True, released=A, committed_writes=A)
ROLLBACK_A = Footprint(ends=True, released=A)
AUTOCOMMIT_A = Footprint(writes=A, ends=True, released=A, committed_writes=A)
UNLOCK = Footprint(writes=frozenset({ADVISORY}))
SNAPSHOT = Footprint(reads=B, isolation="repeatable read", takes_snapshot=True)
SERIALIZABLE = Footprint(reads=B, isolation="serializable")

DEPENDENT = {
    "1: both may write the same row": (WRITE_A, WRITE_A),
    "1: both use advisory locks": (UNLOCK, UNLOCK),
    "2: it sees what is committed": (READ_A, COMMIT_A),
    "2: it sees what an autocommit statement wrote": (READ_A, AUTOCOMMIT_A),
    "2: it waits for what is committed": (WRITE_A, COMMIT_A),
    "2: it waits for what is rolled back": (WRITE_A, ROLLBACK_A),
    "2: it tries to lock what is given back": (UNLOCK, replace(ROLLBACK_A, released=UNLOCK.writes)),
    "2: published counts even when it was not said to be released": (
        READ_A,
        Footprint(ends=True, committed_writes=A),
    ),
    "3: a commit before the snapshot is seen, whatever the table": (SNAPSHOT, COMMIT_A),
    "4: there everything may fail because of everything": (SERIALIZABLE, READ_A),
    "5: nothing can be said": (Footprint(unknown=True), nothing()),
}
INDEPENDENT = {
    "plain reads commute": (READ_A, READ_A),
    "a plain read does not see what is not committed": (READ_A, WRITE_A),
    "different relations": (WRITE_A, WRITE_B),
    "the end of a transaction elsewhere": (Footprint(reads=B, writes=B), COMMIT_A),
    "the end of a transaction that only read": (WRITE_A, Footprint(ends=True)),
    "two commits": (COMMIT_A, COMMIT_A),
    "what does not end gives nothing back": (READ_A, Footprint(released=A)),
    "a rollback publishes nothing": (SNAPSHOT, ROLLBACK_A),
    "a second statement keeps its snapshot": (replace(SNAPSHOT, takes_snapshot=False), COMMIT_A),
    "at read committed each statement has its own": (
        replace(SNAPSHOT, isolation="read committed"),
        COMMIT_A,
    ),
    "a commit that wrote nothing": (SNAPSHOT, Footprint(ends=True)),
}


@pytest.mark.parametrize(("one", "other"), DEPENDENT.values(), ids=DEPENDENT.keys())
def test_dependent(one: Footprint, other: Footprint) -> None:
    assert dependent(one, other)
    assert dependent(other, one)


@pytest.mark.parametrize(("one", "other"), INDEPENDENT.values(), ids=INDEPENDENT.keys())
def test_independent(one: Footprint, other: Footprint) -> None:
    assert not dependent(one, other)
    assert not dependent(other, one)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("vault.a", "vault.a", True),
        ("vault.a", "audit.a", False),
        ("a", "vault.a", True),
        ("vault.a", "a", True),
        ("a", "vault.b", False),
        (OUTSIDE, OUTSIDE, True),
        # Something out there that nobody knows may be any of what is known.
        (OUTSIDE, f"{ONE_OUTSIDE}a.b>", True),
        (f"{ONE_OUTSIDE}a.b>", f"{ONE_OUTSIDE}a.b>", True),
        (f"{ONE_OUTSIDE}a.b>", f"{ONE_OUTSIDE}b>", False),
        (f"{ONE_OUTSIDE}a>", "a", False),
        (OUTSIDE, ADVISORY, False),
    ],
)
def test_a_bare_name_may_be_found_in_any_schema(one: str, other: str, meet: bool) -> None:
    assert overlap(frozenset({one}), frozenset({other})) is meet
    assert dependent(
        Footprint(writes=frozenset({one})), Footprint(writes=frozenset({other}))
    ) is meet  # fmt: skip


LEVELS: tuple[Isolation, ...] = ("read committed", "repeatable read", "serializable")
names = st.frozensets(
    st.sampled_from(["a", "b", "c", "vault.a", ADVISORY, OUTSIDE, f"{ONE_OUTSIDE}a>"]), max_size=3
)
footprints = st.builds(
    Footprint,
    reads=names,
    writes=names,
    unknown=st.booleans(),
    ends=st.booleans(),
    released=names,
    committed_writes=names,
    isolation=st.sampled_from(LEVELS),
    takes_snapshot=st.booleans(),
)


@given(footprints, footprints)
def test_it_is_symmetric(one: Footprint, other: Footprint) -> None:
    assert dependent(one, other) == dependent(other, one)


@given(footprints, footprints)
def test_unknown_is_dependent_with_everything(one: Footprint, other: Footprint) -> None:
    assert dependent(replace(one, unknown=True), other)


@given(footprints, footprints, footprints)
def test_a_larger_footprint_never_makes_independent(
    one: Footprint, other: Footprint, more: Footprint
) -> None:
    if dependent(one, other):
        assert dependent(together(one, more), other)


@given(footprints, footprints, footprints)
def test_together_is_a_union(one: Footprint, other: Footprint, third: Footprint) -> None:
    assert together(one, other) == together(other, one)
    assert together(one, one) == one
    assert together(one, nothing()) == one
    assert together(together(one, other), third) == together(one, together(other, third))
