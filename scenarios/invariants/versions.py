"""Versions: each is written over once, and what was written is there."""

from decimal import Decimal

from attacks.history import SETUP
from scenarios.invariants.observed import Finding, Observed, Work, deltas, shown, works


def one_write_a_version(observed: Observed) -> tuple[Finding, ...]:
    """A wallet has gone on by one version for every movement that was acknowledged.

    Movements of unknown outcome may have been written or not.
    """
    done = works(observed.operations)
    for wallet, balance in observed.truth.balances.items():
        touching = [work for work in done if wallet in deltas(work.moves)]
        least = sum(work.outcome == "ok" for work in touching)
        most = sum(work.outcome != "failed" for work in touching)
        if balance.version is None or least <= balance.version <= most:
            continue
        return (
            Finding(
                invariant="one write a version",
                summary=f"{least} movements of wallet {wallet} were acknowledged, and it was "
                f"written {balance.version} times: two of them began from one version, and each "
                "was told that it had won.",
                expected=f"version {least}" if least == most else f"version {least} to {most}",
                observed=f"version {balance.version}",
                round=observed.round,
                operations=tuple(o.id for work in touching for o in work.operations),
            ),
        )
    return ()


def losers_get_409(observed: Observed) -> tuple[Finding, ...]:
    """Of the attack's movements at least one is acknowledged, and each other one gets 409."""
    attack = [o for o in observed.operations if o.moves and o.actor != SETUP]
    losers = [o for o in attack if o.outcome != "ok"]
    wrong = [o for o in losers if o.status is not None and o.status != 409]
    if not wrong and (len(losers) < len(attack) or not attack):
        return ()
    if wrong:
        summary = f"{wrong[0].actor} lost a race ({wrong[0].text}) and was answered "
        summary += f"{wrong[0].answer}, which does not say that it may try again."
    else:
        summary = f"All {len(attack)} movements were refused: nobody had won."
    return (
        Finding(
            invariant="one wins, the others get 409",
            summary=summary,
            expected="one acknowledged or more, and 409 for every other one",
            observed=", ".join(o.answer for o in attack),
            round=observed.round,
            operations=tuple(o.id for o in wrong or losers),
        ),
    )


def last_acknowledged_is_there(observed: Observed) -> tuple[Finding, ...]:
    """The balance has in it what was acknowledged last: nobody came after it to write over it.

    What was acknowledged before may be missing, which other judges look at.
    """
    done = [work for work in works(observed.operations) if work.outcome != "failed"]
    for wallet, balance in observed.truth.balances.items():
        touching = [work for work in done if deltas(work.moves).get(wallet)]
        acknowledged = [work for work in touching if work.outcome == "ok"]
        if not acknowledged:
            continue
        last = max(acknowledged, key=_acknowledged_s)
        with_it = {Decimal(deltas(last.moves)[wallet])}
        for work in touching:
            if work is not last:
                with_it |= {total + deltas(work.moves)[wallet] for total in with_it}
        if balance.amount_minor not in with_it:
            return (_ignored(observed, wallet, last, balance.amount_minor),)
    return ()


def _acknowledged_s(work: Work) -> float:
    return min(o.ended_s for o in work.operations if o.outcome == "ok")


def _ignored(observed: Observed, wallet: str, last: Work, balance: Decimal) -> Finding:
    operation = last.operations[0]
    change = deltas(last.moves)[wallet]
    return Finding(
        invariant="the last acknowledged write is there",
        summary=f"{operation.actor} ({operation.text}) was acknowledged last, so that nobody can "
        f"have written over it; but wallet {wallet} holds {shown(balance)}, which has no "
        f"{shown(change)} in it, whatever else is left out.",
        expected=f"a balance of wallet {wallet} with {shown(change)} in it",
        observed=f"wallet {wallet}: {shown(balance)}",
        round=observed.round,
        operations=tuple(o.id for o in last.operations),
    )


def nothing_left_behind(observed: Observed) -> tuple[Finding, ...]:
    """No session at rest holds an advisory lock."""
    left = observed.truth.locks_left
    if not left:
        return ()
    return (
        Finding(
            invariant="nothing is left behind",
            summary=f"All requests were over, and sessions at rest held {left} advisory "
            f"lock{'s' if left > 1 else ''}: whoever needs one of them waits for ever.",
            expected="no lock",
            observed=f"{left} held",
            round=observed.round,
            operations=tuple(o.id for o in observed.operations if o.actor != SETUP),
        ),
    )
