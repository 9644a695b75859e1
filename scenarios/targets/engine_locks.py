"""Where movements of the engine can be kept waiting, as SQL for a side session."""

from collections.abc import Sequence
from typing import Any

from scenarios.targets.protocol import WalletRef

OWNER = "SELECT 1 FROM users WHERE id = (SELECT user_id FROM wallets WHERE id = %s) FOR UPDATE"


class EngineLocks:
    def all_wallets(self) -> tuple[str, Sequence[Any]]:
        return "LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE", ()

    def owner(self, wallet: WalletRef) -> tuple[str, Sequence[Any]]:
        return OWNER, (int(wallet.id),)

    def writes(self) -> Sequence[tuple[str, Sequence[Any]]]:
        tables = ("wallets", "transactions", "idempotency_keys")
        return [(f"LOCK TABLE {table} IN SHARE MODE", ()) for table in tables]
