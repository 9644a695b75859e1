"""Answers: in time, without server errors, and never older than what was acknowledged."""

from collections.abc import Iterable
from decimal import Decimal

from attacks.history import Operation
from scenarios.invariants.observed import (
    Finding,
    Invariant,
    Observed,
    deltas,
    shown,
    total_of,
    works,
)


def answered_within(bound_s: float) -> Invariant:
    """Every request ends within the bound, by whatever answer."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        late = [o for o in observed.operations if o.duration_s > bound_s]
        if not late:
            return ()
        slowest = max(late, key=lambda o: o.duration_s)
        return (
            Finding(
                invariant=f"answered within {bound_s:g} s",
                summary=f"{slowest.actor} asked to {slowest.text} and waited "
                f"{slowest.duration_s:.1f} s ({slowest.answer}); {len(late)} of "
                f"{len(observed.operations)} requests took longer than {bound_s:g} s.",
                expected=f"at most {bound_s:g} s",
                observed=f"{slowest.duration_s:.1f} s",
                round=observed.round,
                operations=tuple(o.id for o in late),
            ),
        )

    return judge


def no_server_error(observed: Observed) -> tuple[Finding, ...]:
    """No request that could have been served ends with 5xx."""
    failed = [o for o in observed.operations if o.status is not None and o.status >= 500]
    if not failed:
        return ()
    return (
        Finding(
            invariant="no server error",
            summary=f"{len(failed)} of {len(observed.operations)} requests ended with a server "
            f"error; the first: {failed[0].actor}, {failed[0].text}, answer {failed[0].answer}.",
            expected="every request served or refused",
            observed=f"{len(failed)} answers 5xx",
            round=observed.round,
            operations=tuple(o.id for o in failed),
        ),
    )


def refused(name: str) -> Invariant:
    """Every request of this name that is answered is refused with 4xx."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        findings = []
        for operation in observed.operations:
            status = operation.status
            if operation.name != name or status is None or 400 <= status < 500:
                continue
            findings.append(
                Finding(
                    invariant="bad requests are refused",
                    summary=f"A {operation.text} was answered {operation.answer}.",
                    expected="4xx and no effect",
                    observed=operation.answer,
                    round=observed.round,
                    operations=(operation.id,),
                )
            )
        return tuple(findings)

    return judge


def bulk_reads_see(total_minor: int) -> Invariant:
    """The balances of one bulk read add up to the total that was there all the time."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        reads = [o for o in observed.operations if o.name == "read-balances" and o.outcome == "ok"]
        skewed = [o for o in reads if _total(o) != total_minor]
        if not skewed:
            return ()
        first = skewed[0]
        seen = _total(first)
        return (
            Finding(
                invariant="a bulk read sees one moment",
                summary=f"One bulk read saw {shown(seen)} in all wallets together, while "
                f"{shown(total_minor)} was there all the time{_difference(seen, total_minor)}. "
                f"{len(skewed)} of {len(reads)} bulk reads saw a wrong total.",
                expected=f"total {shown(total_minor)} in every bulk read",
                observed=f"total {shown(seen)}",
                round=observed.round,
                operations=(first.id,),
            ),
        )

    return judge


def no_stale_read(observed: Observed) -> tuple[Finding, ...]:
    """A balance that is read is one that the answers so far allow.

    Work acknowledged before the read began counts; work that ended after that, or whose outcome is
    unknown, may count or not.
    """
    for read in observed.operations:
        if read.name != "read-balance" or read.outcome != "ok":
            continue
        for wallet, seen in read.values["balances"].items():
            allowed = _allowed(observed, wallet, read)
            if Decimal(str(seen)) not in allowed:
                return (_stale(observed, read, wallet, seen, allowed),)
    return ()


def no_dirty_read(observed: Observed) -> tuple[Finding, ...]:
    """A balance that is read is one that the recorded movements have left, one after the other."""
    committed = _committed(observed)
    for read in observed.operations:
        if read.name != "read-balance" or read.outcome != "ok":
            continue
        for wallet, seen in read.values["balances"].items():
            if Decimal(str(seen)) not in committed[wallet]:
                return (_dirty(observed, read, wallet, seen, committed[wallet]),)
    return ()


def _committed(observed: Observed) -> dict[str, set[Decimal]]:
    """Each wallet's balances, from empty to the present one."""
    states: dict[str, set[Decimal]] = {}
    for wallet, balance in observed.truth.balances.items():
        running = Decimal(0)
        states[wallet] = {running, balance.amount_minor}
        for effect in observed.truth.effects:
            running += effect.amount_minor * ((effect.payee == wallet) - (effect.payer == wallet))
            states[wallet].add(running)
    return states


def _dirty(
    observed: Observed, read: Operation, wallet: str, seen: object, committed: set[Decimal]
) -> Finding:
    amount = Decimal(str(seen))
    known = ", ".join(shown(state) for state in sorted(committed))
    return Finding(
        invariant="no dirty read",
        summary=f"{read.actor} read {shown(amount)} from wallet {wallet}, which no transaction has "
        f"committed: its balances were {known}.",
        expected=f"one of {known}",
        observed=shown(amount),
        round=observed.round,
        operations=(read.id,),
    )


def _allowed(observed: Observed, wallet: str, read: Operation) -> set[Decimal]:
    certain, open_changes = 0, []
    for work in works(observed.operations):
        change = deltas(work.moves).get(wallet, 0)
        acknowledged = [o.ended_s for o in work.operations if o.outcome == "ok"]
        if not change or all(o.started_s > read.ended_s for o in work.operations):
            continue
        if acknowledged and min(acknowledged) <= read.started_s:
            certain += change
        elif work.outcome != "failed":
            open_changes.append(change)
    # Sums that are equal fall together, so that many open works of one amount stay few.
    sums = {certain}
    for change in open_changes:
        sums |= {so_far + change for so_far in sums}
    return {Decimal(amount) for amount in sums}


def _stale(
    observed: Observed, read: Operation, wallet: str, seen: object, allowed: Iterable[Decimal]
) -> Finding:
    right = " or ".join(shown(amount) for amount in sorted(allowed))
    return Finding(
        invariant="no stale read",
        summary=f"{read.actor} read {shown(Decimal(str(seen)))} from wallet {wallet} when the "
        f"acknowledged balance was {right}.",
        expected=right,
        observed=shown(Decimal(str(seen))),
        round=observed.round,
        operations=(read.id,),
    )


def _total(read: Operation) -> Decimal:
    return total_of(Decimal(str(amount)) for amount in read.values["balances"].values())


def _difference(seen: Decimal, total_minor: int) -> str:
    if not seen.is_finite():
        return ""
    there = "was never there" if seen > total_minor else "was missing"
    return f": {shown(abs(seen - total_minor))} {there}"
