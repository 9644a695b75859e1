"""Records: what was acknowledged is recorded, once; what was refused is not."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal

from scenarios.invariants.observed import Finding, Observed, Work, shown, total_of, works
from scenarios.truth import Leg

Signature = tuple[str | None, str | None, Decimal]
"""Payer, payee and amount: what a movement is recognised by, whatever the service calls it."""


def acknowledged_is_recorded(observed: Observed) -> tuple[Finding, ...]:
    """Every acknowledged movement is recorded exactly once, and nothing else is.

    Counted by payer, payee and amount: at least the acknowledged ones, at most those and the ones
    without an answer. All requests with one key are one piece of work, so this is also "at most one
    effect a key, exactly one for an acknowledged one" and "a failed answer had no effect".
    Where nothing is recorded there is nothing to compare: the balances have to tell.
    """
    if not observed.truth.records_kept:
        return ()
    recorded = Counter((e.payer, e.payee, e.amount_minor) for e in observed.truth.effects)
    done = works(observed.operations)
    required = _count(work for work in done if work.outcome == "ok")
    possible = required + _count(work for work in done if work.outcome == "unknown")
    works_of: defaultdict[Signature, list[Work]] = defaultdict(list)
    for work in done:
        for signature in dict.fromkeys(_signatures(work)):
            works_of[signature].append(work)
    findings = []
    for signature in sorted({*recorded, *required}, key=str):
        count, least, most = recorded[signature], required[signature], possible[signature]
        if not least <= count <= most:
            concerned = works_of[signature]
            findings.append(_wrong_count(observed, signature, (count, least, most), concerned))
    return tuple(findings)


def movements_can_be_found(observed: Observed) -> tuple[Finding, ...]:
    """What was acknowledged is recorded at all."""
    done = [work for work in works(observed.operations) if work.outcome == "ok"]
    if observed.truth.records_kept or not done:
        return ()
    first = done[0].operations[0]
    return (
        Finding(
            invariant="movements can be found",
            summary=f"{first.actor} asked to {first.text} and was answered {first.answer}; no row "
            "says that it ever happened.",
            expected="a record of every acknowledged movement",
            observed="balances that changed, and no record",
            round=observed.round,
            operations=tuple(work.operations[0].id for work in done),
        ),
    )


def replays_answer_alike(observed: Observed) -> tuple[Finding, ...]:
    """All acknowledged answers to one key are the same answer."""
    findings = []
    for work in works(observed.operations):
        answered = [o for o in work.operations if o.outcome == "ok"]
        different = {str(o.values.get("body", o.answer)) for o in answered}
        if len(different) > 1:
            findings.append(
                Finding(
                    invariant="replays get the first answer",
                    summary=f"The same request with key {work.key} was sent {len(work.operations)} "
                    f"times and got {len(different)} different acknowledgements.",
                    expected="one answer, repeated",
                    observed=f"{len(different)} answers, each for a movement of its own",
                    round=observed.round,
                    operations=tuple(o.id for o in answered),
                )
            )
    return tuple(findings)


def legs_prove_the_balances(observed: Observed) -> tuple[Finding, ...]:
    """Each movement has legs that cancel; each balance equals its legs; `balance_after` chains."""
    legs = observed.truth.legs
    if legs is None:
        return (
            _ledger(
                observed,
                "The service keeps no legs: a balance that is wrong cannot be told from one that "
                "is right.",
                "a debit and a credit for every movement",
                "one row a movement, no legs" if observed.truth.records_kept else "nothing",
            ),
        )
    return (*_legs_are_whole(observed), *_legs_chain(observed))


def _legs_are_whole(observed: Observed) -> Iterable[Finding]:
    legs = observed.truth.legs or ()
    legs_of: defaultdict[str, list[Leg]] = defaultdict(list)
    for leg in legs:
        legs_of[leg.effect].append(leg)
    for effect in observed.truth.effects:
        sides = ((effect.payer, -effect.amount_minor), (effect.payee, effect.amount_minor))
        expected = Counter(side for side in sides if side[0] in observed.truth.balances)
        own = legs_of[effect.id]
        if Counter((leg.wallet, leg.amount_minor) for leg in own) != expected:
            yield _ledger(
                observed,
                f"Movement {effect.id} of {shown(effect.amount_minor)} has {len(own)} legs that do "
                "not say what it did.",
                f"a leg for each of {expected.total()} wallets",
                ", ".join(f"wallet {leg.wallet}: {shown(leg.amount_minor)}" for leg in own),
            )
    movements = {effect.id for effect in observed.truth.effects}
    for leg in legs:
        if leg.effect not in movements:
            yield _ledger(
                observed,
                f"A leg of {shown(leg.amount_minor)} of wallet {leg.wallet} belongs to no recorded "
                "movement.",
                "no leg without its movement",
                f"leg {leg.position} of wallet {leg.wallet}",
            )


def _legs_chain(observed: Observed) -> Iterable[Finding]:
    legs_of: defaultdict[str, list[Leg]] = defaultdict(list)
    for leg in observed.truth.legs or ():
        legs_of[leg.wallet].append(leg)
    for wallet, balance in observed.truth.balances.items():
        own = sorted(legs_of[wallet], key=lambda leg: leg.position)
        running = Decimal(0)  # Wallets begin empty.
        for leg in own:
            running = total_of((running, leg.amount_minor))
            if running != leg.balance_after_minor:
                yield _ledger(
                    observed,
                    f"Wallet {wallet}: after leg {leg.position} the legs add up to "
                    f"{shown(running)}, the ledger says {shown(leg.balance_after_minor)}.",
                    shown(running),
                    shown(leg.balance_after_minor),
                )
                return
        positions = [leg.position for leg in own]
        if positions != list(range(positions[0], positions[0] + len(own)) if own else []):
            yield _ledger(
                observed,
                f"Wallet {wallet} has a gap or a double in the numbering of its legs.",
                "numbered without a gap",
                ", ".join(map(str, positions)),
            )
        if running != balance.amount_minor:
            yield _ledger(
                observed,
                f"Wallet {wallet} holds {shown(balance.amount_minor)}, its legs add up to "
                f"{shown(running)}.",
                shown(running),
                shown(balance.amount_minor),
            )


def _ledger(observed: Observed, summary: str, expected: str, found: str) -> Finding:
    return Finding(
        invariant="legs prove the balances",
        summary=summary,
        expected=expected,
        observed=found,
        round=observed.round,
    )


def _signatures(work: Work) -> list[Signature]:
    return [(move.payer, move.payee, Decimal(move.amount_minor)) for move in work.moves]


def _count(done: Iterable[Work]) -> Counter[Signature]:
    return Counter(signature for work in done for signature in _signatures(work))


def _wrong_count(
    observed: Observed,
    signature: Signature,
    counts: tuple[int, int, int],
    concerned: list[Work],
) -> Finding:
    count, least, most = counts
    requests = sum(len(work.operations) for work in concerned)
    return Finding(
        invariant="acknowledged = recorded, once a key",
        summary=miscounted(signature, counts, works=len(concerned), requests=requests),
        expected=f"{least} recorded" if least == most else f"{least} to {most} recorded",
        observed=f"{count} recorded",
        round=observed.round,
        operations=tuple(o.id for work in concerned for o in work.operations),
    )


def miscounted(
    signature: Signature, counts: tuple[int, int, int], *, works: int, requests: int
) -> str:
    """What is wrong with `counts`: recorded, at least due, at most due.

    So many pieces of work asked for the movement, in so many requests.
    """
    payer, payee, amount = signature
    count, least, most = counts
    what = f"{shown(amount)} from {side(payer)} to {side(payee)}"
    if not works:
        return f"A movement that nobody asked for is recorded: {what}."
    if count < least:
        return f"{least} times {what} was acknowledged, {count} times it is recorded."
    if requests > works:
        keys = "one key" if works == 1 else f"{works} keys"
        return (
            f"{what} was asked for with {keys} in {requests} requests, and happened {count} times."
        )
    if most == 0:
        return f"The client was told that it failed, and yet {what} is recorded {count} times."
    return f"{what} was acknowledged at most {most} times and is recorded {count} times."


def side(wallet: str | None) -> str:
    return "outside" if wallet is None else f"wallet {wallet}"
