"""From a request for a transfer to the database's one call and back (`execution=function`)."""

from collections.abc import Callable
from functools import lru_cache

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from engine.api.context import Call, Handle, StraightRoute, limit, refuse_revoked
from engine.api.execution import as_response, keyed_request, movement_view, pin_of
from engine.api.problems import ErrorStyle
from engine.refusals import Refused
from engine.services import Services
from engine.wallets import Answer, Movement
from engine.whole_transfers import Guess, RefusedByCall, TransferOrder, WholeTransfers

UNTOLD = "generic"
"""The problem where `errors=generic` does not name it."""


class WholeTransferRoute(StraightRoute):
    """The call itself looks whether the token was logged out; whoever is refused before it is asked
    that first, as on every other route."""

    def handle_admitted(
        self, request: Request, handle: Handle, unreadable: HTTPException | None
    ) -> Response:
        limit(request)
        try:
            self.check(request)
            if unreadable:
                raise unreadable
            return self.answered(request, handle)
        except RefusedByCall:
            raise
        except (Refused, RequestValidationError, HTTPException):
            refuse_revoked(request)
            raise


def transfer_whole(
    services: Services,
    transfers: WholeTransfers,
    call: Call,
    movement: Movement,
    payload: BaseModel,
) -> JSONResponse:
    """Raises Refused."""
    user_id = call.caller.user_id
    assert user_id is not None, "builds that ask nobody for a name make transfers otherwise"
    guess = services.pins.guess(user_id, pin_of(call.pin, payload))
    asset = movement.asset
    assert asset is not None, "whole cents are of an asset"
    token = call.caller.token
    order = TransferOrder(
        principal=call.caller,
        jti=token.jti if token and services.tokens.revocable else None,
        guess=Guess(hashed=guess["guess"], lockout_s=guess["lockout_s"]),
        request=keyed_request(services, call, payload),
        movement=movement,
        request_id=call.request_id,
        present=lambda id_, timestamp: movement_view(
            id_, timestamp, movement, asset, services.money
        ),
        present_refusal=refusals_at(call.style, call.path),
    )
    answer = transfers.execute(call.open_session, order)
    if answer.status >= 400 and not answer.replayed:
        # The database chose the words: which problem it is stands in them, if it is told at all.
        problem = answer.body.get("type", UNTOLD).rpartition(":")[2]
        services.metrics.refusals.labels(problem).inc()
    return as_response(services, call, answer)


@lru_cache(maxsize=8)
def refusals_at(style: ErrorStyle, path: str) -> Callable[[Refused, str], Answer]:
    """Once for all requests with this path: what is made of it can be kept."""
    return lambda refusal, request_id: Answer(
        status=style.status(refusal.problem), body=style.body(refusal, path, request_id, [])
    )
