"""Routes about wallets: opening, reading one or many, freezing, statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from engine.accounts import find_wallet, open_wallet, set_status, wallets_of
from engine.api.bodies import BalancesBody, StatusBody, WalletBody, WalletRow
from engine.api.context import (
    Caller,
    CallerRoute,
    Limit,
    Sessions,
    StraightReadRoute,
    WalletPath,
    body_of,
)
from engine.api.fast_json import response_class
from engine.api.tags import IfMatch, matches, wallet_tag
from engine.api.views import BalancesView, EntriesView, WalletsView, WalletView, shown
from engine.database import OpenSession
from engine.readings import statement
from engine.refusals import FORBIDDEN, NOT_FOUND, OUTCOME_UNKNOWN, Refused
from engine.schema import Wallet
from engine.services import Services
from engine.wallets import WalletState


def wallet_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["wallets"], route_class=CallerRoute)
    money = services.money.view_type
    bodies = {True: WalletBody, False: WalletRow}

    @router.post("/wallets", status_code=201, responses=shown(201, WalletView, money))
    def create(
        caller: Caller, open_session: Sessions, body: WalletBody = body_of(bodies, services.strict)
    ) -> dict[str, Any]:
        """Open an empty wallet, one a user, asset and label."""
        user_id = services.permissions.owner_for(caller, body.user_id)
        if user_id is None:
            raise Refused(FORBIDDEN, "say whose wallet it is", field="user_id")
        owner_id = user_id

        def opened() -> tuple[WalletState, str]:
            with open_session() as session:
                asset = services.assets.by_code(session, body.asset)
                wallet = open_wallet(
                    session,
                    user_id=owner_id,
                    asset=asset,
                    label=body.label,
                    columns=body.model_extra or {},
                    look_first=services.look_first,
                )
                return WalletState.of(wallet), asset.code

        return wallet_view(services, *services.retry.run(opened))

    @router.patch("/wallets/{wallet_id}", responses=shown(200, WalletView, money))
    def change_status(  # noqa: PLR0913, PLR0917 - what the request is made of
        wallet_id: WalletPath,
        body: StatusBody,
        caller: Caller,
        open_session: Sessions,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Freeze, close or activate; takes the operator's role where roles are asked for."""
        services.permissions.to_operate(caller)

        def changed() -> tuple[WalletState, str]:
            code = ""
            with open_session() as session:

                def expected(wallet: Wallet) -> bool:
                    # The answer needs the code: after COMMIT it would take another connection.
                    nonlocal code
                    code = services.assets.by_id(session, wallet.asset_type_id).code
                    return matches(if_match, wallet_tag(WalletState.of(wallet)))

                wallet = set_status(
                    session,
                    wallet_id,
                    body.status,
                    services.locking,
                    services.assets,
                    expected=expected,
                )
                return WalletState.of(wallet), code

        with _forgotten(services, wallet_id):
            state, code = services.retry.run(changed)
        response.headers["ETag"] = wallet_tag(state)
        return wallet_view(services, state, code)

    router.include_router(_reading_routes(services))
    return router


def balance_route(services: Services) -> APIRouter:
    """What is read most."""
    router = APIRouter(tags=["wallets"], route_class=StraightReadRoute)
    money = services.money.view_type
    answer = response_class(services.money)

    @router.get("/wallets/{wallet_id}", responses=shown(200, WalletView, money))
    def read_one(wallet_id: WalletPath, caller: Caller, open_session: Sessions) -> Response:
        """One wallet; its ETag is its version."""
        wallet = _read_cached(services, open_session, wallet_id)
        services.permissions.to_see(caller, wallet.user_id if wallet else None)
        if wallet is None:
            raise _no_wallet(wallet_id)
        view = wallet_view(services, wallet, _code_of(services, open_session, wallet))
        return answer(view, headers={"ETag": wallet_tag(wallet)})

    return router


def _reading_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    money = services.money.view_type

    @router.get("/wallets", responses=shown(200, WalletsView, money))
    def list_own(caller: Caller, open_session: Sessions, limit: Limit = 100) -> dict[str, Any]:
        """The caller's wallets."""
        with open_session() as session:
            states = [WalletState.of(w) for w in wallets_of(session, caller.user_id, limit=limit)]
            codes = [services.assets.by_id(session, s.asset_type_id).code for s in states]
        views = [wallet_view(services, s, c) for s, c in zip(states, codes, strict=True)]
        return {"wallets": views}

    router.include_router(_wider_routes(services))
    return router


def _wider_routes(services: Services) -> APIRouter:
    """More than one wallet, or more than its balance."""
    router = APIRouter(route_class=CallerRoute)
    money = services.money.view_type

    @router.post("/wallets/balances", responses=shown(200, BalancesView, money))
    def read_many(body: BalancesBody, caller: Caller, open_session: Sessions) -> dict[str, Any]:
        """Several wallets as of one moment. Never from the cache."""
        with open_session() as session:
            found = services.bulk_read(session, services.books(session), body.wallet_ids)
            codes = {w.id: services.assets.by_id(session, w.asset_type_id).code for w in found}
        missing = set(body.wallet_ids) - set(codes)
        for user_id in {wallet.user_id for wallet in found} | ({None} if missing else set()):
            services.permissions.to_see(caller, user_id)
        if missing:
            raise _no_wallet(min(missing))
        return {
            "as_of": datetime.now(UTC).isoformat(),
            "wallets": [wallet_view(services, wallet, codes[wallet.id]) for wallet in found],
        }

    @router.get("/wallets/{wallet_id}/entries", responses=shown(200, EntriesView, money))
    def entries(
        wallet_id: WalletPath, caller: Caller, open_session: Sessions, limit: Limit = 100
    ) -> dict[str, Any]:
        """The wallet's statement, newest first."""
        with open_session() as session:
            wallet = find_wallet(session, wallet_id)
            services.permissions.to_see(caller, wallet.user_id if wallet else None)
            if wallet is None:
                raise _no_wallet(wallet_id)
            code = services.assets.by_id(session, wallet.asset_type_id).code
            lines = statement(session, wallet_id, legs=services.double_entry, limit=limit)
        return {"wallet_id": wallet_id, "entries": [line_view(services, x, code) for x in lines]}

    return router


@contextmanager
def _forgotten(services: Services, wallet_id: int) -> Iterator[None]:
    """Around a change that the cache must not outlive, also where nobody knows if it was made."""
    try:
        yield
    except Refused as refusal:
        if refusal.problem is OUTCOME_UNKNOWN:
            services.cache.forget(wallet_id)
        raise
    services.cache.forget(wallet_id)


def _no_wallet(wallet_id: int) -> Refused:
    return Refused(NOT_FOUND, f"there is no wallet {wallet_id}", field="wallet_id")


def _read_cached(
    services: Services, open_session: OpenSession, wallet_id: int
) -> WalletState | None:
    cached, token = services.cache.find(wallet_id)
    services.metrics.balance_cache.labels("hit" if cached else "miss").inc()
    if cached:
        return cached
    with open_session() as session:
        found = services.books(session).read([wallet_id], lock=False)
    if not found:
        return None
    services.cache.fill(found[0], token)
    return found[0]


def _code_of(services: Services, open_session: OpenSession, wallet: WalletState) -> str:
    if known := services.assets.known(wallet.asset_type_id):
        return known.code
    with open_session() as session:
        return services.assets.by_id(session, wallet.asset_type_id).code


def wallet_view(services: Services, wallet: WalletState, code: str) -> dict[str, Any]:
    return {
        "id": wallet.id,
        "user_id": wallet.user_id,
        "asset": code,
        "label": wallet.label,
        "balance": services.money.write(wallet.balance, code),
        "version": wallet.version,
        "status": wallet.status,
    }


def line_view(services: Services, line: Any, code: str) -> dict[str, Any]:
    write = services.money.write
    return {
        "transaction_id": line.transaction_id,
        "type": line.kind,
        "entry_type": line.entry_type,
        "amount": write(line.amount, code),
        "balance_after": None if line.balance_after is None else write(line.balance_after, code),
        "timestamp": line.timestamp.isoformat(),
    }
