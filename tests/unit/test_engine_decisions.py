"""Decisions about money: nothing appears, nothing vanishes, a refusal changes nothing."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.books.ledger import both_legs
from engine.decisions import Decision, decide, time_ordered_uuid
from engine.money import LARGEST_AMOUNT
from engine.refusals import Refused
from engine.wallets import Movement, WalletState

WALLET_IDS = (1, 2, 3, 4)
AMOUNTS = st.integers(1, 200)


def wallet(wallet_id: int, balance: int = 100, **fields: Any) -> WalletState:
    values: dict[str, Any] = {
        "user_id": wallet_id,
        "asset_type_id": 1,
        "version": 7,
        "status": "active",
        "allow_negative": False,
    }
    return WalletState(id=wallet_id, balance=balance, **(values | fields))


def transfer(payer: int | None, payee: int | None, amount: int, asset: str = "USD") -> Movement:
    return Movement(
        kind="TRANSFER", from_wallet_id=payer, to_wallet_id=payee, amount=amount, asset=asset
    )


def decided(
    movements: Sequence[Movement],
    wallets: Mapping[int, WalletState],
    *,
    codes: Mapping[int, str] | None = None,
    strict: bool = True,
) -> Decision:
    codes = codes or dict.fromkeys(wallets, "USD")
    return decide(
        movements,
        wallets,
        asset_codes=codes,
        idempotency_key="k",
        strict=strict,
        shown=lambda w: w.user_id == 1,
    )


@st.composite
def movement_lists(draw: st.DrawFn) -> list[Movement]:
    sides = st.lists(st.sampled_from(WALLET_IDS), min_size=2, max_size=2, unique=True)
    pairs = draw(st.lists(st.tuples(sides, AMOUNTS), min_size=1, max_size=12))
    return [transfer(payer, payee, amount) for (payer, payee), amount in pairs]


@given(movement_lists(), st.lists(st.integers(0, 300), min_size=4, max_size=4))
def test_money_is_conserved_and_never_overdrawn(
    movements: list[Movement], balances: list[int]
) -> None:
    before = {i: wallet(i, b) for i, b in zip(WALLET_IDS, balances, strict=True)}
    snapshot = dict(before)
    try:
        decision = decided(movements, before)
    except Refused as refusal:
        refused_as = refusal.problem.name
        decision = Decision(before=before, after=(), postings=())
    else:
        refused_as = ""
    assert refused_as in {"", "insufficient-funds"}
    after = before | {w.id: w for w in decision.after}
    assert sum(w.balance for w in after.values()) == sum(balances)
    assert all(w.balance >= 0 for w in after.values())
    assert before == snapshot


@given(movement_lists())
def test_legs_chain_to_the_last_balance(movements: list[Movement]) -> None:
    before = {i: wallet(i, 10_000) for i in WALLET_IDS}
    decision = decided(movements, before)
    state = {i: (w.balance, w.version) for i, w in before.items()}
    for posting in decision.postings:
        legs = both_legs(posting)
        assert sorted(leg.entry_type for leg in legs) == ["CREDIT", "DEBIT"]
        for leg in legs:
            balance, version = state[leg.wallet_id]
            signed = leg.amount if leg.entry_type == "CREDIT" else -leg.amount
            assert (leg.balance_after, leg.wallet_version) == (balance + signed, version + 1)
            state[leg.wallet_id] = (leg.balance_after, leg.wallet_version)
    for changed in decision.after:
        assert state[changed.id] == (changed.balance, changed.version)


def refusal_of(movement: Movement, wallets: list[WalletState], **options: Any) -> str:
    with pytest.raises(Refused) as caught:
        decided([movement], {w.id: w for w in wallets}, **options)
    return caught.value.problem.name


def test_refusals_come_in_one_order() -> None:
    """404, then 409 inactive, then 422 asset, then 402; each hides what comes after it."""
    poor, frozen = wallet(1, 0, status="frozen"), wallet(2, 0, status="frozen")
    codes = {1: "USD", 2: "GOLD"}
    assert refusal_of(transfer(1, 3, 5), [poor, frozen], codes=codes) == "not-found"
    assert refusal_of(transfer(1, 2, 5), [poor, frozen], codes=codes) == "wallet-inactive"
    active = [wallet(1, 0), wallet(2, 0)]
    assert refusal_of(transfer(1, 2, 5), active, codes=codes) == "asset-mismatch"
    assert refusal_of(transfer(1, 2, 5, "GOLD"), active) == "asset-mismatch"
    assert refusal_of(transfer(1, 2, 5), active) == "insufficient-funds"


@pytest.mark.parametrize("status", ["frozen", "closed"])
def test_of_other_peoples_wallets_nothing_is_told(status: str) -> None:
    """The caller's are user 1's."""
    inactive = {1: wallet(1, status=status), 2: wallet(2, status=status), 3: wallet(3)}
    told = {}
    for payer, payee in ((1, 3), (3, 1), (3, 2), (2, 3), (None, 2)):
        with pytest.raises(Refused) as caught:
            decided([transfer(payer, payee, 5)], inactive)
        told[payer, payee] = str(caught.value)
    assert told[1, 3] == told[3, 1] == f"wallet 1 is {status}"
    assert told[3, 2] == told[None, 2] == "the payee's wallet takes no payments"
    assert told[2, 3] == "the payer's wallet makes no payments"


def test_a_balance_that_json_cannot_carry_is_refused() -> None:
    rich = [wallet(1, LARGEST_AMOUNT), wallet(2, LARGEST_AMOUNT)]
    assert refusal_of(transfer(1, 2, 1), rich) == "balance-limit"


def test_a_transfer_to_oneself_is_refused_where_it_is_looked_at_and_else_makes_money() -> None:
    assert refusal_of(transfer(1, 1, 5), [wallet(1)]) == "self-transfer"
    lax = decided([transfer(1, 1, 5)], {1: wallet(1)}, strict=False)
    assert lax.after[0].balance == 105


def test_a_system_wallet_may_go_below_zero() -> None:
    decision = decided([transfer(1, 2, 5)], {1: wallet(1, 0, allow_negative=True), 2: wallet(2)})
    assert {w.id: w.balance for w in decision.after} == {1: -5, 2: 105}


def test_uuids_are_version_7_and_ordered_by_their_millisecond() -> None:
    ids: list[uuid.UUID] = []
    for milliseconds in (1, 2, 1_000_000, 1_795_000_000_000):
        with patch("engine.decisions.time.time_ns", return_value=milliseconds * 1_000_000):
            ids.append(time_ordered_uuid())
    assert ids == sorted(ids)
    assert [i.int >> 80 for i in ids] == [1, 2, 1_000_000, 1_795_000_000_000]
    many = [time_ordered_uuid() for _ in range(500)]
    assert {(i.version, i.variant) for i in many} == {(7, uuid.RFC_4122)}
    assert len(set(many)) == 500


def test_lax_looks_at_the_asset_of_the_first_wallet_only() -> None:
    wallets = {1: wallet(1), 2: wallet(2)}
    codes = {1: "GOLD", 2: "USD"}
    gold = transfer(1, 2, 5, asset="GOLD")
    with pytest.raises(Refused) as caught:
        decided([gold], wallets, codes=codes)
    assert caught.value.problem.name == "asset-mismatch"
    assert len(decided([gold], wallets, codes=codes, strict=False).postings) == 1
    with pytest.raises(Refused):
        decided([transfer(1, 2, 5, asset="USD")], wallets, codes=codes, strict=False)
