"""Faults as one writes them, as they strike, and as they are felt."""

import io
import threading
from dataclasses import replace
from typing import Any, cast

import pytest

from attacks.history import Recorder
from engine.process import EngineError
from scenarios.loading.faults import (
    Fault,
    Strike,
    Strikes,
    Victims,
    parse_fault,
    parse_faults,
    refuse_what_is_not_ours,
)
from scenarios.loading.figures import Figures
from scenarios.loading.outcome import faults_of
from scenarios.loading.recovery import Answers, Felt, felt, usual_before
from scenarios.loading.refusals import LoadRefused


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("redis-down@20s+10s", Fault(kind="redis-down", at_s=20, lasts_s=10)),
        ("kill-engine@40s", Fault(kind="kill-engine", at_s=40, lasts_s=0)),
        ("kill-engine@1.5m+500ms", Fault(kind="kill-engine", at_s=90, lasts_s=0.5)),
        (" restart-postgres@60s ", Fault(kind="restart-postgres", at_s=60, lasts_s=0)),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(fault.text) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("redis-dwon@20s+10s", "no fault is called 'redis-dwon'; there are redis-down"),
        ("", "no fault is called ''"),
        ("kill-engine", "does not say when; write it like kill-engine@20s"),
        ("kill-engine@", "does not say when"),
        ("kill-engine@soon", "'soon' is no time"),
        ("kill-engine@20", "'20' is no time"),
        ("kill-engine@-5s", "'-5s' is no time"),
        ("kill-engine@5s+", "cannot be read"),
        ("redis-down@20s", "does not say how long it lasts; write it like redis-down@20s"),
        ("redis-down@20s+0s", "does not say how long"),
        ("restart-postgres@20s+3s", "lasts as long as PostgreSQL takes"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(LoadRefused, match=complaint.replace("+", r"\+")):
        parse_fault(text)


def test_faults_come_in_their_order_and_leave_time_to_recover() -> None:
    texts = ["kill-engine@9s", "redis-down@2s+3s"]
    assert [f.kind for f in parse_faults(texts, duration_s=14)] == ["redis-down", "kill-engine"]
    with pytest.raises(LoadRefused, match="leaves no time to recover"):
        parse_faults(texts, duration_s=13.9)


def test_the_first_fault_leaves_time_to_see_what_is_usual() -> None:
    with pytest.raises(LoadRefused, match=r"kill-engine@1\.9s strikes before it was seen"):
        parse_faults(["redis-down@2s+3s", "kill-engine@1.9s"], duration_s=60)


def test_two_faults_do_not_break_the_same_at_once() -> None:
    with pytest.raises(LoadRefused, match="break the same at the same time"):
        parse_faults(["redis-down@2s+3s", "pause-redis@4s+1s"], duration_s=60)
    assert len(parse_faults(["redis-down@2s+3s", "kill-engine@4s"], duration_s=60)) == 2


class Store:
    def __init__(self, *, restartable: bool) -> None:
        self.restartable = restartable


@pytest.mark.parametrize(
    ("text", "refused"),
    [("restart-postgres@1s", True), ("redis-down@1s+1s", True), ("kill-engine@1s", False)],
)
def test_a_server_of_somebody_else_is_left_alone(text: str, refused: bool) -> None:
    faults, others = (parse_fault(text),), cast("Any", Store(restartable=False))
    refuse_what_is_not_ours(faults, *[cast("Any", Store(restartable=True))] * 2)
    if not refused:
        refuse_what_is_not_ours(faults, others, others)
        return
    with pytest.raises(LoadRefused, match="Assay did not start this"):
        refuse_what_is_not_ours(faults, others, others)


class Engine:
    """Writes down what is done to it."""

    def __init__(self, *, comes_back: bool = True) -> None:
        self.done: list[str] = []
        self.killed = threading.Event()
        self._comes_back = comes_back

    def kill(self) -> None:
        self.done.append("kill")
        self.killed.set()

    def start(self) -> None:
        if not self._comes_back:
            raise EngineError("it did not get ready")
        self.done.append("start")

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")


def strikes(engine: Engine, text: str, file: io.StringIO) -> Strikes:
    nobody = cast("Any", None)
    return Strikes(
        victims=Victims(engine=engine, postgres=nobody, redis=nobody),
        recorder=Recorder(file, since_epoch=True, keep=False),
        all=(Strike(fault=parse_fault(text)),),
    )


def test_a_fault_strikes_is_mended_and_is_recorded() -> None:
    engine, file = Engine(), io.StringIO()
    struck = strikes(engine, "kill-engine@0s+60s", file)
    struck.begin(struck.recorder.now_s())
    assert engine.killed.wait(10)
    was_broken = struck.engine_is_broken
    struck.finish()  # Before its minute is over: what is broken is mended all the same.
    assert engine.done == ["kill", "start"]
    assert (was_broken, struck.engine_is_broken) == (True, False)
    assert struck.problem == ""
    (strike,) = struck.all
    assert strike.struck_s is not None
    assert strike.mended_s is not None
    assert '"kind": "kill-engine"' in file.getvalue().replace('":"', '": "')


def test_a_fault_that_did_not_strike_is_a_problem() -> None:
    engine = Engine()
    struck = strikes(engine, "kill-engine@1m", io.StringIO())
    struck.begin(struck.recorder.now_s())
    struck.finish()
    assert engine.done == []
    assert "kill-engine@60s did not strike" in struck.problem


def test_a_victim_that_does_not_come_back_is_a_problem() -> None:
    engine = Engine(comes_back=False)
    struck = strikes(engine, "kill-engine@0s", io.StringIO())
    struck.begin(struck.recorder.now_s())
    assert engine.killed.wait(10)
    struck.finish()
    assert struck.engine_is_broken
    assert "it did not get ready" in struck.problem


def test_a_victim_that_breaks_in_an_unforeseen_way_is_a_problem_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(_: Engine) -> None:
        raise KeyError("who?")

    monkeypatch.setattr(Engine, "kill", crash)
    struck = strikes(Engine(), "kill-engine@0s", io.StringIO())
    struck.begin(struck.recorder.now_s())
    struck.finish()
    assert struck.problem == "kill-engine@0s: KeyError('who?')"


def test_what_was_struck_and_not_mended_is_a_problem_whatever_the_reason() -> None:
    struck = strikes(Engine(), "kill-engine@0s", io.StringIO())
    struck.all[0].struck_s = 1.0
    struck.finish()
    assert struck.problem == "kill-engine@0s was not mended"


Served = list[tuple[float, float]]
"""When each was answered, and how long it took in milliseconds."""


def steady(per_s: int, from_s: float, to_s: float, took_ms: float = 10.0) -> Served:
    count = round((to_s - from_s) * per_s)
    return [(from_s + (n + 0.5) / per_s, took_ms) for n in range(count)]


def answers(*parts: Served, paced: bool = False) -> Answers:
    all_of_them = sorted(each for part in parts for each in part)
    ended = [ended_s for ended_s, _ in all_of_them]
    due = sorted((ended_s - took / 1000, took) for ended_s, took in all_of_them)
    return Answers(
        ended_s=ended,
        due_s=[at for at, _ in due],
        took_ms=[took for _, took in due],
        paced=paced,
    )


def with_turns_that_nobody_took(seen: Answers, *parts: Served) -> Answers:
    due = [*zip(seen.due_s, seen.took_ms, strict=True)]
    due += [(at_s, (30 - at_s) * 1000) for part in parts for at_s, _ in part]
    return replace(
        seen, due_s=[at for at, _ in sorted(due)], took_ms=[took for _, took in sorted(due)]
    )


def felt_by(seen: Answers, *, at_s: float, until_s: float) -> Felt:
    usual = usual_before(seen, at_s)
    assert usual is not None
    return felt(seen, usual, at_s=at_s, until_s=until_s, ends_s=30)


def test_a_dip_and_its_recovery_are_measured() -> None:
    seen = answers(steady(100, 0, 10), steady(20, 10, 13), steady(100, 13, 30))
    result = felt_by(seen, at_s=10, until_s=11)
    assert result.before_per_s == pytest.approx(100, abs=1)
    assert result.lowest_per_s == pytest.approx(20, abs=1)
    assert result.recovered_in_s == pytest.approx(2.0, abs=0.2)


def test_what_is_not_felt_is_back_at_once() -> None:
    result = felt_by(answers(steady(100, 0, 30)), at_s=10, until_s=11)
    assert result.recovered_in_s == 0.0
    assert result.lowest_per_s == pytest.approx(100, abs=1)
    assert result.silent_s == pytest.approx(0.01, abs=0.01)


def test_a_silence_shorter_than_a_second_is_seen() -> None:
    seen = answers(steady(100, 0, 10), steady(100, 10.4, 30))
    result = felt_by(seen, at_s=10, until_s=10.4)
    assert result.silent_s == pytest.approx(0.4, abs=0.02)
    assert result.lowest_per_s == pytest.approx(60, abs=1)


def test_a_throughput_that_stays_low_is_not_back() -> None:
    seen = answers(steady(100, 0, 10), steady(80, 10, 30))
    assert felt_by(seen, at_s=10, until_s=11).recovered_in_s is None


def test_a_throughput_that_is_back_at_thrice_the_latency_is_not_back() -> None:
    seen = answers(steady(100, 0, 10), steady(100, 10, 30, took_ms=30))
    assert felt_by(seen, at_s=10, until_s=11).recovered_in_s is None


def test_two_good_seconds_between_bad_ones_are_not_enough() -> None:
    parts = (steady(100, 0, 10), steady(10, 10, 12), steady(100, 12, 14.2), steady(10, 14.2, 16))
    result = felt_by(answers(*parts, steady(100, 16, 30)), at_s=10, until_s=11)
    assert result.recovered_in_s == pytest.approx(5.0, abs=0.2)


def test_a_service_that_answers_all_that_is_due_is_back_though_less_is_due() -> None:
    parts = (steady(300, 0, 10), steady(100, 12, 30))
    assert felt_by(answers(*parts, paced=True), at_s=10, until_s=12).recovered_in_s == (
        pytest.approx(0.0, abs=0.2)
    )
    assert felt_by(answers(*parts), at_s=10, until_s=12).recovered_in_s is None


def test_a_service_that_answers_as_much_as_before_is_not_back_while_more_is_due() -> None:
    seen = answers(steady(100, 0, 30), paced=True)
    seen = with_turns_that_nobody_took(seen, steady(60, 12, 20))
    assert felt_by(seen, at_s=10, until_s=12).recovered_in_s == pytest.approx(8.0, abs=0.3)


def test_a_time_that_is_too_short_says_nothing_about_what_is_usual() -> None:
    assert usual_before(answers(steady(100, 0, 30)), 1) is None


def test_what_an_earlier_fault_spoilt_is_not_what_is_usual() -> None:
    seen = answers(steady(100, 0, 5), steady(1, 5, 8), steady(100, 8, 30))
    usual = usual_before(seen, 12, quiet_from_s=8)
    assert usual is not None
    assert usual.per_s == pytest.approx(100, abs=1)


def struck_at(at_s: float, until_s: float) -> Strike:
    fault = Fault(kind="kill-engine", at_s=at_s, lasts_s=until_s - at_s)
    return Strike(fault=fault, struck_s=at_s, mended_s=until_s)


def figures_of(*parts: Served) -> Figures:
    figures = Figures(0.0)
    for number, (ended_s, took_ms) in enumerate(each for part in parts for each in part):
        asked = {"name": "transfer", "outcome": "ok", "status": 201, "key": str(number)}
        due_s = ended_s - took_ms / 1000
        times = {"started_s": due_s, "intended_s": due_s, "ended_s": ended_s}
        figures.add({**asked, **times, "moves": [{}]})
    return figures


def test_a_fault_soon_after_another_is_held_against_what_was_usual_before_both() -> None:
    figures = figures_of(steady(100, 0, 5), steady(100, 6, 7), steady(100, 9, 30))
    first, second = faults_of((struck_at(5, 6), struck_at(7, 8)), figures, paced=False)
    assert first.before_per_s == second.before_per_s == pytest.approx(100, abs=1)
    assert not first.is_not_back
    assert second.recovered_in_s == pytest.approx(1.0, abs=0.2)


def test_a_fault_before_which_nothing_was_seen_is_not_one_that_was_survived() -> None:
    (fault,) = faults_of((struck_at(1, 2),), figures_of(steady(100, 0, 30)), paced=True)
    assert fault.is_not_back
    assert fault.before_per_s is None


def test_after_a_fault_that_lasts_others_are_not_held_against_its_time() -> None:
    figures = figures_of(steady(100, 0, 5), steady(5, 5, 30))
    faults = faults_of((struck_at(5, 25), struck_at(8, 9), struck_at(20, 21)), figures, paced=False)
    assert [fault.before_per_s for fault in faults] == [pytest.approx(100, abs=1)] * 3
    assert all(fault.is_not_back for fault in faults)
