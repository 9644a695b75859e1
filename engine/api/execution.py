"""From a request that moves money to its answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, SecretStr

from engine.api.context import Call
from engine.api.fast_json import response_class
from engine.idempotency import KeyedRequest, fingerprint_of
from engine.money import Money
from engine.payments import Order
from engine.refusals import Refused
from engine.services import Services
from engine.subjects import Subject
from engine.wallets import Answer, Movement, Posting

View = Callable[[Sequence[Posting], Mapping[int, str], Money], dict[str, Any]]
"""The body of a successful answer, from the postings and each wallet's asset code."""


def execute(  # noqa: PLR0913 - what an order is made of
    services: Services,
    call: Call,
    movements: tuple[Movement, ...],
    payload: BaseModel,
    view: View,
    *,
    subject: Subject | None = None,
    success: int = 201,
) -> JSONResponse:
    """Move the money once, and answer as it was answered the first time.

    First the PIN: whoever does not know it learns nothing of the key either.
    """
    services.pins.check(call.open_session, call.caller, pin_of(call.pin, payload))
    order = Order(
        principal=call.caller,
        request=keyed_request(services, call, payload),
        movements=movements,
        subject=subject,
        success=success,
        present=lambda postings, assets: view(postings, assets, services.money),
        present_refusal=lambda refusal: _refusal(services, call, refusal),
    )
    return as_response(services, call, services.payments.execute(call.open_session, order))


def keyed_request(services: Services, call: Call, payload: BaseModel) -> KeyedRequest:
    return KeyedRequest(
        scope=services.key_rules.scope(call.caller.name, call.route),
        key=call.key,
        fingerprint=fingerprint_of([call.route, payload.model_dump(mode="json")]),
    )


def as_response(services: Services, call: Call, answer: Answer) -> JSONResponse:
    if answer.replayed:
        services.metrics.replays.inc()
    return response_class(services.money)(
        answer.body,
        status_code=answer.status,
        media_type=call.style.media_type if answer.status >= 400 else "application/json",
        headers={"Idempotent-Replayed": "true"} if answer.replayed else {},
    )


def _refusal(services: Services, call: Call, refusal: Refused) -> Answer:
    """As it is stored under the key, and answered each time."""
    services.metrics.refusals.labels(refusal.problem.name).inc()
    return Answer(
        status=call.style.status(refusal.problem),
        body=call.style.body(refusal, call.path, call.request_id, []),
    )


def pin_of(header: SecretStr | None, payload: BaseModel) -> str | None:
    """The header's, else the body's."""
    pin: SecretStr | None = header or getattr(payload, "pin", None)
    return pin.get_secret_value() if pin else None


def one_movement(
    postings: Sequence[Posting], assets: Mapping[int, str], money: Money
) -> dict[str, Any]:
    return _posting_view(postings[0], assets, money)


def reversal(
    postings: Sequence[Posting], assets: Mapping[int, str], money: Money
) -> dict[str, Any]:
    once = postings[0].movement.once
    assert once is not None, "a reversal names what it reverses"
    view = _posting_view(postings[0], assets, money)
    return view | {"reverses_transaction_id": str(once.reverses_transaction_id)}


def hold_end(
    postings: Sequence[Posting], assets: Mapping[int, str], money: Money
) -> dict[str, Any]:
    movement = postings[0].movement
    assert movement.once is not None, "the end of a hold names the hold"
    status = "captured" if movement.kind == "CAPTURE" else "released"
    hold = {"hold_id": str(movement.once.settles_hold_id), "hold_status": status}
    return _posting_view(postings[0], assets, money) | hold


def whole_chain(
    postings: Sequence[Posting], assets: Mapping[int, str], money: Money
) -> dict[str, Any]:
    return {"movements": [_posting_view(posting, assets, money) for posting in postings]}


def _posting_view(posting: Posting, assets: Mapping[int, str], money: Money) -> dict[str, Any]:
    movement = posting.movement
    asset = assets[movement.wallet_ids[0]]
    return movement_view(str(posting.id), posting.timestamp.isoformat(), movement, asset, money)


def movement_view(
    id_: str, timestamp: str, movement: Movement, asset: str, money: Money
) -> dict[str, Any]:
    return {
        "id": id_,
        "type": movement.kind,
        "from_wallet_id": movement.from_wallet_id,
        "to_wallet_id": movement.to_wallet_id,
        "amount": money.write(movement.amount, asset),
        "status": "COMPLETED",
        "timestamp": timestamp,
    }
