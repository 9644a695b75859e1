"""What the database itself has to refuse, whoever asks."""

from collections import defaultdict

from attacks.history import Operation
from scenarios.invariants.observed import Finding, Invariant, Observed


def acknowledged_once(*names: str) -> Invariant:
    """Of the requests of these names that read alike, one is acknowledged."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        acknowledged: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in observed.operations:
            if operation.name in names and operation.outcome == "ok":
                acknowledged[operation.text].append(operation)
        return tuple(
            Finding(
                invariant="acknowledged once",
                summary=f"{' and '.join(o.actor for o in operations)} both asked to {text}, and "
                "each was told that it is done.",
                expected="one acknowledged, the others refused",
                observed=f"{len(operations)} acknowledged",
                round=observed.round,
                operations=tuple(operation.id for operation in operations),
            )
            for text, operations in acknowledged.items()
            if len(operations) > 1
        )

    return judge


def refused_by_the_database(name: str) -> Invariant:
    """No statement of this name was carried out."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        done = [o for o in observed.operations if o.name == name and o.outcome == "ok"]
        tried = [o for o in observed.operations if o.name == name]
        if not done:
            return ()
        return (
            Finding(
                invariant="the database refuses to change its ledger",
                summary=f"{len(done)} of {len(tried)} statements that rewrite the ledger were "
                f"carried out; the first: {done[0].text}.",
                expected="every one refused by the database",
                observed=f"{len(done)} carried out",
                round=observed.round,
                operations=tuple(operation.id for operation in done),
            ),
        )

    return judge
