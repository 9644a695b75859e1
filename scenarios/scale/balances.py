"""Balances, in SQL: nothing overdrawn, nothing lost, all of it explained by the answers and by the
records.

Which of the works without an answer happened is a subset-sum problem where only the balances can
tell. It falls apart: works that share no wallet, directly or by others, have nothing to do with
each other. As long as their choices come to no more than `MOST_STATES` sums, all are tried; past
that each wallet has to lie within what all and none of them make of it, which accuses nobody
wrongly. What that lets pass, the records tell, in linear time and without any choice: a balance is
what its recorded movements add up to (`records_explain`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from operator import add, itemgetter

from attacks.history import Move, Operation, Outcome
from scenarios.invariants import Observed, money_is_conserved, never_overdrawn
from scenarios.invariants.observed import shown, shown_wallets
from scenarios.scale.findings import Found, wallet_names
from scenarios.scale.store import Store
from scenarios.scale.works import MOVEMENTS
from scenarios.truth import Balance, GroundTruth

MOST_STATES = 4096
"""At least 2 to the number of works of which the small judge tries every combination."""
MOST_SORTED_OUT = 100_000
"""Works without an answer that are looked at one by one, in Python; past it, by bounds."""
NAMED_IN_WORDS = 5
OVERDRAWN = """
SELECT wallet, coalesce(CAST(whole AS VARCHAR), odd) AS amount FROM balances
WHERE judged AND NOT may_be_negative
AND (whole < 0 OR odd LIKE '-%' OR odd IN ('NaN', 'Infinity', '-Infinity'))
"""
TOTAL = "SELECT coalesce(sum(whole), 0) FROM balances WHERE judged"
ODD_BALANCES = "SELECT odd FROM balances WHERE judged AND whole IS NULL"
CERTAIN_NET = """
SELECT coalesce(sum(CAST(amount AS HUGEINT) * (
    CASE WHEN payee IS NULL THEN 0 ELSE 1 END - CASE WHEN payer IS NULL THEN 0 ELSE 1 END)), 0)
FROM work_moves WHERE outcome = 0 AND (payer IS NULL OR payee IS NULL)
"""
OPEN_NET = """
SELECT coalesce(sum(CASE WHEN net < 0 THEN net ELSE 0 END), 0),
       coalesce(sum(CASE WHEN net > 0 THEN net ELSE 0 END), 0)
FROM (
    SELECT sum(CAST(amount AS HUGEINT) * (
        CASE WHEN payee IS NULL THEN 0 ELSE 1 END - CASE WHEN payer IS NULL THEN 0 ELSE 1 END
    )) AS net FROM open_works GROUP BY work
)
"""
CERTAIN = f"""
CREATE OR REPLACE TABLE certain AS
SELECT wallet, CAST(sum(ok * amount) AS HUGEINT) AS acknowledged,
       CAST(sum(done * amount) AS HUGEINT) AS recorded, max(ok + open) AS possible
FROM (
    SELECT payee AS wallet, CAST(amount AS HUGEINT) AS amount, ok, open, done
    FROM ({MOVEMENTS}) WHERE payee IS NOT NULL
    UNION ALL
    SELECT payer, -CAST(amount AS HUGEINT), ok, open, done
    FROM ({MOVEMENTS}) WHERE payer IS NOT NULL
) GROUP BY wallet
"""
OPEN_CHANGES = """
CREATE OR REPLACE TABLE open_changes AS
SELECT work, wallet, CAST(sum(amount) AS HUGEINT) AS change FROM (
    SELECT work, payee AS wallet, CAST(amount AS HUGEINT) AS amount
    FROM open_works WHERE payee IS NOT NULL
    UNION ALL
    SELECT work, payer, -CAST(amount AS HUGEINT) FROM open_works WHERE payer IS NOT NULL
) GROUP BY work, wallet
"""
STANDING = """
CREATE OR REPLACE TABLE standing AS
SELECT wallet, holds - acknowledged AS off, holds - recorded AS off_records, holds, odd, present,
       acknowledged, recorded, least, most, open
FROM (
    SELECT wallet, coalesce(b.present, false) AS present, b.odd,
           CASE WHEN b.present THEN b.holds ELSE 0 END AS holds,
           coalesce(c.acknowledged, 0) AS acknowledged, coalesce(c.recorded, 0) AS recorded,
           coalesce(c.possible, 0) AS possible, coalesce(o.least, 0) AS least,
           coalesce(o.most, 0) AS most, o.wallet IS NOT NULL AS open
    FROM (
        SELECT wallet, true AS present, odd, CASE
            WHEN whole IS NOT NULL THEN CAST(whole AS HUGEINT)
            WHEN regexp_full_match(odd, '-?[0-9]+') THEN TRY_CAST(odd AS HUGEINT) END AS holds
        FROM balances WHERE judged
    ) b FULL JOIN certain c USING (wallet) FULL JOIN (
        SELECT wallet, sum(CASE WHEN change < 0 THEN change ELSE 0 END) AS least,
               sum(CASE WHEN change > 0 THEN change ELSE 0 END) AS most
        FROM open_changes GROUP BY wallet
    ) o USING (wallet)
) WHERE present OR possible > 0 OR open
"""
"""Each wallet beside what answers and records say. A wallet that was to be paid and is not in the
database holds nothing; `holds` is null where it is no amount."""
UNEXPLAINED = "SELECT * FROM standing WHERE off IS NULL OR off < least OR off > most"
NOT_BY_RECORDS = """
SELECT * FROM standing WHERE present AND (off_records IS NULL OR off_records <> 0)
AND wallet NOT IN (
    SELECT payee FROM effects WHERE judged AND whole IS NULL AND payee IS NOT NULL
    UNION SELECT payer FROM effects WHERE judged AND whole IS NULL AND payer IS NOT NULL)
"""
"""Movements of half a cent are no business of this claim: that they are recorded is a finding."""
WORST = "ORDER BY abs(coalesce(CAST(holds AS DOUBLE), TRY_CAST(odd AS DOUBLE)) - {by}) DESC, wallet"
"""Whole units before what fractions do not add up to; NaN and infinities come first."""


def prepare(store: Store) -> None:
    """The tables that the claims below are judged by, from those of `works`."""
    for statement in (CERTAIN, OPEN_CHANGES, STANDING):
        store.run(statement)


def nothing_overdrawn(store: Store) -> Found:
    """No balance is negative, and each is a number."""
    (count,) = store.row(f"SELECT count(*) FROM ({OVERDRAWN})")
    if not count:
        return Found()
    wallet, amount = store.row(f"{OVERDRAWN} ORDER BY wallet LIMIT 1")
    holder = Balance(
        wallet=wallet_names(store, wallet)[wallet] or "", asset="", amount_minor=Decimal(amount)
    )
    words = never_overdrawn(_observed(balances=(holder,)))
    return Found(count=count, first=words[0].summary)


def conserved(store: Store) -> Found:
    """Σ of the balances = acknowledged money in less acknowledged money out."""
    (certain,) = store.row(CERTAIN_NET)
    least, most = store.row(OPEN_NET)
    together = Balance(wallet="*", asset="", amount_minor=total(store))
    # The small judge over three pieces of work instead of all: its sentence has the same sums.
    sums: tuple[tuple[int, Outcome], ...] = (
        (certain, "ok"),
        (least, "unknown"),
        (most, "unknown"),
    )
    asked = tuple(
        _paid_in(number, amount, outcome) for number, (amount, outcome) in enumerate(sums) if amount
    )
    words = money_is_conserved(_observed(balances=(together,), operations=asked))
    return Found(count=len(words), first=words[0].summary if words else "")


def invented(store: Store) -> Decimal | None:
    """What is there beyond (below: negative) anything that the answers allow; None: no number."""
    there = total(store)
    if not there.is_finite():
        return None
    (certain,) = map(Decimal, store.row(CERTAIN_NET))
    least, most = map(Decimal, store.row(OPEN_NET))
    over, under = there - certain - most, there - certain - least
    return over if over > 0 else min(under, Decimal(0))


def total(store: Store) -> Decimal:
    """Of all balances; NaN when one of them is no number."""
    (whole,) = store.row(TOTAL)
    odd = (Decimal(amount) for (amount,) in store.stream(ODD_BALANCES))
    return _sum(Decimal(whole), odd)


def answers_explain(store: Store) -> Found:
    """Some choice of the works without an answer, each whole or not at all, explains all."""
    (count,) = store.row(f"SELECT count(*) FROM ({UNEXPLAINED})")
    open_works, *_ = store.row("SELECT count(DISTINCT work) FROM open_changes WHERE change <> 0")
    if count:
        first = _worst(store, UNEXPLAINED, "acknowledged")
    elif open_works <= MOST_SORTED_OUT:
        count, first = _inexplicable(store)
    if not count:
        return Found()
    doubt = (
        "; no choice among the requests without an answer, each whole or not at all, leads there "
        "either"
    )
    words = _differs(store, first, "acknowledged")
    return Found(count=count, first=f"By the answers {words}{doubt if open_works else ''}.")


def records_explain(store: Store) -> Found:
    """A balance is what its recorded movements add up to."""
    (count,) = store.row(f"SELECT count(*) FROM ({NOT_BY_RECORDS})")
    if not count:
        return Found()
    first = _worst(store, NOT_BY_RECORDS, "recorded")
    words = _differs(store, first, "recorded")
    return Found(count=count, first=f"By the recorded movements {words}.")


def _worst(store: Store, wrong: str, by: str) -> list[int]:
    """The wallets to be named of those in `wrong`."""
    query = f"SELECT wallet FROM ({wrong}) {WORST.format(by=by)} LIMIT {NAMED_IN_WORDS}"
    return [wallet for (wallet,) in store.rows(query)]


def _differs(store: Store, wallets: Sequence[int], by: str) -> str:
    marks = ", ".join("?" for _ in wallets)
    rows = store.rows(
        f"SELECT wallet, {by}, coalesce(CAST(holds AS VARCHAR), odd) FROM standing "
        f"WHERE wallet IN ({marks}) AND (holds IS NULL OR holds <> {by}) ORDER BY wallet",
        *wallets,
    )
    names = wallet_names(store, *(wallet for wallet, *_ in rows))
    due = shown_wallets({names[wallet] or "": amount for wallet, amount, _ in rows})
    held = ", ".join(f"wallet {names[w]} holds {shown(Decimal(amount))}" for w, _, amount in rows)
    return f"it should be {due}, but {held}"


def _inexplicable(store: Store) -> tuple[int, list[int]]:
    """How many wallets hang together with works of which no choice explains them, and the first."""
    off = dict(store.rows("SELECT wallet, off FROM standing WHERE open"))
    count, first = 0, list[int]()
    for works in hanging_together(_changes(store)):
        wallets = sorted({wallet for changes in works for wallet in changes})
        if can_be_chosen(works, {wallet: off[wallet] for wallet in wallets}) is False:
            count += 1
            first = first or [wallet for wallet in wallets if off[wallet]]
    return count, first[:NAMED_IN_WORDS]


def _changes(store: Store) -> Iterator[Mapping[int, int]]:
    """What each open work would change, wallet by wallet."""
    rows = store.stream(
        "SELECT work, wallet, change FROM open_changes WHERE change <> 0 ORDER BY work"
    )
    for _, changes in groupby(rows, key=itemgetter(0)):
        yield {wallet: change for _, wallet, change in changes}


def hanging_together(
    works: Iterable[Mapping[int, int]],
) -> Iterable[Sequence[Mapping[int, int]]]:
    """The works in groups that share no wallet."""
    leader: dict[int, int] = {}

    def find(wallet: int) -> int:
        while (above := leader.setdefault(wallet, wallet)) != wallet:
            leader[wallet] = leader.setdefault(above, above)
            wallet = above
        return wallet

    kept = list(works)
    for changes in kept:
        first, *others = changes
        for other in others:
            leader[find(other)] = find(first)
    groups: defaultdict[int, list[Mapping[int, int]]] = defaultdict(list)
    for changes in kept:
        groups[find(next(iter(changes)))].append(changes)
    return groups.values()


def can_be_chosen(works: Sequence[Mapping[int, int]], due: Mapping[int, int]) -> bool | None:
    """Whether some of the works together change each wallet by what is due; None: too many to try.

    Choices that come to the same fall together, and a wallet that no later work touches has to be
    right by then.
    """
    last = {wallet: number for number, changes in enumerate(works) for wallet in changes}
    wallets = tuple(due)
    states = {tuple(0 for _ in wallets)}
    for number, changes in enumerate(works):
        step = tuple(changes.get(wallet, 0) for wallet in wallets)
        states |= {tuple(map(add, state, step)) for state in states}
        done = [i for i, wallet in enumerate(wallets) if last.get(wallet, -1) == number]
        states = {state for state in states if all(state[i] == due[wallets[i]] for i in done)}
        if len(states) > MOST_STATES:
            return None
    return bool(states)


def _sum(total: Decimal, odd: Iterable[Decimal]) -> Decimal:
    """As `total_of`, without holding all of them."""
    for amount in odd:
        if not amount.is_finite():
            return Decimal("NaN")
        total += amount
    return total


def _paid_in(number: int, amount_minor: int, outcome: Outcome) -> Operation:
    return Operation(
        id=number,
        actor="setup",
        name="deposit",
        text="",
        round=None,
        moves=(Move(payer=None, payee="*", amount_minor=amount_minor),),
        started_s=0,
        ended_s=0,
        outcome=outcome,
        status=None,
        answer="",
    )


def _observed(*, balances: Iterable[Balance], operations: tuple[Operation, ...] = ()) -> Observed:
    truth = GroundTruth(balances={balance.wallet: balance for balance in balances})
    return Observed(round=None, operations=operations, events=(), truth=truth)
