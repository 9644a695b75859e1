"""Every migration, up and down, is repeatable after it broke off at any of its statements.

For each revision and direction, one statement that changes something after the other gets no lock
in time, once; then the command is given again. What is there at last is what an unbroken run
leaves.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

from engine.defences import parse_build
from engine.migrations import MigrationError, Shape, commands, down, up
from engine.stores import PostgresServer
from tests.integration.test_engine_migrations import FILES, rows

pytestmark = pytest.mark.slow

REVISIONS = [file.name.partition("_")[0] for file in FILES]
NUMBERS = count()
READS = ("SELECT", "SET ")
NO_LOCK = "DO $$ BEGIN RAISE EXCEPTION 'no lock' USING ERRCODE = 'lock_not_available'; END $$"
BREAK_INDEX = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass"

CATALOGS = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "indexes": """
        SELECT pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready, i.indisunique
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1""",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled
        FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2""",
    "functions": """
        SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1""",
    "grants": """
        SELECT c.relname, a.grantee::regrole::text, a.privilege_type, a.is_grantable
        FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1, 2, 3""",
    "revision": "SELECT version_num FROM alembic_version",
}
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind='r'"

# What is in the tables once there are such tables, or such columns, by revision.
DATA = {
    "0001": """
        INSERT INTO users (username) VALUES ('one'), ('two');
        INSERT INTO asset_types (name, code, decimals) VALUES ('US Dollar', 'USD', 2);
        INSERT INTO wallets (user_id, asset_type_id, balance) SELECT id, 1, 100 FROM users;
        INSERT INTO transactions
            (id, type, from_wallet_id, to_wallet_id, amount, status, timestamp)
        SELECT gen_random_uuid(), 'TRANSFER', 1, 2, 5, 'COMPLETED', now()
        FROM generate_series(1, 9)""",
    "0002": """
        DO $$ BEGIN IF to_regclass('ledger_entries') IS NOT NULL THEN
            INSERT INTO ledger_entries
                (transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version)
            SELECT id, 1, 'DEBIT', amount, 1, 1 FROM transactions
            UNION ALL SELECT id, 2, 'CREDIT', amount, 1, 1 FROM transactions;
        END IF; END $$""",
    "0003": "INSERT INTO idempotency_keys (scope, key, fingerprint) VALUES ('a', 'b', 'c')",
    "0006": """
        INSERT INTO daily_limits (user_id, asset_type_id, daily_cap) VALUES (1, 1, 50);
        UPDATE wallets SET limited = true, allow_negative = true WHERE user_id = 1""",
    "0008": """
        INSERT INTO batches (user_id, source_wallet_id, idempotency_key) VALUES (1, 1, 'k');
        INSERT INTO batch_rows (batch_id, row_index, line, recipient_id, amount)
        VALUES (1, 1, 2, 2, 5)""",
    "0009": "UPDATE users SET pin_hash = 'x'",
    "0010": "INSERT INTO revoked_tokens VALUES ('t', now())",
    "0012": """
        INSERT INTO holds SELECT id, 1, 2, amount, 'captured', now() FROM transactions LIMIT 1;
        INSERT INTO transactions
            (id, type, to_wallet_id, amount, status, timestamp, settles_hold_id)
        SELECT gen_random_uuid(), 'CAPTURE', 2, amount, 'COMPLETED', now(), id FROM holds
        WHERE NOT EXISTS (SELECT FROM transactions WHERE type = 'CAPTURE')""",
}


@dataclass(kw_only=True, eq=False)
class Fault:
    """Counts statements, and lets one of them fail as if somebody had held the table."""

    at: int | None = None
    statements: int = 0
    statement: str = "none"

    @property
    def broke(self) -> bool:
        return self.at is not None

    def __call__(  # noqa: PLR0917 - SQLAlchemy's event
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        del conn, context, many
        if statement.lstrip().startswith(READS):
            return statement, parameters  # It breaks off as the next one does.
        self.statements += 1
        if self.statements != self.at:
            return statement, parameters
        self.statement = statement
        if "INDEX CONCURRENTLY IF NOT EXISTS" in statement:
            # Whoever gives up while it is built leaves it there, of no use.
            name = statement.partition("NOT EXISTS ")[2].split()[0]
            cursor.execute(statement)
            cursor.execute(BREAK_INDEX, (name,))
        return NO_LOCK, type(parameters)()


@contextmanager
def injected(fault: Callable[..., tuple[str, Any]]) -> Iterator[None]:
    event = (sa.Engine, "before_cursor_execute", fault)
    sa.event.listen(*event, retval=True)
    try:
        yield
    finally:
        sa.event.remove(*event)


def schema(url: str) -> dict[str, Any]:
    """What the catalogs say, and how many rows each table has."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:

        def asked(query: str) -> list[tuple[Any, ...]]:
            cursor.execute(query)
            return cursor.fetchall()

        seen = {name: asked(query) for name, query in CATALOGS.items()}
        for (table,) in asked(TABLES):
            seen[f"rows of {table}"] = asked(f"SELECT count(*) FROM {table}")
        return seen


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {sorted(set(found.get(name, ())) ^ set(expected.get(name, ())), key=str)}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One database, taken up and down again around each migration, with data in its tables."""

    url: str
    shape: Shape

    def up(self, revision: str) -> None:
        up(self.url, self.shape, revision=revision)

    def fill(self, revision: str) -> None:
        rows(self.url, DATA.get(revision, "SELECT"))

    def broken_ups(self, revision: str) -> list[str]:
        """What differs from an unbroken run; ends without the migration."""
        self.up(revision)
        self.fill(revision)
        down(self.url)  # What it leaves, such as the escrow, is there from the beginning.
        wrong: list[str] = []
        expected = None
        for fault in self._faults(lambda: self.up(revision)):
            with suppress(MigrationError):
                self.up(revision)
            found = schema(self.url)
            expected = expected or found
            wrong += _unlike(fault, found, expected)
            self.fill(revision)
            down(self.url)
        return wrong

    def broken_downs(self, revision: str) -> list[str]:
        """The same the other way; ends with the migration."""
        wrong: list[str] = []
        expected = None
        self.up(revision)
        self.fill(revision)
        untouched = schema(self.url)
        for fault in self._faults(lambda: down(self.url)):
            if fault.broke:
                # It is done or it is not: whoever goes up instead finds all that there was.
                wrong += _unlike(fault, schema(self.url), untouched)
                with suppress(MigrationError):
                    down(self.url)
            found = schema(self.url)
            expected = expected or found
            wrong += _unlike(fault, found, expected)
            self.up(revision)
            self.fill(revision)
            untouched = schema(self.url)
        return wrong

    def _faults(self, command: Callable[[], None]) -> Iterator[Fault]:
        """After the command, unbroken first, and then broken off at one statement after another."""
        unbroken = Fault()
        with injected(unbroken):
            command()
        yield unbroken
        for at in range(1, unbroken.statements + 1):
            fault = Fault(at=at)
            with injected(fault), pytest.raises(MigrationError, match="no lock"):
                command()
            yield fault


@pytest.fixture
def new_url(postgres: PostgresServer) -> Iterator[str]:
    name = f"break_offs_{next(NUMBERS)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gives up at the first lock that it does not get."""
    monkeypatch.setattr(commands, "GAVE_WAY", frozenset())
    monkeypatch.setattr(commands, "PAUSE_S", 0.01)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("build", ["hardened", "fragile"])
def test_whatever_breaks_off_is_repeated(new_url: str, build: str) -> None:
    walk = Walk(url=new_url, shape=Shape.of(parse_build(build).defences))
    for revision in REVISIONS:
        wrong = walk.broken_ups(revision)
        assert not wrong, f"up to {revision}\n" + "\n".join(wrong)
        wrong = walk.broken_downs(revision)
        assert not wrong, f"down from {revision}\n" + "\n".join(wrong)


def test_after_an_index_broke_off_nobody_waits_without_bound(new_url: str) -> None:
    """It is built without a lock time-out, and whatever is repeated in its session has one."""
    shape = Shape.of(parse_build("hardened").defences)
    up(new_url, shape, revision="0010")
    broken: list[str] = []
    bounds: list[str] = []

    def break_index(*event: Any) -> tuple[str, Any]:
        _, cursor, statement, parameters, *_ = event
        if "INDEX CONCURRENTLY" in statement and not broken:
            broken.append(statement)
            return NO_LOCK, parameters
        if broken and statement.startswith("ALTER TABLE"):
            cursor.execute("SHOW lock_timeout")
            bounds.append(cursor.fetchone()[0])
        return statement, parameters

    with injected(break_index):
        up(new_url, shape)
    assert bounds
    assert "0" not in bounds


def _unlike(fault: Fault, found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [f"after {fault.statement!r}: {line}" for line in differences(found, expected)]


def test_the_comparison_itself_sees_what_is_missing(new_url: str) -> None:
    up(new_url, Shape.of(parse_build("hardened").defences))
    rows(new_url, DATA["0003"])
    before = schema(new_url)
    for change, kind in (
        ("DROP INDEX wallets_user_id", "indexes"),
        ("ALTER TABLE wallets ALTER COLUMN label DROP DEFAULT", "columns"),
        ("ALTER TABLE wallets DROP CONSTRAINT wallets_status_known", "constraints"),
        ("DROP TRIGGER transactions_stay ON transactions", "triggers"),
        ("REVOKE SELECT ON wallets FROM CURRENT_USER", "grants"),
        ("DELETE FROM idempotency_keys", "rows of idempotency_keys"),
    ):
        rows(new_url, change)
        after = schema(new_url)
        (line,) = differences(after, before)
        assert line.startswith(kind)
        before = after
