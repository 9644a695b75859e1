"""Keys: one movement a key, one answer a key, and nobody else's."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from attacks.history import Operation
from scenarios.invariants.observed import Finding, Invariant, Observed, Work, works


def one_body_a_key(observed: Observed) -> tuple[Finding, ...]:
    """Of the different movements that were sent under one key at most one is acknowledged."""
    done: defaultdict[str, list[Work]] = defaultdict(list)
    for work in works(observed.operations):
        if work.key is not None and work.outcome == "ok":
            done[work.key].append(work)
    findings = []
    for key, acknowledged in done.items():
        if len(acknowledged) > 1:
            first, other = (_acknowledgement(work) for work in acknowledged[:2])
            findings.append(
                Finding(
                    invariant="one movement a key",
                    summary=f"Key {key} was used to {first.text} ({first.answer}), and then to "
                    f"{other.text}: that was acknowledged, too ({other.answer}).",
                    expected="one movement acknowledged, the other refused",
                    observed=f"{len(acknowledged)} movements acknowledged under one key",
                    round=observed.round,
                    operations=(first.id, other.id),
                )
            )
    return tuple(findings)


def one_answer_a_key(observed: Observed) -> tuple[Finding, ...]:
    """The first answer to a key, acknowledgement or refusal, is its only one.

    For attacks whose refusals are final ones: what may pass is not judged by this.
    """
    findings = []
    for work in works(observed.operations):
        answered = [o for o in work.operations if o.status is not None and o.outcome != "unknown"]
        different = list(dict.fromkeys(_told(o) for o in answered))
        if len(different) > 1:
            first = answered[0]
            later = next(o for o in answered if _told(o) != _told(first))
            findings.append(
                Finding(
                    invariant="one answer a key",
                    summary=f"A request to {first.text} was answered {first.answer}; sent again "
                    f"with the same key it was answered {later.answer}.",
                    expected=f"{first.answer}, repeated",
                    observed=f"{len(different)} different answers",
                    round=observed.round,
                    operations=(first.id, later.id),
                )
            )
    return tuple(findings)


def retries_succeed(observed: Observed) -> tuple[Finding, ...]:
    """The last answer to each key that was sent more than once is an acknowledgement.

    For attacks that send again what is valid, when nothing is under way any more.
    """
    findings = []
    for work in works(observed.operations):
        last = work.operations[-1]
        if len(work.operations) > 1 and last.outcome != "ok":
            findings.append(
                Finding(
                    invariant="a retry succeeds in the end",
                    summary=f"Nothing was under way any more, and a request to {last.text}, sent "
                    f"again with its key, was answered {last.answer}.",
                    expected="an acknowledgement",
                    observed=last.answer,
                    round=observed.round,
                    operations=tuple(o.id for o in work.operations),
                )
            )
    return tuple(findings)


def nobody_gets_anothers_answer(observed: Observed) -> tuple[Finding, ...]:
    """No two callers get one answer between them.

    For attacks in which every actor is somebody else.
    """
    first: dict[str, Operation] = {}
    findings = []
    for operation in observed.operations:
        if not operation.moves or operation.outcome != "ok":
            continue
        owner = first.setdefault(str(operation.values.get("body", operation.id)), operation)
        if owner.actor != operation.actor:
            findings.append(
                Finding(
                    invariant="nobody gets another's answer",
                    summary=f"{operation.actor} used the key of {owner.actor} and got the answer "
                    f"that was {owner.actor}'s ({owner.text}).",
                    expected="an answer of one's own, or a refusal",
                    observed=f"{operation.answer}, with {owner.actor}'s movement",
                    round=observed.round,
                    operations=(owner.id, operation.id),
                )
            )
    return tuple(findings)


def acknowledged_all(*names: str) -> Invariant:
    """Every request of these names ends with an acknowledgement."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        blocked = [o for o in observed.operations if o.name in names and o.outcome != "ok"]
        return tuple(_blocked(observed, blocked[:1]))

    return judge


def _blocked(observed: Observed, blocked: Sequence[Operation]) -> Iterable[Finding]:
    for operation in blocked:
        yield Finding(
            invariant="what is right is served",
            summary=f"{operation.actor} asked to {operation.text}, which nothing forbids, and was "
            f"answered {operation.answer}.",
            expected="an acknowledgement",
            observed=operation.answer,
            round=observed.round,
            operations=(operation.id,),
        )


def _acknowledgement(work: Work) -> Operation:
    return next(o for o in work.operations if o.outcome == "ok")


def _told(operation: Operation) -> tuple[int | None, str]:
    return operation.status, str(operation.values.get("body", operation.answer))
