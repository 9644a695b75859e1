"""The layout of a timeline, its chart, and its drawing as text."""

import pytest

from reports.chart import lay_out_chart
from reports.drawing import drawing
from reports.evidence import Moment
from reports.terminal import render_text
from reports.timeline import Gap, Row, Timeline, lay_out
from tests.unit.evidence_samples import cell_of, sample


def _moment(at_ms: float, until_ms: float | None, actor: str, **changes: object) -> Moment:
    fields: dict[str, object] = {
        "at_s": at_ms / 1000,
        "until_s": None if until_ms is None else until_ms / 1000,
        "actor": actor,
        "text": f"pays at {at_ms:g}",
        "answer": "201",
        "outcome": "ok",
    }
    return Moment.model_validate(fields | changes)


def _laid_out(scenario: str) -> Timeline:
    return lay_out(cell_of(sample(), scenario, "fragile").timeline)


def test_times_count_from_the_first_moment() -> None:
    timeline = lay_out([_moment(4003, 4010, "B"), _moment(4000, 4004, "A")])
    assert [row.actor for row in timeline.rows] == ["A", "B"]
    assert [row.number for row in timeline.rows] == [1, 2]
    assert timeline.rows[1].at_ms == pytest.approx(3)
    assert timeline.rows[1].took_ms == pytest.approx(7)
    assert timeline.span_ms == pytest.approx(10)
    assert timeline.actors == ("A", "B")


def test_nothing_is_laid_out_as_nothing() -> None:
    timeline = lay_out([])
    assert (timeline.rows, timeline.entries, timeline.span_ms) == ((), (), 0.0)
    assert drawing(timeline, None) == []
    assert lay_out_chart(timeline).lanes == ()


def test_a_culprit_names_what_was_open_at_the_same_time() -> None:
    rows = _laid_out("double-spend").rows
    assert [row.overlaps for row in rows] == [(), (), (2,), ()]


def test_a_long_middle_is_folded_and_nothing_is_lost() -> None:
    timeline = _laid_out("concurrent-replay")
    gaps = [entry for entry in timeline.entries if isinstance(entry, Gap)]
    shown = [entry for entry in timeline.entries if isinstance(entry, Row)]
    assert [gap.text for gap in gaps] == ["23 more: 23 failed", "18 more: 18 failed"]
    assert len(shown) + sum(len(gap.rows) for gap in gaps) == len(timeline.rows) == 56
    assert any(row.culprit for row in shown)


def test_events_stay_visible_in_a_long_timeline() -> None:
    kill = _moment(30.5, None, "process", outcome="event", text="killed", answer="")
    timeline = lay_out([*(_moment(n, n + 1, "A") for n in range(60)), kill])
    assert "killed" in [entry.text for entry in timeline.entries]
    assert timeline.actors == ("A",)


def test_an_answer_before_its_question_takes_no_negative_time() -> None:
    assert lay_out([_moment(5, 3, "A")]).rows[0].took_ms == 0


def test_bars_stay_inside_the_chart_and_overlaps_get_levels() -> None:
    timeline = lay_out(
        [_moment(0, 10, "A"), _moment(5, 20, "A"), _moment(12, 15, "A"), _moment(20, None, "A")]
    )
    (lane,) = lay_out_chart(timeline).lanes
    assert [bar.level for bar in lane.bars] == [0, 1, 0, 0]
    assert lane.levels == 2
    assert all(bar.left >= 0 and bar.left + bar.width <= 100.0001 for bar in lane.bars)


@pytest.mark.parametrize("span_ms", [0.0, 0.003, 1.0, 21.6, 5303.0, 9e6])
def test_ticks_are_few_and_inside(span_ms: float) -> None:
    chart = lay_out_chart(lay_out([_moment(0, span_ms, "A")]))
    assert 2 <= len(chart.ticks) <= 7
    assert all(0 <= tick.left <= 100 for tick in chart.ticks)


def test_two_actors_get_a_column_each_and_waits_are_drawn() -> None:
    lines = drawing(_laid_out("double-spend"), 1, 100)
    assert lines[0].strip() == "round 1, times in ms"
    assert lines[1].split() == ["A", "B"]
    assert lines[2].split() == ["0.0", "GET", "/wallets/1", "200,", "balance", "100.00"]
    assert "201" not in lines[4]
    assert lines[6].startswith("▶   18.8")
    assert lines[6].split()[-2:] == ["└", "201"]
    assert lines[-1].strip() == "▶ what cannot be"


def test_many_actors_become_a_list() -> None:
    lines = drawing(_laid_out("concurrent-replay"), 1, 100)
    assert "client 1" in lines[1]
    assert any("23 more: 23 failed" in line for line in lines)


def test_events_cross_the_columns() -> None:
    lines = drawing(_laid_out("redis-outage"), 1, 100)
    assert any("── process: engine killed (SIGKILL) ──" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("scenario", ["double-spend", "redis-outage", "concurrent-replay"])
def test_no_line_is_wider_than_asked_but_the_command(scenario: str, width: int) -> None:
    text = render_text(sample(), cell_of(sample(), scenario, "fragile"), width=width)
    assert all(len(line) <= width or line.startswith("Again") for line in text.splitlines())


def test_a_failure_argues_and_says_what_to_type() -> None:
    text = render_text(sample(), cell_of(sample(), "double-spend", "fragile"))
    assert text.startswith("VIOLATED  double-spend   A wallet never pays out more than it held.")
    assert "fragile · PostgreSQL 18.4, read committed · violated in 9 of 10 rounds" in text
    assert "Expected  sum of all balances 10000" in text
    assert (
        "Observed  sum of all balances 20000   (money_is_conserved; 7 more in the report)" in text
    )
    assert "Again     assay verify --build fragile --only double-spend --seed 20261121" in text
    assert "Defence   locking=none; holds with locking=row" in text


def test_an_unknown_gives_its_reason_and_a_surprise_says_so() -> None:
    text = render_text(sample(), cell_of(sample(), "deadlock", "hardened"))
    assert text.startswith("UNKNOWN   deadlock")
    assert "requests overlapped in 0 of 10 rounds" in text
    assert "NOT as predicted: PASS (held) was expected" in text


def test_a_recorded_schedule_is_replayed() -> None:
    cell = cell_of(sample(), "double-spend", "fragile")
    replay = cell.model_copy(update={"reproduce": "assay replay double-spend.schedule.json"})
    assert "Replay    assay replay double-spend.schedule.json" in render_text(sample(), replay)


def test_the_target_cannot_steer_the_terminal() -> None:
    cell = cell_of(sample(), "double-spend", "fragile")
    hostile = cell.model_copy(
        update={
            "cause": "red \x1b[31m bell \x07",
            "timeline": (_moment(0, 1, "A\x1b[2J", answer="\x1b]0;title\x07"),),
        }
    )
    text = render_text(sample(), hostile)
    assert "\x1b" not in text
    assert "\x07" not in text
