"""Routes about batch payouts: setting one up, paying it out, taking rows back, looking."""

import hashlib
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from engine.api.batch_views import (
    BatchesView,
    BatchView,
    CompensationsView,
    RowsView,
    batch_view,
    compensation_view,
    row_view,
)
from engine.api.bodies import Body, MovementBody, NoBody, WalletId
from engine.api.context import (
    BatchPath,
    Call,
    Caller,
    CallerRoute,
    KeyHeader,
    KeyTakingRoute,
    Limit,
    MoneyCall,
    Sessions,
)
from engine.api.execution import pin_of
from engine.api.replays import STILL_GOING_ON, answered_once
from engine.api.views import shown
from engine.batches.store import Batch, find_batch, newest_batches, open_batch, rows_after
from engine.batches.upload import store_rows
from engine.database import OpenSession
from engine.identity import Principal
from engine.refusals import BATCH_EMPTY, KEY_REUSED, NOT_CSV, NOT_FOUND, Refused
from engine.schema import Wallet
from engine.services import Services
from engine.unit_of_work import commit
from engine.wallets import Answer

IN_MEMORY_BYTES = 1024 * 1024
"""Of an upload; the rest waits in a temporary file."""
UTF_8 = {"utf-8", "utf8", "us-ascii"}
CSV_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "recipient_id,amount\n2,50.00\n"}
        },
    }
}


class BatchBody(Body):
    source_wallet_id: WalletId


class ExecutionBody(MovementBody):
    """Nothing of its own."""


class CompensationBody(MovementBody):
    rows: Annotated[
        list[Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]],
        Field(min_length=1, max_length=1000),
    ]


def batch_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["batches"], route_class=KeyTakingRoute)
    view = shown(201, BatchView, services.money.view_type)

    @router.post("/batches", status_code=201, responses=view)
    def create(
        body: BatchBody,
        request: Request,
        caller: Caller,
        open_session: Sessions,
        _: KeyHeader = None,
    ) -> JSONResponse:
        """Set a batch up that pays from this wallet. A key, if one is sent, names it."""
        key = request.state.key if services.executions.runs.keyed else None
        with open_session() as session:
            wallet = session.get(Wallet, body.source_wallet_id)
            services.permissions.to_act_for(caller, wallet.user_id if wallet else None)
            if wallet is None:
                raise Refused(NOT_FOUND, "there is no such wallet", field="source_wallet_id")
            batch, new = open_batch(
                session, user_id=caller.user_id, source_wallet_id=wallet.id, key=key
            )
            commit(session)
        if batch.source_wallet_id != body.source_wallet_id:
            raise Refused(KEY_REUSED, "this key names a batch of another wallet")
        headers = {} if new else {"Idempotent-Replayed": "true"}
        return _answer(services, batch, 201, headers)

    router.include_router(_upload_routes(services))
    router.include_router(_money_routes(services))
    router.include_router(_reading_routes(services))
    return router


def _upload_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)
    view = shown(200, BatchView, services.money.view_type)

    @router.put("/batches/{batch_id}/rows", responses=view, openapi_extra=CSV_BODY)
    async def upload(
        batch_id: BatchPath,
        request: Request,
        caller: Caller,
        open_session: Sessions,
        confirm_duplicates: bool = False,
    ) -> JSONResponse:
        """Give the batch its rows; all are checked first, and stay as they are from then on.

        The same file again changes nothing. Of a batch that is not theirs nobody's file is read.
        """
        _must_be_csv(request.headers.get("Content-Type", ""))
        await run_in_threadpool(_owned, services, open_session, caller, batch_id)
        with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
            digest = hashlib.sha256()
            async for piece in request.stream():
                digest.update(piece)
                await run_in_threadpool(file.write, piece)
            file.seek(0)

            def store() -> JSONResponse:
                batch = _owned(services, open_session, caller, batch_id)
                with open_session() as session:
                    stored, new = store_rows(
                        session,
                        batch,
                        cast("BinaryIO", file),
                        sha256=digest.hexdigest(),
                        asset=services.assets.by_id(session, batch.asset_type_id),
                        money=services.money,
                        doubles_confirmed=confirm_duplicates,
                    )
                headers = {} if new else {"Idempotent-Replayed": "true"}
                return _answer(services, stored, 200, headers)

            return await run_in_threadpool(store)

    return router


def _money_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=KeyTakingRoute)
    money = services.money.view_type

    @router.post(
        "/batches/{batch_id}/executions",
        responses=shown(200, BatchView, money) | shown(202, BatchView, money),
    )
    def execute(
        batch_id: BatchPath, call: MoneyCall, body: ExecutionBody | None = None
    ) -> JSONResponse:
        """Pay out, or go on after a crash. 202: it goes on in the background, look at its state.

        Needs no key: a row is paid once. One that is sent repeats the answer of a batch that ended.
        """
        before_money_moves(services, call, body or NoBody())

        def allowed(found: Batch | None) -> Batch:
            services.permissions.to_act_for(call.caller, found.user_id if found else None)
            if _existing(found).file_sha256 is None:
                raise Refused(BATCH_EMPTY, "send the rows first")
            return _existing(found)

        def pay_out() -> Answer:
            batch = services.executions.execute(call.open_session, batch_id, allowed)
            status = 200 if batch.ended else STILL_GOING_ON
            return Answer(status=status, body=batch_view(services.money, batch))

        answer = answered_once(services, call, {}, pay_out)
        return _response(answer, {"Location": f"/v1/batches/{batch_id}"})

    @router.post("/batches/{batch_id}/compensations", responses=shown(200, CompensationsView))
    def compensate(batch_id: BatchPath, body: CompensationBody, call: MoneyCall) -> JSONResponse:
        """Take back what these rows paid, each once; takes the operator's role where roles are
        asked for, because the recipients are not asked. A key, if one is sent, repeats the answer.
        """
        before_money_moves(services, call, body)
        rows = sorted(set(body.rows))

        def take_back() -> Answer:
            services.permissions.to_operate(call.caller)
            with call.open_session() as session:
                batch = _existing(find_batch(session, batch_id))
            done = services.compensations.compensate(call.open_session, batch, rows)
            return Answer(status=200, body={"rows": [compensation_view(row) for row in done]})

        return _response(answered_once(services, call, rows, take_back))

    return router


def before_money_moves(services: Services, call: Call, body: BaseModel) -> None:
    """What an execution or a compensation takes of the caller beside the token: the PIN.

    Nothing is locked yet. Raises Refused.
    """
    services.pins.check(call.open_session, call.caller, pin_of(call.pin, body))


def _response(answer: Answer, headers: dict[str, str] | None = None) -> JSONResponse:
    replayed = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    return JSONResponse(answer.body, status_code=answer.status, headers=(headers or {}) | replayed)


def _reading_routes(services: Services) -> APIRouter:
    router = APIRouter(route_class=CallerRoute)
    money = services.money.view_type

    @router.get("/batches", responses=shown(200, BatchesView, money))
    def list_own(
        caller: Caller,
        open_session: Sessions,
        limit: Limit = 100,
        before: Annotated[int, Query(ge=1, le=2**63 - 1)] = 2**63 - 1,
    ) -> dict[str, Any]:
        """The caller's batches, newest first; `before` is the id of the last one seen."""
        with open_session() as session:
            batches = newest_batches(session, caller.user_id, before=before, limit=limit)
        return {"batches": [batch_view(services.money, batch) for batch in batches]}

    @router.get("/batches/{batch_id}", responses=shown(200, BatchView, money))
    def read_one(batch_id: BatchPath, caller: Caller, open_session: Sessions) -> JSONResponse:
        """State, totals, counts, last row."""
        batch = _seen(services, open_session, caller, batch_id)
        return _answer(services, batch, 200)

    @router.get("/batches/{batch_id}/rows", responses=shown(200, RowsView, money))
    def read_rows(
        batch_id: BatchPath,
        caller: Caller,
        open_session: Sessions,
        limit: Limit = 100,
        after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    ) -> dict[str, Any]:
        """What became of each row, in their order; `after` is the last one seen."""
        batch = _seen(services, open_session, caller, batch_id)
        with open_session() as session:
            rows = rows_after(session, batch_id, after, limit=limit)
        return {
            "rows": [row_view(services.money, row, batch.asset) for row in rows],
            "next_after": rows[-1].row_index if len(rows) == limit else None,
        }

    return router


def _must_be_csv(content_type: str) -> None:
    kind, _, parameters = content_type.partition(";")
    name, _, charset = parameters.strip().lower().partition("=")
    other = name.strip() == "charset" and charset.strip(' "') not in UTF_8
    if kind.strip().lower() != "text/csv" or other:
        raise Refused(NOT_CSV, "send text/csv, in UTF-8", field="Content-Type")


def _owned(
    services: Services, open_session: OpenSession, caller: Principal, batch_id: int
) -> Batch:
    """For whoever set it up. Raises Refused."""
    with open_session() as session:
        batch = find_batch(session, batch_id)
        session.rollback()
    services.permissions.to_act_for(caller, batch.user_id if batch else None)
    return _existing(batch)


def _seen(services: Services, open_session: OpenSession, caller: Principal, batch_id: int) -> Batch:
    """For whoever set it up and for operators. Raises Refused."""
    with open_session() as session:
        batch = find_batch(session, batch_id)
        session.rollback()
    services.permissions.to_see(caller, batch.user_id if batch else None)
    return _existing(batch)


def _existing(batch: Batch | None) -> Batch:
    if batch is None:
        raise Refused(NOT_FOUND, "there is no such batch", field="batch_id")
    return batch


def _answer(
    services: Services, batch: Batch, status: int, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Takes no connection: what was committed is told also when there is none to be had."""
    return JSONResponse(batch_view(services.money, batch), status_code=status, headers=headers)
