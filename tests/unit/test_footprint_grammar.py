"""What PostgreSQL's grammar says of a text: relations, row locks, functions, transactions."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attacks.postgres.grammar import Parsed, is_choice, parse
from attacks.postgres.relations import ADVISORY, OUTSIDE, Isolation
from attacks.postgres.trace import TransactionStatus

READS_AND_WRITES = [
    ("SELECT 1", "", ""),
    ("SELECT * FROM accounts WHERE id = $1", "accounts", ""),
    ("SELECT * FROM public.accounts", "accounts", ""),
    ("SELECT * FROM ACCOUNTS", "accounts", ""),
    ('SELECT * FROM "Accounts"', "Accounts", ""),
    ("SELECT * FROM vault.accounts", "vault.accounts", ""),
    ("SELECT * FROM ONLY accounts a, users AS u", "accounts users", ""),
    ("SELECT * FROM a JOIN b USING (id) LEFT JOIN (c CROSS JOIN d) ON true", "a b c d", ""),
    ("SELECT (SELECT max(x) FROM b) FROM a WHERE EXISTS (SELECT FROM c)", "a b c", ""),
    ("SELECT * FROM a WHERE id IN (SELECT id FROM b) ORDER BY (SELECT 1 FROM c)", "a b c", ""),
    ("SELECT 1 FROM a UNION SELECT 2 FROM b EXCEPT SELECT 3 FROM c", "a b c", ""),
    ("SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.id = a.id) l", "a b", ""),
    ("SELECT * FROM a TABLESAMPLE system (10)", "a", ""),
    ("SELECT * FROM unnest($1::int[]) AS x", "", ""),
    ("SELECT sum(x) OVER (PARTITION BY (SELECT 1 FROM b)) FROM a", "a b", ""),
    ("SELECT 1 FROM a GROUP BY id HAVING count(*) > (SELECT 1 FROM b) LIMIT (SELECT 1 FROM c)",
     "a b c", ""),
    ("VALUES ((SELECT 1 FROM a)), (2)", "a", ""),
    ("TABLE a", "a", ""),
    # WITH queries are no relations, but only where they are visible.
    ("WITH w AS (SELECT * FROM a) SELECT * FROM w, b", "a b", ""),
    ("WITH w AS (SELECT * FROM w) SELECT * FROM w", "w", ""),
    ("WITH RECURSIVE w AS (SELECT 1 FROM a UNION SELECT 1 FROM w) SELECT * FROM w", "a", ""),
    ("WITH x AS (SELECT 1 FROM y), y AS (SELECT 1 FROM x) SELECT * FROM y", "y", ""),
    ("SELECT * FROM (WITH w AS (SELECT 1 FROM a) SELECT * FROM w) s, w", "a w", ""),
    ("WITH w AS (SELECT 1) SELECT * FROM public.w", "w", ""),
    ("WITH w AS (SELECT 1) INSERT INTO w SELECT * FROM w", "", "w"),
    ("WITH w AS (INSERT INTO a VALUES (1) RETURNING id) SELECT * FROM w", "", "a"),
    ("WITH w AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM w", "", "a b"),
    # Catalogs do not count: sessions do not change them without DDL.
    ("SELECT * FROM pg_class, pg_catalog.pg_type, information_schema.tables", "", ""),
    # Writes.
    ("INSERT INTO a (x) VALUES ($1)", "", "a"),
    ("INSERT INTO a SELECT * FROM b", "b", "a"),
    ("INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING", "", "a"),
    ("INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = (SELECT 1 FROM b)", "b", "a"),
    ("INSERT INTO a VALUES (1) RETURNING (SELECT 1 FROM b)", "b", "a"),
    ("UPDATE a SET x = 1", "", "a"),
    ("UPDATE public.a AS t SET x = b.x FROM b WHERE t.id = b.id", "b", "a"),
    ("UPDATE a SET (x, y) = (SELECT 1, 2 FROM b) WHERE id IN (SELECT id FROM a)", "a b", "a"),
    ("DELETE FROM a USING b WHERE a.id = b.id", "b", "a"),
    ("DELETE FROM a WHERE CURRENT OF c", "", "a"),
    ("MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET x = (SELECT 1 FROM c)",
     "b c", "a"),
    ("MERGE INTO a USING (SELECT * FROM b) s ON true WHEN NOT MATCHED THEN INSERT VALUES (1)",
     "b", "a"),
    ("COPY a FROM STDIN", "", "a"),
    ("COPY a TO STDOUT", "a", ""),
    ("COPY (SELECT * FROM a) TO STDOUT", "a", ""),
    ("COPY (DELETE FROM a RETURNING *) TO STDOUT", "", "a"),
    # Row locks.
    ("SELECT * FROM a FOR UPDATE", "a", "a"),
    ("SELECT * FROM a FOR NO KEY UPDATE NOWAIT", "a", "a"),
    ("SELECT * FROM a FOR SHARE SKIP LOCKED", "a", "a"),
    ("SELECT * FROM a FOR KEY SHARE", "a", "a"),
    ("SELECT * FROM a, b FOR UPDATE", "a b", "a b"),
    ("SELECT * FROM a, b FOR UPDATE OF b", "a b", "b"),
    ("SELECT * FROM a x JOIN b y ON true FOR UPDATE OF x", "a b", "a"),
    ("SELECT * FROM a x, b y FOR UPDATE OF x FOR SHARE OF y", "a b", "a b"),
    ("SELECT * FROM (SELECT * FROM a) x, b FOR UPDATE OF x", "a b", "a"),
    ("SELECT * FROM a x TABLESAMPLE system (1), b FOR UPDATE OF x", "a b", "a"),
    ("SELECT * FROM a, b FOR UPDATE OF unheard_of", "a b", "a b"),
    ("SELECT * FROM vault.a FOR UPDATE OF a", "vault.a", "vault.a"),
    ("WITH w AS (SELECT * FROM a) SELECT * FROM w, b FOR UPDATE", "a b", "b"),
    ("WITH w AS (SELECT * FROM a FOR UPDATE) SELECT * FROM w, b", "a b", "a"),
    ("SELECT * FROM b WHERE id = (SELECT id FROM a LIMIT 1 FOR UPDATE)", "a b", "a"),
    ("INSERT INTO c SELECT * FROM a FOR UPDATE", "a", "a c"),
    ("DECLARE k CURSOR FOR SELECT * FROM a FOR UPDATE", "a", "a"),
    ("LOCK TABLE a, vault.b IN SHARE ROW EXCLUSIVE MODE", "", "a vault.b"),
    ("EXPLAIN ANALYZE UPDATE a SET x = 1", "", "a"),
    ("PREPARE p AS UPDATE a SET x = 1", "", ""),
    # Sequences whose names can be read.
    ("SELECT nextval('a_id_seq')", "", "a_id_seq"),
    ("SELECT nextval('public.a_id_seq'::regclass), setval('vault.s', 1)", "", "a_id_seq vault.s"),
    ("INSERT INTO a VALUES (nextval('\"S\"'))", "", "a S"),
    ("SELECT currval('a_id_seq')", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "reads", "writes"), READS_AND_WRITES)
def test_relations(sql: str, reads: str, writes: str) -> None:
    parsed = parse(sql)
    assert (set(parsed.reads), set(parsed.writes)) == (set(reads.split()), set(writes.split()))
    assert not parsed.unknown


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("", "empty"),
        ("-- nothing\n/* at all */ ;", "empty"),
        ("/* traceparent */ SELECT 1 -- why", "select"),
        ("BEGIN", "begin"),
        ("START TRANSACTION READ ONLY", "begin"),
        ("COMMIT", "commit"),
        ("END", "commit"),
        ("ROLLBACK", "rollback"),
        ("ABORT", "rollback"),
        ("SAVEPOINT a", "savepoint"),
        ("RELEASE a", "release"),
        ("ROLLBACK TO a", "rollback to"),
        ("SET x.y = 1", "set"),
        ("RESET ALL", "set"),
        ("SHOW ALL", "show"),
        ("DISCARD ALL", "discard"),
        ("DEALLOCATE ALL", "deallocate"),
        ("CLOSE ALL", "close"),
        ("FETCH 1 FROM k", "fetch"),
        ("CALL p(1)", "call"),
        ("SET CONSTRAINTS ALL IMMEDIATE", "set constraints"),
        ("UNLISTEN *", "unlisten"),
        ("BEGIN; SELECT 1", "several"),
        ("SELECT FROM WHERE", "unknown"),
    ],
)
def test_kinds(sql: str, kind: str) -> None:
    assert parse(sql).kind == kind


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "CREATE TABLE a (id int)",
        "CREATE TABLE a AS SELECT 1",
        "SELECT * INTO a FROM b",
        "ALTER TABLE a ADD x int",
        "DROP TABLE a",
        "TRUNCATE a",
        "LOCK TABLE a",
        "VACUUM a",
        "DO 'BEGIN END'",
        "EXECUTE p",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "REFRESH MATERIALIZED VIEW a",
        "SELECT * FROM pg_locks",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_catalog.pg_sequences",
        "UPDATE pg_class SET relname = 'x'",
        "BEGIN; DROP TABLE a",
    ],
)
def test_what_a_text_shows_to_be_unknown(sql: str) -> None:
    assert parse(sql).unknown


@pytest.mark.parametrize(
    ("sql", "functions"),
    [
        ("SELECT transfer(1, 2)", "transfer"),
        ("SELECT bank.transfer(1, 2)", "bank.transfer"),
        ("SELECT * FROM transfer(1, 2)", "transfer"),
        ("SELECT * FROM ROWS FROM (f(1), g(2))", "f g"),
        ("CALL p(f(1))", "p f"),
        ("INSERT INTO a VALUES (f(1)) ON CONFLICT (x) DO UPDATE SET x = g(1) RETURNING h(1)",
         "f g h"),
        ("UPDATE a SET x = f(1) WHERE y = g(1)", "f g"),
        ("SELECT 1 FROM a ORDER BY f(x) LIMIT g(1)", "f g"),
        ("SELECT now(), current_timestamp, count(*), coalesce(1, 2)", "now count"),
        ("SELECT extract(year FROM x) FROM a", "pg_catalog.extract"),
        ("SELECT nextval($1)", "nextval"),
        ("SELECT nextval('a b')", "nextval"),
        ("SELECT set_config($1, 'x', true)", "set_config"),
        ("SELECT set_config('app.user', f(1), true)", "f"),
        ("WITH w AS (SELECT f(1)) SELECT * FROM w", "f"),
        ("SELECT 1 FROM a WHERE x = ANY (SELECT f(1))", "f"),
        ("SELECT sum(f(x)) FILTER (WHERE g(x)) OVER (ORDER BY h(x)) FROM a", "sum f g h"),
    ],
)  # fmt: skip
def test_functions_in_any_place(sql: str, functions: str) -> None:
    assert set(parse(sql).functions) == set(functions.split())


@pytest.mark.parametrize(
    ("sql", "pseudo"),
    [
        ("SELECT pg_advisory_lock(1)", ADVISORY),
        ("SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2)", ADVISORY),
        ("SELECT 1 FROM a WHERE pg_try_advisory_xact_lock(a.id)", ADVISORY),
        ("SELECT pg_advisory_unlock_all()", ADVISORY),
        ("NOTIFY c, 'x'", OUTSIDE),
        ("LISTEN c", OUTSIDE),
        ("SELECT pg_notify('c', 'x')", OUTSIDE),
        ("COPY a TO PROGRAM 'cat'", OUTSIDE),
        ("COPY a FROM '/tmp/x'", OUTSIDE),
    ],
)
def test_pseudo_relations(sql: str, pseudo: str) -> None:
    assert pseudo in parse(sql).writes


@pytest.mark.parametrize(
    ("sql", "isolation", "of_session"),
    [
        ("BEGIN", None, False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "serializable", False),
        ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "repeatable read", False),
        ("BEGIN READ ONLY", None, False),
        ("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "read uncommitted", False),
        ("SET transaction_isolation = 'serializable'", "serializable", False),
        ("SET LOCAL transaction_isolation TO 'SERIALIZABLE'", "serializable", False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
         "serializable", True),
        ("SET default_transaction_isolation = 'repeatable read'", "repeatable read", True),
        ("SET default_transaction_isolation TO DEFAULT", "default", True),
        ("SET LOCAL default_transaction_isolation = 'read committed'", None, False),
        ("RESET default_transaction_isolation", "default", True),
        ("RESET ALL", "default", True),
        ("DISCARD ALL", "default", True),
        ("DISCARD PLANS", None, False),
        ("SET search_path = a", None, False),
        ("SET default_transaction_isolation = 1", "default", True),
        ("SELECT set_config('default_transaction_isolation', $1, false)", "serializable", True),
        ("BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1", "serializable", False),
        ("BEGIN ISOLATION LEVEL READ COMMITTED; RESET ALL", "default", True),
    ],
)  # fmt: skip
def test_isolation(sql: str, isolation: str | None, of_session: bool) -> None:
    parsed = parse(sql)
    assert (parsed.isolation, parsed.isolation_of_session) == (isolation, of_session)


def test_several_statements_are_united() -> None:
    parsed = parse("BEGIN; UPDATE a SET x = 1; SELECT f(1) FROM b FOR UPDATE; COMMIT AND CHAIN")
    assert parsed == Parsed(
        kind="several",
        kinds=("begin", "update", "select", "commit"),
        reads=frozenset({"b"}),
        writes=frozenset({"a", "b"}),
        locks_rows=True,
        access="change",
        functions=frozenset({"f"}),
        statements=4,
        chain=True,
    )


@pytest.mark.parametrize(
    ("sql", "access", "columns"),
    [
        ("SELECT * FROM a FOR UPDATE", "lock", {}),
        ("INSERT INTO a VALUES (1)", "insert", {}),
        ("INSERT INTO a (x, y) VALUES (1, 2)", "insert", {"a": {"x", "y"}}),
        ("INSERT INTO a (x, y) VALUES (1, DEFAULT)", "insert", {}),
        ("INSERT INTO a (x) SELECT 1", "insert", {"a": {"x"}}),
        ("INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING", "insert", {}),
        ("INSERT INTO a (x) VALUES (1) ON CONFLICT DO NOTHING", "insert", {"a": {"x"}}),
        ("INSERT INTO a (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 1", "change", {}),
        ("COPY a FROM STDIN", "insert", {}),
        ("UPDATE a SET x = 1, y[1] = 2", "change", {"a": {"x", "y"}}),
        ("UPDATE a SET (x, y) = (1, 2)", "change", {"a": {"x", "y"}}),
        ("UPDATE a SET x = DEFAULT", "change", {}),
        ("DELETE FROM a", "change", {}),
        ("WITH w AS (DELETE FROM b) UPDATE a SET x = 1", "change", {"a": {"x"}}),
        ("WITH w AS (UPDATE a SET y = 1) UPDATE a SET x = 1", "change", {"a": {"x", "y"}}),
        ("WITH w AS (DELETE FROM a) UPDATE a SET x = 1", "change", {}),
        ("WITH w AS (INSERT INTO a (y) VALUES (1)) UPDATE a SET x = 1", "change", {}),
        (
            "WITH w AS (INSERT INTO b (y) VALUES (1)) UPDATE a SET x = 1",
            "change",
            {"a": {"x"}, "b": {"y"}},
        ),
        ("UPDATE a SET x = 1; UPDATE b SET y = 1", "change", {}),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET x = 1", "change", {}),
    ],
)
def test_what_is_done_to_what_is_written(
    sql: str, access: str, columns: dict[str, set[str]]
) -> None:
    parsed = parse(sql)
    assert parsed.access == access
    assert {name: set(chosen) for name, chosen in parsed.columns} == columns
    assert [parsed.columns_of(name) for name in ("a", "b")] == [columns.get("a"), columns.get("b")]


@pytest.mark.parametrize(
    ("sql", "inserted"),
    [
        ("INSERT INTO a VALUES (1)", {"a"}),
        ("WITH w AS (INSERT INTO a VALUES (1)) UPDATE b SET x = 1", {"a"}),
        ("WITH w AS (INSERT INTO a VALUES (1)) UPDATE a SET x = 1", set()),
        ("INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 1", set()),
        ("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); DELETE FROM a", {"b"}),
        ("SELECT * FROM a FOR UPDATE", set()),
    ],
)
def test_what_is_put_in_and_not_changed(sql: str, inserted: set[str]) -> None:
    assert parse(sql).inserted == inserted


@pytest.mark.parametrize(
    ("sql", "takes"),
    [
        ("SELECT 1", True),
        ("INSERT INTO a VALUES (1)", True),
        ("DECLARE k CURSOR FOR SELECT 1", True),
        ("BEGIN; SELECT 1", True),
        ("BEGIN", False),
        ("SET x.y = 1", False),
        ("SHOW search_path", False),
        ("LOCK TABLE a IN SHARE MODE", False),
        ("SAVEPOINT a", False),
        ("COMMIT", False),
        ("", False),
    ],
)
def test_what_takes_a_snapshot(sql: str, takes: bool) -> None:
    assert parse(sql).takes_snapshot is takes


def test_ids_and_moments_in_a_text_change_nothing() -> None:
    text = "INSERT INTO t VALUES ('{}', '{}', nextval('a'))"
    ids = ("0198f0aa-0000-7000-8000-000000000001", "11111111-2222-3333-4444-555555555555")
    moments = ("2026-11-21T10:00:00+00:00", "2026-11-21 10:00:00.123456")
    one, other = (parse(text.format(*pair)) for pair in zip(ids, moments, strict=True))
    assert one is other
    assert one.writes == {"t", "a"}
    assert parse("SELECT nextval('b')") != parse("SELECT nextval('a')")


@given(st.text())
@example("\ud800")
@example("SELECT 'never closed")
@example("(" * 5000)
def test_no_text_is_too_odd(text: str) -> None:
    parsed = parse(text)
    assert parsed.unknown or "unknown" not in parsed.kinds


QUIET = [
    "",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "SET search_path = a",
    "SHOW server_version",
    "SAVEPOINT a",
    "RELEASE a",
    "DEALLOCATE ALL",
    "CLOSE ALL",
    "SELECT 1",
    "SELECT version(), pg_catalog.current_schema(), current_timestamp",
    "SELECT oid FROM pg_type WHERE typname = $1",
    "BEGIN; SET LOCAL x.y = 1",
]
HEARD = [
    "SELECT * FROM a",
    "SELECT random_user_function()",
    "SELECT nextval('s')",
    "SELECT pg_advisory_lock(1)",
    "SELECT * FROM pg_stat_activity",
    "UPDATE a SET x = 1",
    "COMMIT",
    "ROLLBACK TO a",
    "CREATE TABLE a (id int)",
    "SELEC 1",
    "EXECUTE p",
    "FETCH 1 FROM k",
    "CALL p()",
    "NOTIFY c",
    "BEGIN; SELECT * FROM a",
]


@pytest.mark.parametrize("status", ["I", "T"])
@pytest.mark.parametrize("sql", QUIET)
def test_no_choice_points(sql: str, status: TransactionStatus) -> None:
    assert not is_choice(parse(sql), status=status)


@pytest.mark.parametrize("status", ["I", "T"])
@pytest.mark.parametrize("sql", HEARD)
def test_choice_points(sql: str, status: TransactionStatus) -> None:
    assert is_choice(parse(sql), status=status)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_ping_takes_the_snapshot_of_a_transaction(level: Isolation) -> None:
    ping = parse("SELECT 1")
    assert is_choice(ping, status="T", isolation=level)
    assert not is_choice(ping, status="I", isolation=level)
    assert is_choice(ping, status="I", isolation=level, ends_with_sync=False)
    assert not is_choice(parse("SHOW search_path"), status="T", isolation=level)
    assert is_choice(parse(f"BEGIN ISOLATION LEVEL {level}; SELECT 1"), status="T")
    assert is_choice(parse("RESET ALL; SELECT 1"), status="T")


def test_preparing_is_no_choice_unless_it_takes_the_snapshot() -> None:
    update = parse("UPDATE a SET x = 1")
    assert not is_choice(update, status="T", kind="prepare")
    assert is_choice(update, status="T", kind="prepare", isolation="repeatable read")
    assert not is_choice(parse("BEGIN"), status="T", kind="prepare", isolation="repeatable read")


def test_a_function_call_of_the_protocol_is_a_choice() -> None:
    assert is_choice(parse("SELECT 1"), status="I", kind="call")


def test_a_rollback_is_a_choice_when_it_gives_something_back() -> None:
    rollback = parse("ROLLBACK")
    assert not is_choice(rollback, status="E")
    assert is_choice(rollback, status="T")
    assert not is_choice(rollback, status="T", holds=frozenset())
    assert is_choice(rollback, status="T", holds=frozenset({"a"}))
    assert is_choice(rollback, status="E", holds=frozenset({"a"}))


def test_a_pools_reset_is_a_choice_when_it_unlocks_something() -> None:
    reset = parse("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL")
    assert is_choice(reset, status="I")
    assert is_choice(reset, status="I", holds=frozenset({ADVISORY}))
    assert not is_choice(reset, status="I", holds=frozenset())
    discard = parse("DISCARD ALL")
    assert not is_choice(discard, status="I")
    assert is_choice(discard, status="I", holds=frozenset({ADVISORY}))
    both = parse("SELECT pg_advisory_unlock_all(), pg_advisory_lock(1)")
    assert is_choice(both, status="I", holds=frozenset())
    table = parse("SELECT pg_advisory_unlock_all() FROM a")
    assert is_choice(table, status="I", holds=frozenset())


def test_who_knows_more_functions_may_say_so() -> None:
    ping = parse("SELECT my_ping()")
    assert is_choice(ping, status="I")
    assert not is_choice(ping, status="I", is_pure=lambda name: name == "my_ping")
