"""Peculiar habits, a route each: its own lock, endless retries, work after the answer, and more."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.extensions
import psycopg2.pool
import uvicorn
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel

Cursor = psycopg2.extensions.cursor


class Payment(BaseModel):
    payer: str
    payee: str
    cents: int


def _pay(cursor: Cursor, payment: Payment, lock: str = "") -> int:
    cursor.execute(f"SELECT cents FROM account WHERE holder = %s{lock}", (payment.payer,))
    left: int = cursor.fetchone()[0] - payment.cents
    if left >= 0:
        cursor.execute("UPDATE account SET cents = %s WHERE holder = %s", (left, payment.payer))
        _credit(cursor, payment)
    return left


def _credit(cursor: Cursor, payment: Payment) -> None:
    cursor.execute(
        "UPDATE account SET cents = cents + %s WHERE holder = %s", (payment.cents, payment.payee)
    )


def create_app() -> FastAPI:
    pool = psycopg2.pool.ThreadedConnectionPool(6, 6, os.environ["DATABASE_URL"])
    own_lock = threading.Lock()
    app = FastAPI()

    @contextmanager
    def connected() -> Iterator[psycopg2.extensions.connection]:
        connection = pool.getconn()
        try:
            yield connection
        finally:
            pool.putconn(connection)

    @contextmanager
    def transaction() -> Iterator[Cursor]:
        with connected() as connection, connection, connection.cursor() as cursor:
            yield cursor

    def work(payment: Payment, lock: str) -> None:
        with transaction() as cursor:
            _pay(cursor, payment, lock)

    @app.post("/own-lock")
    def with_a_lock_of_its_own(payment: Payment) -> dict[str, int]:
        with own_lock, transaction() as cursor:
            return {"left": _pay(cursor, payment)}

    @app.post("/own-lock-late")
    def checks_before_it_locks(payment: Payment) -> dict[str, int]:
        with transaction() as cursor:
            cursor.execute("SELECT cents FROM account WHERE holder = %s", (payment.payer,))
            left: int = cursor.fetchone()[0] - payment.cents
        with own_lock, transaction() as cursor:
            cursor.execute(
                "UPDATE account SET cents = %s WHERE holder = %s AND %s >= 0",
                (left, payment.payer, left),
            )
            if left >= 0:
                _credit(cursor, payment)
        return {"left": left}

    @app.post("/own-lock-outside-right")
    def counts_before_it_locks(payment: Payment) -> dict[str, int]:
        with transaction() as cursor:
            cursor.execute("SELECT count(*) FROM account")
        with own_lock, transaction() as cursor:
            return {"left": _pay(cursor, payment)}

    @app.post("/circle")
    def locks_in_both_orders(payment: Payment) -> dict[str, int]:
        if payment.cents % 2:
            with own_lock, transaction() as cursor:
                return {"left": _pay(cursor, payment, " FOR UPDATE")}
        with transaction() as cursor:
            left = _pay(cursor, payment, " FOR UPDATE")
            with own_lock:
                return {"left": left}

    @app.post("/no-wait")
    def tries_until_nobody_holds_it(payment: Payment) -> dict[str, int]:
        while True:
            try:
                with transaction() as cursor:
                    return {"left": _pay(cursor, payment, " FOR UPDATE NOWAIT")}
            except psycopg2.Error:
                continue

    @app.post("/stubborn")
    def tries_for_ever(payment: Payment) -> dict[str, int]:
        while True:
            try:
                with transaction() as cursor:
                    cursor.execute(
                        "UPDATE account SET cents = cents - %s WHERE holder = %s",
                        (payment.cents, payment.payer),
                    )
                    _credit(cursor, payment)
                    return {"paid": payment.cents}
            except psycopg2.IntegrityError:
                continue

    @app.post("/later")
    def answers_first(payment: Payment, later: BackgroundTasks) -> dict[str, int]:
        later.add_task(work, payment, "")
        return {"accepted": payment.cents}

    @app.post("/later-right")
    def answers_first_and_locks(payment: Payment, later: BackgroundTasks) -> dict[str, int]:
        later.add_task(work, payment, " FOR UPDATE")
        return {"accepted": payment.cents}

    @app.post("/left-open")
    def forgets_to_commit(payment: Payment) -> dict[str, int]:
        connection = psycopg2.connect(os.environ["DATABASE_URL"])
        app.state.kept = [*getattr(app.state, "kept", []), connection]
        with connection.cursor() as cursor:
            return {"left": _pay(cursor, payment)}

    @app.post("/two-sessions")
    def journals_first(payment: Payment) -> dict[str, int]:
        with transaction() as cursor:
            _journal(cursor, "begun")
            with transaction() as inner:
                left = _pay(inner, payment, " FOR UPDATE")
            _journal(cursor, "done")
        return {"left": left}

    def work_beside(every_s: float) -> None:
        while True:
            with transaction() as cursor:
                cursor.execute("SELECT count(*) FROM account WHERE cents < 0")
            time.sleep(every_s)

    if "JOB_EVERY_S" in os.environ:
        every_s = float(os.environ["JOB_EVERY_S"])
        threading.Thread(target=work_beside, args=(every_s,), daemon=True).start()
    return app


def _journal(cursor: Cursor, what: str) -> None:
    cursor.execute("INSERT INTO journal (what) VALUES (%s)", (what,))


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ["PORT"]), log_level="critical")
