"""Schedules for the tests of the reports, written as one writes them on a blackboard.

A line is a statement: session, SQL, answer. Its effect follows from its first word; what is
different (a wait, a snapshot, a culprit) is given beside it.
"""

from typing import Any

from reports.evidence import RacingRequest, Schedule, SqlStep

EFFECTS = {"SELECT": "read", "UPDATE": "write", "INSERT": "write", "COMMIT": "commit"}
EFFECTS |= {"ROLLBACK": "rollback", "BEGIN": "begin", "DELETE": "write"}

READ = "SELECT wallets.balance \nFROM wallets \nWHERE wallets.id = 1"
LOCKING_READ = f"{READ} FOR UPDATE"
WRITE = "UPDATE wallets SET balance=$1::NUMERIC WHERE wallets.id = $2::BIGINT"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def schedule(
    title: str,
    requests: tuple[tuple[str, str, str], ...],
    steps: tuple[SqlStep, ...],
    in_the_end: str,
) -> Schedule:
    """The steps get their numbers, and the next free ticks where they have none."""
    numbered, tick = [], 1
    for number, step in enumerate(steps, start=1):
        began = step.began or tick
        ended = step.ended or began + 1
        tick = max(tick, began + 1)
        update = {"number": number, "began": began, "ended": ended}
        numbered.append(step.model_copy(update=update))
    return Schedule(
        title=title,
        requests=tuple(RacingRequest(session=s, text=t, answer=a) for s, t, a in requests),
        steps=tuple(numbered),
        in_the_end=in_the_end,
    )


def does(session: str, sql: str, answer: str = "", **changes: Any) -> SqlStep:
    words = sql.split()
    fields = {
        "number": 0,
        "session": session,
        "sql": sql,
        "answer": answer or (sql if sql in EFFECTS else ""),
        "effect": EFFECTS.get(words[0].upper() if words else "", "other"),
        "began": 0,
        "ended": 0,
    }
    if "FOR UPDATE" in sql or "advisory" in sql:
        fields["effect"] = "lock"
    return SqlStep.model_validate(fields | changes)


def double_spend() -> Schedule:
    return schedule(
        "Schedule 3 of 92, as short as it gets: 2 changes of session. Read committed.",
        (
            ("A", "pay 100.00 wallet 1 -> shop", "201"),
            ("B", "pay 100.00 wallet 1 -> mall", "201"),
        ),
        (
            does("A", READ, "balance = 100.00"),
            does("B", READ, "balance = 100.00"),
            does("A", WRITE, "UPDATE 1", parameters=("0.00", "1")),
            does("A", "COMMIT"),
            does("B", WRITE, "UPDATE 1", parameters=("0.00", "1"), culprit=True),
            does("B", "COMMIT"),
        ),
        "wallet 1: 0.00, shop: 100.00, mall: 100.00",
    )


def serial_payments() -> Schedule:
    return schedule(
        "One after the other.",
        (
            ("A", "pay 100.00 wallet 1 -> shop", "201"),
            ("B", "pay 100.00 wallet 1 -> mall", "409 insufficient funds"),
        ),
        (
            does("A", READ, "balance = 100.00"),
            does("A", WRITE, "UPDATE 1", parameters=("0.00", "1")),
            does("A", "COMMIT"),
            does("B", READ, "balance = 0.00"),
            does("B", "ROLLBACK"),
        ),
        "wallet 1: 0.00, shop: 100.00, mall: 0.00",
    )


def lock_wait() -> Schedule:
    return schedule(
        "Schedule 5 of 8: B comes while A holds the row.",
        (
            ("A", "pay 100.00 wallet 1 -> shop", "201"),
            ("B", "pay 100.00 wallet 1 -> mall", "409 insufficient funds"),
        ),
        (
            does("A", LOCKING_READ, "balance = 100.00", began=1, ended=2),
            does("B", LOCKING_READ, "balance = 0.00", began=3, ended=7, waited_for=("A",)),
            does("A", WRITE, "UPDATE 1", parameters=("0.00", "1"), began=4, ended=5),
            does("A", "COMMIT", began=6, ended=7),
            does("B", "ROLLBACK", began=8, ended=9),
        ),
        "wallet 1: 0.00, shop: 100.00, mall: 0.00",
    )


def deadlock() -> Schedule:
    lock = "SELECT balance FROM wallets WHERE id = $1 FOR UPDATE"
    victim = "ERROR 40P01: deadlock detected"
    return schedule(
        "Schedule 2 of 14: each holds what the other wants.",
        (
            ("A", "transfer 10.00 wallet 1 -> wallet 2", "201"),
            ("B", "transfer 25.00 wallet 2 -> wallet 1", "500"),
        ),
        (
            does("A", lock, "balance = 100.00", parameters=("1",), began=1, ended=2),
            does("B", lock, "balance = 40.00", parameters=("2",), began=3, ended=4),
            does(
                "A", lock, "balance = 40.00", parameters=("2",),
                began=5, ended=8, waited_for=("B",),
            ),
            does(
                "B", lock, victim, parameters=("1",), effect="error", culprit=True,
                began=6, ended=7, waited_for=("A",), note="PostgreSQL chose it as the victim",
            ),
            does("A", "COMMIT", began=9, ended=10),
            does("B", "ROLLBACK", began=11, ended=12),
        ),
        "wallet 1: 90.00, wallet 2: 50.00",
    )  # fmt: skip


def read_skew() -> Schedule:
    one = "SELECT wallets.id, wallets.balance, wallets.version FROM wallets WHERE wallets.id = %s"
    move = "UPDATE wallets SET balance = balance + $1 WHERE id = $2"
    return schedule(
        "Schedule 7 of 20: a transfer commits between two reads of one request.",
        (
            ("A", "GET /wallets?ids=1,2", "200, total 200.00"),
            ("B", "transfer 100.00 wallet 1 -> wallet 2", "201"),
        ),
        (
            does("A", one % 1, "id = 1, balance = 100.00, version = 4"),
            does("B", move, "UPDATE 1", parameters=("-100.00", "1")),
            does("B", move, "UPDATE 1", parameters=("100.00", "2")),
            does("B", "COMMIT"),
            does("A", one % 2, "id = 2, balance = 100.00, version = 9", culprit=True),
            does("A", "COMMIT"),
        ),
        "wallet 1: 0.00, wallet 2: 100.00",
    )


def three_sessions() -> Schedule:
    take = "UPDATE vouchers SET used = used + 1 WHERE code = $1 AND used < 1"
    count = "SELECT used FROM vouchers WHERE code = $1"
    code = ("SPRING",)
    return schedule(
        "Schedule 41 of 210.",
        (
            ("A", "redeem SPRING for user 1", "200"),
            ("B", "redeem SPRING for user 2", "200"),
            ("C", "redeem SPRING for user 3", "409 already used"),
        ),
        (
            does("A", count, "used = 0", parameters=code, began=1, ended=2),
            does("B", count, "used = 0", parameters=code, began=3, ended=4),
            does("A", take, "UPDATE 1", parameters=code, began=5, ended=6),
            does(
                "C", take, "UPDATE 0", parameters=code, began=7, ended=13, waited_for=("A", "B")
            ),
            does(
                "B", "UPDATE vouchers SET used = 1 WHERE code = $1", "UPDATE 1",
                parameters=code, began=8, ended=11, waited_for=("A",), culprit=True,
            ),
            does("A", "COMMIT", began=9, ended=10),
            does("B", "COMMIT", began=12, ended=13),
            does("C", "ROLLBACK", began=14, ended=15),
        ),
        "voucher SPRING: used 1, credited 2 times",
    )  # fmt: skip


def not_serializable() -> Schedule:
    failed = "ERROR 40001: could not serialize access due to concurrent update"
    return schedule(
        "Schedule 4 of 11. Repeatable read.",
        (
            ("A", "pay 100.00 wallet 1 -> shop", "201"),
            ("B", "pay 100.00 wallet 1 -> mall", "503 try again"),
        ),
        (
            does("A", READ, "balance = 100.00", snapshot=True, began=1, ended=2),
            does("B", READ, "balance = 100.00", snapshot=True, began=3, ended=4),
            does("A", WRITE, "UPDATE 1", parameters=("0.00", "1"), began=5, ended=6),
            does(
                "B", WRITE, failed, parameters=("0.00", "1"), effect="error",
                began=7, ended=9, waited_for=("A",),
            ),
            does("A", "COMMIT", began=8, ended=9),
            does("B", "ROLLBACK", began=10, ended=11),
        ),
        "wallet 1: 0.00, shop: 100.00, mall: 0.00",
    )  # fmt: skip


def somebody_elses() -> Schedule:
    """A service on Node.js with an object mapper that names everything in full."""
    account = '"public"."Account"'
    columns = ", ".join(
        f'{account}."{name}"' for name in ("id", "ownerName", "balanceCents", "updatedAt")
    )
    read = f'SELECT {columns} FROM {account} WHERE ({account}."id" = $1 AND 1=1) LIMIT $2 OFFSET $3'
    write = (
        f'UPDATE {account} SET "balanceCents" = $1, "updatedAt" = $2 '
        f'WHERE ({account}."id" = $3 AND 1=1) RETURNING {columns}'
    )
    number = "a3f1c2d4-9e0b-4c55-8a77-1f0e5d3c2b10"
    row = "id = a3f1c2d4-9e0b-4c55-8a77-1f0e5d3c2b10, ownerName = Ada, balanceCents = 5000"
    at = "2026-11-21 09:14:03.120 UTC"
    return schedule(
        "Schedule 2 of 6.",
        (
            ("A", "POST /api/payouts 50.00 -> IBAN …3201", "202"),
            ("B", "POST /api/payouts 50.00 -> IBAN …7788", "202"),
        ),
        (
            does("A", read, row, parameters=(number, "1", "0")),
            does("B", read, row, parameters=(number, "1", "0")),
            does("A", write, "UPDATE 1", parameters=("0", at, number)),
            does("A", "COMMIT"),
            does("B", write, "UPDATE 1", parameters=("0", at, number), culprit=True),
            does("B", "COMMIT"),
        ),
        "balanceCents 0, payouts queued: 2 of 50.00",
    )


def awkward() -> Schedule:
    """Endless SQL, NULL, other scripts, markup, escapes, and a request that never asks."""
    long = ", ".join(f"column_with_a_long_name_{n} = {n}" for n in range(40))
    write = f"UPDATE wide SET {long} WHERE id = $1 -- {HOSTILE}"
    insert = "INSERT INTO notes (owner, text, memo) VALUES ($1, $2, $3)"
    return schedule(
        f"Schedule 1 of 1. {HOSTILE}",
        (
            ("A", HOSTILE, "201 \x1b[31mred"),
            ("B", "GET /health", "200"),
            ("C", "日本語のリクエスト, Ünïcödé", "500 ``` </details>"),
        ),
        (
            does("A", write, "UPDATE 1", parameters=("x" * 200,), note=HOSTILE),
            does("C", insert, "INSERT 0 1", parameters=("Łódź", HOSTILE, None)),
            does("C", "select * from empty", "SELECT 0"),
            does("C", "ROLLBACK"),
            does("A", "COMMIT", "ROLLBACK", culprit=True),
        ),
        HOSTILE,
    )


def sixty_steps() -> Schedule:
    steps = []
    for number in range(30):
        sql = "UPDATE parts SET amount = $1 WHERE id = $2"
        parameters = (f"{number}.10", str(number))
        culprit = number == 20
        steps += [
            does("A", sql, "UPDATE 1", parameters=parameters),
            does("B", READ, f"balance = {number}.10", culprit=culprit),
        ]
    return schedule(
        "Schedule 1 of 400.",
        (("A", "pay in 30 parts", "201"), ("B", "watch", "200")),
        tuple(steps),
        "30 parts",
    )


def many_sessions() -> Schedule:
    """More sessions than a terminal has columns for."""
    names = "ABCDE"
    first = tuple(
        does(n, READ, "balance = 100.00", began=i + 1, ended=i + 2) for i, n in enumerate(names)
    )
    return schedule(
        "Schedule 9 of 300.",
        tuple((n, f"pay 20.00 wallet 1 -> shop {n}", "201") for n in names),
        (
            *first,
            does("A", WRITE, "UPDATE 1", parameters=("80.00", "1"), began=7, ended=8),
            does(
                "B", WRITE, "UPDATE 1", parameters=("80.00", "1"),
                began=9, ended=11, waited_for=("A",), culprit=True,
            ),
            does("A", "COMMIT", began=10, ended=11),
            *(does(n, "COMMIT", began=12 + i, ended=13 + i) for i, n in enumerate("BCDE")),
        ),
        "wallet 1: 80.00",
    )  # fmt: skip
