"""Who may: what is told to strangers, how many PINs are compared, what a service gives away."""

from scenarios.invariants.observed import Finding, Invariant, Observed


def strangers_learn_nothing(observed: Observed) -> tuple[Finding, ...]:
    """What exists and what does not are refused in the same words.

    Looks come in pairs: at something of somebody else's, then at nothing.
    """
    peeks = [o for o in observed.operations if o.name == "peek"]
    for there, nowhere in zip(peeks[::2], peeks[1::2], strict=False):
        if there.values.get("told") != nowhere.values.get("told"):
            return (
                Finding(
                    invariant="strangers learn nothing",
                    summary=f"To {there.text}, which is somebody else's, was answered "
                    f"{there.answer}, and to {nowhere.text}, which is not there, "
                    f"{nowhere.answer}: whoever asks learns what exists.",
                    expected="the same refusal for both",
                    observed=f"{there.answer} and {nowhere.answer}",
                    round=observed.round,
                    operations=(there.id, nowhere.id),
                ),
            )
    return ()


def at_most_compared(most: int) -> Invariant:
    """Of wrong guesses without a right one between them so many are compared, and no more.

    A guess was compared when its answer tells whether it was right.
    """

    def judge(observed: Observed) -> tuple[Finding, ...]:
        guesses = [o for o in observed.operations if o.name == "guess" and o.status is not None]
        compared = [o for o in guesses if o.values.get("compared")]
        if len(compared) <= most:
            return ()
        last = compared[-1]
        return (
            Finding(
                invariant=f"at most {most} PINs are compared",
                summary=f"{len(compared)} wrong PINs were compared, the last answered "
                f"{last.answer}: after {most} the PIN has to be locked.",
                expected=f"at most {most} compared, the others 423",
                observed=f"{len(compared)} of {len(guesses)} compared",
                round=observed.round,
                operations=tuple(o.id for o in compared),
            ),
        )

    return judge


def nothing_leaks(observed: Observed) -> tuple[Finding, ...]:
    """No answer and no log tells SQL, a stack, a secret, or what belongs to others."""
    telling = [o for o in observed.operations if o.values.get("leaks")]
    if telling:
        first = telling[0]
        what = ", ".join(first.values["leaks"])
        return (
            Finding(
                invariant="no answer leaks",
                summary=f"The answer {first.answer} to {first.text} tells {what}; so do "
                f"{len(telling)} of {len(observed.operations)} answers.",
                expected="nothing of the inside",
                observed=what,
                round=observed.round,
                operations=tuple(o.id for o in telling),
            ),
        )
    logs = [event for event in observed.events if event.kind == "log-leak"]
    return tuple(
        Finding(
            invariant="no log leaks",
            summary=f"The service's log tells {event.text}.",
            expected="no secret in a log",
            observed=event.text,
            round=observed.round,
        )
        for event in logs[:1]
    )
