"""What becomes of histories that are torn, empty or none, and of a disk that is full."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from attacks.history import PREPARATION, History
from reports.evidence import Verdict
from reports.load import Losses
from scenarios.audit import Audit, Check
from scenarios.scale import ArchiveError, archive, audit_archive
from scenarios.scale.archive import CONTENTS, archive_from
from scenarios.scale.balances import can_be_chosen, hanging_together
from scenarios.scale.ledger import chain_break
from scenarios.scale.store import Store
from scenarios.truth import GroundTruth
from tests.unit.histories.archived import TruthRows, archived
from tests.unit.histories.small import effect, move, operation, truth

PAID = (
    operation(1, move(None, "1", 100), name="deposit", round=None, key="a", actor=PREPARATION),
    operation(2, move("1", "2", 30), round=None, key="b"),
    operation(3, move("1", "2", 30), round=None, key="b"),
)
TRUTH = truth({"1": 70, "2": 30}, (effect("d", None, "1", 100), effect("p", "1", "2", 30)))


def verdict_of(judged: Audit, claim: str) -> Check:
    return next(check for check in judged.checks if claim in check.claim)


def rows_of(folder: Path, name: str) -> list[tuple[object, ...]]:
    return duckdb.execute(f"SELECT * FROM '{folder}/{name}.parquet'").fetchall()


def only_finished_files(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir() if path.suffix != ".jsonl"}
    return names == {"archive.json", "wallets.parquet", *(f"{name}.parquet" for name in CONTENTS)}


def test_an_archive_is_parquet_and_says_what_is_in_it(tmp_path: Path) -> None:
    made = archived(tmp_path, History(operations=PAID), TRUTH)
    assert (made.operations, made.whole, made.reasons) == (3, True, ())
    assert (made.truth, made.records_kept, made.legs_kept) == (True, True, False)
    assert only_finished_files(tmp_path)
    assert [len(rows_of(tmp_path, name)) for name in ("operations", "moves", "effects")] == [
        3,
        3,
        2,
    ]
    judged = audit_archive(tmp_path)
    assert (judged.verdict, judged.payments) == (Verdict.HELD, 1)
    assert verdict_of(judged, "legs").verdict is Verdict.NOT_APPLICABLE
    assert only_finished_files(tmp_path), "nothing was left behind"


def test_several_histories_are_one_load(tmp_path: Path) -> None:
    archived(tmp_path, History(operations=PAID[:1]), TRUTH)
    (tmp_path / "load.jsonl").rename(tmp_path / "preparation.jsonl")
    archived(tmp_path, History(operations=PAID[1:2]), TRUTH)
    (tmp_path / "load.jsonl").rename(tmp_path / "load.1.jsonl")
    made = archived(tmp_path, History(operations=PAID[2:]), TRUTH)
    (tmp_path / "faults.jsonl").write_text(
        '{"event": {"kind": "kill-engine", "text": "", "round": null, "at_s": 1, "until_s": 2}}\n'
    )
    made = archive_from(tmp_path, TruthRows(truth=TRUTH))
    assert (made.operations, made.whole) == (3, True)
    assert audit_archive(tmp_path).verdict is Verdict.HELD
    assert len({row[0] for row in rows_of(tmp_path, "operations")}) == 3, "numbered anew"


def torn(folder: Path, cut: int) -> None:
    file = folder / "load.1.jsonl"
    archived(folder, History(operations=PAID), TRUTH, ended=False)
    (folder / "load.jsonl").rename(file)
    file.write_bytes(file.read_bytes()[:-cut])


@pytest.mark.parametrize("cut", [2, 100, 200])
def test_a_torn_last_line_makes_the_history_partial(tmp_path: Path, cut: int) -> None:
    torn(tmp_path, cut)
    made = archive_from(tmp_path, TruthRows(truth=TRUTH))
    assert (made.operations, made.whole) == (2, False)
    assert made.reasons == (
        "the last line of load.1.jsonl is torn",
        "load.1.jsonl was not finished: its process was ended before it could",
    )
    judged = audit_archive(tmp_path, doubts=("the engine ended",))
    assert judged.doubts == ("the engine ended", *made.reasons)
    assert judged.verdict is Verdict.UNKNOWN
    assert verdict_of(judged, "conserved").detail == "operations may be missing here"
    assert verdict_of(judged, "overdrawn").verdict is Verdict.HELD


def test_a_last_line_without_its_end_is_still_a_line(tmp_path: Path) -> None:
    torn(tmp_path, 1)
    made = archive_from(tmp_path, TruthRows(truth=TRUTH))
    assert (made.operations, len(made.reasons)) == (3, 1)


def test_a_partial_history_does_not_hide_what_the_database_shows_by_itself(tmp_path: Path) -> None:
    torn(tmp_path, 100)
    archive_from(tmp_path, TruthRows(truth=truth({"1": -5, "2": 105}, TRUTH.effects)))
    judged = audit_archive(tmp_path)
    assert verdict_of(judged, "overdrawn").verdict is Verdict.VIOLATED
    assert verdict_of(judged, "records explain").verdict is Verdict.VIOLATED
    assert verdict_of(judged, "recorded once").verdict is Verdict.UNKNOWN


def test_a_history_that_the_caller_knows_to_be_partial_accuses_nobody(tmp_path: Path) -> None:
    archived(tmp_path, History(operations=PAID[:1]), TRUTH)
    assert verdict_of(audit_archive(tmp_path), "recorded once").verdict is Verdict.VIOLATED
    judged = audit_archive(tmp_path, doubts=("a process left no history",), whole=False)
    assert verdict_of(judged, "recorded once").verdict is Verdict.UNKNOWN
    assert judged.doubts[0] == "a process left no history"
    assert (judged.losses.invented_minor, judged.losses.wallets_overdrawn) == (None, 0)


def test_a_wallet_that_was_only_prepared_is_no_load_and_money_going_out_is_one(
    tmp_path: Path,
) -> None:
    opened = truth({"1": 100}, TRUTH.effects[:1])
    archived(tmp_path, History(operations=PAID[:1]), opened)
    judged = audit_archive(tmp_path)
    assert (judged.payments, judged.doubts) == (0, ("no payment was acknowledged",))
    out = operation(2, move("1", None, 30), name="withdrawal", round=None)
    for key, sent in ((None, (out,)), ("b", (replace(out, key="b"), replace(out, id=3, key="b")))):
        found = truth({"1": 70}, (*opened.effects, effect("w", "1", None, 30)))
        archived(tmp_path, History(operations=(PAID[0], *sent)), found, keys=("a", key))
        judged = audit_archive(tmp_path)
        assert (judged.payments, judged.verdict) == (1, Verdict.HELD)


def test_losses_are_counted(tmp_path: Path) -> None:
    asked = (*PAID, operation(4, move("1", "2", 5), round=None, key="c"))
    again = effect("p2", "1", "2", 30)
    archived(
        tmp_path, History(operations=asked), truth({"1": -1, "2": 111}, (*TRUTH.effects, again))
    )
    assert audit_archive(tmp_path).losses == Losses(
        invented_minor=10.0,
        payments_without_record=1,
        records_without_payment=1,
        wallets_overdrawn=1,
    )


def test_an_empty_history_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "load.jsonl").write_bytes(b"")
    made = archive_from(tmp_path, TruthRows(truth=GroundTruth()))
    assert (made.operations, made.whole) == (0, False)
    judged = audit_archive(tmp_path)
    assert judged.verdict is Verdict.UNKNOWN
    assert "no payment was acknowledged" in judged.doubts


GOOD = '{"event": {"kind": "note", "text": "x", "round": null, "at_s": 1, "until_s": null}}'
OPERATION = (
    '{"operation": {"id": 1, "actor": "A", "name": "transfer", "text": "t", "round": null, '
    '"moves": [{"payer": "1", "payee": null, "amount_minor": AMOUNT}], "started_s": 1, '
    '"ended_s": 2, "outcome": "OUTCOME", "status": 201, "answer": "201"}}'
)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[1]",
        "17",
        '{"other": 1}',
        '{"operation": {"id": 1}}',
        '{"event": {"kind": "note"}}',
        OPERATION.replace("AMOUNT", "1.5").replace("OUTCOME", "ok"),
        OPERATION.replace("AMOUNT", "null").replace("OUTCOME", "ok"),
        OPERATION.replace("AMOUNT", "9223372036854775808").replace("OUTCOME", "ok"),
        OPERATION.replace("AMOUNT", "1").replace("OUTCOME", "fine"),
    ],
)
def test_a_line_that_is_none_of_a_history_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "load.1.jsonl").write_text(f"{GOOD}\n")
    (tmp_path / "load.2.jsonl").write_text(f"{GOOD}\n{line}\n{GOOD}\n")
    with pytest.raises(ArchiveError) as caught:
        archive(tmp_path)
    assert str(caught.value).startswith("load.2.jsonl:2 is not a line of a history: ")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["load.1.jsonl", "load.2.jsonl"]


def test_what_a_killed_judge_left_is_cleared(tmp_path: Path) -> None:
    archived(tmp_path, History(operations=PAID), TRUTH)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = [tmp_path / f".{name}-{os.getpid()}-x" for name in ("spill", "archive")]
    left = [tmp_path / f".{name}-{ended.pid}-x" for name in ("spill", "archive")]
    for folder in (*mine, *left):
        folder.mkdir()
    archive_from(tmp_path, TruthRows(truth=TRUTH))
    assert sorted(tmp_path.glob(".*")) == sorted(mine), "those of the living are theirs"


def test_a_folder_without_a_history_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ArchiveError, match="has no history"):
            archive(folder)


def test_a_folder_that_is_not_archived_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is not archived"):
        audit_archive(tmp_path)
    archived(tmp_path, History(operations=PAID), TRUTH)
    (tmp_path / "moves.parquet").unlink()
    with pytest.raises(ArchiveError, match=r"moves\.parquet is missing"):
        audit_archive(tmp_path)
    (tmp_path / "archive.json").write_text("{")
    with pytest.raises(ArchiveError, match=r"archive\.json is unreadable"):
        audit_archive(tmp_path)


def test_histories_without_ground_truth_are_unknown(tmp_path: Path) -> None:
    archived(tmp_path, History(operations=PAID), TRUTH)
    assert archive(tmp_path).truth is False
    judged = audit_archive(tmp_path)
    assert (judged.verdict, judged.payments) == (Verdict.UNKNOWN, 1)


FULL = """
import resource, sys
from pathlib import Path
from scenarios.scale import ArchiveError, archive
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
try:
    archive(Path(sys.argv[1]))
except ArchiveError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_one_line_and_leaves_no_half_archive(tmp_path: Path) -> None:
    archived(tmp_path, History(operations=PAID * 500), TRUTH)
    (tmp_path / "archive.json").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = FULL.replace("LIMIT, LIMIT", f"2000, {before[1]}")
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "cannot be judged: " in done.stdout
    assert not (tmp_path / "archive.json").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_judge_that_crashes_has_said_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(tmp_path, History(operations=PAID), TRUTH)
    row = Store.row

    def crash(self: Store, sql: str, *parameters: object) -> tuple[object, ...]:
        if "odd LIKE" in sql:
            raise duckdb.Error("no such\nthing")
        return row(self, sql, *parameters)

    monkeypatch.setattr(Store, "row", crash)
    judged = audit_archive(tmp_path)
    assert verdict_of(judged, "overdrawn").verdict is Verdict.UNKNOWN
    assert verdict_of(judged, "overdrawn").detail == "the judge crashed: no such thing"
    assert verdict_of(judged, "conserved").verdict is Verdict.HELD


def test_what_the_engine_says_of_itself_counts(tmp_path: Path) -> None:
    archived(tmp_path, History(operations=PAID), TRUTH)
    check = Check(claim="reconciliation", verdict=Verdict.VIOLATED)
    assert audit_archive(tmp_path, engine_says=check).verdict is Verdict.VIOLATED


def test_a_key_that_was_acknowledged_as_two_movements_is_named(tmp_path: Path) -> None:
    answers = [{"id": "p"}, {"id": "q"}]
    twice = tuple(
        operation(number, move("1", "2", 30), round=None, key="b", values=values)
        for number, values in enumerate(answers, start=2)
    )
    archived(tmp_path, History(operations=(PAID[0], *twice)), TRUTH)
    check = verdict_of(audit_archive(tmp_path), "one effect and one answer")
    assert check.verdict is Verdict.VIOLATED
    assert (
        "key b was acknowledged 2 times as 2 different movements, such as p and q" in check.detail
    )


def test_two_movements_under_one_key_are_named_unless_others_sent_them(tmp_path: Path) -> None:
    other = operation(3, move("1", "2", 40), round=None, key="b")
    for actor, expected in (("A", Verdict.VIOLATED), ("B", Verdict.HELD)):
        history = History(operations=(*PAID[:2], replace(other, actor=actor)))
        archived(tmp_path, history, TRUTH)
        check = verdict_of(audit_archive(tmp_path), "one effect and one answer")
        assert check.verdict is expected


def test_a_second_effect_of_a_key_is_named(tmp_path: Path) -> None:
    twice = truth({"1": 40, "2": 60}, (*TRUTH.effects, effect("p2", "1", "2", 30)))
    archived(tmp_path, History(operations=PAID), twice, keys=("a", "b", "b"))
    check = verdict_of(audit_archive(tmp_path), "one effect and one answer")
    assert "is recorded 2 times under key b, which asked for it once" in check.detail
    archived(tmp_path, History(operations=PAID), TRUTH, keys=("b", "b"))
    check = verdict_of(audit_archive(tmp_path), "one effect and one answer")
    assert check.verdict is Verdict.HELD, "two different movements are nothing that it judges"


def chosen(*works: dict[int, int], due: dict[int, int]) -> bool | None:
    return can_be_chosen(works, due)


def test_choices_among_works_without_an_answer() -> None:
    assert chosen({1: -5, 2: 5}, {1: -3, 2: 3}, due={1: -3, 2: 3})
    assert chosen({1: -5, 2: 5}, {1: -3, 2: 3}, due={1: -4, 2: 4}) is False
    assert chosen({1: -5, 2: 5}, {2: -5, 3: 5}, due={1: -5, 2: 0, 3: 5})
    assert chosen({1: -5, 2: 5}, {2: -5, 3: 5}, due={1: -5, 2: 5, 3: 5}) is False
    assert chosen(due={}) is True
    alike = [{1: -1, 2: 1}] * 3000
    assert chosen(*alike, due={1: -2999, 2: 2999})
    assert chosen(*alike, due={1: -3001, 2: 3001}) is False
    doubling: Iterable[dict[int, int]] = ({1: -(2**n), 2: 2**n} for n in range(40))
    assert chosen(*doubling, due={1: -1, 2: 1}) is None, "too many to try: nobody is accused"


def test_works_that_share_no_wallet_are_apart() -> None:
    works = [{1: -1, 2: 1}, {3: -1, 4: 1}, {2: -1, 5: 1}, {6: 1}]
    groups = sorted(sorted(w for one in group for w in one) for group in hanging_together(works))
    assert groups == [[1, 2, 2, 5], [3, 4], [6]]


@pytest.mark.parametrize("unknown", [3, 40])
def test_many_unknown_outcomes_are_ranges_and_the_records_tell_the_rest(
    tmp_path: Path, unknown: int
) -> None:
    lost = tuple(
        operation(n, move("1", "2", 2**n), round=None, key=f"k{n}", outcome="unknown")
        for n in range(10, 10 + unknown)
    )
    opening = operation(1, move(None, "1", 2**60), name="deposit", round=None, key="a")
    paid = operation(2, move("1", "2", 1), round=None, key="b")
    recorded = (
        effect("d", None, "1", 2**60),
        effect("p", "1", "2", 1),
        effect("q", "1", "2", 2**10),
    )
    history = History(operations=(opening, paid, *lost))

    def judged(off: int) -> dict[str, Verdict]:
        balances = {"1": 2**60 - 1 - 2**10 - off, "2": 1 + 2**10 + off}
        archived(tmp_path, history, truth(balances, recorded))
        return {check.claim: check.verdict for check in audit_archive(tmp_path).checks}

    assert Verdict.VIOLATED not in judged(0).values()
    other_choice = judged(2**11)
    assert other_choice["the records explain the balances"] is Verdict.VIOLATED
    assert other_choice["the answers explain the balances"] is Verdict.HELD
    no_choice = judged(2**9)
    expected = Verdict.VIOLATED if unknown < 10 else Verdict.HELD
    assert no_choice["the answers explain the balances"] is expected
    assert no_choice["the records explain the balances"] is Verdict.VIOLATED
    beyond = judged(2**55)
    assert beyond["the answers explain the balances"] is Verdict.VIOLATED


def test_a_chain_is_followed_leg_by_leg() -> None:
    right = [(1, "10", "10"), (2, "-3", "7")]
    assert chain_break("1", right, Decimal(7)) == ""
    assert "its legs add up to 0.07" in chain_break("1", right, Decimal(8))
    assert "after leg 2" in chain_break("1", [(1, "10", "10"), (2, "-3", "8")], Decimal(8))
    assert "a gap or a double" in chain_break("1", [(1, "10", "10"), (3, "-3", "7")], Decimal(7))
    assert "NaN" in chain_break("1", [(1, "NaN", "NaN")], Decimal(7))
    assert chain_break("1", [], Decimal(0)) == ""
