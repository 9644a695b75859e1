"""Every acknowledged movement is recorded exactly once, and nothing else is, in SQL.

The claim of `scenarios.invariants.records.acknowledged_is_recorded`: counted by payer, payee and
amount, at least the acknowledged ones, at most those and the ones without an answer.
"""

from decimal import Decimal

from scenarios.invariants.records import miscounted
from scenarios.scale.findings import Found, wallet_names
from scenarios.scale.store import Store

MISCOUNTED = """
SELECT payer, payee, amount, recorded, required, possible FROM books
WHERE recorded < required OR recorded > possible
"""
WORST = f"""
SELECT * FROM ({MISCOUNTED})
ORDER BY abs(recorded - required) DESC, payer, payee, amount LIMIT 1
"""
ODD = "SELECT payer, payee, odd FROM effects WHERE judged AND whole IS NULL"
"""No request asks for half a cent, or for NaN."""
CONCERNED = """
SELECT count(DISTINCT coalesce(hash(o.key), o.number)), count(DISTINCT o.number)
FROM moves m JOIN operations o ON o.number = m.operation
WHERE m.payer IS NOT DISTINCT FROM ? AND m.payee IS NOT DISTINCT FROM ? AND m.amount = ?
"""


def acknowledged_and_recorded(store: Store) -> Found:
    (count,) = store.row(f"SELECT count(*) FROM ({MISCOUNTED})")
    (odd,) = store.row(f"SELECT count(*) FROM ({ODD})")
    if count:
        payer, payee, amount, recorded, required, possible = store.row(WORST)
        works, requests = store.row(CONCERNED, payer, payee, amount)
        counts = recorded, required, possible
    elif odd:
        payer, payee, amount = store.row(f"{ODD} LIMIT 1")
        works, requests, counts = 0, 0, (1, 0, 0)
    else:
        return Found()
    names = wallet_names(store, payer, payee)
    signature = names[payer], names[payee], Decimal(amount)
    return Found(
        count=count + odd, first=miscounted(signature, counts, works=works, requests=requests)
    )
