"""Batch payouts as scenarios speak of them."""

from dataclasses import dataclass

from attacks.http.request import Request
from scenarios.lab import Lab, Wallet
from scenarios.targets.protocol import Payment


@dataclass(frozen=True, kw_only=True)
class Payout:
    """A batch that is set up and has its rows."""

    id: str
    payer: Wallet
    rows: tuple[Payment, ...]
    key: str
    lab: Lab

    def executes(self) -> Request:
        """Pays it out, or goes on with it; however often it is asked for, it is one work."""
        return self.lab.target.batches.execution(
            self.payer.ref, self.id, self.rows, work=f"payout {self.key}"
        )

    def takes_back(self, *chosen: int) -> Request:
        """Rows are counted from 1; asking again for the same ones is the same work."""
        work = f"taking back {chosen} of {self.key}"
        return self.lab.target.batches.compensation(
            self.payer.ref, self.id, self.rows, chosen, work=work
        )


def set_up(
    lab: Lab,
    payer: Wallet,
    *rows: tuple[Wallet, int],
    round: int,  # noqa: A002 - the field's word for it
    key: str | None = None,
) -> Payout:
    """A batch with these rows, in minor units, not paid yet. Raises AttackFailed."""
    batches = lab.target.batches
    payments = tuple(Payment(payee=payee.ref, amount_minor=amount) for payee, amount in rows)
    name = key or lab.new_key()
    opened = lab.must(batches.set_up(payer.ref, key=name), round=round)
    batch_id = str(opened.values["id"])
    lab.must(batches.upload(payer.ref, batch_id, payments), round=round)
    return Payout(id=batch_id, payer=payer, rows=payments, key=name, lab=lab)
