"""The layout of a schedule and its drawing as text: columns, waits, commits, culprits."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.evidence import Schedule, SqlStep
from reports.sql_drawing import serial_in_brief, sql_drawing
from reports.sql_timeline import Fold, Row, kept, lay_out_sql, result_in_words, undone
from tests.unit import schedule_samples as samples
from tests.unit.schedule_samples import does, schedule

EVERY = (
    samples.double_spend,
    samples.serial_payments,
    samples.lock_wait,
    samples.deadlock,
    samples.read_skew,
    samples.three_sessions,
    samples.not_serializable,
    samples.somebody_elses,
    samples.awkward,
    samples.sixty_steps,
    samples.many_sessions,
)

DOUBLE_SPEND = """\
          Schedule 3 of 92, as short as it gets: 2 changes of session. Read committed.
          A  pay 100.00 wallet 1 -> shop                B  pay 100.00 wallet 1 -> mall
          ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
      1   SELECT balance FROM wallets WHERE id = 1
            → balance = 100.00
      2                                                 SELECT balance FROM wallets WHERE id = 1
                                                          → balance = 100.00
      3   UPDATE wallets SET balance = 0.00
          WHERE id = 1  → 1 row changed
      4   COMMIT ────────────────────────────── ⇒ 201
▶     5                                                 UPDATE wallets SET balance = 0.00
                                                        WHERE id = 1  → 1 row changed
      6                                                 COMMIT ────────────────────────────── ⇒ 201

          In the end: wallet 1: 0.00, shop: 100.00, mall: 100.00
          ▶ where it went wrong   → what the database answered
          ── commit: from here on the others see what was written   ⇒ what the client was told"""

DEADLOCK = """\
      3   SELECT balance FROM wallets WHERE id = 2
          FOR UPDATE
          ┃ waits for B
      4   ┃                                             SELECT balance FROM wallets WHERE id = 1
          ┃                                             FOR UPDATE
          ┃                                             ┃ waits for A
▶         ┃                                             ┗ ✕ ERROR 40P01: deadlock detected
          ┃                                               ◆ PostgreSQL chose it as the victim
          ┗ → balance = 40.00
      5   COMMIT ────────────────────────────── ⇒ 201
      6                                                 ROLLBACK ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ ⇒ 500
"""


def _drawn(sample: Callable[[], Schedule], width: int = 100) -> str:
    return "\n".join(sql_drawing(lay_out_sql(sample()), width))


def _one(**changes: object) -> Schedule:
    fields: dict[str, object] = {"sql": "UPDATE t SET a = 1", "session": "A"} | changes
    return schedule("", (("A", "asks", ""),), (does(**fields),), "")  # type: ignore[arg-type]


def test_a_lost_update_as_text() -> None:
    assert _drawn(samples.double_spend) == DOUBLE_SPEND


def test_waits_are_bars_and_say_for_whom() -> None:
    assert DEADLOCK in _drawn(samples.deadlock)


def test_three_sessions_get_three_columns() -> None:
    lines = _drawn(samples.three_sessions).splitlines()
    waiting = [line for line in lines if line.rstrip().endswith("┃")]
    assert len(waiting) >= 6
    assert any("┃ waits for A and B" in line for line in lines)
    assert any(line.startswith("▶") and "┗ → 1 row changed" in line for line in lines)
    assert "⇒ 409 already used" in lines[lines.index("") - 1]


def test_more_sessions_than_there_is_room_for_become_a_list() -> None:
    lines = _drawn(samples.many_sessions).splitlines()
    at = lines.index("      7   B  UPDATE wallets SET balance = 80.00 WHERE id = 1")
    assert lines[at + 1] == "             ┃ waits for A"
    assert lines[at + 2].startswith("      8   A  COMMIT ───")
    assert lines[at + 3] == "▶         B  ┗ → 1 row changed"
    folded = samples.sixty_steps().model_copy(update={"requests": samples.many_sessions().requests})
    text = "\n".join(sql_drawing(lay_out_sql(folded)))
    assert "       …  33 more statements: 17 of A, 16 of B" in text


def test_the_snapshot_and_the_error_of_the_loser_are_marked() -> None:
    text = _drawn(samples.not_serializable)
    assert text.count("◇ snapshot  → balance = 100.00") == 2
    assert "┗ ✕ ERROR 40001: could not serialize access\n" in text
    assert "◇ takes its snapshot: later reads see the data as it was at this moment" in text


def test_names_and_long_values_of_an_object_mapper_become_readable() -> None:
    text = _drawn(samples.somebody_elses)
    assert "SELECT … FROM Account" in text
    assert "→ id = a3f1c2d4…, ownerName = Ada," in text
    assert "UPDATE Account SET balanceCents = 0, …" in text


def test_a_long_schedule_is_folded_and_nothing_is_lost() -> None:
    timeline = lay_out_sql(samples.sixty_steps())
    folds = [entry for entry in timeline.entries if isinstance(entry, Fold)]
    shown = [entry for entry in timeline.entries if isinstance(entry, Row)]
    assert [fold.text for fold in folds] == [
        "33 more statements: 17 of A, 16 of B",
        "12 more statements: 6 of A, 6 of B",
    ]
    assert len(shown) + sum(len(fold.rows) for fold in folds) == len(timeline.rows) == 60
    assert any(row.culprit for row in shown)


def test_turns_of_a_long_schedule_stay_visible_and_waits_go_through_a_fold() -> None:
    steps = [does("A", "SELECT 1", began=n, ended=n + 1) for n in range(1, 90, 2)]
    steps[20] = does("A", "COMMIT", began=41, ended=42)
    waits = does("B", "SELECT 2 FOR UPDATE", began=2, ended=89, waited_for=("A",))
    two = (("A", "many", ""), ("B", "waits", ""))
    long = schedule("", two, (*steps[:1], waits, *steps[1:]), "")
    timeline = lay_out_sql(long, shown=10)
    shown = [entry for entry in timeline.entries if isinstance(entry, Row)]
    assert [row.step.sql for row in shown if row.step.effect == "commit"] == ["COMMIT"]
    fold = next(entry for entry in timeline.entries if isinstance(entry, Fold))
    assert [bar and bar.text for bar in fold.bars] == [None, "waits for A"]
    lines = sql_drawing(timeline)
    at = next(n for n, line in enumerate(lines) if "more statements" in line)
    assert lines[at - 1].strip() == "┃"


def test_a_wait_that_nobody_sees_is_drawn_as_well() -> None:
    hidden = does("B", "SELECT 2", "", began=1, ended=4)
    other = does("A", "SELECT 1", began=2, ended=3)
    timeline = lay_out_sql(schedule("", (), (hidden, other), ""))
    assert [row.part for row in timeline.rows] == ["begins", "whole", "ends"]
    assert timeline.rows[0].waiting == "waits"
    assert [column.session for column in timeline.columns] == ["B", "A"]
    assert any(line.strip() == "┗ goes on" for line in sql_drawing(timeline))


def test_a_request_without_a_statement_has_its_column() -> None:
    text = _drawn(samples.awkward)
    assert "sent no statement ⇒ 200" in text
    silent = schedule("", (("A", "", ""),), (), "")
    assert sql_drawing(lay_out_sql(silent))[0] == "          A"
    assert "sent no statement" in sql_drawing(lay_out_sql(silent))[1]


def test_nothing_is_drawn_as_nothing() -> None:
    assert sql_drawing(lay_out_sql(schedule("", (), (), ""))) == []


def test_a_commit_that_kept_nothing_says_so() -> None:
    step = does("A", "COMMIT", "ROLLBACK")
    assert (kept(step), undone(step)) == (False, True)
    text = _drawn(samples.awkward)
    assert "ROLLBACK: PostgreSQL" in text
    assert "╌╌ rolled back: nothing is kept" in text
    assert "── commit" not in text


def test_a_commit_with_a_note_gets_its_rule_on_a_line_of_its_own() -> None:
    lines = sql_drawing(lay_out_sql(_one(sql="COMMIT", note="acknowledgement lost")))
    assert [line.strip() for line in lines[2:5]] == [
        "1   COMMIT",
        "◆ acknowledgement lost",
        "─" * 90,
    ]
    autocommitted = sql_drawing(lay_out_sql(_one(effect="commit")))
    assert [line.strip() for line in autocommitted[2:4]] == ["1   UPDATE t SET a = 1", "─" * 90]


def test_a_statement_without_text_is_still_a_step() -> None:
    assert "1   (no text)" in "\n".join(sql_drawing(lay_out_sql(_one(sql=""))))


@pytest.mark.parametrize(
    ("sql", "answer", "words"),
    [
        ("UPDATE t", "UPDATE 1", "1 row changed"),
        ("UPDATE t", "UPDATE 0", "no row changed"),
        ("DELETE FROM t", "DELETE 3", "3 rows deleted"),
        ("INSERT INTO t", "INSERT 0 2", "2 rows inserted"),
        ("SELECT 1", "SELECT 0", "no row"),
        ("SELECT a", "a = NULL", "a = NULL"),
        ("COMMIT", "COMMIT", ""),
        ("COMMIT", "ROLLBACK", "ROLLBACK: PostgreSQL kept nothing"),
        ("COMMIT", "no answer", "no answer"),
    ],
)
def test_answers_in_words(sql: str, answer: str, words: str) -> None:
    assert result_in_words(does("A", sql, answer)) == words


def test_the_serial_order_in_a_line() -> None:
    assert serial_in_brief(samples.serial_payments()) == (
        "One after the other: A 201, then B 409 insufficient funds; "
        "wallet 1: 0.00, shop: 100.00, mall: 0.00"
    )


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("sample", EVERY)
def test_no_line_is_wider_than_asked(sample: Callable[[], Schedule], width: int) -> None:
    lines = _drawn(sample, width).splitlines()
    assert [line for line in lines if len(line) > width] == []


def test_the_target_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in _drawn(samples.awkward)


steps = st.builds(
    SqlStep,
    number=st.integers(1, 50),
    session=st.sampled_from("ABC"),
    sql=st.sampled_from(("SELECT 1", "COMMIT", "ROLLBACK", "UPDATE t SET a = 1")),
    effect=st.sampled_from(("read", "write", "commit", "rollback", "error", "lock", "other")),
    answer=st.sampled_from(("", "UPDATE 1", "a = 1")),
    began=st.integers(0, 20),
    ended=st.integers(0, 25),
    waited_for=st.sampled_from(((), ("A",), ("A", "B"))),
    culprit=st.booleans(),
    snapshot=st.booleans(),
)


@given(st.lists(steps, max_size=50), st.integers(40, 120))
def test_every_step_begins_once_and_ends_once_however_odd_the_ticks(
    odd: list[SqlStep], width: int
) -> None:
    timeline = lay_out_sql(Schedule(title="", requests=(), steps=tuple(odd), in_the_end=""))
    begun = [id(row.step) for row in timeline.rows if row.begins]
    ended = [id(row.step) for row in timeline.rows if row.ends]
    assert sorted(begun) == sorted(ended) == sorted(id(step) for step in odd)
    entries = [e.rows if isinstance(e, Fold) else (e,) for e in timeline.entries]
    assert [row for rows in entries for row in rows] == list(timeline.rows)
    assert all(len(line) <= width for line in sql_drawing(timeline, width))
