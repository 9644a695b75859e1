"""Routes that move money: transfers, deposits, withdrawals, chains."""

import uuid
from typing import Any

from fastapi import APIRouter, Response

from engine.api.bodies import AmountBody, ChainBody, TransferBody
from engine.api.context import (
    Caller,
    CallerRoute,
    KeyedRoute,
    MoneyCall,
    Sessions,
    StraightRoute,
    WalletPath,
    body_of,
)
from engine.api.execution import execute, one_movement, whole_chain
from engine.api.transfer_list import transfer_list_routes
from engine.api.views import ChainView, MovementView, shown
from engine.api.whole_transfers import WholeTransferRoute, transfer_whole
from engine.readings import recorded_movement
from engine.refusals import SELF_TRANSFER, Refused
from engine.services import Services
from engine.wallets import Kind, Movement

NAMES_ITS_PAYER = frozenset({"WITHDRAWAL", "SPEND", "HOLD"})
"""One-sided movements out of the wallet that is named; the others pay into it."""


def movement_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["movements"], route_class=KeyedRoute)
    wire = services.money.wire_type
    view = shown(201, MovementView, services.money.view_type)

    whole = services.whole_transfers
    paying = APIRouter(route_class=WholeTransferRoute if whole else StraightRoute)

    @paying.post("/transfers", status_code=201, responses=view)
    def transfer(
        call: MoneyCall, body: TransferBody[Any] = body_of(TransferBody, wire)
    ) -> Response:
        """Move money between two wallets."""
        movement = transfer_of(services, body.from_wallet_id, body.to_wallet_id, body.amount)
        if whole:
            return transfer_whole(services, whole, call, movement, body)
        return execute(services, call, (movement,), body, one_movement)

    router.include_router(paying)

    @router.post("/wallets/{wallet_id}/deposits", status_code=201, responses=view)
    def deposit(
        wallet_id: WalletPath, call: MoneyCall, body: AmountBody[Any] = body_of(AmountBody, wire)
    ) -> Response:
        """Pay money in from outside; takes the operator's role where roles are asked for."""
        movement = one_sided(services, "DEPOSIT", wallet_id, body.amount)
        return execute(services, call, (movement,), body, one_movement)

    @router.post("/wallets/{wallet_id}/withdrawals", status_code=201, responses=view)
    def withdraw(
        wallet_id: WalletPath, call: MoneyCall, body: AmountBody[Any] = body_of(AmountBody, wire)
    ) -> Response:
        """Pay money out to the outside."""
        movement = one_sided(services, "WITHDRAWAL", wallet_id, body.amount)
        return execute(services, call, (movement,), body, one_movement)

    chain_view = shown(201, ChainView, services.money.view_type)

    @router.post("/chains", status_code=201, responses=chain_view)
    def chain(call: MoneyCall, body: ChainBody[Any] = body_of(ChainBody, wire)) -> Response:
        """Several withdrawals and deposits offered as one."""
        parts = body.movements
        movements = tuple(one_sided(services, p.type, p.wallet_id, p.amount) for p in parts)
        return execute(services, call, movements, body, whole_chain)

    router.include_router(transfer_list_routes(services))
    router.include_router(_reading_routes(services))
    return router


def _reading_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    view = shown(200, MovementView, services.money.view_type)

    @router.get("/transfers/{transfer_id}", responses=view)
    def get_transfer(
        transfer_id: uuid.UUID, caller: Caller, open_session: Sessions
    ) -> dict[str, Any]:
        """One movement, for those who took part in it."""
        with open_session() as session:
            try:
                record = recorded_movement(session, transfer_id)
            except Refused:
                # To strangers it looks like other people's.
                services.permissions.to_operate(caller)
                raise
            if caller.user_id not in record.user_ids:
                services.permissions.to_operate(caller)
            asset = services.assets.by_id(session, record.asset_type_id)
        return {
            "id": str(record.id),
            "type": record.kind,
            "from_wallet_id": record.from_wallet_id,
            "to_wallet_id": record.to_wallet_id,
            "amount": services.money.write(record.amount, asset.code),
            "status": record.status,
            "timestamp": record.timestamp.isoformat(),
        }

    return router


def transfer_of(services: Services, payer: int, payee: int, wire_amount: Any) -> Movement:
    """Raises Refused for a transfer to oneself, where that is looked at."""
    refuse_self(services, payer, payee)
    amount, asset = services.money.read(wire_amount)
    return Movement(
        kind="TRANSFER", from_wallet_id=payer, to_wallet_id=payee, amount=amount, asset=asset
    )


def refuse_self(services: Services, payer: int, payee: int) -> None:
    """What the body alone shows to be wrong: before the key, and whoever asks. Raises Refused."""
    if services.strict and payer == payee:
        raise Refused(SELF_TRANSFER, "pay somebody else", field="to_wallet_id")


def one_sided(services: Services, kind: Kind, wallet_id: int, wire_amount: Any) -> Movement:
    """A movement whose other side lies outside."""
    amount, asset = services.money.read(wire_amount)
    return Movement(
        kind=kind,
        from_wallet_id=wallet_id if kind in NAMES_ITS_PAYER else None,
        to_wallet_id=None if kind in NAMES_ITS_PAYER else wallet_id,
        amount=amount,
        asset=asset,
    )
