"""The route that lists movements, and the opaque text that says where a page goes on."""

import struct
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from engine.accounts import find_wallet
from engine.api.context import Caller, CallerRoute, Limit, Sessions
from engine.api.views import MovementsView, shown
from engine.identity import Principal
from engine.movement_lists import (
    ListedMovement,
    Place,
    movements_of_all,
    movements_of_user,
    movements_of_wallet,
)
from engine.refusals import INVALID, NOT_FOUND, Refused
from engine.services import Services

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACE = struct.Struct(">q16s")
"""Microseconds since the epoch, and the id: 24 bytes, which are 32 characters without padding."""
After = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9_-]{32}$",
        description="Where to go on: `next_after` of the page before.",
    ),
]
OfWallet = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="Only this wallet's movements.")
]


def transfer_list_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)

    @router.get("/transfers", responses=shown(200, MovementsView, services.money.view_type))
    def list_transfers(
        caller: Caller,
        open_session: Sessions,
        wallet_id: OfWallet = None,
        after: After = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """Movements of the caller's wallets, newest first; an operator sees everybody's.

        `next_after` is null where the list ends.
        """
        place = None if after is None else _place_of(after)
        with open_session() as session:
            # One more than asked for: whether it goes on is known without another request.
            found = _found(services, session, caller, wallet_id, place, limit + 1)
            page = found[:limit]
            codes = {m.asset_type_id: _code(services, session, m) for m in page}
        return {
            "transfers": [_view(services, m, codes[m.asset_type_id]) for m in page],
            "next_after": _text_of(page[-1].place) if len(found) > limit else None,
        }

    return router


def _found(  # noqa: PLR0913, PLR0917 - what the request is made of
    services: Services,
    session: Session,
    caller: Principal,
    wallet_id: int | None,
    after: Place | None,
    limit: int,
) -> list[ListedMovement]:
    if wallet_id is not None:
        wallet = find_wallet(session, wallet_id)
        services.permissions.to_see(caller, wallet.user_id if wallet else None)
        if wallet is None:
            raise Refused(NOT_FOUND, f"there is no wallet {wallet_id}", field="wallet_id")
        return movements_of_wallet(session, wallet_id, after=after, limit=limit)
    if caller.user_id is None or caller.role == "operator":
        return movements_of_all(session, after=after, limit=limit)
    return movements_of_user(session, caller.user_id, after=after, limit=limit)


def _code(services: Services, session: Session, movement: ListedMovement) -> str:
    return services.assets.by_id(session, movement.asset_type_id).code


def _view(services: Services, movement: ListedMovement, code: str) -> dict[str, Any]:
    return {
        "id": str(movement.id),
        "type": movement.kind,
        "from_wallet_id": movement.from_wallet_id,
        "to_wallet_id": movement.to_wallet_id,
        "amount": services.money.write(movement.amount, code),
        "status": movement.status,
        "timestamp": movement.timestamp.isoformat(),
    }


def _text_of(place: Place) -> str:
    moment_us = (place.timestamp - EPOCH) // timedelta(microseconds=1)
    return urlsafe_b64encode(PLACE.pack(moment_us, place.id.bytes)).decode()


def _place_of(text: str) -> Place:
    """Raises Refused where no page has ended like that."""
    moment_us, id_bytes = PLACE.unpack(urlsafe_b64decode(text))
    try:
        timestamp = EPOCH + timedelta(microseconds=moment_us)
    except OverflowError as error:
        raise Refused(INVALID, "no page ends there", field="after") from error
    return Place(timestamp=timestamp, id=uuid.UUID(bytes=id_bytes))
