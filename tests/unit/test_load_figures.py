"""What is made of a load's history: figures, thresholds, losses, verdict, and what is said live."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from attacks.history import ENDED, Event, History, Move, Operation, Recorder
from reports.evidence import Verdict
from reports.load import LoadRun
from scenarios.audit import Audit, Check
from scenarios.loading.conclusion import conclude
from scenarios.loading.figures import Figures, Recent
from scenarios.loading.histories import Follower
from scenarios.loading.limits import judged, read_thresholds
from scenarios.loading.load import Loaded
from scenarios.loading.refusals import LoadRefused
from scenarios.loading.show import in_words, show_loaded, watching_load
from scenarios.loading.watching import Moment
from scenarios.losses import losses
from scenarios.truth import Balance, Effect, GroundTruth
from tests.unit.load_samples import document, held_run, lossy_run

CLOCK_S = 1000.0


def asked(
    at_s: float, took_s: float = 0.01, *, name: str = "transfer", outcome: str = "ok", **more: Any
) -> dict[str, Any]:
    """An operation that was sent at this time of the clock."""
    return {
        "name": name,
        "moves": [] if name == "read" else [{"payer": "1", "payee": "2", "amount_minor": 1}],
        "key": f"key-{at_s}",
        "started_s": CLOCK_S + at_s,
        "ended_s": CLOCK_S + at_s + took_s,
        "intended_s": None,
        "outcome": outcome,
        "status": {"ok": 201, "failed": 402}.get(outcome),
        **more,
    }


def figures(*operations: dict[str, Any]) -> Figures:
    gathered = Figures(CLOCK_S)
    for operation in operations:
        gathered.add(operation)
    return gathered


def test_latency_counts_from_when_a_request_was_due() -> None:
    late = asked(5.0, 0.1, intended_s=CLOCK_S + 2.0)
    seen = figures(asked(2.5, 0.05), late)
    (_, total) = seen.rows()
    assert total.latencies.max_ms == pytest.approx(3100)
    series = dict(zip(seen.series().at_s, seen.series().p99_ms, strict=True))
    assert series[2.0] == pytest.approx(3100), "the stall is shown where it was suffered"
    assert series[5.0] is None


def test_the_warm_up_is_in_no_figure_and_its_payments_are_counted() -> None:
    seen = figures(asked(-1.5, 0.5), asked(0.5), asked(1.0))
    assert seen.rows()[-1].requests == 2
    assert seen.rows()[-1].latencies.max_ms == pytest.approx(10, abs=0.1)
    assert seen.payments == 3
    assert seen.payments_per_s == pytest.approx(2 / 1.01)
    assert seen.series().at_s[0] == -2.0


def test_a_stall_from_the_warm_up_on_is_not_left_out_of_what_is_measured() -> None:
    stalled = [asked(-1.0, 6.0, key=f"late-{n}") for n in range(50)]
    after = [asked(5.0 + n / 10) for n in range(50)]
    seen = figures(*stalled, *after)
    assert seen.lasted_s == pytest.approx(9.91)
    assert seen.payments == 100
    assert seen.payments_per_s == pytest.approx(50 / 9.91), "only those that were due since"


def test_a_retry_is_no_second_payment() -> None:
    assert figures(asked(1.0, key="k"), asked(2.0, key="k")).payments == 1


def test_a_rate_by_name_counts_each_key_once_as_well() -> None:
    warm = asked(-0.5, key="warm")
    seen = figures(
        warm, *(asked(n / 10, key=f"{n // 4}") for n in range(40)), asked(3.99, key="warm")
    )
    assert seen.measured("transfer", "tps", None) == pytest.approx(10 / 4.0)
    assert seen.measured(None, "tps", None) == pytest.approx(10 / 4.0)
    read = figures(*(asked(n / 10, name="read", key=None) for n in range(40)))
    assert read.measured("read", "tps", None) == pytest.approx(40 / 3.91)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 429])
def test_a_wrong_request_is_a_failure_and_no_refusal(status: int) -> None:
    row = figures(asked(1.0, outcome="failed", status=status), asked(1.1)).rows()[-1]
    assert (row.requests, row.refused, row.failures) == (2, 0, 1)


def test_a_turn_that_came_to_nobody_counts_for_every_name() -> None:
    unsent = asked(9.0, 0.0, name="unsent", outcome="failed", status=None, moves=[])
    unsent["intended_s"] = CLOCK_S + 4.0
    seen = figures(asked(1.0), unsent)
    assert seen.measured(None, "max", None) == pytest.approx(5000)
    assert seen.measured("transfer", "max", None) == pytest.approx(5000)
    assert seen.measured("transfer", "requests", None) == 1
    assert seen.measured("transfer", "errors", None) == 0
    assert seen.measured(None, "errors", None) == 0.5
    assert seen.series().failures == (0, 0, 0, 1), "it is missing when it was due"


def test_refusals_are_answers_and_failures_are_none() -> None:
    seen = figures(
        asked(1.0, outcome="failed"),
        asked(1.1, outcome="unknown"),
        asked(1.2, outcome="unknown", status=500),
        asked(1.3, outcome="failed", status=503),
        asked(1.4, outcome="failed", status=None),
    )
    row = seen.rows()[-1]
    assert (row.requests, row.refused, row.failures) == (5, 1, 4)
    assert seen.series().answered == (1,)
    assert seen.series().failures == (4,)


def test_percentiles_are_exact() -> None:
    took = figures(*(asked(n / 100, n / 1000) for n in range(1, 1001))).rows()[-1].latencies
    assert (took.p50_ms, took.p95_ms, took.p999_ms) == (500, 950, 999)


def test_nothing_asked_is_no_rows() -> None:
    assert figures().rows() == ()
    assert figures().series().at_s == ()


def test_figures_that_people_watch_are_those_of_the_last_whole_seconds() -> None:
    recent = figures(*(asked(n / 10) for n in range(100))).recent(CLOCK_S + 10.5)
    assert (recent.answered_per_s, recent.failures) == (10.0, 0)
    assert recent.p95_ms == pytest.approx(10, abs=0.1)


HELD = Audit(checks=(Check(claim="c", verdict=Verdict.HELD),), payments=1)
VIOLATED = Audit(checks=(Check(claim="c", verdict=Verdict.VIOLATED),), payments=1)


def met(texts: Sequence[str], audit: Audit = HELD) -> list[bool | None]:
    seen = figures(
        *(asked(n / 10, 0.02, name="transfer") for n in range(100)),
        asked(5.0, name="read", outcome="unknown"),
    )
    return [check.met for check in judged(read_thresholds(texts, None), seen, audit)]


def test_thresholds_are_judged_by_what_was_measured() -> None:
    assert met(["tps>=9", "tps>=11", "p95<50ms", "p95<1ms", "errors<1%", "errors<0.1%"]) == [
        True, False, True, False, True, False,
    ]  # fmt: skip
    assert met(["transfer.max<=21ms", "read.errors==0%", "rps>5", "requests>=101"]) == [
        True, False, True, True,
    ]  # fmt: skip


def test_a_threshold_on_what_was_never_asked_is_unknown() -> None:
    assert met(["batch.p95<1s"]) == [None]


def test_violations_are_those_of_the_audit() -> None:
    assert met(["violations==0"]) == [True]
    assert met(["violations==0"], VIOLATED) == [False]
    assert met(["violations==0"], Audit(doubts=("it ended",))) == [None]


def test_thresholds_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "limits.txt"
    file.write_text("# ours\np95<50ms\n")
    assert [t.text for t in read_thresholds(["tps>1"], file)] == ["tps>1", "p95<50ms"]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(LoadRefused, match="is no text"):
        read_thresholds([], file)
    with pytest.raises(LoadRefused, match="cannot be read: No such file"):
        read_thresholds([], tmp_path / "none")
    with pytest.raises(LoadRefused, match="is no threshold"):
        read_thresholds(["p95 quick"], None)


def done(number: int, payer: str | None, payee: str | None, outcome: str = "ok") -> Operation:
    return Operation(
        id=number,
        actor="user",
        name="transfer",
        text="pay",
        round=None,
        moves=(Move(payer=payer, payee=payee, amount_minor=100),),
        key=f"key-{number}",
        started_s=number,
        ended_s=number + 0.1,
        outcome=outcome,  # type: ignore[arg-type]  # one of three words, spelt in this file
        status=201,
        answer="201",
    )


def truth(first: int, second: int, *effects: tuple[str | None, str | None]) -> GroundTruth:
    amounts = {"1": first, "2": second}
    return GroundTruth(
        balances={
            name: Balance(wallet=name, asset="USD", amount_minor=Decimal(amount))
            for name, amount in amounts.items()
        },
        effects=tuple(
            Effect(id=str(n), payer=payer, payee=payee, amount_minor=Decimal(100))
            for n, (payer, payee) in enumerate(effects)
        ),
    )


IN, PAID = (None, "1"), ("1", "2")
ASKED = History(operations=(done(1, *IN), done(2, *PAID)))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (truth(0, 100, IN, PAID), (0.0, 0, 0, 0)),
        (truth(100, 100, IN, PAID), (100.0, 0, 0, 0)),
        (truth(0, 50, IN, PAID), (-50.0, 0, 0, 0)),
        (truth(100, 0, IN), (0.0, 1, 0, 0)),
        (truth(-100, 200, IN, PAID, PAID), (0.0, 0, 1, 1)),
    ],
)
def test_losses_in_figures(found: GroundTruth, expected: tuple[float, int, int, int]) -> None:
    lost = losses(ASKED, found, whole=True)
    assert expected == (
        lost.invented_minor,
        lost.payments_without_record,
        lost.records_without_payment,
        lost.wallets_overdrawn,
    )


def test_what_nobody_can_say_is_no_loss_either_way() -> None:
    history = History(operations=(*ASKED.operations, done(3, *IN, outcome="unknown")))
    for found in (truth(0, 100, IN, PAID), truth(100, 100, IN, PAID, IN)):
        lost = losses(history, found, whole=True)
        assert (lost.invented_minor, lost.records_without_payment) == (0.0, 0)


def test_a_partial_history_counts_only_what_the_database_shows_by_itself() -> None:
    lost = losses(ASKED, truth(-100, 200, IN, PAID, PAID), whole=False)
    assert (lost.invented_minor, lost.records_without_payment, lost.wallets_overdrawn) == (
        None, None, 1,
    )  # fmt: skip


def follow(folder: Path, *lines: str) -> Follower:
    (folder / "load.jsonl").write_text("".join(lines))
    follower = Follower(folder=folder)
    list(follower.operations())
    return follower


LINE = json.dumps({"operation": asked(1.0)}) + "\n"
LAST = json.dumps({"event": {"text": ENDED}}) + "\n"


def test_a_history_is_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    path.write_text(LINE + LINE[:20])
    follower = Follower(folder=tmp_path)
    assert len(list(follower.operations())) == 1
    path.write_text(LINE + LINE + LAST)
    assert len(list(follower.operations())) == 1
    assert follower.why_partial(1) is None


@pytest.mark.parametrize(
    ("lines", "processes", "why"),
    [
        ((LINE, LAST), 1, None),
        ((LINE,), 1, "before it could finish"),
        ((LINE, LAST, LINE[:20]), 1, "1 of its lines cannot be read"),
        ((LINE, LINE[:20] + "\n", LAST), 1, "1 of its lines cannot be read"),
        ((LINE, LAST), 2, "only 1 of 2 Locust processes"),
    ],
)
def test_what_is_missing_makes_a_history_partial(
    lines: tuple[str, ...], processes: int, why: str | None, tmp_path: Path
) -> None:
    said = follow(tmp_path, *lines).why_partial(processes)
    assert said is None if why is None else said is not None and why in said


def test_what_the_recorder_writes_is_what_is_followed(tmp_path: Path) -> None:
    with (tmp_path / "load.jsonl").open("w") as file:
        recorder = Recorder(file, since_epoch=True, keep=False)
        recorder.operation(done(1, *PAID))
        recorder.event("note", ENDED)
    follower = Follower(folder=tmp_path)
    assert [operation["key"] for operation in follower.operations()] == ["key-1"]
    assert follower.why_partial(1) is None


UNDECIDED = held_run().model_copy(update={"verdict": Verdict.UNKNOWN, "doubts": ("it ended",)})


NOT_BACK = held_run().model_copy(
    update={
        "faults": (
            held_run().faults[0].model_copy(update={"until_s": 5.0, "recovered_in_s": None}),
        )
    }
)


def test_a_pace_that_was_not_kept_is_said() -> None:
    rows = held_run().rows
    behind = rows[1].model_copy(update={"name": "unsent", "requests": 1500})
    said = conclude([held_run().model_copy(update={"rows": (behind, *rows)})], compared=False)
    assert said.exit_code == 0
    assert "nobody was free for 1,500 turns" in said.sentence
    assert "pace" not in conclude([held_run()], compared=False).sentence


def threshold_met(value: bool | None) -> LoadRun:
    limit = held_run().thresholds[0].model_copy(update={"met": value})
    return held_run().model_copy(update={"thresholds": (limit,)})


@pytest.mark.parametrize(
    ("runs", "compared", "code", "says"),
    [
        ((held_run(),), False, 0, "kept every cent"),
        ((lossy_run(),), False, 1, "1,234.56 more in wallets"),
        ((UNDECIDED,), False, 3, "nothing can be said for sure"),
        ((threshold_met(False),), False, 1, "missed p95<50ms"),
        ((threshold_met(None),), False, 3, "p95<50ms cannot be judged"),
        ((NOT_BACK,), False, 3, "was not seen to recover from redis-down@3s+2s"),
        ((), False, 3, "Nothing was loaded"),
        ((held_run(), lossy_run()), True, 0, "17 acknowledged payments without a record"),
        ((held_run(), held_run("fragile")), True, 3, "happened to lose nothing"),
        ((held_run(), UNDECIDED), True, 3, "it ended"),
        ((held_run(),), True, 3, "Nothing is there to compare it with"),
        ((lossy_run("hardened"), lossy_run()), True, 1, "hardened is violated"),
        ((lossy_run("hardened"), held_run("fragile")), True, 1, "proves nothing"),
        ((UNDECIDED, lossy_run()), True, 3, "nothing can be said for sure"),
    ],
)
def test_the_conclusion(runs: tuple[LoadRun, ...], compared: bool, code: int, says: str) -> None:
    conclusion = conclude(runs, compared=compared)
    assert conclusion.exit_code == code
    assert says in conclusion.sentence


def now(at_s: float, *violations: str) -> Moment:
    return Moment(
        build="hardened",
        at_s=at_s,
        duration_s=20,
        recent=Recent(answered_per_s=203, p95_ms=31, failures=2),
        payments=1000,
        violations=violations,
        checked=1010,
        broken=("redis-down@3s+2s",),
    )


def test_without_a_terminal_there_is_a_line_every_few_seconds_and_at_the_first_violation() -> None:
    console = Console(file=io.StringIO(), width=200)
    with watching_load(console) as watcher:
        for at_s in range(12):
            watcher.moment(now(at_s))
        watcher.moment(now(12, "0.10 [more]"))
        watcher.moment(now(13, "0.10 [more]"))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 3
    assert "203 answers/s · p95 31 ms · 2 failures · redis-down@3s+2s is felt" in lines[0]
    assert "invariants so far: held (1,010 operations)" in lines[0]
    assert lines[-1].endswith("invariants so far: 0.10 [more]")


def test_what_nobody_has_checked_yet_is_not_held() -> None:
    assert in_words(replace(now(1), checked=0)).endswith("invariants so far: nothing checked yet")
    assert in_words(replace(now(1, "0.10 more"), checked=0)).endswith("so far: 0.10 more")


def test_what_is_printed_ends_with_the_verdict_and_the_report() -> None:
    console = Console(file=io.StringIO(), width=160)
    odd = lossy_run().model_copy(update={"doubts": ("it was [torn]",), "partial": True})
    left = document(held_run(), odd, verdict=Verdict.VIOLATED)
    show_loaded(console, Loaded(document=left, folder=Path("out")))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "FAIL    money is conserved" in text
    assert "PASS    p95<50ms" in text
    assert "Nothing can be said for sure: it was [torn]." in text
    assert "(partial history)" in text
    assert text.rstrip().endswith("report.html")
    assert "FAIL. hardened kept every cent." in text


def test_an_event_of_the_harness_is_no_operation(tmp_path: Path) -> None:
    with (tmp_path / "load.jsonl").open("w") as file:
        Recorder(file).event("note", "something else")
    follower = Follower(folder=tmp_path)
    assert list(follower.operations()) == []
    assert follower.why_partial(1) is not None
    assert Event(kind="note", text=ENDED, round=None, at_s=0).text == ENDED
