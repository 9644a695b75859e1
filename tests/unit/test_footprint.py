"""Footprints of a session's steps: database transactions, their ends, and isolation."""

import pytest

from attacks.postgres.footprint import ADVISORY, Footprint, nothing
from attacks.postgres.reach import unseen
from attacks.postgres.relations import Isolation
from attacks.postgres.trace import Reply
from tests.unit.footprint_session import AB, A, B, Session, locks, session

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
