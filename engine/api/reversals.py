"""The route that gives a movement back."""

import uuid

from fastapi import APIRouter, Response

from engine.api.bodies import NoBody, OptionalBody
from engine.api.context import KeyedRoute, MoneyCall
from engine.api.execution import execute, reversal
from engine.api.views import ReversalView, shown
from engine.reversals import Reversal
from engine.services import Services


def reversal_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["movements"], route_class=KeyedRoute)
    view = shown(201, ReversalView, services.money.view_type)

    @router.post("/transfers/{transfer_id}/reversals", status_code=201, responses=view)
    def reverse(transfer_id: uuid.UUID, call: MoneyCall, body: OptionalBody = None) -> Response:
        """Give the whole amount back, once; takes the payee or the operator's role.

        409 `already-reversed` the second time, and `not-reversible` for what is a reversal itself
        or belongs to a hold.
        """
        subject = Reversal(
            transaction_id=transfer_id, principal=call.caller, permissions=services.permissions
        )
        return execute(services, call, (), body or NoBody(), reversal, subject=subject)

    return router
