"""The decision about money, pure: wallets as they were read in, balances to be written out.

Everything is decided before anything is written, so that a refusal leaves nothing behind.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engine.money import LARGEST_AMOUNT
from engine.refusals import (
    ASSET_MISMATCH,
    BALANCE_LIMIT,
    INSUFFICIENT_FUNDS,
    NOT_FOUND,
    SELF_TRANSFER,
    WALLET_INACTIVE,
    Refused,
)
from engine.wallets import Leg, Movement, Posting, WalletState

TAKES_NO_PAYMENTS = "the payee's wallet takes no payments"
"""Of a wallet that is not the caller's: whether it is frozen or closed is its owner's business."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What will be written: each changed wallet as it will be, and a posting a movement."""

    before: Mapping[int, WalletState]
    after: tuple[WalletState, ...]
    """In the order in which the movements first touch them."""
    postings: tuple[Posting, ...]


def decide(  # noqa: PLR0913 - what a decision is made from
    movements: Sequence[Movement],
    wallets: Mapping[int, WalletState],
    *,
    asset_codes: Mapping[int, str],
    idempotency_key: str | None,
    strict: bool,
    shown: Callable[[WalletState], bool],
) -> Decision:
    """Apply the movements to the wallets one after the other.

    Raises Refused: not found, wallet inactive, asset mismatch, insufficient funds; with `strict`
    also self-transfer, and balance limit where JSON could no longer carry the balance exactly.
    `asset_codes` names each wallet's asset. `shown`: the caller may know what is with this wallet.
    """
    current = dict(wallets)
    touched: dict[int, None] = {}
    postings = []
    for movement in movements:
        _refuse_inactive(movement, current, shown)
        _check(movement, current, asset_codes, strict=strict)
        if strict and movement.from_wallet_id == movement.to_wallet_id:
            # Also a deposit into the very wallet that funds deposits.
            raise Refused(SELF_TRANSFER, "payer and payee are the same wallet")
        # Both sides are computed from the balances as they stood before this movement.
        changed = _apply(movement, current)
        if strict:
            _refuse_large(changed)
        current.update({wallet.id: wallet for wallet in changed})
        touched.update(dict.fromkeys(wallet.id for wallet in changed))
        postings.append(_posting(movement, changed, idempotency_key))
    after = tuple(current[wallet_id] for wallet_id in touched)
    return Decision(before=wallets, after=after, postings=tuple(postings))


def _refuse_inactive(
    movement: Movement, wallets: Mapping[int, WalletState], shown: Callable[[WalletState], bool]
) -> None:
    for wallet_id in movement.wallet_ids:
        if wallet_id not in wallets:
            raise Refused(NOT_FOUND, f"there is no wallet {wallet_id}", field="wallet_id")
    for wallet_id in movement.wallet_ids:
        wallet = wallets[wallet_id]
        if wallet.status != "active":
            is_payee = wallet_id == movement.to_wallet_id
            hidden = TAKES_NO_PAYMENTS if is_payee else "the payer's wallet makes no payments"
            detail = f"wallet {wallet.id} is {wallet.status}" if shown(wallet) else hidden
            raise Refused(WALLET_INACTIVE, detail)


def _check(
    movement: Movement,
    wallets: Mapping[int, WalletState],
    asset_codes: Mapping[int, str],
    *,
    strict: bool,
) -> None:
    sides = [wallets[wallet_id] for wallet_id in movement.wallet_ids]
    # Lax: what the first wallet holds is looked at, and the other one is forgotten.
    assets = {asset_codes[wallet.id] for wallet in (sides if strict else sides[:1])}
    if len(assets | ({movement.asset} if movement.asset else set())) > 1:
        raise Refused(ASSET_MISMATCH, "the wallets do not hold that asset", field="asset")
    if movement.from_wallet_id is not None:
        payer = wallets[movement.from_wallet_id]
        if not payer.allow_negative and payer.balance < movement.amount:
            raise Refused(INSUFFICIENT_FUNDS, f"wallet {payer.id} does not hold that much")


def _apply(movement: Movement, wallets: Mapping[int, WalletState]) -> list[WalletState]:
    changed = []
    if movement.from_wallet_id is not None:
        payer = wallets[movement.from_wallet_id]
        changed.append(
            replace(payer, balance=payer.balance - movement.amount, version=payer.version + 1)
        )
    if movement.to_wallet_id is not None:
        payee = wallets[movement.to_wallet_id]
        changed.append(
            replace(payee, balance=payee.balance + movement.amount, version=payee.version + 1)
        )
    return changed


def _refuse_large(wallets: Sequence[WalletState]) -> None:
    for wallet in wallets:
        if abs(wallet.balance) > LARGEST_AMOUNT:
            raise Refused(BALANCE_LIMIT, f"wallet {wallet.id} cannot hold that much")


def _posting(
    movement: Movement, changed: Sequence[WalletState], idempotency_key: str | None
) -> Posting:
    legs = tuple(
        Leg(
            wallet_id=wallet.id,
            entry_type="DEBIT" if wallet.id == movement.from_wallet_id else "CREDIT",
            amount=movement.amount,
            balance_after=wallet.balance,
            wallet_version=wallet.version,
        )
        for wallet in changed
    )
    return Posting(
        id=time_ordered_uuid(),
        movement=movement,
        legs=legs,
        idempotency_key=idempotency_key,
        timestamp=datetime.now(UTC),
    )


def time_ordered_uuid() -> uuid.UUID:
    """UUID version 7 (RFC 9562, section 5.7): known before the INSERT, and kind to the index."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 2 << 62)
