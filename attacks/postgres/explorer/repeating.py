"""Notices when the same order of choices led to other statements: then nothing is repeatable.

The search reaches a state again by forcing the order that led there. That is only the same state if
the service does the same again: no background statement, no luck, nothing kept from the last time.
"""

from attacks.postgres.explorer.run import Run
from attacks.postgres.explorer.signature import masked


class Repetition:
    """Of one search: what came after each beginning that was forced."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, ...], str] = {}

    def difference(self, run: Run) -> str | None:
        """One line when a choice with the same beginning released another statement before."""
        released = {t.choice: masked(t.step.sql) for t in run.taken if t.choice is not None}
        for position in range(len(run.order)):
            sql = released.get(position)
            if sql is None:
                continue  # It never had its reply.
            seen = self._seen.setdefault(run.order[: position + 1], sql)
            if seen != sql:
                return (
                    "the same order of statements did not lead to the same statements again: the"
                    " service does more than the requests ask, or keeps what was not put back"
                )
        return None
