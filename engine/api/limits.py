"""Routes for limits over a user's wallets of one asset: set by operators, seen by the user."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from engine.api.bodies import LimitBody
from engine.api.context import Caller, CallerRoute, Sessions, UserPath, body_of
from engine.api.views import LimitsView, LimitView, shown
from engine.limits import Limit, limits_of, set_limit
from engine.money import LARGEST_AMOUNT, AssetCode
from engine.refusals import ASSET_MISMATCH, Refused
from engine.schema import Amount
from engine.services import Services


class LimitMinorUnits(BaseModel):
    """Strict in every build: an operator's mistake is nothing to study."""

    model_config = ConfigDict(extra="forbid")
    amount: Annotated[int, Field(strict=True, ge=0, le=LARGEST_AMOUNT, examples=[50000])]
    asset: AssetCode


LimitNumber = Annotated[
    float, Field(strict=True, ge=0, le=LARGEST_AMOUNT / 100, allow_inf_nan=False)
]


def limit_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["limits"], route_class=CallerRoute)
    money = services.money.view_type
    wire = _wire_type(services)

    @router.put("/users/{user_id}/limits/{asset}", responses=shown(200, LimitView, money))
    def change(
        user_id: UserPath,
        asset: Annotated[AssetCode, Path()],
        caller: Caller,
        open_session: Sessions,
        body: LimitBody[Any] = body_of(LimitBody, wire),
    ) -> dict[str, Any]:
        """Set both limits, from the next payment on; null is none. Takes the operator's role."""
        services.permissions.to_operate(caller)
        daily_cap = _read(services, body.daily_cap, asset, "daily_cap")
        overdraft = _read(services, body.overdraft, asset, "overdraft")

        def once() -> Limit:
            with open_session() as session:
                limit = Limit(
                    user_id=user_id,
                    asset_type_id=services.assets.by_code(session, asset).id,
                    daily_cap=daily_cap,
                    overdraft=overdraft,
                )
                set_limit(session, limit)
            return limit

        return _view(services, services.retry.run(once), asset)

    @router.get("/users/{user_id}/limits", responses=shown(200, LimitsView, money))
    def read(user_id: UserPath, caller: Caller, open_session: Sessions) -> dict[str, Any]:
        """What bounds this user's payments; nothing is listed where nothing does."""
        services.permissions.to_see(caller, user_id)
        with open_session() as session:
            limits = limits_of(session, user_id)
            codes = [services.assets.by_id(session, x.asset_type_id).code for x in limits]
        return {"limits": [_view(services, x, c) for x, c in zip(limits, codes, strict=True)]}

    return router


def _wire_type(services: Services) -> Any:
    wire = services.money.wire_type
    is_object = isinstance(wire, type) and issubclass(wire, BaseModel)
    return LimitMinorUnits if is_object else LimitNumber


def _read(services: Services, wire: Any, asset: str, field: str) -> Amount | None:
    if wire is None:
        return None
    amount, named = services.money.read(wire)
    if named not in (None, asset):
        raise Refused(ASSET_MISMATCH, "the limit is of another asset", field=field)
    return amount


def _view(services: Services, limit: Limit, asset: str) -> dict[str, Any]:
    def written(amount: Amount | None) -> Any:
        return None if amount is None else services.money.write(amount, asset)

    return {
        "user_id": limit.user_id,
        "asset": asset,
        "daily_cap": written(limit.daily_cap),
        "overdraft": written(limit.overdraft),
    }
