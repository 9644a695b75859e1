"""Wrong on purpose: async endpoints with a blocking driver. One statement stops everybody."""

import os

import psycopg2.pool
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Payment(BaseModel):
    payer: str
    payee: str
    cents: int


def create_app() -> FastAPI:
    pool = psycopg2.pool.ThreadedConnectionPool(4, 4, os.environ["DATABASE_URL"])
    app = FastAPI()

    @app.post("/pay/racy")
    async def pay(payment: Payment) -> dict[str, int]:
        connection = pool.getconn()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT cents FROM account WHERE holder = %s", (payment.payer,))
                [(has,)] = cursor.fetchall()
                left: int = has - payment.cents
                if left >= 0:
                    cursor.execute(
                        "UPDATE account SET cents = %s WHERE holder = %s", (left, payment.payer)
                    )
                    cursor.execute(
                        "UPDATE account SET cents = cents + %s WHERE holder = %s",
                        (payment.cents, payment.payee),
                    )
            return {"left": left}
        finally:
            pool.putconn(connection)

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ["PORT"]), log_level="critical")
