"""From a request that moves money to its answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, SecretStr

from engine.api.context import Call
from engine.idempotency import KeyedRequest, fingerprint_of
from engine.money import Money
from engine.payments import Order
from engine.services import Services
from engine.wallets import Answer, Movement, Posting

View = Callable[[Sequence[Posting], Mapping[int, str], Money], dict[str, Any]]
"""The body of a successful answer, from the postings and each wallet's asset code."""


def execute(
    services: Services, call: Call, movements: tuple[Movement, ...], payload: BaseModel, view: View
) -> JSONResponse:
    """Move the money once, and answer as it was answered the first time.

    First the PIN: whoever does not know it learns nothing of the key either.
    """
    services.pins.check(call.open_session, call.caller, pin_of(call.pin, payload))
    route = f"{call.method} {call.path}"
    order = Order(
        principal=call.caller,
        request=KeyedRequest(
            scope=services.key_rules.scope(call.caller.name, route),
            key=call.key,
            fingerprint=fingerprint_of([route, payload.model_dump(mode="json")]),
        ),
        movements=movements,
        present=lambda postings, assets: view(postings, assets, services.money),
        present_refusal=lambda refusal: Answer(
            status=call.style.status(refusal.problem),
            body=call.style.body(refusal, call.path, call.request_id, []),
        ),
    )
    answer = services.payments.execute(call.open_session, order)
    return JSONResponse(
        answer.body,
        status_code=answer.status,
        media_type=call.style.media_type if answer.status >= 400 else "application/json",
        headers={"Idempotent-Replayed": "true"} if answer.replayed else {},
    )


def pin_of(header: SecretStr | None, payload: BaseModel) -> str | None:
    """The header's, else the body's."""
    pin: SecretStr | None = header or getattr(payload, "pin", None)
    return pin.get_secret_value() if pin else None


def one_movement(
    postings: Sequence[Posting], assets: Mapping[int, str], money: Money
) -> dict[str, Any]:
    return _posting_view(postings[0], assets, money)


def whole_chain(
    postings: Sequence[Posting], assets: Mapping[int, str], money: Money
) -> dict[str, Any]:
    return {"movements": [_posting_view(posting, assets, money) for posting in postings]}


def _posting_view(posting: Posting, assets: Mapping[int, str], money: Money) -> dict[str, Any]:
    movement = posting.movement
    return {
        "id": str(posting.id),
        "type": movement.kind,
        "from_wallet_id": movement.from_wallet_id,
        "to_wallet_id": movement.to_wallet_id,
        "amount": money.write(movement.amount, assets[movement.wallet_ids[0]]),
        "status": "COMPLETED",
        "timestamp": posting.timestamp.isoformat(),
    }
