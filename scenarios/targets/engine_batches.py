"""The adapter of the wallet engine's batch payouts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from attacks.history import Move
from attacks.http.request import ReadReply, Reply, Request
from scenarios.targets.protocol import Payment, WalletRef


@dataclass(frozen=True, kw_only=True)
class EngineBatches:
    headers: Callable[[str | None, str | None], Mapping[str, str]]
    """Of a token and a PIN."""
    operator: Callable[[], Mapping[str, str]]
    """The operator's headers."""
    read: ReadReply

    def set_up(self, payer: WalletRef, *, key: str) -> Request:
        return Request(
            name="set-up-batch",
            text=f"set up a batch that wallet {payer.id} pays",
            method="POST",
            path="/v1/batches",
            headers={**self.headers(payer.token, None), "Idempotency-Key": key},
            json={"source_wallet_id": int(payer.id)},
            read=self.read,
        )

    def upload(self, payer: WalletRef, batch_id: str, rows: Sequence[Payment]) -> Request:
        lines = [f"{row.payee.id},{_major(row.amount_minor)}" for row in rows]
        content = "\n".join(["recipient_id,amount", *lines, ""])
        return Request(
            name="upload-batch",
            text=f"upload {len(rows)} rows of batch {batch_id}",
            method="PUT",
            path=f"/v1/batches/{batch_id}/rows",
            headers={**self.headers(payer.token, None), "Content-Type": "text/csv"},
            content=content.encode(),
            read=self.read,
        )

    def execution(
        self, payer: WalletRef, batch_id: str, rows: Sequence[Payment], *, work: str
    ) -> Request:
        total = _major(sum(row.amount_minor for row in rows))
        return Request(
            name="execute-batch",
            text=f"pay batch {batch_id} out: {len(rows)} rows, {total} <- wallet {payer.id}",
            method="POST",
            path=f"/v1/batches/{batch_id}/executions",
            headers=self.headers(payer.token, payer.pin),
            moves=tuple(
                Move(payer=payer.id, payee=row.payee.id, amount_minor=row.amount_minor)
                for row in rows
            ),
            key=work,
            read=lambda response: self._whole(response, lambda b: b["status"] == "COMPLETED"),
        )

    def compensation(
        self,
        payer: WalletRef,
        batch_id: str,
        rows: Sequence[Payment],
        chosen: Sequence[int],
        *,
        work: str,
    ) -> Request:
        taken = [rows[number - 1] for number in chosen]
        return Request(
            name="compensate-batch",
            text=f"take back rows {', '.join(map(str, chosen))} of batch {batch_id}",
            method="POST",
            path=f"/v1/batches/{batch_id}/compensations",
            headers=self.operator(),
            json={"rows": list(chosen)},
            moves=tuple(
                Move(payer=row.payee.id, payee=payer.id, amount_minor=row.amount_minor)
                for row in taken
            ),
            key=work,
            read=lambda response: self._whole(
                response, lambda b: all(row["status"] == "COMPENSATED" for row in b["rows"])
            ),
        )

    def _whole(self, response: httpx.Response, is_whole: Callable[[Any], bool]) -> Reply:
        """2xx for less than everything is no acknowledgement of everything."""
        reply = self.read(response)
        if reply.outcome == "ok" and not is_whole(response.json()):
            return Reply(outcome="unknown", answer=f"{reply.answer} not all of it")
        return reply


def _major(amount_minor: int) -> str:
    return f"{amount_minor // 100}.{amount_minor % 100:02}"
