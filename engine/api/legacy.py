"""The unversioned routes of the engine that `fragile` stands for: a wallet a user, bare numbers."""

from typing import Any

from fastapi import APIRouter, Response

from engine.accounts import list_users, open_wallet, wallets_of
from engine.api.bodies import AmountBody, TransferBody, UserBody
from engine.api.context import KeyedRoute, Limit, MoneyCall, Sessions, WalletPath, body_of
from engine.api.execution import execute, one_movement
from engine.api.movements import one_sided, transfer_of
from engine.api.users import signed_up, user_view
from engine.api.wallets import wallet_view
from engine.money import DEFAULT_ASSET
from engine.services import Services
from engine.wallets import WalletState


def legacy_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["legacy"])

    @router.post("/users/", status_code=201)
    def create_user(body: UserBody, open_session: Sessions) -> dict[str, Any]:
        """Sign up; the user's one wallet is opened as well."""
        user = signed_up(services, open_session, body)

        def opened() -> WalletState:
            with open_session() as session:
                asset = services.assets.by_code(session, DEFAULT_ASSET)
                wallet = open_wallet(
                    session, user_id=user.id, asset=asset, look_first=services.look_first
                )
                return WalletState.of(wallet)

        state = services.retry.run(opened)
        return user_view(user) | {"wallet": wallet_view(services, state, DEFAULT_ASSET)}

    @router.get("/users/")
    def users(open_session: Sessions, limit: Limit = 100) -> list[dict[str, Any]]:
        with open_session() as session:
            return [user_view(user) for user in list_users(session, limit=limit)]

    @router.get("/wallets/")
    def wallets(open_session: Sessions, limit: Limit = 100) -> list[dict[str, Any]]:
        with open_session() as session:
            states = [WalletState.of(w) for w in wallets_of(session, None, limit=limit)]
        return [wallet_view(services, state, DEFAULT_ASSET) for state in states]

    router.include_router(_movement_routes(services))
    return router


def _movement_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=KeyedRoute)
    wire = services.money.wire_type

    @router.post("/wallets/{wallet_id}/deposit")
    def deposit(
        wallet_id: WalletPath, call: MoneyCall, body: AmountBody[Any] = body_of(AmountBody, wire)
    ) -> Response:
        """Pay in; a negative amount pays out."""
        movement = one_sided(services, "DEPOSIT", wallet_id, body.amount)
        return execute(services, call, (movement,), body, one_movement)

    @router.post("/transfer/")
    def transfer(
        call: MoneyCall, body: TransferBody[Any] = body_of(TransferBody, wire)
    ) -> Response:
        movement = transfer_of(services, body.from_wallet_id, body.to_wallet_id, body.amount)
        return execute(services, call, (movement,), body, one_movement)

    return router
