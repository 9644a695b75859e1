"""Peculiar habits, a route each: its own lock, endless retries, work after the answer, and more.

JOB_EVERY_S in the environment adds a background job.
"""

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
Answer = dict[str, int]


class Payment(BaseModel):
    payer: str
    payee: str
    cents: int


class Till:
    """Its methods are the routes; "_" is "-" in their paths."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._pool = psycopg2.pool.ThreadedConnectionPool(6, 6, database_url)
        self._lock = threading.Lock()
        self._kept: list[psycopg2.extensions.connection] = []

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        connection = self._pool.getconn()
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            self._pool.putconn(connection)

    def _pay(self, payment: Payment, lock: str = "") -> Answer:
        with self._transaction() as cursor:
            return {"left": _paid(cursor, payment, lock)}

    def own_lock(self, payment: Payment) -> Answer:
        with self._lock:
            return self._pay(payment)

    def own_lock_late(self, payment: Payment) -> Answer:
        with self._transaction() as cursor:
            left = _has(cursor, payment) - payment.cents
        with self._lock, self._transaction() as cursor:
            if left >= 0:
                _move(cursor, payment, left)
        return {"left": left}

    def own_lock_around_the_rest(self, payment: Payment) -> Answer:
        with self._transaction() as cursor:
            cursor.execute("SELECT count(*) FROM account")
        return self.own_lock(payment)

    def circle(self, payment: Payment) -> Answer:
        """Two locks in both orders, and one of them is not the database's."""
        if payment.cents % 2:
            with self._lock:
                return self._pay(payment, " FOR UPDATE")
        with self._transaction() as cursor:
            left = _paid(cursor, payment, " FOR UPDATE")
            with self._lock:
                return {"left": left}

    def no_wait(self, payment: Payment) -> Answer:
        while True:
            try:
                return self._pay(payment, " FOR UPDATE NOWAIT")
            except psycopg2.errors.LockNotAvailable:
                continue

    def stubborn(self, payment: Payment) -> Answer:
        while True:
            try:
                with self._transaction() as cursor:
                    cursor.execute(
                        "UPDATE account SET cents = cents - %s WHERE holder = %s",
                        (payment.cents, payment.payer),
                    )
                    _credit(cursor, payment)
                    return {"paid": payment.cents}
            except psycopg2.IntegrityError:
                continue

    def later(self, payment: Payment, tasks: BackgroundTasks) -> Answer:
        tasks.add_task(self._pay, payment)
        return {"accepted": payment.cents}

    def later_right(self, payment: Payment, tasks: BackgroundTasks) -> Answer:
        tasks.add_task(self._pay, payment, " FOR UPDATE")
        return {"accepted": payment.cents}

    def left_open(self, payment: Payment) -> Answer:
        connection = psycopg2.connect(self._url)
        self._kept.append(connection)
        with connection.cursor() as cursor:
            return {"left": _paid(cursor, payment)}

    def slow_statement(self, payment: Payment) -> Answer:
        with self._transaction() as cursor:
            cursor.execute("UPDATE account SET cents = cents FROM pg_sleep(60)")
        return {"left": 0}

    def slow_look(self, payment: Payment) -> Answer:
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return {"left": 0}

    def two_sessions(self, payment: Payment) -> Answer:
        """Its journal is written in another session than its payment."""
        with self._transaction() as cursor:
            _journal(cursor, "begun")
            answer = self._pay(payment, " FOR UPDATE")
            _journal(cursor, "done")
        return answer

    def two_sessions_racy(self, payment: Payment) -> Answer:
        with self._transaction() as cursor:
            left = _has(cursor, payment) - payment.cents
            if left >= 0:
                with self._transaction() as inner:
                    _move(inner, payment, left)
            _journal(cursor, "done")
        return {"left": left}

    def _work_beside(self, every_s: float) -> None:
        while True:
            with self._transaction() as cursor:
                cursor.execute("SELECT count(*) FROM account WHERE cents < 0")
            time.sleep(every_s)

    def begin_job(self, every_s: float) -> None:
        threading.Thread(target=self._work_beside, args=(every_s,), daemon=True).start()


def _has(cursor: Cursor, payment: Payment, lock: str = "") -> int:
    cursor.execute(f"SELECT cents FROM account WHERE holder = %s{lock}", (payment.payer,))
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _paid(cursor: Cursor, payment: Payment, lock: str = "") -> int:
    left = _has(cursor, payment, lock) - payment.cents
    if left >= 0:
        _move(cursor, payment, left)
    return left


def _move(cursor: Cursor, payment: Payment, left: int) -> None:
    cursor.execute("UPDATE account SET cents = %s WHERE holder = %s", (left, payment.payer))
    _credit(cursor, payment)


def _credit(cursor: Cursor, payment: Payment) -> None:
    cursor.execute(
        "UPDATE account SET cents = cents + %s WHERE holder = %s", (payment.cents, payment.payee)
    )


def _journal(cursor: Cursor, what: str) -> None:
    cursor.execute("INSERT INTO journal (what) VALUES (%s)", (what,))


def create_app() -> FastAPI:
    till = Till(os.environ["DATABASE_URL"])
    app = FastAPI()
    for route in (
        till.own_lock,
        till.own_lock_late,
        till.own_lock_around_the_rest,
        till.circle,
        till.no_wait,
        till.stubborn,
        till.later,
        till.later_right,
        till.left_open,
        till.slow_statement,
        till.slow_look,
        till.two_sessions,
        till.two_sessions_racy,
    ):
        app.post("/" + route.__name__.replace("_", "-"))(route)
    if "JOB_EVERY_S" in os.environ:
        till.begin_job(float(os.environ["JOB_EVERY_S"]))
    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ["PORT"]), log_level="critical")
