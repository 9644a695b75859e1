"""Footprints against a real server: what text and catalogs say covers what its locks show."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from attacks.postgres.dependence import dependent
from attacks.postgres.footprint import ADVISORY, OUTSIDE, Footprint, SessionFootprints, split
from attacks.postgres.observer import Observer
from attacks.postgres.reach import unseen
from attacks.postgres.relations import has_advisory, overlap
from attacks.postgres.rows import no_key
from attacks.postgres.trace import Reply, Step, TransactionStatus
from engine.stores import PostgresServer

DATABASE = "footprints"
SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, code text UNIQUE,
                       balance int DEFAULT 0 CHECK (balance > -9));
CREATE TABLE transfers (id bigserial PRIMARY KEY, payer int REFERENCES accounts, note text);
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                      transfer bigint REFERENCES transfers ON DELETE CASCADE, amount int);
CREATE TABLE cards (id int PRIMARY KEY, account int REFERENCES accounts ON UPDATE CASCADE
                    ON DELETE SET NULL);
CREATE TABLE late (id int, account int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED);
CREATE VIEW rich AS SELECT a.* FROM accounts a
    WHERE EXISTS (SELECT FROM cards WHERE account = a.id);
CREATE VIEW plain AS SELECT id, balance FROM accounts;
CREATE MATERIALIZED VIEW totals AS SELECT sum(balance) AS total FROM accounts;
CREATE TABLE log (id int, day int, what text) PARTITION BY RANGE (day);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20);
CREATE TABLE members (name text);
CREATE TABLE guarded (id int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY theirs ON guarded USING (EXISTS (SELECT FROM members WHERE name = current_user));
CREATE TABLE animals (id int);
CREATE TABLE cats () INHERITS (animals);
CREATE SCHEMA vault;
CREATE TABLE vault.keys (id int PRIMARY KEY, account int REFERENCES accounts);
CREATE SEQUENCE tickets;
INSERT INTO accounts SELECT i, i::text, 5 FROM generate_series(1, 3) i;
INSERT INTO transfers (payer) VALUES (1), (2);
INSERT INTO entries (transfer, amount) VALUES (1, 5), (1, -5);
INSERT INTO cards VALUES (1, 1), (2, 2);
INSERT INTO vault.keys VALUES (1, 1);
INSERT INTO log VALUES (1, 1, 'x');
"""
STATEMENTS = [
    "SELECT * FROM accounts",
    "SELECT * FROM accounts FOR UPDATE",
    "SELECT * FROM accounts a JOIN transfers t ON t.payer = a.id FOR NO KEY UPDATE OF t",
    "INSERT INTO accounts VALUES (9, 'x')",
    "INSERT INTO accounts VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET balance = 1",
    "INSERT INTO transfers (payer) VALUES (1) RETURNING id",
    "INSERT INTO entries (transfer, amount) SELECT id, 1 FROM transfers",
    "UPDATE accounts SET balance = balance + 1 WHERE id = 1",
    "UPDATE accounts SET id = 77 WHERE id = 2 AND NOT EXISTS (SELECT FROM transfers)",
    "UPDATE accounts SET id = 77 WHERE id = 3",
    "UPDATE transfers SET payer = 2 WHERE id = 1",
    "UPDATE transfers t SET note = a.code FROM accounts a WHERE a.id = t.payer",
    "DELETE FROM transfers WHERE id = 1",
    "DELETE FROM accounts WHERE id = 3",
    "DELETE FROM cards USING accounts a WHERE a.id = account",
    "WITH gone AS (DELETE FROM entries RETURNING *) SELECT sum(amount) FROM gone, accounts",
    "MERGE INTO accounts USING cards ON false WHEN NOT MATCHED THEN INSERT VALUES (account + 5)",
    "INSERT INTO late VALUES (1, 1)",
    "SELECT * FROM rich",
    "SELECT * FROM rich FOR UPDATE",
    "SELECT * FROM plain FOR SHARE",
    "UPDATE plain SET balance = 3 WHERE id = 1",
    "INSERT INTO plain VALUES (10, 1)",
    "DELETE FROM plain WHERE id = 3",
    "SELECT * FROM totals",
    "SELECT * FROM log WHERE day = 1",
    "INSERT INTO log VALUES (1, 11, 'y')",
    "UPDATE log SET day = 12 WHERE day = 1",
    "SELECT * FROM log_1 FOR UPDATE",
    "SELECT * FROM guarded",
    "INSERT INTO guarded VALUES (1)",
    "UPDATE guarded SET id = 2",
    "SELECT * FROM animals",
    "UPDATE animals SET id = 1",
    "SELECT * FROM vault.keys",
    "INSERT INTO vault.keys VALUES (2, 1)",
    "SELECT nextval('tickets')",
    "SELECT last_value FROM tickets",
    "SELECT setval('tickets', 5)",
    "SELECT pg_advisory_xact_lock(1)",
    "LOCK TABLE accounts, cards IN SHARE ROW EXCLUSIVE MODE",
    "COPY accounts TO STDOUT",
    "DECLARE k CURSOR FOR SELECT * FROM accounts FOR UPDATE",
]
CODE = """
CREATE TABLE audit (id bigserial, what text);
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO audit (what) VALUES (TG_TABLE_NAME); RETURN NULL; END';
CREATE TRIGGER audited AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION audited();
CREATE FUNCTION transfer(int) RETURNS int LANGUAGE sql AS
    'UPDATE cards SET account = account WHERE id = $1 RETURNING id';
CREATE FUNCTION next_code() RETURNS text LANGUAGE sql AS 'SELECT nextval(''tickets'')::text';
CREATE TABLE coded (code text DEFAULT next_code());
CREATE VIEW called AS SELECT next_code() AS code;
"""


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    yield _created(postgres, DATABASE, SCHEMA)
    postgres.drop_database(DATABASE)


@pytest.fixture(scope="module")
def coded(postgres: PostgresServer) -> Iterator[str]:
    yield _created(postgres, f"{DATABASE}_code", SCHEMA + CODE)
    postgres.drop_database(f"{DATABASE}_code")


def _created(postgres: PostgresServer, name: str, schema: str) -> str:
    created = postgres.create_database(name)
    with closing(psycopg2.connect(created)) as connection, connection.cursor() as cursor:
        cursor.execute(schema)
        connection.commit()
    return created


STATUS: dict[int, TransactionStatus] = {
    psycopg2.extensions.TRANSACTION_STATUS_IDLE: "I",
    psycopg2.extensions.TRANSACTION_STATUS_INTRANS: "T",
    psycopg2.extensions.TRANSACTION_STATUS_INERROR: "E",
}


class Driven:
    """A real session whose steps are accounted for as the explorer does it."""

    def __init__(self, url: str, observer: Observer, *, catalogs: bool = True) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._observer = observer
        self.pid = self._connection.info.backend_pid
        self.measured = 0
        self._number = 0
        self._footprints = SessionFootprints(
            observer.purity,
            observer.default_isolation(),
            reach=observer.reach if catalogs else unseen,
            row_key=observer.row_key if catalogs else no_key,
        )

    def run(self, sql: str) -> Footprint:
        self._number += 1
        step = Step(
            session=1, number=self._number, kind="query", sql=sql, status_before=self._status()
        )
        sqlstate = None
        try:
            if sql.startswith("COPY"):
                self._cursor.copy_expert(sql, _Nowhere())
            else:
                self._cursor.execute(sql)
        except psycopg2.Error as error:
            sqlstate = error.pgcode
        reply = Reply(
            tag=self._cursor.statusmessage,
            columns=tuple(column.name for column in self._cursor.description or ()),
            row_count=self._cursor.rowcount if self._cursor.description else 0,
            sqlstate=sqlstate,
            status=self._status(),
        )
        locks = None
        if self._footprints.needs_measuring(step):
            self.measured += 1
            locks = self._observer.locks(self.pid)
        return self._footprints.after(step, reply, locks, reply.status)

    def locks(self) -> Footprint:
        return split(self._observer.locks(self.pid))

    def close(self) -> None:
        self._connection.close()

    def _status(self) -> TransactionStatus:
        return STATUS[self._connection.info.transaction_status]


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)


@pytest.fixture
def observer(url: str) -> Iterator[Observer]:
    with closing(Observer(url)) as opened:
        yield opened


@pytest.fixture
def driven(url: str, observer: Observer) -> Iterator[Driven]:
    with closing(Driven(url, observer)) as opened:
        yield opened


@pytest.fixture
def beside_code(coded: str) -> Iterator[Observer]:
    with closing(Observer(coded)) as opened:
        yield opened


@pytest.fixture
def with_code(coded: str, beside_code: Observer) -> Iterator[Driven]:
    with closing(Driven(coded, beside_code)) as opened:
        yield opened


def uncovered(footprint: Footprint, shown: Footprint) -> tuple[set[str], set[str]]:
    """Reads and writes that the locks show and the footprint lacks."""
    said = footprint.reads | footprint.writes
    reads = {name for name in shown.reads if not overlap(frozenset({name}), said)}
    writes = {name for name in shown.writes if not overlap(frozenset({name}), footprint.writes)}
    return reads, writes


@pytest.mark.parametrize("sql", STATEMENTS)
def test_text_and_catalogs_cover_what_the_locks_show(driven: Driven, sql: str) -> None:
    driven.run("BEGIN")
    footprint = driven.run(sql)
    shown = driven.locks()
    assert not footprint.ends, "the statement failed"
    assert uncovered(footprint, shown) == (set(), set())
    assert not footprint.unknown
    # Which advisory lock a call took is asked, because its key may be computed.
    assert driven.measured == ("advisory" in sql)
    ended = driven.run("ROLLBACK")
    assert shown.writes <= ended.released
    assert driven.locks() == Footprint()


@pytest.mark.parametrize("sql", STATEMENTS)
def test_locks_alone_are_united_with_the_text(url: str, observer: Observer, sql: str) -> None:
    with closing(Driven(url, observer, catalogs=False)) as driven:
        driven.run("BEGIN")
        footprint = driven.run(sql)
        assert uncovered(footprint, driven.locks()) == (set(), set())
        driven.run("ROLLBACK")


def test_plain_updates_do_not_reach_further_than_they_do(driven: Driven) -> None:
    driven.run("BEGIN")
    assert driven.run("UPDATE accounts SET balance = 1 WHERE id = 1").writes == {"accounts"}
    assert driven.run("UPDATE transfers SET note = '' WHERE id = 1").writes == {"transfers"}
    assert driven.run("SELECT * FROM transfers") == Footprint(reads=frozenset({"transfers"}))
    driven.run("ROLLBACK")


def test_what_locks_do_not_show_the_text_does(driven: Driven) -> None:
    driven.run("BEGIN")
    driven.run("UPDATE accounts SET balance = 1 WHERE id = 1")
    held = driven.locks()
    assert driven.run("UPDATE accounts SET balance = 1 WHERE id = 2").writes == {"accounts"}
    again = driven.run("SELECT * FROM accounts WHERE id = 3 FOR NO KEY UPDATE")
    assert again.writes == {"accounts"}
    assert driven.locks().writes == held.writes
    driven.run("ROLLBACK")


def test_advisory_locks_are_told_apart_by_their_keys(url: str, observer: Observer) -> None:
    with closing(Driven(url, observer)) as one, closing(Driven(url, observer)) as other:
        for session in (one, other):
            session.run("BEGIN")
        seven = one.run("SELECT pg_try_advisory_xact_lock(hashtextextended('seven', 0))")
        eight = other.run("SELECT pg_advisory_xact_lock(8)")
        refused = other.run("SELECT pg_try_advisory_xact_lock(hashtextextended('seven', 0))")
        both = one.run("SELECT pg_try_advisory_xact_lock(9), pg_try_advisory_xact_lock(10)")
        again = one.run("SELECT pg_try_advisory_xact_lock(9)")
        assert not dependent(seven, eight)
        for unclear in (refused, both, again):
            assert ADVISORY in unclear.writes
            assert dependent(unclear, seven)
            assert dependent(unclear, eight)
        ended = one.run("COMMIT")
        assert dependent(ended, refused)
        assert dependent(ended, seven)
        other.run("COMMIT")


def test_an_advisory_lock_that_was_refused(url: str, observer: Observer, driven: Driven) -> None:
    with closing(Driven(url, observer)) as other:
        driven.run("BEGIN")
        driven.run("SELECT pg_advisory_xact_lock(1)")
        other.run("BEGIN")
        refused = other.run("SELECT pg_try_advisory_xact_lock(1)")
        assert not has_advisory(other.locks().writes)
        assert ADVISORY in refused.writes
        assert dependent(refused, driven.run("ROLLBACK"))
        other.run("ROLLBACK")


@pytest.mark.parametrize("catalogs", [True, False])
def test_a_trigger_is_seen_by_its_locks(coded: str, beside_code: Observer, catalogs: bool) -> None:
    with closing(Driven(coded, beside_code, catalogs=catalogs)) as driven:
        driven.run("BEGIN")
        first = driven.run("UPDATE accounts SET balance = 1 WHERE id = 1")
        assert {"accounts", "audit", "audit_id_seq"} <= first.writes
        assert not first.unknown
        # The second time no lock is new.
        second = driven.run("UPDATE accounts SET balance = 1 WHERE id = 2")
        assert {"accounts", "audit", "audit_id_seq"} <= second.writes
        assert driven.measured >= 2
        ended = driven.run("COMMIT")
        assert {"accounts", "audit"} <= ended.committed_writes
        assert not ended.unknown


def test_a_trigger_that_did_not_fire_is_not_counted(with_code: Driven) -> None:
    with_code.run("BEGIN")
    found = with_code.run("UPDATE accounts SET balance = 1 WHERE id = -1")
    assert found.writes == {"accounts"}
    with_code.run("ROLLBACK")


def test_a_trigger_in_autocommit_cannot_be_seen(with_code: Driven) -> None:
    assert with_code.run("UPDATE accounts SET balance = 1 WHERE id = 1").unknown
    inserted = with_code.run("INSERT INTO transfers (payer) VALUES (1)")
    # The commit of one that locks accounts also checks the deferred key to them.
    assert inserted.writes == {"transfers", "transfers_id_seq", "accounts", "late"}
    assert inserted.ends


def test_a_users_function_is_unknown_and_its_end_is_not(with_code: Driven) -> None:
    with_code.run("BEGIN")
    called = with_code.run("SELECT transfer(1)")
    assert called.unknown
    assert "cards" in called.writes
    ended = with_code.run("COMMIT")
    assert not ended.unknown
    assert "cards" in ended.released
    assert with_code.run("SELECT transfer(1)").unknown


@pytest.mark.parametrize("sql", ["INSERT INTO coded DEFAULT VALUES", "SELECT * FROM called"])
def test_functions_behind_defaults_and_views_are_seen_by_their_locks(
    with_code: Driven, sql: str
) -> None:
    with_code.run("BEGIN")
    assert "tickets" in with_code.run(sql).writes
    with_code.run("ROLLBACK")
    assert with_code.run(sql).unknown


@pytest.mark.parametrize(
    "definition",
    [
        "LANGUAGE plpgsql AS 'BEGIN PERFORM pg_try_advisory_xact_lock(1); RETURN NULL; END'",
        """LANGUAGE plpgsql AS 'BEGIN UPDATE cards SET id = 1; RETURN NULL;
                                EXCEPTION WHEN others THEN RETURN NULL; END'""",
    ],
    ids=["advisory", "caught error"],
)
def test_triggers_that_locks_do_not_show(postgres: PostgresServer, definition: str) -> None:
    name = f"{DATABASE}_secret"
    secret = (
        f"CREATE FUNCTION secret() RETURNS trigger {definition};"
        "CREATE TRIGGER secret AFTER INSERT ON cards FOR EACH ROW EXECUTE FUNCTION secret();"
    )
    url = _created(postgres, name, SCHEMA + secret)
    with closing(Observer(url)) as observer, closing(Driven(url, observer)) as driven:
        driven.run("BEGIN")
        assert driven.run("INSERT INTO cards VALUES (5, 1)").unknown
        assert not driven.run("SELECT * FROM cards").unknown
    postgres.drop_database(name)


def test_a_trigger_that_notifies_tells_the_outside(postgres: PostgresServer) -> None:
    name = f"{DATABASE}_notes"
    notifying = (
        "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NOTIFY c; RETURN NULL; END';"
        "CREATE TRIGGER told AFTER INSERT ON cards FOR EACH ROW EXECUTE FUNCTION told();"
    )
    url = _created(postgres, name, SCHEMA + notifying)
    with closing(Observer(url)) as observer, closing(Driven(url, observer)) as driven:
        driven.run("BEGIN")
        assert OUTSIDE in driven.run("INSERT INTO cards VALUES (5, 1)").writes
        assert OUTSIDE in driven.run("COMMIT").writes
    postgres.drop_database(name)


def test_deferred_constraints_lock_at_the_commit(driven: Driven) -> None:
    driven.run("BEGIN")
    inserted = driven.run("INSERT INTO late VALUES (1, 3)")
    assert inserted.writes == {"late", "accounts"}
    assert driven.run("COMMIT").writes == {"late", "accounts"}
    driven.run("BEGIN")
    driven.run("INSERT INTO late VALUES (1, -1)")
    failed = driven.run("COMMIT")
    assert failed.ends
    assert failed.released == {"late", "accounts"}
    assert failed.committed_writes == frozenset()


def test_errors_give_locks_free_at_once(driven: Driven) -> None:
    driven.run("BEGIN")
    driven.run("UPDATE accounts SET balance = 1 WHERE id = 1")
    failed = driven.run("INSERT INTO accounts VALUES (1)")
    assert failed.ends
    assert "accounts" in failed.released
    assert driven.locks() == Footprint()
    driven.run("ROLLBACK")
    driven.run("BEGIN")
    driven.run("UPDATE accounts SET balance = 1 WHERE id = 1")
    driven.run("SAVEPOINT s")
    driven.run("INSERT INTO accounts VALUES (1)")
    assert driven.locks().writes == {"accounts"}
    assert "accounts" in driven.run("ROLLBACK").released


def test_the_isolation_level_is_the_servers(postgres: PostgresServer, url: str) -> None:
    with closing(Observer(url)) as observer, closing(Driven(url, observer)) as driven:
        driven.run("SET default_transaction_isolation = 'serializable'")
        driven.run("BEGIN")
        assert driven.run("SELECT * FROM accounts").isolation == "serializable"
        assert {mode for _, mode in observer.locks(driven.pid)} == {
            "AccessShareLock",
            "SIReadLock",
        }
        driven.run("ROLLBACK")
