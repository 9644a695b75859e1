"""What a load comes to: one verdict, one sentence, one exit code. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from attacks.load.pace import UNSENT
from reports.evidence import Verdict
from reports.load import LoadRun
from reports.load_words import missing_money, payments_in_words
from reports.words import count
from scenarios.audit import EXIT_CODES


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    verdict: Verdict
    exit_code: int
    sentence: str


def conclude(runs: Sequence[LoadRun], *, compared: bool) -> Conclusion:
    """`compared`: the first build has to hold, and the second one to be seen losing money."""
    if not runs:
        return _concluded(Verdict.UNKNOWN, "Nothing was loaded.")
    first = runs[0]
    verdict, sentence = _of_one(first)
    sentence += _behind(first)
    if not compared:
        return _concluded(verdict, sentence)
    if len(runs) < 2:
        return _concluded(_worse(verdict), f"{sentence} Nothing is there to compare it with.")
    other = runs[1]
    if other.verdict is Verdict.VIOLATED:
        lost = missing_money(other.losses) or "violated"
        return _concluded(verdict, f"{sentence} {other.build.name}, under the same load: {lost}.")
    why = "; ".join(other.doubts) or "it happened to lose nothing this time"
    return _concluded(
        _worse(verdict),
        f"{sentence} {other.build.name} was not seen losing money ({why}): the comparison proves "
        "nothing.",
    )


def _of_one(run: LoadRun) -> tuple[Verdict, str]:
    payments = payments_in_words(run)
    broken = [check.text for check in run.thresholds if check.met is False]
    undecided = [check.text for check in run.thresholds if check.met is None]
    name = run.build.name
    if run.verdict is Verdict.VIOLATED:
        lost = missing_money(run.losses)
        return run.verdict, f"{name} is violated: {lost or _first_violation(run)} ({payments})."
    if run.verdict is not Verdict.HELD:
        return Verdict.UNKNOWN, f"{name}: nothing can be said for sure ({payments})."
    if broken:
        early = f" {run.stopped_by} ended it after {run.lasted_s:.0f} s." if run.stopped_by else ""
        return (
            Verdict.VIOLATED,
            f"{name} kept every cent, but missed {', '.join(broken)} ({payments}).{early}",
        )
    not_back = [fault.text for fault in run.faults if fault.is_not_back]
    if not_back:
        why = f"was not seen to recover from {', '.join(not_back)}"
        return Verdict.UNKNOWN, f"{name} kept every cent, but {why} ({payments})."
    if undecided:
        return Verdict.UNKNOWN, f"{name} kept every cent; {', '.join(undecided)} cannot be judged."
    return Verdict.HELD, f"{name} kept every cent: {payments}."


def _behind(run: LoadRun) -> str:
    """That the pace was not kept."""
    unsent = next((row.requests for row in run.rows if row.name == UNSENT), 0)
    if not unsent:
        return ""
    return f" The pace was not kept: nobody was free for {count(unsent, 'turn')} (more --users?)."


def _first_violation(run: LoadRun) -> str:
    violated = (check for check in run.checks if check.verdict is Verdict.VIOLATED)
    return next((f"not so: {check.claim}" for check in violated), "")


def _worse(verdict: Verdict) -> Verdict:
    return Verdict.UNKNOWN if verdict is Verdict.HELD else verdict


def _concluded(verdict: Verdict, sentence: str) -> Conclusion:
    return Conclusion(verdict=verdict, exit_code=EXIT_CODES[verdict], sentence=sentence)
