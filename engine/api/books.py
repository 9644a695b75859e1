"""Routes that look behind the balances: keys, assets, reconciliation."""

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from engine.api.context import KEY, Caller, CallerRoute, Sessions, spelled_once
from engine.reconciliation import reconcile, trial_balance
from engine.refusals import NOT_FOUND, Refused
from engine.schema import AssetType
from engine.services import Services

ROUTE = r"^POST /[\x21-\x7e]{1,200}$"


def book_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["books"])

    @router.get("/assets")
    def list_assets(open_session: Sessions) -> dict[str, Any]:
        with open_session() as session:
            assets = session.scalars(sa.select(AssetType).order_by(AssetType.id))
            return {
                "assets": [
                    {"code": asset.code, "name": asset.name, "decimals": asset.decimals}
                    for asset in assets
                ]
            }

    router.include_router(_key_routes(services))
    router.include_router(_ledger_routes(services))
    return router


def _key_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    # A key may hold slashes.
    @router.get("/idempotency/{key:path}")
    def read_key(
        key: Annotated[str, Path(pattern=f"^{KEY.pattern}$")],
        caller: Caller,
        open_session: Sessions,
        route: Annotated[str, Query(pattern=ROUTE)] = "POST /v1/transfers",
    ) -> dict[str, Any]:
        """What became of my request? 404: nothing, it may be sent again. 409: ask again shortly."""
        scope = services.key_rules.scope(caller.name, spelled_once(route))
        with open_session() as session:
            answer = services.keys.fate(session, scope, key)
        if answer is None:
            raise Refused(NOT_FOUND, "no request with this key was settled")
        return {"key": key, "status": answer.status, "body": answer.body}

    return router


def _ledger_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    @router.get("/ledger/reconciliation")
    def reconciliation(caller: Caller, open_session: Sessions) -> JSONResponse:
        """Every balance against its records; 503 names the first row that disagrees."""
        services.permissions.to_operate(caller)
        with open_session() as session:
            result = reconcile(session, legs=services.double_entry, chained=services.chained)
        body = {
            "balanced": result.first_difference is None,
            "wallets": result.wallets,
            "first_difference": result.first_difference,
        }
        return JSONResponse(body, status_code=200 if body["balanced"] else 503)

    @router.get("/ledger/trial-balance")
    def totals(caller: Caller, open_session: Sessions) -> dict[str, Any]:
        """Σ per asset over all wallets, system wallets included."""
        services.permissions.to_operate(caller)
        with open_session() as session:
            rows = trial_balance(session, legs=services.double_entry)
            codes = [services.assets.by_id(session, asset_id).code for asset_id, *_ in rows]
        write = services.money.write
        by_asset = list(zip(rows, codes, strict=True))
        body = {"totals": [write(held, code) for (_, held, _), code in by_asset]}
        if services.double_entry:
            body["ledger_totals"] = [write(legs, code) for (_, _, legs), code in by_asset]
        return body

    return router
