"""Which rows a statement names, and when two statements cannot meet for it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.postgres.dependence import dependent
from attacks.postgres.footprint import Footprint, together
from attacks.postgres.grammar import parse
from attacks.postgres.rows import Row, RowKey, Rows, apart, differ, in_both, rows_of

KEYED = RowKey(
    columns=("scope", "key"),
    types=("text", "text"),
    alone=True,
    unique_columns=frozenset({"scope", "key"}),
    plain=True,
)
NUMBERED = replace(KEYED, columns=("id",), types=("int4",), unique_columns=frozenset({"id"}))
NAMED = replace(NUMBERED, alone=False, unique_columns=frozenset({"id", "name"}))
KEYS = {"keyed": KEYED, "numbered": NUMBERED, "named": NAMED}


def rows(sql: str) -> dict[str, set[Row]]:
    return {name: set(found) for name, found in rows_of(parse(sql).touches, KEYS.get)}


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT v FROM numbered WHERE id = 7", {("7",)}),
        ("SELECT v FROM numbered WHERE '07' = id AND v > 3 FOR UPDATE", {("7",)}),
        ("SELECT v FROM numbered AS n WHERE n.id = 7::bigint", {("7",)}),
        ("UPDATE numbered SET v = 1 WHERE numbered.id = 7", {("7",)}),
        ("DELETE FROM numbered WHERE id = 7", {("7",)}),
        ("INSERT INTO numbered (v, id) VALUES (1, 7)", {("7",)}),
        ("SELECT v FROM keyed WHERE key = 'a'", {(None, "a")}),
        ("INSERT INTO keyed (scope, key) VALUES ('s', 'a') ON CONFLICT DO NOTHING", {("s", "a")}),
        ("WITH w AS (DELETE FROM numbered WHERE id = 1) SELECT v FROM numbered WHERE id = 2",
         {("1",), ("2",)}),
        ("SELECT v FROM numbered WHERE id = 1 UNION SELECT v FROM numbered WHERE id = 2",
         {("1",), ("2",)}),
        ("SELECT v FROM numbered WHERE id = 2 AND v = (SELECT max(v) FROM other)", {("2",)}),
    ],
)  # fmt: skip
def test_rows_that_are_named(sql: str, named: set[Row]) -> None:
    (found,) = rows(sql).values()
    assert found == named


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT v FROM numbered",
        "SELECT v FROM numbered WHERE id > 7",
        "SELECT v FROM numbered WHERE id = 7 OR v = 1",
        "SELECT v FROM numbered WHERE NOT id = 7",
        "SELECT v FROM numbered WHERE id = v",
        "SELECT v FROM numbered WHERE id = '7'::varchar(1)",
        "SELECT v FROM numbered WHERE id::text = '7'",
        "SELECT v FROM numbered WHERE id = $1",
        "SELECT v FROM numbered WHERE id = 'seven'",
        "SELECT v FROM numbered, other WHERE id = 7",
        # Here `n.id` is the outer query's.
        "SELECT 1 FROM other n WHERE EXISTS (SELECT FROM numbered WHERE n.id = 7)",
        # Once named, once not.
        "UPDATE numbered SET v = (SELECT max(v) FROM numbered) WHERE id = 7",
        "UPDATE numbered SET v = 1 FROM other WHERE numbered.id = 7",
        "UPDATE numbered SET id = 8 WHERE id = 7",
        "DELETE FROM numbered USING other WHERE numbered.id = 7",
        "INSERT INTO numbered VALUES (7, 1)",
        "INSERT INTO numbered (id) VALUES (7), (8)",
        "INSERT INTO numbered (id) SELECT 7",
        "INSERT INTO numbered (id) VALUES (DEFAULT)",
        "INSERT INTO numbered (id, v) VALUES (7, 1) ON CONFLICT (id) DO UPDATE SET v = 2",
        # Another unique index has to be passed, too.
        "INSERT INTO named (id, name) VALUES (7, 'a')",
        "UPDATE named SET name = 'a' WHERE id = 7",
        "LOCK TABLE numbered",
        "COPY numbered FROM STDIN",
        "TRUNCATE numbered",
        "MERGE INTO numbered USING other ON id = 7 WHEN MATCHED THEN DELETE",
        "SELECT v FROM numbered WHERE id = 7; SELECT v FROM numbered WHERE id = 7",
        # What is new each time is nothing to the grammar.
        "SELECT v FROM keyed WHERE key = '0b2f0f8e-1111-4222-8333-444455556666'",
    ],
)
def test_rows_that_are_not(sql: str) -> None:
    assert rows(sql) == {}


def test_other_columns_of_a_table_with_two_unique_indexes_may_change() -> None:
    assert rows("UPDATE named SET v = 1 WHERE id = 7") == {"named": {("7",)}}
    partial = replace(NAMED, plain=False)
    (touch,) = parse("UPDATE named SET v = 1 WHERE id = 7").touches
    assert partial.row_of(touch) is None, "any column may be in the condition of an index"


@pytest.mark.parametrize(
    ("one", "other", "different"),
    [
        (("a", "b"), ("a", "c"), True),
        (("a", "b"), ("a", "b"), False),
        (("a", None), ("a", "b"), False),
        ((None, "b"), ("a", "c"), True),
        ((None, "b"), ("a", None), False),
    ],
)
def test_rows_differ_where_both_say_so(one: Row, other: Row, different: bool) -> None:
    assert differ(one, other) is different
    assert differ(other, one) is different


def only(*names: str) -> Rows:
    return frozenset({("t", frozenset((name,) for name in names))})


def write(*names: str) -> Footprint:
    return Footprint(writes=frozenset({"t"}), rows=only(*names) if names else frozenset())


def test_writes_to_different_rows_commute() -> None:
    assert not dependent(write("a"), write("b"))
    assert dependent(write("a"), write("a", "b"))
    assert dependent(write("a"), write())
    # Another relation of both is not helped by it.
    assert dependent(
        replace(write("a"), writes=frozenset({"t", "u"})),
        replace(write("b"), writes=frozenset({"t", "u"})),
    )
    # `t` may be found in that schema.
    assert dependent(write("a"), Footprint(writes=frozenset({"audit.t"}), rows=only("b")))
    serializable = replace(write("a"), isolation="serializable")
    assert dependent(serializable, write("b"))


def test_an_end_gives_free_the_rows_of_its_transaction() -> None:
    ends = Footprint(
        ends=True, released=frozenset({"t"}), committed_writes=frozenset({"t"}), rows=only("a")
    )
    assert not dependent(ends, write("b"))
    assert dependent(ends, write("a"))
    assert dependent(ends, Footprint(reads=frozenset({"t"})))
    assert dependent(replace(ends, rows=frozenset()), write("b"))


def test_two_steps_as_one_touch_the_rows_of_both() -> None:
    assert together(write("a"), write("b")).rows == only("a", "b")
    assert together(write("a"), Footprint(reads=frozenset({"t"}))).rows == frozenset()
    assert together(write("a"), Footprint(reads=frozenset({"u"}))).rows == only("a")
    assert apart(only("a"), only("b")) == {"t"}
    assert not apart(only("a"), only("a", "b"))


def _footprint(names: frozenset[str], some: dict[str, str]) -> Footprint:
    rows = {(name, frozenset({(value,)})) for name, value in some.items() if name in names}
    return Footprint(writes=names, rows=frozenset(rows))


footprints = st.builds(
    _footprint,
    st.frozensets(st.sampled_from("tuv")),
    st.dictionaries(st.sampled_from("tuv"), st.sampled_from("ab")),
)


@given(footprints, footprints, footprints)
def test_more_is_never_less_dependent(one: Footprint, more: Footprint, other: Footprint) -> None:
    if dependent(one, other):
        assert dependent(together(one, more), other)
    assert together(one, more).rows == in_both(one.rows, one.touches, more.rows, more.touches)
    assert dependent(one, other) == dependent(other, one)
