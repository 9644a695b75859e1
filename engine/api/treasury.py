"""Routes between wallets and the treasury of their asset: assets, top-ups, spends, bonuses."""

from typing import Any

from fastapi import APIRouter, Response

from engine.api.bodies import AmountBody, AssetBody, BonusBody
from engine.api.context import (
    Caller,
    CallerRoute,
    KeyedRoute,
    MoneyCall,
    Sessions,
    WalletPath,
    body_of,
)
from engine.api.execution import execute, one_movement
from engine.api.movements import one_sided
from engine.api.views import AssetView, MovementView, shown
from engine.assets import create_asset
from engine.bonuses import CampaignBonus
from engine.services import Services


def treasury_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["treasury"], route_class=KeyedRoute)
    wire = services.money.wire_type
    view = shown(201, MovementView, services.money.view_type)

    @router.post("/wallets/{wallet_id}/top-ups", status_code=201, responses=view)
    def top_up(
        wallet_id: WalletPath, call: MoneyCall, body: AmountBody[Any] = body_of(AmountBody, wire)
    ) -> Response:
        """Credit bought from the treasury; takes the operator's role where roles are asked for."""
        movement = one_sided(services, "TOP_UP", wallet_id, body.amount)
        return execute(services, call, (movement,), body, one_movement)

    @router.post("/wallets/{wallet_id}/spends", status_code=201, responses=view)
    def spend(
        wallet_id: WalletPath, call: MoneyCall, body: AmountBody[Any] = body_of(AmountBody, wire)
    ) -> Response:
        """Pay the treasury."""
        movement = one_sided(services, "SPEND", wallet_id, body.amount)
        return execute(services, call, (movement,), body, one_movement)

    @router.post("/wallets/{wallet_id}/bonuses", status_code=201, responses=view)
    def grant(
        wallet_id: WalletPath, call: MoneyCall, body: BonusBody[Any] = body_of(BonusBody, wire)
    ) -> Response:
        """A gift of the treasury; of a campaign each user gets one, then 409 `already-granted`."""
        movement = one_sided(services, "BONUS", wallet_id, body.amount)
        if body.campaign is None:
            return execute(services, call, (movement,), body, one_movement)
        subject = CampaignBonus(movement=movement, campaign=body.campaign)
        return execute(services, call, (), body, one_movement, subject=subject)

    router.include_router(_asset_routes(services))
    return router


def _asset_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    @router.post("/assets", status_code=201, responses=shown(201, AssetView))
    def create(body: AssetBody, caller: Caller, open_session: Sessions) -> dict[str, Any]:
        """A new asset with an empty treasury; takes the operator's role where roles are asked."""
        services.permissions.to_operate(caller)

        def once() -> None:
            with open_session() as session:
                create_asset(session, code=body.code, name=body.name, decimals=body.decimals)

        services.retry.run(once)
        return {"code": body.code, "name": body.name, "decimals": body.decimals}

    return router
