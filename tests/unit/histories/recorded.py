"""Pairs of recorded histories: what a claim looks like when it holds and when it does not.

A recording is two files: `<claim>.<good|bad>.jsonl` as `attacks.history.Recorder` writes it, and
`<claim>.<good|bad>.truth.json`, the ground truth that was read after it.
"""

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from attacks.history import History, read_history
from scenarios.truth import Balance, Effect, GroundTruth, Held, Leg

FOLDER = Path(__file__).parent
Kind = Literal["good", "bad"]

BAD_BUILDS = {
    "acked-not-committed": "fragile,unit_of_work=swallow_then_commit",
    "blind-retry": "fragile,retry=blind",
    "failed-key": "fragile,idempotency=claim",
    "key-scope": "fragile,idempotency=claim",
    "durability": "fragile,durability=async",
    "locks-left-behind": "fragile,locking=advisory_session",
    "dirty-cache": "hardened,unit_of_work=swallow_then_commit",
    "partial-commit": "fragile,unit_of_work=per_step",
    "poisoned-key": "fragile,idempotency=claim",
    "stale-retry": "fragile,retry=stale_values",
    "version-ignored": "fragile,locking=version_unchecked",
}
"""Builds that break the claim where plain `fragile` does not."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One run of one claim against one build, cut to a round or two."""

    build: str
    contradiction: str | None
    """The invariant of the first finding; None where there is none."""
    history: History
    truth: GroundTruth


def read(claim: str, kind: Kind) -> Recording:
    document = json.loads((FOLDER / f"{claim}.{kind}.truth.json").read_text())
    return Recording(
        build=document["build"],
        contradiction=document["contradiction"],
        history=read_history(FOLDER / f"{claim}.{kind}.jsonl"),
        truth=_truth(document),
    )


def write(
    claim: str,
    kind: Kind,
    *,
    build: str,
    lines: list[str],
    truth: GroundTruth,
    contradiction: str | None,
) -> None:
    document = {
        "build": build,
        "contradiction": contradiction,
        "balances": [asdict(balance) for balance in truth.balances.values()],
        "effects": [asdict(effect) for effect in truth.effects],
        "legs": None if truth.legs is None else [asdict(leg) for leg in truth.legs],
        "system_wallets": sorted(truth.system_wallets),
        "locks_left": truth.locks_left,
        "totals": dict(truth.totals),
        "holds": [asdict(hold) for hold in truth.holds],
        "escrow": None if truth.escrow is None else dict(truth.escrow),
    }
    (FOLDER / f"{claim}.{kind}.jsonl").write_text("\n".join(lines) + "\n")
    text = json.dumps(document, default=str, indent=1)
    (FOLDER / f"{claim}.{kind}.truth.json").write_text(text + "\n")


def _truth(document: dict[str, Any]) -> GroundTruth:
    balances = [Balance(**_exact(record)) for record in document["balances"]]
    legs, escrow = document["legs"], document.get("escrow")
    return GroundTruth(
        balances={balance.wallet: balance for balance in balances},
        effects=tuple(Effect(**_exact(record)) for record in document["effects"]),
        legs=None if legs is None else tuple(Leg(**_exact(record)) for record in legs),
        system_wallets=frozenset(document["system_wallets"]),
        locks_left=document.get("locks_left", 0),
        totals={a: Decimal(total) for a, total in document.get("totals", {}).items()},
        holds=tuple(Held(**_exact(record)) for record in document.get("holds", ())),
        escrow=escrow and {asset: Decimal(amount) for asset, amount in escrow.items()},
    )


def _exact(record: dict[str, Any]) -> dict[str, Any]:
    return {k: Decimal(v) if k.endswith("_minor") else v for k, v in record.items()}
