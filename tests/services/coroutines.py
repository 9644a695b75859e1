"""Async endpoints of FastAPI over asyncpg's pool: prepared statements, resets on release."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel


class Payment(BaseModel):
    payer: str
    payee: str
    cents: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=4) as pool:
        app.state.pool = pool
        yield


def create_app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    async def pay(pool: Any, payment: Payment, lock: str) -> dict[str, int]:
        async with pool.acquire() as connection, connection.transaction():
            has = await connection.fetchval(
                f"SELECT cents FROM account WHERE holder = $1{lock}", payment.payer
            )
            if has < payment.cents:
                raise HTTPException(409, "not enough money")
            await connection.execute(
                "UPDATE account SET cents = $1 WHERE holder = $2",
                has - payment.cents,
                payment.payer,
            )
            await connection.execute(
                "UPDATE account SET cents = cents + $1 WHERE holder = $2",
                payment.cents,
                payment.payee,
            )
        return {"left": has - payment.cents}

    @app.post("/pay/racy")
    async def pay_racy(payment: Payment, request: Request) -> dict[str, int]:
        return await pay(request.app.state.pool, payment, "")

    @app.post("/pay/right")
    async def pay_right(payment: Payment, request: Request) -> dict[str, int]:
        return await pay(request.app.state.pool, payment, " FOR UPDATE")

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ["PORT"]), log_level="critical")
