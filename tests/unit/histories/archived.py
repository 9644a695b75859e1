"""A history and a ground truth that a test has in memory, as an archive for the judge at scale."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from attacks.history import History
from scenarios.scale.archive import Archive, archive_from
from scenarios.truth import GroundTruth

ENDED = {"kind": "note", "text": "load ended", "round": None, "at_s": 1e9, "until_s": None}


@dataclass(frozen=True, kw_only=True)
class TruthRows:
    """What PostgreSQL would have copied out."""

    truth: GroundTruth
    keys: Sequence[str | None] = ()
    """Of the effects, in their order, where the service recorded any."""

    def keeps(self, table: str) -> bool:
        if table == "legs":
            return self.truth.legs is not None
        return table != "effects" or self.truth.records_kept

    def copy(self, table: str, file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, newline="", write_through=True)
        csv.writer(text).writerows(self._rows(table))
        text.detach()

    def _rows(self, table: str) -> Iterable[Sequence[Any]]:
        if table == "balances":
            return (
                (b.wallet, b.asset, *split(b.amount_minor), b.may_be_negative, b.version, b.owner,
                 b.status)
                for b in self.truth.balances.values()
            )  # fmt: skip
        if table == "effects":
            keys = (*self.keys, *[None] * (len(self.truth.effects) - len(self.keys)))
            return (
                (e.id, e.payer, e.payee, *split(e.amount_minor), key)
                for e, key in zip(self.truth.effects, keys, strict=True)
            )
        return (
            (leg.effect, leg.wallet, *split(leg.amount_minor), *split(leg.balance_after_minor),
             leg.position)
            for leg in self.truth.legs or ()
        )  # fmt: skip


def split(amount_minor: Decimal) -> tuple[int | None, str | None]:
    """`whole` and `odd`, as `scenarios.targets.truth_queries` has them."""
    if not amount_minor.is_finite():
        return None, str(amount_minor)
    if amount_minor == amount_minor.to_integral_value() and abs(amount_minor) < 9 * 10**18:
        return int(amount_minor), None
    return None, f"{amount_minor:f}"


def archived(
    folder: Path,
    history: History,
    truth: GroundTruth,
    *,
    keys: Sequence[str | None] = (),
    ended: bool = True,
) -> Archive:
    lines: list[dict[str, Any]] = [{"operation": asdict(o)} for o in history.operations]
    lines += [{"event": asdict(e)} for e in history.events]
    lines += [{"event": ENDED}] if ended else []
    text = "".join(json.dumps(line, default=str) + "\n" for line in lines)
    (folder / "load.jsonl").write_text(text)
    return archive_from(folder, TruthRows(truth=truth, keys=keys))
