"""Record the pairs anew: `python -m tests.unit.histories.record [CLAIM…]` from the repository.

Every claim is run against `hardened` (good) and against a build that breaks it (bad), and cut to
the rounds that its requirements need and the first violated one. Of the reads only the first few
stay and those that a finding points at: leaving a read out changes nothing else. Of a search one
try is kept: the losing one, or the first. A claim that no build breaks gets a bad truth by hand:
its last acknowledged movement is undone.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

from attacks.history import History, Recorder, read_history
from engine.defences import as_dict, parse_build
from reports.evidence import Verdict
from scenarios.catalogue import SCENARIOS
from scenarios.cell import _attack
from scenarios.ground import Outcome
from scenarios.invariants.observed import wallets_of
from scenarios.judging import judge
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.stand import Stand, open_lab, open_stand
from scenarios.truth import GroundTruth, Held
from tests.unit.histories.recorded import BAD_BUILDS, Kind, read, write

EFFORT = 0.3
READS_KEPT = 6
ATTEMPTS = 5
"""A race that luck decides may be lost; a recording needs one that was won."""
REQUIRED = {
    "cache-loss": ("lost",),
    "lost-ack": ("lost-answer",),
    "pool-exhaustion": ("crowded",),
    "rate-limit": ("counted", "held"),
    "rate-limit-outage": ("unreachable", "silent"),
    "read-your-write": ("counted", "held"),
    "redis-commands": ("counted", "payment-struck", "retry-struck", "read-struck"),
    "redis-outage": ("unreachable", "silent"),
    "stale-cache": ("late", "unreachable"),
    "timeout": ("locked",),
}
"""Faults that the claim requires: the first round of each is kept."""
ROUNDS = {"pin": (1, 2)}
"""Other rounds that the claim requires."""


def main(names: list[str]) -> None:
    with open_stand("embedded") as stand:
        for scenario in SCENARIOS:
            if not names or scenario.name in names:
                _pair(stand, scenario)


def _pair(stand: Stand, scenario: Scenario) -> None:
    bad = parse_build(BAD_BUILDS.get(scenario.name, "fragile"))
    if not scenario.canary:
        _record(stand, scenario, "good", "hardened")
    if scenario.holds_when.holds(as_dict(bad.defences)):
        _plant(scenario)
    else:
        _record(stand, scenario, "bad", bad.name)


def _record(stand: Stand, scenario: Scenario, kind: Kind, build: str) -> None:
    expected = Verdict.HELD if kind == "good" else Verdict.VIOLATED
    for attempt in range(ATTEMPTS):
        lines, truth = _run(stand, scenario, build, attempt)
        if _write(scenario, kind, build, *_cut(scenario, lines, truth)) is expected:
            return
    raise SystemExit(f"{scenario.name}: {build} was never {expected} in {ATTEMPTS} runs")


def _write(
    scenario: Scenario, kind: Kind, build: str, lines: list[str], truth: GroundTruth
) -> Verdict:
    """With what the judge says of it today, which a reviewer reads once and the tests keep."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        path.write_text("\n".join(lines))
        judged = judge(scenario, read_history(path), truth)
    print(scenario.name, kind, judged.verdict.value, judged.cause)  # noqa: T201
    contradiction = judged.findings[0].invariant if judged.findings else None
    write(scenario.name, kind, build=build, lines=lines, truth=truth, contradiction=contradiction)
    return judged.verdict


def _run(
    stand: Stand, scenario: Scenario, build: str, attempt: int
) -> tuple[list[str], GroundTruth]:
    with StringIO() as file:
        recorder = Recorder(file)
        seed = f"{attempt}/{scenario.name}"
        with open_lab(
            stand,
            parse_build(build),
            recorder,
            invariants=scenario.invariants,
            seed=seed,
            effort=EFFORT,
            settings=scenario.settings,
            processes=scenario.processes,
        ) as lab:
            truth, failure = _attack(lab, scenario)
        if truth is None or failure:
            raise SystemExit(f"{scenario.name} against {build}: {failure}")
        # What a claim requires is said of its other rounds.
        for outcome in [] if scenario.requires else _tries(lab):
            for operation in outcome.operations:
                recorder.operation(operation)
            truth = _replaced(truth, outcome.truth, outcome.observed.wallets)
        return file.getvalue().splitlines(), truth


def _tries(lab: Lab) -> list[Outcome]:
    """Of each round one try: a losing one if there is one."""
    tries: dict[int, Outcome] = {}
    for race in lab.explorer.races:
        assert race.explored.serial is not None
        tries.setdefault(race.round, race.lost or race.explored.serial.verdict)
    for series in lab.striker.series:
        lost = [case for case in series.cases if case.outcome.findings]
        tries.setdefault(series.round, (lost or series.cases)[0].outcome)
    return list(tries.values())


def _replaced(truth: GroundTruth, after: GroundTruth, wallets: Sequence[str]) -> GroundTruth:
    """The truth at the very end, but for these wallets as it was after their try."""
    mine = frozenset(wallets)
    legs = truth.legs
    holds = tuple(h for h in truth.holds if not {h.payer, h.payee} & mine)
    holds += tuple(h for h in after.holds if {h.payer, h.payee} & mine)
    truth = _with_holds(truth, holds, too_much=_added(_too_much(truth), _too_much(after)))
    return replace(
        truth,
        balances={w: (after if w in mine else truth).balances[w] for w in truth.balances},
        effects=tuple(e for e in truth.effects if not {e.payer, e.payee} & mine)
        + tuple(e for e in after.effects if {e.payer, e.payee} & mine),
        legs=None
        if legs is None
        else tuple(leg for leg in legs if leg.wallet not in mine)
        + tuple(leg for leg in after.legs or () if leg.wallet in mine),
        locks_left=after.locks_left,
    )


def _too_much(truth: GroundTruth) -> dict[str, Decimal]:
    """By asset what escrow has beyond the active holds."""
    due = _active(truth.holds)
    return {asset: amount - due[asset] for asset, amount in (truth.escrow or {}).items()}


def _active(holds: Sequence[Held]) -> defaultdict[str, Decimal]:
    due: defaultdict[str, Decimal] = defaultdict(Decimal)
    for hold in holds:
        if hold.status == "active":
            due[hold.asset] += hold.amount_minor
    return due


def _added(first: dict[str, Decimal], second: dict[str, Decimal]) -> dict[str, Decimal]:
    return {asset: amount + second[asset] for asset, amount in first.items()}


def _with_holds(
    truth: GroundTruth, holds: tuple[Held, ...], *, too_much: dict[str, Decimal]
) -> GroundTruth:
    """These holds, and in escrow what they need and what was too much before."""
    if truth.escrow is None:
        return replace(truth, holds=holds)
    due = _active(holds)
    escrow = {asset: due[asset] + amount for asset, amount in too_much.items()}
    return replace(truth, holds=holds, escrow=escrow)


def _cut(scenario: Scenario, lines: list[str], truth: GroundTruth) -> tuple[list[str], GroundTruth]:
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(lines))
        file.flush()
        history = read_history(Path(file.name))
    judged = judge(scenario, history, truth)
    culprits = {i for finding in judged.findings for i in finding.operations}
    rounds = {None, *_rounds_of_faults(scenario, history), *ROUNDS.get(scenario.name, ())}
    if judged.findings:
        rounds.add(judged.findings[0].round)
    if rounds == {None}:
        rounds.add(1)
    kept, reads = [], 0
    for line in lines:
        record = json.loads(line)
        value = record.get("operation") or record["event"]
        if value["round"] not in rounds:
            continue
        if value.get("name", "").startswith("read-balance"):
            reads += 1
            if reads > READS_KEPT and value["id"] not in culprits:
                continue
        kept.append(line)
    wallets = wallets_of(o for o in history.operations if o.round in rounds)
    return kept, _only(truth, wallets)


def _rounds_of_faults(scenario: Scenario, history: History) -> set[int | None]:
    required = REQUIRED.get(scenario.name, ())
    firsts = {next((e.round for e in history.events if e.kind == kind), None) for kind in required}
    return firsts - {None}


def _only(truth: GroundTruth, wallets: frozenset[str]) -> GroundTruth:
    legs = truth.legs
    holds = tuple(h for h in truth.holds if {h.payer, h.payee} & wallets)
    truth = _with_holds(truth, holds, too_much=_too_much(truth))
    return replace(
        truth,
        balances={w: b for w, b in truth.balances.items() if w in wallets},
        effects=tuple(e for e in truth.effects if {e.payer, e.payee} & wallets),
        legs=None if legs is None else tuple(leg for leg in legs if leg.wallet in wallets),
    )


def _plant(scenario: Scenario) -> None:
    """Undo the last acknowledged movement of the attack, as a lost write would."""
    good = read(scenario.name, "good")
    control = wallets_of(o for o in good.history.operations if o.round is None)
    lost = [e for e in good.truth.effects if not {e.payer, e.payee} & control][-1]
    balances = dict(good.truth.balances)
    for wallet, change in ((lost.payer, lost.amount_minor), (lost.payee, -lost.amount_minor)):
        if wallet is not None:
            old = balances[wallet]
            balances[wallet] = replace(old, amount_minor=old.amount_minor + change)
    truth = replace(
        good.truth,
        balances=balances,
        effects=tuple(e for e in good.truth.effects if e is not lost),
        legs=tuple(leg for leg in good.truth.legs or () if leg.effect != lost.id),
    )
    folder = Path(__file__).parent
    lines = (folder / f"{scenario.name}.good.jsonl").read_text().splitlines()
    _write(scenario, "bad", "hardened, and a write undone by hand", lines, truth)


if __name__ == "__main__":
    main(sys.argv[1:])
