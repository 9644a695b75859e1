"""A settlement's mark as a statement of its own, for books that write in several."""

from functools import cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.wallets import Mark


def put_mark(session: Session, mark: Mark) -> None:
    """Raises what the mark says where it finds no row."""
    if session.execute(mark_statement(mark.parts), mark.values).first() is None:
        raise mark.missed


@cache
def mark_statement(parts: tuple[tuple[str, str], ...]) -> sa.TextClause:
    *before, (_, last) = parts
    named = ", ".join(f"{name} AS ({part})" for name, part in before)
    return sa.text(f"WITH {named} {last}" if named else last)
