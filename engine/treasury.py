"""How many system wallets stand for the outside of an asset (switch `treasury`).

With one, every deposit and withdrawal waits for the same row. With several each wallet has one of
them to deal with, and it is their sum that counts.
"""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.defences import Defences
from engine.unit_of_work import commit

SHARDS = 16
LABEL = "shard-"
TREASURY_LOCK = 0x_A55A_7EA5
"""Advisory lock: engines that start together open each shard once."""
LOCK = sa.text("SELECT pg_advisory_xact_lock(:lock)")
OPEN = sa.text("""
INSERT INTO wallets (user_id, asset_type_id, label, allow_negative)
SELECT w.user_id, w.asset_type_id, :label || n, true
FROM wallets w JOIN users u ON u.id = w.user_id, generate_series(1, :shards - 1) n
WHERE u.role = 'system' AND w.label = '' AND NOT EXISTS (
    SELECT FROM wallets o WHERE o.user_id = w.user_id AND o.asset_type_id = w.asset_type_id
    AND o.label = :label || n)
ORDER BY w.asset_type_id, n
""")


def shards_of(defences: Defences) -> int:
    return SHARDS if defences.treasury == "sharded" else 1


def shard_labels(shards: int) -> list[str]:
    """The first one has none: it is older than the others."""
    return ["", *(f"{LABEL}{number}" for number in range(1, shards))]


def open_shards(session: Session, shards: int) -> None:
    """For every asset that there is now; one that comes later has its one wallet."""
    session.execute(LOCK, {"lock": TREASURY_LOCK})
    session.execute(OPEN, {"label": LABEL, "shards": shards})
    commit(session)
