"""Footprints of a session's steps: functions, measured locks, cursors, gaps."""

from functools import partial

import pytest

from attacks.postgres.catalog import Catalog, Relation, Trigger
from attacks.postgres.footprint import ADVISORY, OUTSIDE, Footprint, nothing, split
from attacks.postgres.reach import reach, unseen
from attacks.postgres.relations import Locks
from tests.unit.footprint_session import A, B, locks, plain, session

# Functions.


def test_a_call_of_a_users_function_is_no_read() -> None:
    one = session()
    one.run("BEGIN")
    called = one.run("SELECT own_transfer(1)")
    assert (called.unknown, called.ends) == (True, False)
    assert one.is_choice("ROLLBACK")
    assert one.run("COMMIT", tag="COMMIT").unknown


def test_what_a_function_locked_is_known_once_it_was_measured() -> None:
    one = session()
    one.run("BEGIN")
    called = one.run("SELECT own_transfer(1)", locks=locks("b:RowExclusive"))
    assert (called.unknown, called.writes) == (True, B)
    ended = one.run("COMMIT", tag="COMMIT")
    assert ended == Footprint(ends=True, released=B, committed_writes=B)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT now() FROM a", Footprint(reads=A)),
        ("SELECT pg_try_advisory_xact_lock(1)", Footprint(writes=frozenset({ADVISORY}))),
        ("SELECT nextval('s')", Footprint(writes=frozenset({"s"}))),
        ("SELECT nextval($1)", Footprint(unknown=True)),
        ("NOTIFY c", Footprint(writes=frozenset({OUTSIDE}))),
        ("SELECT pg_notify('c', '')", Footprint(writes=frozenset({OUTSIDE}))),
    ],
)
def test_functions(sql: str, expected: Footprint) -> None:
    one = session(plain("a", "s"))
    one.run("BEGIN")
    assert one.run(sql) == expected


def test_a_notification_is_delivered_by_the_commit() -> None:
    one = session()
    one.run("BEGIN")
    one.run("NOTIFY c")
    assert one.run("COMMIT", tag="COMMIT").writes == {OUTSIDE}


def test_advisory_locks_of_the_session_outlast_its_transactions() -> None:
    one = session()
    one.run("BEGIN")
    one.run("SELECT pg_advisory_xact_lock(1)")
    one.run("COMMIT", tag="COMMIT")
    assert one.footprints.holds == frozenset()
    one.run("SELECT pg_advisory_lock(1)")
    assert one.footprints.holds == {ADVISORY}
    assert one.is_choice("SELECT pg_advisory_unlock_all()")
    assert one.is_choice("DISCARD ALL")
    assert one.run("DISCARD ALL").writes == {ADVISORY}
    assert one.footprints.holds == frozenset()
    assert not one.is_choice("SELECT pg_advisory_unlock_all()")
    one.run("SELECT pg_advisory_lock(1)")
    one.run("SELECT pg_advisory_unlock_all()")
    assert one.footprints.holds == frozenset()
    one.run("SELECT pg_advisory_lock(1)")
    one.run("BEGIN")
    assert not one.is_choice("ROLLBACK")
    one.run("SELECT own_unlock()", locks=frozenset())
    assert one.footprints.holds == frozenset()


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT own_secret()", True),
        ("SELECT measured_function()", False),
        ("DO 'BEGIN END'", True),
        ("CREATE TABLE a (id int)", False),
        ("SELECT * FROM a", False),
    ],
)
def test_what_may_lock_for_the_session_in_secret(sql: str, kept: bool) -> None:
    one = session()
    one.run(sql)
    assert (ADVISORY in one.footprints.holds) is kept


# What was measured.


def test_growth_is_what_the_step_added() -> None:
    one = session(unseen)
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1", locks=locks("a:RowExclusive", "audit:RowExclusive"))
    held = locks("a:RowExclusive", "audit:RowExclusive", "b:RowShare", "c:AccessShare")
    # User code may have run, and used again what was held.
    assert one.run("DELETE FROM b", locks=held) == Footprint(
        reads=frozenset({"c"}), writes=frozenset({"a", "audit", "b"})
    )
    assert one.run("COMMIT", tag="COMMIT").writes == {"a", "audit", "b"}


def test_where_no_code_runs_only_what_is_within_reach_counts_again() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1", locks=locks("a:RowExclusive"))
    held = locks("a:RowExclusive", "b:RowExclusive")
    assert one.run("UPDATE b SET x = 1", locks=held) == Footprint(writes=B)
    assert one.run("UPDATE b SET x = 1", locks=held) == Footprint(writes=B)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (locks("a:AccessShare"), Footprint(reads=A)),
        (locks("a:RowShare"), Footprint(writes=A)),
        (locks("a:RowExclusive"), Footprint(writes=A)),
        (locks("a:ShareUpdateExclusive"), Footprint(writes=A)),
        (locks("a:Share"), Footprint(writes=A)),
        (locks("a:Exclusive"), Footprint(writes=A)),
        (locks("a:AccessExclusive"), Footprint(writes=A, unknown=True)),
        (locks("a:SIRead"), nothing()),
        (locks("<relation 7>:AccessShare"),
         Footprint(reads=frozenset({"<relation 7>"}), unknown=True)),
        (locks("a:AccessShare", "b:RowShare"), Footprint(reads=A, writes=B)),
    ],
)  # fmt: skip
def test_what_lock_modes_prove(held: Locks, expected: Footprint) -> None:
    assert split(held) == expected


def test_without_locks_or_catalogs_it_is_unknown() -> None:
    one = session(unseen)
    one.run("BEGIN")
    assert one.run("UPDATE a SET x = 1").unknown
    assert one.run("SELECT * FROM a").unknown
    assert one.run("SELECT 1") == nothing()
    assert one.run("COMMIT", tag="COMMIT").unknown


def test_locks_are_needed_where_user_code_runs() -> None:
    triggered = Catalog(
        names={},
        indexes=frozenset(),
        relations={
            "a": Relation(triggers=(Trigger(events=frozenset({"update"}), deferrable=False),)),
            "b": Relation(),
        },
        keys_of={},
        keys_to={},
        functions={},
        user_code="measurable",
    )
    one = session(partial(reach, triggered))
    one.run("BEGIN")
    for sql, needed in [
        ("UPDATE a SET x = 1", True),
        ("DELETE FROM a", True),
        ("INSERT INTO a VALUES (1)", False),
        ("SELECT * FROM a FOR UPDATE", False),
        ("UPDATE b SET x = 1", False),
        ("SELECT own_transfer(1)", True),
        ("COMMIT", False),
        ("SAVEPOINT s", False),
    ]:
        assert one.footprints.needs_measuring(one.step(sql)) is needed, sql


# The rest.


def test_cursors_are_run_by_fetch() -> None:
    one = session()
    one.run("BEGIN")
    assert one.run("FETCH 1 FROM k").unknown
    one.run("DECLARE k CURSOR FOR SELECT * FROM a FOR UPDATE")
    assert one.run("FETCH 1 FROM k") == Footprint(reads=A, writes=A)
    one.run("DECLARE m CURSOR FOR SELECT own_read() FROM b")
    assert one.run("FETCH 1 FROM m").unknown


def test_what_cannot_be_parsed_or_is_no_statement() -> None:
    one = session()
    one.run("BEGIN")
    assert one.run("SELEC 1").unknown
    assert one.run("function 1234", kind="call").unknown
    assert one.run("", kind="copy").unknown
    assert one.run("COPY a FROM STDIN", kind="copy") == Footprint(writes=A)


def test_deferred_constraints_are_checked_by_the_commit() -> None:
    catalog = Catalog(
        names={},
        indexes=frozenset(),
        relations={"a": Relation(has_deferrable=True), "b": Relation()},
        keys_of={},
        keys_to={},
        functions={},
    )
    one = session(partial(reach, catalog))
    one.run("BEGIN")
    one.run("UPDATE b SET x = 1")
    assert one.run("COMMIT", tag="COMMIT").writes == frozenset()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    assert one.run("SET CONSTRAINTS ALL IMMEDIATE").writes == A
    assert one.run("COMMIT", tag="COMMIT").writes == A


def test_missed_steps_are_told() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    before = one.footprints.missed_steps
    one.number += 1
    one.status = "I"
    assert one.run("SELECT * FROM b") == Footprint(reads=B)
    assert (before, one.footprints.missed_steps) == (False, True)
    assert one.footprints.holds == frozenset()


def test_missed_steps_are_told_by_a_choice() -> None:
    one = session()
    one.number = 3
    one.is_choice("SELECT 1")
    assert one.footprints.missed_steps


def test_a_transaction_whose_begin_was_missed_is_opaque() -> None:
    one = session()
    one.number, one.status = 3, "T"
    assert one.run("SELECT * FROM a") == Footprint(reads=A)
    assert one.is_choice("ROLLBACK")
    assert one.run("COMMIT", tag="COMMIT").unknown


# Learned locks, for want of catalogs.

AUDITED = locks("a:RowExclusive", "audit:RowExclusive")
UPDATE = "UPDATE a SET x = 1 WHERE id = 1"
