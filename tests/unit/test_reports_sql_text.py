"""SQL made short for people: what stays, what gives way, and what is never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.sql_text import full_sql, is_only, short_sql, unbroken

WORDS = (
    "SELECT", "FROM", "WHERE", "SET", "UPDATE", "WITH", "AS", "INSERT", "INTO", "VALUES", "FOR",
    "CAST", "unnest", "(", ")", "[", "]", ",", ".", "=", "::", "$1", "'text'", '"name"', "t", "a",
    "1", "AND", "ORDER",
)  # fmt: skip
ENGINE_WRITE = """WITH part_0 AS (
INSERT INTO transactions
    (id, type) SELECT id, type FROM unnest(CAST(ARRAY['7'] AS uuid[])) AS new (id)
), part_1 AS (UPDATE idempotency_keys SET response_status = 201), part_2 AS (SELECT 1)
UPDATE wallets SET balance = new.balance, version = new.version
FROM unnest(
    CAST(ARRAY[1, 2] AS bigint[]), CAST(ARRAY['0.00', '100.00'] AS numeric[]), '{4,9}'
) AS new (id, balance, version)
WHERE wallets.id = new.id
RETURNING wallets.id"""


@pytest.mark.parametrize(
    ("sql", "parameters", "shown"),
    [
        ("SELECT balance\n  FROM wallets;", (), "SELECT balance FROM wallets"),
        ("SELECT w.balance FROM wallets w WHERE w.id=1", (),
         "SELECT balance FROM wallets w WHERE id = 1"),
        ("SELECT w.balance FROM wallets AS w", (), "SELECT balance FROM wallets AS w"),
        ('SELECT "public"."Account"."id" FROM "public"."Account" WHERE ("Account"."id" = $1)',
         ("7",), "SELECT id FROM Account WHERE id = 7"),
        ('SELECT "odd name" FROM a, b WHERE a.x = b.x', (),
         'SELECT "odd name" FROM a, b WHERE a.x = b.x'),
        ("SELECT a.x FROM a JOIN b ON a.x = b.x", (), "SELECT a.x FROM a JOIN b ON a.x = b.x"),
        ("SELECT n.x FROM (SELECT 1 AS x) n", (), "SELECT n.x FROM (SELECT 1 AS x) n"),
        ("SELECT n.x FROM f(3) n", (), "SELECT n.x FROM f(3) n"),
        ("SELECT x FROM", (), "SELECT x FROM"),
        ("UPDATE t SET a=$1::NUMERIC(10, 2), b=($2)::double precision WHERE id=$3::\"S\".\"E\"",
         ("1.50", "-2", "x'y"), "UPDATE t SET a = 1.50, b = -2 WHERE id = 'x''y'"),
        ("UPDATE t SET at = $1::timestamp(3) with time zone", (None,), "UPDATE t SET at = NULL"),
        ("SELECT CAST(a AS numeric), CAST(f(b, 1) AS text), CAST(c)", (),
         "SELECT a, f(b, 1), c"),
        ("SELECT a::int[]", (), "SELECT a"),
        ("SELECT 5 % s, $3", ("1",), "SELECT 5 % s, $3"),
        ("SELECT %s, %s", ("1",), "SELECT 1, %s"),
        ("SELECT E'it\\'s', $q$ a;b $q$, 'c''d' -- end", (),
         "SELECT E'it\\'s', $q$ a;b $q$, 'c''d'"),
        ("/* who: me */ DELETE FROM keys k WHERE k.at < now()", (),
         "DELETE FROM keys k WHERE at < now()"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", (),
         "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2"),
        ("SELECT 1 FROM t WHERE (a = 1) AND (b = 2)", (),
         "SELECT 1 FROM t WHERE (a = 1) AND (b = 2)"),
        ("SELECT 1 FROM t WHERE (a = 1 OR b = 2", (), "SELECT 1 FROM t WHERE (a = 1 OR b = 2"),
        ("SELECT 1 FROM t WHERE (a IS NULL) OR (b)", (),
         "SELECT 1 FROM t WHERE (a IS NULL) OR (b)"),
        ("SELECT 'never ended", (), "SELECT 'never ended"),
        ("", (), ""),
    ],
)  # fmt: skip
def test_a_statement_as_one_would_have_typed_it(
    sql: str, parameters: tuple[str | None, ...], shown: str
) -> None:
    assert short_sql(sql, parameters, 200) == shown


@pytest.mark.parametrize(
    ("sql", "width", "shown"),
    [
        ("SELECT id, user_id, balance FROM wallets WHERE id = 1 FOR UPDATE", 50,
         "SELECT … FROM wallets WHERE id = 1 FOR UPDATE"),
        ("SELECT pg_advisory_xact_lock(7), 'a long comment'", 40,
         "SELECT pg_advisory_xact_lock(7), 'a lon…"),
        ("SELECT id FROM wallets WHERE owner = 'somebody with a long name' ORDER BY id LIMIT 5", 50,
         "SELECT … FROM wallets WHERE owner = 'somebody…'"),
        ("UPDATE t SET a = 1, b = f(2, 3), c = 3, d = 4, e = 5 WHERE id = 1", 50,
         "UPDATE t SET a = 1, b = f(2, 3), … WHERE id = 1"),
        ("UPDATE t SET balance = 1, version = f(2, 3), c = 3 WHERE id = 1", 42,
         "UPDATE t SET balance = 1, … WHERE id = 1"),
        ("INSERT INTO t (a, b, c) VALUES (1, 2, 3), (4, 5, 6)", 40,
         "INSERT INTO t VALUES (1, 2, 3), …"),
        ("INSERT INTO audit_records DEFAULT VALUES RETURNING id, at", 45,
         "INSERT INTO audit_records DEFAULT VALUES"),
        ("SELECT x FROM t WHERE id IN (100, 200, 300, 400, 500)", 40,
         "SELECT … FROM t WHERE id IN (…)"),
        ("SELECT x FROM t WHERE id IN (100, 200, 300, 400, 500", 40,
         "SELECT … FROM t WHERE id IN (…"),
        ("WITH a AS (SELECT 1 AS x, 2 AS y, 3 AS z)", 30, "WITH a AS (…)"),
        ("UPDATE a_rather_long_name SET balance_minor = 1234567 WHERE identity = 7654321", 40,
         "UPDATE a_rather_lo… WHERE identity = 76…"),
        ("SELECT a_very_long_name FROM another_very_long_name WHERE id = 1 FOR UPDATE", 40,
         "SELECT … FROM a… WHERE id = 1 FOR UPDATE"),
    ],
)  # fmt: skip
def test_what_gives_way_when_room_is_short(sql: str, width: int, shown: str) -> None:
    assert short_sql(sql, (), width) == shown


def test_values_that_travel_as_arrays_are_shown_where_they_go() -> None:
    assert short_sql(ENGINE_WRITE, (), 160) == (
        "UPDATE wallets SET balance = ['0.00', '100.00'], version = [4, 9] WHERE id = [1, 2] "
        "RETURNING id + INSERT INTO transactions + UPDATE idempotency_keys"
    )
    one = "UPDATE w SET b = n.b FROM unnest(ARRAY[5], ARRAY[1]) AS n (b, id) WHERE w.id = n.id"
    assert short_sql(one, (), 80) == "UPDATE w SET b = 5 WHERE id = 1"


@pytest.mark.parametrize(
    "source",
    [
        "FROM old",
        "FROM unnest(ARRAY[1]) AS n",
        "FROM unnest(ARRAY[1], ARRAY[2]) AS n (a)",
        "FROM unnest(ARRAY[1]) AS n ORDER BY 1",
    ],
)
def test_other_sources_stay_as_they_are(source: str) -> None:
    assert short_sql(f"UPDATE w SET a = n.a {source}", (), 200).endswith(source)


@given(st.text(max_size=200), st.lists(st.none() | st.text(max_size=30)), st.integers(10, 120))
def test_any_text_gets_its_room_and_no_more(
    sql: str, parameters: list[str | None], width: int
) -> None:
    assert len(short_sql(sql, parameters, width)) <= width


@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=40,
    ),
    st.integers(10, 80),
)
def test_any_broken_statement_gets_its_room_and_no_more(words: list[str], width: int) -> None:
    assert len(short_sql(" ".join(words), ("v",), width)) <= width


def test_the_full_text_lists_the_parameters_as_they_were_sent() -> None:
    assert full_sql("SELECT  1  \n FROM t WHERE a = $1", ("x",)) == (
        "SELECT  1\n FROM t WHERE a = $1\n$1 = 'x'"
    )


def test_one_word_alone() -> None:
    assert is_only("commit;", "COMMIT", "END")
    assert not is_only("COMMIT AND CHAIN", "COMMIT")
    assert not is_only("", "COMMIT")


def test_no_line_breaks_inside_a_comparison() -> None:
    assert unbroken("a WHERE b = 1") == "a WHERE\u00a0b\u00a0=\u00a01"
