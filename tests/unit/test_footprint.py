"""Footprints of a session's steps: transactions, their ends, isolation, and what was measured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from attacks.postgres.catalog import Catalog, Relation, Trigger
from attacks.postgres.footprint import (
    ADVISORY,
    OUTSIDE,
    Footprint,
    SessionFootprints,
    nothing,
    split,
)
from attacks.postgres.learned_locks import LearnedLocks
from attacks.postgres.purity import Purity, builtin_purity
from attacks.postgres.reach import ReachOf, reach, unseen
from attacks.postgres.relations import Isolation, Locks
from attacks.postgres.trace import Kind, Reply, Step, TransactionStatus

A, B, AB = frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"})


def purity(name: str) -> Purity:
    return "unknown" if name.startswith("own") else builtin_purity(name, volatile=False)


def plain(*names: str) -> ReachOf:
    """Tables that nothing hangs on."""
    catalog = Catalog(
        names={},
        indexes=frozenset(),
        relations={name: Relation() for name in names},
        keys_of={},
        keys_to={},
        functions={},
    )
    return partial(reach, catalog)


PLAIN = plain("a", "b", "c")


@dataclass
class Session:
    """Answers as PostgreSQL would, for what succeeds."""

    footprints: SessionFootprints
    status: TransactionStatus = "I"
    number: int = 0
    pipelined: bool = False
    taken: list[Footprint] = field(default_factory=list)

    def run(
        self,
        sql: str,
        *,
        locks: Locks | None = None,
        error: str | None = None,
        tag: str | None = None,
        then: TransactionStatus | None = None,
        kind: Kind = "query",
        lost: bool = False,
        synced: bool = True,
    ) -> Footprint:
        step = self.step(sql, kind=kind, synced=synced)
        status = then or self._next(sql, error)
        reply = Reply(
            tag=tag,
            sqlstate=error,
            lost=lost,
            status=status if synced and not lost else None,
        )
        footprint = self.footprints.after(step, reply, locks, reply.status)
        if synced:
            self.status = status
        self.taken.append(footprint)
        return footprint

    def step(self, sql: str, *, kind: Kind = "query", synced: bool = True) -> Step:
        self.number += 1
        return Step(
            session=1,
            number=self.number,
            kind=kind,
            sql=sql,
            status_before=self.status,
            ends_with_sync=synced,
        )

    def is_choice(self, sql: str, *, kind: Kind = "query", synced: bool = True) -> bool:
        found = self.footprints.is_choice(self.step(sql, kind=kind, synced=synced))
        self.number -= 1
        return found

    def _next(self, sql: str, error: str | None) -> TransactionStatus:
        word = sql.split(" ", maxsplit=1)[0]
        if error:
            return "I" if self.status == "I" else "E"
        if word == "BEGIN" or sql.startswith("ROLLBACK TO") or sql.endswith("CHAIN"):
            return "T"
        return "I" if word in ("COMMIT", "ROLLBACK") else self.status


def session(
    reach_of: ReachOf = PLAIN,
    default: Isolation = "read committed",
    learned: LearnedLocks | None = None,
) -> Session:
    return Session(SessionFootprints(purity, default, reach=reach_of, learned=learned))


def locks(*pairs: str) -> Locks:
    """`a:RowShare`, …"""
    return frozenset((name, f"{mode}Lock") for name, mode in (pair.split(":") for pair in pairs))


# Transactions and their ends.


def test_a_transaction_accumulates_what_its_commit_gives_free() -> None:
    one = session()
    assert one.run("BEGIN") == nothing()
    assert one.run("SELECT * FROM c") == Footprint(reads=frozenset({"c"}))
    assert one.run("SELECT * FROM a FOR UPDATE") == Footprint(reads=A, writes=A)
    assert one.run("UPDATE b SET x = 1") == Footprint(writes=B)
    assert one.run("COMMIT", tag="COMMIT") == Footprint(ends=True, released=AB, committed_writes=AB)
    assert one.run("SELECT * FROM a") == Footprint(reads=A)


def test_a_rollback_publishes_nothing() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    assert one.run("ROLLBACK", tag="ROLLBACK") == Footprint(ends=True, released=A)
    one.run("BEGIN")
    assert one.run("ROLLBACK", tag="ROLLBACK") == Footprint(ends=True)


def test_an_error_gives_everything_free_at_once() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    assert one.run("UPDATE b SET x = 1", error="40P01") == Footprint(
        writes=B, ends=True, released=AB
    )
    assert one.run("SELECT * FROM c", error="25P02") == nothing()
    assert not one.is_choice("ROLLBACK")
    assert one.run("COMMIT", tag="ROLLBACK") == Footprint(ends=True)


def test_a_refused_commit_gives_free_and_publishes_nothing() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    ended = one.run("COMMIT", error="40001", then="I")
    assert ended == Footprint(ends=True, released=A)


def test_autocommit_is_a_statement_and_its_end_in_one() -> None:
    one = session()
    assert one.run("SELECT * FROM a") == Footprint(reads=A)
    assert one.run("SELECT 1") == nothing()
    assert one.run("UPDATE a SET x = 1") == Footprint(
        writes=A, ends=True, released=A, committed_writes=A
    )
    assert one.run("UPDATE a SET x = 1", error="23505") == Footprint(
        writes=A, ends=True, released=A
    )
    assert one.run("SELECT * FROM a FOR UPDATE").ends


def test_what_was_measured_after_its_end_says_nothing() -> None:
    one = session(unseen)
    assert one.run("UPDATE a SET x = 1", locks=frozenset()).unknown
    one.run("BEGIN")
    assert one.run("UPDATE a SET x = 1", locks=frozenset(), error="23505").unknown


def test_chained_transactions() -> None:
    one = session()
    one.run("BEGIN ISOLATION LEVEL SERIALIZABLE")
    one.run("UPDATE a SET x = 1")
    assert one.run("COMMIT AND CHAIN", tag="COMMIT").committed_writes == A
    assert one.run("UPDATE b SET x = 1").isolation == "serializable"
    ended = one.run("COMMIT", tag="COMMIT")
    assert (ended.released, ended.isolation) == (B, "serializable")
    assert one.run("SELECT * FROM a").isolation == "read committed"


def test_rollback_to_gives_a_part_free_and_the_rest_goes_on() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    assert one.run("SAVEPOINT s") == nothing()
    one.run("UPDATE b SET x = 1")
    assert one.run("ROLLBACK TO s") == Footprint(ends=True, released=AB)
    assert one.run("RELEASE s") == nothing()
    assert one.run("COMMIT", tag="COMMIT").released >= A


def test_an_error_after_a_savepoint_keeps_what_was_locked_before_it() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    one.run("SAVEPOINT s")
    assert one.run("UPDATE b SET x = 1", error="23505").released == AB
    assert one.is_choice("ROLLBACK")
    assert one.run("ROLLBACK TO s").ends
    one.run("UPDATE b SET x = 1")
    assert one.run("COMMIT", tag="COMMIT").committed_writes == AB


def test_a_lost_connection_may_have_committed() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    lost = one.run("COMMIT", lost=True)
    assert (lost.ends, lost.released, lost.committed_writes) == (True, A, A)
    two = session()
    two.run("BEGIN")
    two.run("UPDATE a SET x = 1")
    lost = two.run("UPDATE b SET x = 1", lost=True)
    assert (lost.ends, lost.released, lost.committed_writes) == (True, AB, frozenset())
    assert session().run("UPDATE a SET x = 1", lost=True).committed_writes == A


def test_a_client_that_goes_gives_everything_free() -> None:
    one = session()
    one.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    one.run("UPDATE a SET x = 1")
    one.run("SELECT pg_advisory_lock(1)")
    assert one.footprints.disconnected() == Footprint(
        ends=True, released=A | {ADVISORY}, isolation="repeatable read"
    )
    assert one.footprints.disconnected() == Footprint(ends=True)


def test_a_procedure_that_commits_is_unknown() -> None:
    called = session().run("CALL own_batch()")
    assert (called.unknown, called.ends) == (True, True)


@pytest.mark.parametrize(("tag", "published"), [("COMMIT", True), ("ROLLBACK", False)])
def test_an_end_that_no_text_announced(tag: str, published: bool) -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    ended = one.run("EXECUTE prepared", then="I", tag=tag)
    assert ended.ends
    assert ended.released >= A
    assert (ended.committed_writes >= A) is published


# Pipelines.


def test_a_pipeline_without_begin_ends_with_its_sync() -> None:
    one = session()
    assert one.run("UPDATE a SET x = 1", kind="execute", synced=False) == Footprint(writes=A)
    assert one.run("UPDATE b SET x = 1", kind="execute", synced=False) == Footprint(writes=B)
    assert one.is_choice("", kind="sync")
    assert one.run("", kind="sync") == Footprint(ends=True, released=AB, committed_writes=AB)
    assert one.run("SELECT * FROM a", kind="execute", synced=False) == Footprint(reads=A)
    assert not one.is_choice("", kind="sync")
    assert one.run("", kind="sync") == nothing()


def test_the_last_part_of_a_pipeline_may_carry_the_sync() -> None:
    one = session()
    one.run("UPDATE a SET x = 1", kind="execute", synced=False)
    assert one.run("SELECT * FROM b", kind="execute") == Footprint(
        reads=B, ends=True, released=A, committed_writes=A
    )


def test_an_error_ends_a_pipelines_transaction_before_its_sync() -> None:
    one = session()
    one.run("UPDATE a SET x = 1", kind="execute", synced=False)
    failed = one.run("UPDATE b SET x = 1", kind="execute", synced=False, error="23505")
    assert failed == Footprint(writes=B, ends=True, released=AB)
    assert one.run("", kind="sync") == nothing()


def test_begin_and_commit_inside_a_pipeline() -> None:
    one = session()
    one.run("BEGIN", kind="execute", synced=False)
    one.run("UPDATE a SET x = 1", kind="execute", synced=False)
    assert not one.is_choice("", kind="sync")
    assert one.is_choice("ROLLBACK", kind="execute", synced=False)
    ended = one.run("COMMIT", kind="execute", synced=False, tag="COMMIT")
    assert ended.committed_writes == A
    assert one.run("", kind="sync") == nothing()


def test_a_begin_in_a_pipeline_outlasts_its_sync() -> None:
    one = session()
    one.run("BEGIN", kind="execute", synced=False)
    assert one.run("UPDATE a SET x = 1", kind="execute", then="T") == Footprint(writes=A)
    assert one.run("COMMIT", tag="COMMIT").committed_writes == A


# Several statements in one text.


def test_several_statements_with_their_own_end() -> None:
    one = session()
    whole = one.run("BEGIN; UPDATE a SET x = 1; SELECT * FROM b; COMMIT", then="I", tag="COMMIT")
    assert whole == Footprint(reads=B, writes=A, ends=True, released=A, committed_writes=A)
    one.run("BEGIN; UPDATE a SET x = 1", then="T")
    assert one.run("COMMIT; BEGIN; UPDATE b SET x = 1", then="T").committed_writes == AB
    assert one.run("COMMIT", tag="COMMIT").committed_writes >= B


def test_several_statements_may_have_committed_before_they_failed() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    failed = one.run("COMMIT; UPDATE b SET x = 1", error="23505", then="I")
    assert failed.committed_writes >= A


def test_a_rollback_among_several_statements() -> None:
    one = session()
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    ended = one.run("ROLLBACK; SELECT 1", then="I")
    assert (ended.ends, ended.released, ended.committed_writes) == (True, A, frozenset())


# Isolation.


def level(one: Session) -> Isolation:
    return one.run("SELECT * FROM a").isolation


def test_the_level_of_begin_holds_until_the_end() -> None:
    one = session()
    one.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert level(one) == "repeatable read"
    assert one.run("COMMIT", tag="COMMIT").isolation == "repeatable read"
    assert level(one) == "read committed"


def test_set_transaction_overrules_begin() -> None:
    one = session(default="serializable")
    one.run("BEGIN")
    one.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    assert level(one) == "read committed"
    one.run("ROLLBACK")
    assert level(one) == "serializable"


def test_a_refused_set_does_not_weaken() -> None:
    one = session(default="serializable")
    one.run("BEGIN")
    one.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", error="25001")
    one.run("ROLLBACK")
    assert level(one) == "serializable"


@pytest.mark.parametrize(
    "sql",
    [
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET default_transaction_isolation = 'serializable'",
        "SELECT set_config('default_transaction_isolation', 'serializable', false)",
    ],
)
def test_the_sessions_default(sql: str) -> None:
    one = session()
    one.run(sql)
    assert level(one) == "serializable"
    one.run("BEGIN")
    assert level(one) == "serializable"
    one.run("COMMIT", tag="COMMIT")
    one.run("RESET default_transaction_isolation")
    one.run("BEGIN")
    assert level(one) in ("read committed", "serializable")


def test_a_default_set_inside_a_transaction_begins_with_the_next() -> None:
    one = session()
    for end, expected in (("ROLLBACK", "read committed"), ("COMMIT", "serializable")):
        one.run("BEGIN")
        one.run("SET default_transaction_isolation = 'serializable'")
        assert level(one) == "read committed"
        one.run(end, tag=end)
        assert level(one) == expected


def test_discard_all_takes_the_servers_default() -> None:
    one = session()
    one.run("SET default_transaction_isolation = 'serializable'")
    one.run("DISCARD ALL")
    one.run("BEGIN")
    one.run("COMMIT", tag="COMMIT")
    assert level(one) == "read committed"


def test_a_predicate_lock_proves_serializable() -> None:
    one = session()
    one.run("BEGIN")
    found = one.run("SELECT * FROM a", locks=locks("a:AccessShare", "a:SIRead"))
    assert found == Footprint(reads=A, isolation="serializable", takes_snapshot=True)


def test_the_first_snapshot_of_a_transaction() -> None:
    one = session()
    assert not one.run("BEGIN ISOLATION LEVEL REPEATABLE READ").takes_snapshot
    assert not one.run("SET x.y = 1").takes_snapshot
    assert not one.run("LOCK TABLE a IN SHARE MODE").takes_snapshot
    assert one.run("SELECT 1").takes_snapshot
    assert not one.run("SELECT * FROM a").takes_snapshot
    one.run("COMMIT", tag="COMMIT")
    one.run("BEGIN")
    assert not one.run("SELECT 1").takes_snapshot


def test_preparing_takes_the_snapshot() -> None:
    one = session(default="repeatable read")
    one.run("BEGIN")
    assert one.run("BEGIN", kind="prepare") == Footprint(isolation="repeatable read")
    prepared = one.run("UPDATE a SET x = 1", kind="prepare")
    assert prepared == Footprint(isolation="repeatable read", takes_snapshot=True)
    assert not one.run("UPDATE a SET x = 1", kind="execute").takes_snapshot


def test_a_begin_that_is_not_answered_yet_counts_for_the_next_choice() -> None:
    one = session()
    begin = one.step("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert not one.footprints.is_choice(begin)
    one.status = "T"
    assert one.is_choice("SELECT 1")
    one.footprints.after(begin, Reply(tag="BEGIN", status="T"), None, "T")
    assert one.is_choice("SELECT 1")
    one.run("COMMIT", tag="COMMIT")
    one.run("BEGIN")
    assert not one.is_choice("SELECT 1")


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
    one.run("SELECT own_unlock()", locks=frozenset())
    assert one.footprints.holds == frozenset()


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
    assert not one.footprints.missed_steps
    one.number += 1
    one.status = "I"
    assert one.run("SELECT * FROM b") == Footprint(reads=B)
    assert one.footprints.missed_steps
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


def in_transaction(one: Session, body: Callable[[], None]) -> None:
    one.run("BEGIN")
    body()
    one.run("COMMIT", tag="COMMIT")


def taught(times: int = 2) -> tuple[Session, LearnedLocks]:
    learned = LearnedLocks(times)
    one = session(unseen, learned=learned)
    for _ in range(times):
        in_transaction(one, lambda: one.taken.append(one.run(UPDATE, locks=AUDITED)))
    return one, learned


def test_what_was_learned_stands_for_a_measurement() -> None:
    one, _ = taught()
    one.run("BEGIN")
    step = one.step("UPDATE a SET x = 7 WHERE id = 2")
    assert not one.footprints.needs_measuring(step)
    assert one.footprints.attempt(step).writes == {"a", "audit"}
    one.number -= 1
    found = one.run("UPDATE a SET x = 7 WHERE id = 2")
    assert found == Footprint(writes=frozenset({"a", "audit"}))
    commit = one.step("COMMIT")
    assert one.footprints.may_end(commit)
    assert one.footprints.verify(AUDITED)
    assert not one.footprints.may_end(commit)


def test_a_transaction_that_holds_more_is_told_and_learned_anew() -> None:
    one, learned = taught()
    one.run("BEGIN")
    one.run(UPDATE)
    assert not one.footprints.verify(AUDITED | locks("b:RowExclusive"))
    assert one.run("COMMIT", tag="COMMIT").released == {"a", "audit", "b"}
    one.run("BEGIN")
    assert one.footprints.needs_measuring(one.step(UPDATE))


def test_what_an_error_ended_unverified_is_learned_anew() -> None:
    one, _ = taught()
    one.run("BEGIN")
    one.run(UPDATE)
    one.run("SELECT 1", error="22012")
    one.run("ROLLBACK", tag="ROLLBACK")
    one.run("BEGIN")
    assert one.footprints.needs_measuring(one.step(UPDATE))


def test_levels_are_learned_apart_and_nothing_is_where_it_cannot_be_verified() -> None:
    one, _ = taught()
    assert one.footprints.needs_measuring(one.step(UPDATE))
    one.number -= 1
    one.run("BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert one.footprints.needs_measuring(one.step(UPDATE))


def test_catalogs_make_learning_needless() -> None:
    one = session(PLAIN, learned=LearnedLocks(1))
    one.run("BEGIN")
    one.run("UPDATE a SET x = 1")
    assert not one.footprints.may_end(one.step("COMMIT"))
    assert one.footprints.verify(AUDITED)


def test_an_attempt_is_what_a_waiting_step_may_touch() -> None:
    one = session()
    one.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert one.footprints.attempt(one.step("UPDATE a SET x = (SELECT 1 FROM b)")) == Footprint(
        reads=B, writes=A, isolation="repeatable read", takes_snapshot=True
    )
    assert session(unseen).footprints.attempt(one.step("UPDATE a SET x = 1")).unknown
