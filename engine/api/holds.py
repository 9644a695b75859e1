"""Routes about money that is set aside: authorise, capture, release."""

import uuid
from typing import Any

from fastapi import APIRouter, Response

from engine.api.bodies import HoldBody, NoBody, OptionalBody
from engine.api.context import Call, Caller, CallerRoute, KeyedRoute, MoneyCall, Sessions, body_of
from engine.api.execution import View, execute, hold_end
from engine.api.movements import one_sided, refuse_self
from engine.api.views import HoldEndView, HoldView, shown
from engine.holds import End, HoldEnd, NewHold, recorded_hold
from engine.refusals import NOT_FOUND, Refused
from engine.services import Services


def hold_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["holds"], route_class=KeyedRoute)
    wire = services.money.wire_type
    money = services.money.view_type

    @router.post("/holds", status_code=201, responses=shown(201, HoldView, money))
    def authorise(call: MoneyCall, body: HoldBody[Any] = body_of(HoldBody, wire)) -> Response:
        """Set an amount aside for a payee: it leaves the balance and can no longer be spent."""
        refuse_self(services, body.from_wallet_id, body.to_wallet_id)
        movement = one_sided(services, "HOLD", body.from_wallet_id, body.amount)
        subject = NewHold(movement=movement, to_wallet_id=body.to_wallet_id)
        return execute(services, call, (), body, _hold_view(body.to_wallet_id), subject=subject)

    @router.post("/holds/{hold_id}/capture", responses=shown(200, HoldEndView, money))
    def capture(hold_id: uuid.UUID, call: MoneyCall, body: OptionalBody = None) -> Response:
        """Pay the whole amount to the payee, once; takes the payee or the operator's role."""
        return _end(services, call, hold_id, "CAPTURE", body)

    @router.post("/holds/{hold_id}/release", responses=shown(200, HoldEndView, money))
    def release(hold_id: uuid.UUID, call: MoneyCall, body: OptionalBody = None) -> Response:
        """Give the whole amount back, once; takes the payee or the operator's role."""
        return _end(services, call, hold_id, "RELEASE", body)

    router.include_router(_reading_routes(services))
    return router


def _reading_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    @router.get("/holds/{hold_id}", responses=shown(200, HoldView, services.money.view_type))
    def read_one(hold_id: uuid.UUID, caller: Caller, open_session: Sessions) -> dict[str, Any]:
        """One hold, for those on both sides of it."""
        with open_session() as session:
            hold = recorded_hold(session, hold_id)
            if hold is None or caller.user_id not in hold.user_ids:
                services.permissions.to_operate(caller)
            if hold is None:
                raise Refused(NOT_FOUND, f"there is no hold {hold_id}")
            code = services.assets.by_id(session, hold.asset_type_id).code
        return {
            "id": str(hold.id),
            "from_wallet_id": hold.from_wallet_id,
            "to_wallet_id": hold.to_wallet_id,
            "amount": services.money.write(hold.amount, code),
            "status": hold.status,
            "timestamp": hold.timestamp.isoformat(),
        }

    return router


def _end(
    services: Services, call: Call, hold_id: uuid.UUID, kind: End, body: NoBody | None
) -> Response:
    subject = HoldEnd(
        hold_id=hold_id, kind=kind, principal=call.caller, permissions=services.permissions
    )
    return execute(services, call, (), body or NoBody(), hold_end, subject=subject, success=200)


def _hold_view(payee_wallet_id: int) -> View:
    def view(postings: Any, assets: Any, money: Any) -> dict[str, Any]:
        (posting,) = postings
        payer = posting.movement.from_wallet_id
        return {
            "id": str(posting.id),
            "from_wallet_id": payer,
            "to_wallet_id": payee_wallet_id,
            "amount": money.write(posting.movement.amount, assets[payer]),
            "status": "active",
            "timestamp": posting.timestamp.isoformat(),
        }

    return view
