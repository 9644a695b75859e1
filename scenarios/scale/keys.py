"""One key, one movement, one answer: what a retry must not do, in SQL.

The small audit sees a second effect by its count, whatever the key; this names the key.
"""

from collections.abc import Callable, Mapping
from typing import Any

from scenarios.invariants.observed import shown
from scenarios.invariants.records import side
from scenarios.scale.findings import Found, wallet_names
from scenarios.scale.store import Store

ANSWERS = """
SELECT key, count(DISTINCT answer_id) AS answers, count(*) AS requests, min(answer_id) AS one,
       max(answer_id) AS other
FROM sent_again WHERE outcome = 0 AND answer_id IS NOT NULL
GROUP BY key, asked HAVING count(DISTINCT answer_id) > 1
"""
"""Acknowledgements of one piece of work that name different movements."""
BODIES = """
SELECT key, count(*) AS movements FROM (
    SELECT DISTINCT key, actor, name, asked FROM sent_again WHERE outcome = 0
) GROUP BY key, actor, name HAVING count(*) > 1
"""
"""Different movements that one client sent by one route under one key, all acknowledged."""
EFFECTS = """
SELECT e.key, e.payer, e.payee, e.whole, e.times, a.times AS asked FROM (
    SELECT key, payer, payee, whole, count(*) AS times FROM effects
    WHERE judged AND whole IS NOT NULL AND hashed_key IN (
        SELECT hashed_key FROM effects WHERE judged AND hashed_key IS NOT NULL
        GROUP BY hashed_key HAVING count(*) > 1)
    GROUP BY key, payer, payee, whole HAVING count(*) > 1
) e JOIN (
    SELECT key, payer, payee, amount, max(times) AS times FROM (
        SELECT o.key, o.number, m.payer, m.payee, m.amount, count(*) AS times
        FROM moves m JOIN operations o ON o.number = m.operation
        WHERE m.hashed IN (
            SELECT hashed_key FROM effects WHERE judged AND hashed_key IS NOT NULL
            GROUP BY hashed_key HAVING count(*) > 1)
        GROUP BY o.key, o.number, m.payer, m.payee, m.amount
    ) GROUP BY key, payer, payee, amount
) a ON a.key = e.key AND a.payer IS NOT DISTINCT FROM e.payer
AND a.payee IS NOT DISTINCT FROM e.payee AND a.amount = e.whole
WHERE e.times > a.times
"""
"""Movements that are recorded under one key more often than any request with it asked for."""


def one_effect_and_answer(store: Store) -> Found:
    """A key has at most one effect, and its acknowledgements are one answer."""
    found = [(sql, store.row(f"SELECT count(*) FROM ({sql})")[0]) for sql in _WORDS]
    wrong = next((sql for sql, count in found if count), None)
    if wrong is None:
        return Found()
    (row,) = store.rows(f"SELECT * FROM ({wrong}) ORDER BY ALL LIMIT 1")
    return Found(count=sum(count for _, count in found), first=_WORDS[wrong](store, row))


def _effects(store: Store, row: tuple[Any, ...]) -> str:
    key, payer, payee, amount, times, asked = row
    names = wallet_names(store, payer, payee)
    sides = f"{side(names[payer])} to {side(names[payee])}"
    return (
        f"{shown(amount)} from {sides} is recorded {times} times under key {key}, which asked for "
        f"it {'once' if asked == 1 else f'{asked} times'}."
    )


def _answers(_: Store, row: tuple[Any, ...]) -> str:
    key, answers, requests, one, other = row
    return (
        f"The same request with key {key} was acknowledged {requests} times as {answers} different "
        f"movements, such as {one} and {other}."
    )


def _bodies(_: Store, row: tuple[Any, ...]) -> str:
    key, movements = row
    return f"Under key {key} one client got {movements} different movements acknowledged."


_WORDS: Mapping[str, Callable[[Store, tuple[Any, ...]], str]] = {
    EFFECTS: _effects,
    ANSWERS: _answers,
    BODIES: _bodies,
}
