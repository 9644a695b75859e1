"""What the clients of a site send, as data for the pump.

A client has wallets of its own, so that no two requests meet in a row, unless they are to meet: a
price is that of the code, and what waiting costs is shown by the strategies of locking side by
side. Every wallet has an owner of its own, or the row of an owner's PIN would be the hot one.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attacks.http.pump import Shot

Workload = Literal["payments", "limited payments", "looks", "retries", "bulk reads", "deposits"]
SHOWN: Mapping[Workload, str] = {
    "payments": "transfer",
    "limited payments": "transfer",
    "looks": "read",
    "retries": "again",
    "bulk reads": "bulk-read",
    "deposits": "deposit",
}
"""Whose latency is shown; the throughput is that of all good answers."""
SHOTS = 96
"""So many different requests a client has to choose from."""
LOOKS_PER_TRANSFER = 4
AMOUNT_MINOR = 3
BULK = 8
ASSET = "USD"


@dataclass(frozen=True, kw_only=True)
class Purse:
    """A wallet with the headers of its owner: which of the site's."""

    wallet: int
    headers: int


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What requests can be made of."""

    purses: tuple[Purse, ...]
    operators: tuple[int, ...]
    """Headers of operators, several, so that none of them is the hot one."""
    bare_numbers: bool
    """Whether money is a number, in major units."""

    def money(self, amount_minor: int) -> Any:
        if self.bare_numbers:
            return amount_minor / 100
        return {"amount": amount_minor, "asset": ASSET}


def clients(
    supply: Supply, workload: Workload, how_many: int, seed: int
) -> tuple[tuple[Shot, ...], ...]:
    """What each of them sends; every one has wallets of its own. At least two for each."""
    shots = []
    for number in range(how_many):
        own = supply.purses[number::how_many]
        operator = supply.operators[number % len(supply.operators)]
        choice = random.Random(f"{seed}/{workload}/{number}")  # noqa: S311 - repeatable, not secret
        shots.append(_MADE[workload](supply, own, operator, choice))
    return tuple(shots)


def meeting(
    supply: Supply, writers: int, readers: int, seed: int, *, hot: Purse | None = None
) -> tuple[tuple[Shot, ...], ...]:
    """Writers who pay between all the wallets, and are refused where they meet; and readers.

    With `hot` everybody pays to that one.
    """
    refused = (409, 503)
    made: list[tuple[Shot, ...]] = []
    for number in range(writers + readers):
        choice = random.Random(f"{seed}/meeting/{number}")  # noqa: S311 - repeatable, not secret
        if number >= writers:
            made.append(tuple(read(choice.choice(supply.purses)) for _ in range(SHOTS)))
            continue
        pairs = [choice.sample(supply.purses, 2) for _ in range(SHOTS)]
        made.append(
            tuple(
                transfer(supply, payer, hot or payee, refused=refused)
                for payer, payee in pairs
                if payer != hot
            )
        )
    return tuple(made)


def transfer(
    supply: Supply, payer: Purse, payee: Purse, *, times: int = 1, refused: tuple[int, ...] = ()
) -> Shot:
    body = {
        "from_wallet_id": payer.wallet,
        "to_wallet_id": payee.wallet,
        "amount": supply.money(AMOUNT_MINOR),
    }
    return Shot(
        name="transfer",
        method="POST",
        path="/v1/transfers",
        headers=payer.headers,
        body=json.dumps(body),
        key_header="Idempotency-Key",
        times=times,
        refused=refused,
    )


def read(purse: Purse) -> Shot:
    path = f"/v1/wallets/{purse.wallet}"
    return Shot(name="read", method="GET", path=path, headers=purse.headers)


def _payments(
    supply: Supply, own: Sequence[Purse], _: int, choice: random.Random
) -> tuple[Shot, ...]:
    return tuple(transfer(supply, *choice.sample(own, 2)) for _ in range(SHOTS))


def _looks(supply: Supply, own: Sequence[Purse], _: int, choice: random.Random) -> tuple[Shot, ...]:
    payments = _payments(supply, own, 0, choice)[: SHOTS // (LOOKS_PER_TRANSFER + 1)]
    looks = (read(choice.choice(own)) for _ in range(len(payments) * LOOKS_PER_TRANSFER))
    return (*payments, *looks)


def _retries(
    supply: Supply, own: Sequence[Purse], _: int, choice: random.Random
) -> tuple[Shot, ...]:
    return tuple(transfer(supply, *choice.sample(own, 2), times=2) for _ in range(SHOTS))


def _bulk_reads(
    supply: Supply, _: Sequence[Purse], operator: int, choice: random.Random
) -> tuple[Shot, ...]:
    def one() -> Shot:
        wallets = [p.wallet for p in choice.sample(supply.purses, min(BULK, len(supply.purses)))]
        body = json.dumps({"wallet_ids": wallets})
        path = "/v1/wallets/balances"
        return Shot(name="bulk-read", method="POST", path=path, headers=operator, body=body)

    return tuple(one() for _ in range(SHOTS))


def _deposits(
    supply: Supply, own: Sequence[Purse], operator: int, choice: random.Random
) -> tuple[Shot, ...]:
    body = json.dumps({"amount": supply.money(AMOUNT_MINOR)})
    return tuple(
        Shot(
            name="deposit",
            method="POST",
            path=f"/v1/wallets/{choice.choice(own).wallet}/deposits",
            headers=operator,
            body=body,
            key_header="Idempotency-Key",
        )
        for _ in range(SHOTS)
    )


_Made = Callable[[Supply, Sequence[Purse], int, random.Random], tuple[Shot, ...]]
_MADE: Mapping[Workload, _Made] = {
    "payments": _payments,
    "limited payments": _payments,
    "looks": _looks,
    "retries": _retries,
    "bulk reads": _bulk_reads,
    "deposits": _deposits,
}
