"""Names of relations and isolation levels, so written that they can be compared."""

from typing import Literal

Isolation = Literal["read committed", "repeatable read", "serializable"]

Access = Literal["read", "lock", "insert", "change"]
"""What a statement does to a relation; "change" is UPDATE, DELETE and everything else."""

Locks = frozenset[tuple[str, str]]
"""Pairs of a relation (or ADVISORY) and a lock mode as pg_locks prints it."""

ADVISORY = "<advisory locks>"
"""Stands for every advisory lock: which key a statement means is often computed."""
ONE_ADVISORY = "<advisory lock "
"""Begins the name of one whose key was seen among the locks that are held."""
OUTSIDE = "<outside the database>"
"""Stands for effects that PostgreSQL does not order: notifications, files, programs."""
ONE_OUTSIDE = "<outside the database: "
"""Begins the name of one thing out there that is known, such as a key of another store."""
UNRESOLVED = "<relation "
"""Begins the name of a relation that the catalogs do not show (yet)."""

_ACCESSES: tuple[Access, ...] = ("read", "lock", "insert", "change")
_STRENGTH = ("read uncommitted", "read committed", "repeatable read", "serializable", "default")


def relation_name(schema: str | None, name: str) -> str:
    """`public.x` and `x` are the same; other schemas are kept."""
    return name if schema in (None, "", "public") else f"{schema}.{name}"


def overlap(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether both may mean the same relation.

    A bare name may be found in any schema (search_path), so `x` meets `audit.x`.
    """
    if not one or not other:
        return False
    if not one.isdisjoint(other):
        return True
    if (ADVISORY in one and has_advisory(other)) or (ADVISORY in other and has_advisory(one)):
        return True
    if (OUTSIDE in one and has_outside(other)) or (OUTSIDE in other and has_outside(one)):
        return True
    return _bare_meets_qualified(one, other) or _bare_meets_qualified(other, one)


def _bare_meets_qualified(bare: frozenset[str], qualified: frozenset[str]) -> bool:
    return any("." in name and name.rpartition(".")[2] in bare for name in qualified)


def has_advisory(names: frozenset[str]) -> bool:
    """Whether an advisory lock is among them, of a key that is known or not."""
    return any(name == ADVISORY or name.startswith(ONE_ADVISORY) for name in names)


def has_outside(names: frozenset[str]) -> bool:
    return any(name == OUTSIDE or name.startswith(ONE_OUTSIDE) for name in names)


def is_pseudo(name: str) -> bool:
    return name.startswith("<")


def widest(one: Access, other: Access) -> Access:
    """Of what a whole text does: a change may set off all that an insert may, and so on."""
    return max(one, other, key=_ACCESSES.index)


def strongest(*levels: str) -> str:
    """The level with most dependences; "default" is above all, for it is not known here."""
    return max(levels, key=_rank)


def as_isolation(level: str) -> Isolation:
    """As PostgreSQL prints it; what it is not known to mean counts as serializable."""
    match level.lower():
        case "read committed" | "read uncommitted":
            # PostgreSQL gives read committed to who asks for read uncommitted.
            return "read committed"
        case "repeatable read":
            return "repeatable read"
        case _:
            return "serializable"


def _rank(level: str) -> int:
    return _STRENGTH.index(level) if level in _STRENGTH else len(_STRENGTH)
