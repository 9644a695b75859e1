"""What happens once: a reversal, the end of a hold, a bonus; and what a wallet's end ends."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from attacks.history import Operation
from scenarios.invariants.observed import Finding, Observed, Work, deltas, shown, total_of, works
from scenarios.truth import Held

ENDS = {"capture": "captured", "release": "released"}


def settled_once(observed: Observed) -> tuple[Finding, ...]:
    """What may be done once is acknowledged once: two keys are two deeds.

    An operation's answer names it as "settles", such as "hold 7".
    """
    deeds: defaultdict[str, list[Work]] = defaultdict(list)
    for work in works(observed.operations):
        named = (o.values["settles"] for o in work.operations if "settles" in o.values)
        if work.outcome == "ok" and (what := next(named, None)):
            deeds[what].append(work)
    findings = []
    for what, done in deeds.items():
        if len(done) < 2:
            continue
        who = ", ".join(f"{w.operations[0].actor}: {w.operations[0].text}" for w in done)
        moved = sum(move.amount_minor for work in done for move in work.moves)
        findings.append(
            Finding(
                invariant="settled once",
                summary=f"{what[0].upper()}{what[1:]} may be settled once and was acknowledged "
                f"{len(done)} times ({who}): {shown(moved)} went where "
                f"{shown(done[0].moves[0].amount_minor)} was due.",
                expected="one acknowledgement",
                observed=f"{len(done)} acknowledgements",
                round=observed.round,
                operations=tuple(work.operations[0].id for work in done),
            )
        )
    return tuple(findings)


def holds_are_counted(observed: Observed) -> tuple[Finding, ...]:
    """A hold has the end that was acknowledged, and the escrow has what active holds add up to."""
    return (*_ends_are_recorded(observed), *_escrow_adds_up(observed))


def _ends_are_recorded(observed: Observed) -> Iterator[Finding]:
    ends = [o for o in observed.operations if o.name in ENDS]
    said: defaultdict[str, set[str]] = defaultdict(set)
    for end in ends:
        if end.outcome == "ok":
            said[end.values["settles"]].add(ENDS[end.name])
    # An answer that was lost does not say which hold it was about.
    doubt = any(end.outcome == "unknown" for end in ends)
    for hold in observed.truth.holds:
        right = said[f"hold {hold.id}"] or {"active"}
        mine = {hold.payer, hold.payee} & set(observed.wallets)
        if not mine or hold.status in right or (doubt and right == {"active"}):
            continue
        told = " and ".join(sorted(right))
        yield _miscounted(
            observed,
            f"The hold of {shown(hold.amount_minor)} of wallet {hold.payer} is {hold.status} in "
            f"the database; by the answers it is {told}.",
            told,
            hold.status,
        )


def _escrow_adds_up(observed: Observed) -> Iterator[Finding]:
    if observed.truth.escrow is None:
        return
    waiting: defaultdict[str, list[Held]] = defaultdict(list)
    for hold in observed.truth.holds:
        if hold.status == "active":
            waiting[hold.asset].append(hold)
    for asset, amount in observed.truth.escrow.items():
        due = total_of(hold.amount_minor for hold in waiting[asset])
        if amount != due:
            yield _miscounted(
                observed,
                f"{len(waiting[asset])} active holds of {asset} add up to {shown(due)}, and "
                f"{shown(amount)} waits in escrow.",
                shown(due),
                shown(amount),
            )


def _miscounted(observed: Observed, summary: str, expected: str, found: str) -> Finding:
    return Finding(
        invariant="holds are counted",
        summary=summary,
        expected=expected,
        observed=found,
        round=observed.round,
    )


def no_asset_becomes_another(observed: Observed) -> tuple[Finding, ...]:
    """No acknowledged work takes one asset and gives another."""
    assets = {wallet: balance.asset for wallet, balance in observed.truth.balances.items()}
    findings = []
    for work in works(observed.operations):
        changes: defaultdict[str, int] = defaultdict(int)
        for wallet, change in deltas(work.moves).items():
            changes[assets.get(wallet, "an unknown asset")] += change
        taken = sorted(asset for asset, change in changes.items() if change < 0)
        given = sorted(asset for asset, change in changes.items() if change > 0)
        if work.outcome == "ok" and taken and given:
            first = work.operations[0]
            findings.append(
                Finding(
                    invariant="no asset becomes another",
                    summary=f"{first.actor} asked to {first.text} and was answered {first.answer}: "
                    f"{shown(-changes[taken[0]])} {taken[0]} went, and "
                    f"{shown(changes[given[0]])} {given[0]} came.",
                    expected=f"as much {taken[0]} as before",
                    observed=f"{shown(-changes[taken[0]])} {taken[0]} became {given[0]}",
                    round=observed.round,
                    operations=tuple(o.id for o in work.operations),
                )
            )
    return tuple(findings)


def nothing_moves_after_the_end(observed: Observed) -> tuple[Finding, ...]:
    """After a freeze is acknowledged no debit is, and a closed wallet holds nothing."""
    late = [f for change in observed.operations for f in _late_debits(observed, change)]
    return (*late, *_closed_with_money(observed))


def _late_debits(observed: Observed, change: Operation) -> Iterator[Finding]:
    if change.name != "set-status" or change.outcome != "ok":
        return
    ((wallet, status),) = change.values["status"].items()
    if status != "frozen":
        return
    for debit in observed.operations:
        pays = deltas(debit.moves).get(wallet, 0)
        if debit.outcome == "ok" and pays < 0 and debit.ended_s > change.ended_s:
            yield Finding(
                invariant="nothing moves after the end",
                summary=f"{change.actor} was told that wallet {wallet} is frozen, and after that "
                f"{debit.actor} was told that {shown(-pays)} of it was paid ({debit.text}).",
                expected="no debit after the freeze was acknowledged",
                observed=f"{shown(-pays)} paid out",
                round=observed.round,
                operations=(change.id, debit.id),
            )


def _closed_with_money(observed: Observed) -> Iterator[Finding]:
    for balance in observed.truth.balances.values():
        if balance.status == "closed" and balance.amount_minor != Decimal(0):
            yield Finding(
                invariant="nothing moves after the end",
                summary=f"Wallet {balance.wallet} is closed and holds "
                f"{shown(balance.amount_minor)}, which nobody can get out.",
                expected="0.00 in a closed wallet",
                observed=shown(balance.amount_minor),
                round=observed.round,
            )
