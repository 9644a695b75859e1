"""Sync endpoints of FastAPI over psycopg2's connection pool. Also reads: GET /total/….

Of its POOL connections it keeps POOL_MIN; more are opened when needed and closed again.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.extensions
import psycopg2.pool
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel


class Payment(BaseModel):
    payer: str
    payee: str
    cents: int


def create_app() -> FastAPI:
    size = int(os.environ.get("POOL", "5"))
    kept = int(os.environ.get("POOL_MIN", "0"))
    pool = psycopg2.pool.ThreadedConnectionPool(kept, size, os.environ["DATABASE_URL"])
    free = threading.BoundedSemaphore(size)
    app = FastAPI()

    @contextmanager
    def transaction() -> Iterator[psycopg2.extensions.cursor]:
        with free:
            connection = pool.getconn()
            try:
                with connection, connection.cursor() as cursor:
                    yield cursor
            finally:
                pool.putconn(connection)

    def pay(payment: Payment, lock: str) -> dict[str, int]:
        with transaction() as cursor:
            cursor.execute(f"SELECT cents FROM account WHERE holder = %s{lock}", (payment.payer,))
            [(has,)] = cursor.fetchall()
            left = has - payment.cents
            if left < 0:
                raise HTTPException(409, "not enough money")
            cursor.execute("UPDATE account SET cents = %s WHERE holder = %s", (left, payment.payer))
            cursor.execute(
                "UPDATE account SET cents = cents + %s WHERE holder = %s",
                (payment.cents, payment.payee),
            )
        return {"left": left}

    @app.post("/pay/racy")
    def pay_racy(payment: Payment) -> dict[str, int]:
        return pay(payment, "")

    @app.post("/pay/right")
    def pay_right(payment: Payment) -> dict[str, int]:
        return pay(payment, " FOR UPDATE")

    @app.get("/total/racy")
    def total_racy() -> dict[str, int]:
        with transaction() as cursor:
            total = 0
            for holder in ("ann", "bob"):
                cursor.execute("SELECT cents FROM account WHERE holder = %s", (holder,))
                [(has,)] = cursor.fetchall()
                total += has
        return {"total": total}

    @app.get("/total/right")
    def total_right() -> dict[str, int]:
        with transaction() as cursor:
            cursor.execute("SELECT sum(cents) FROM account WHERE holder IN ('ann', 'bob')")
            [(total,)] = cursor.fetchall()
        return {"total": int(total)}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ["PORT"]), log_level="critical")
