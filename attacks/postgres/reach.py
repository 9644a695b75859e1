"""What a statement on one relation may touch besides, as far as the catalogs tell.

The closure over views, partitions, policies, defaults, foreign keys and triggers. It may say too
much, never too little.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from attacks.postgres.catalog import Catalog, Code, Event, ForeignKey, Relation
from attacks.postgres.relations import OUTSIDE, Access
from attacks.postgres.rows import RowKey

NOTHING: frozenset[str] = frozenset()
EVERY_EVENT: frozenset[Event] = frozenset({"insert", "update", "delete"})

_CODES: tuple[Code, ...] = ("none", "measurable", "unknown")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Beside the relation itself."""

    reads: frozenset[str] = NOTHING
    writes: frozenset[str] = NOTHING
    code: Code = "none"
    """User code that runs along."""
    due: frozenset[str] = NOTHING
    """What the checks may lock that wait for COMMIT."""
    due_code: Code = "none"
    """User code in those checks."""


Columns = frozenset[str] | None
"""Those that an UPDATE sets or an INSERT names; None is any."""

ReachOf = Callable[[str, Access, Columns], Reach]


def unseen(relation: str, access: Access, columns: Columns) -> Reach:  # noqa: ARG001 - a ReachOf
    """For whoever has no catalogs at hand, or does not find it there: only locks can tell."""
    return Reach(code="measurable", due=frozenset({relation}))


def united(reaches: list[Reach]) -> Reach:
    """Of everything that one statement names."""
    return Reach(
        reads=NOTHING.union(*(reach.reads for reach in reaches)),
        writes=NOTHING.union(*(reach.writes for reach in reaches)),
        code=max((reach.code for reach in reaches), key=_CODES.index, default="none"),
        due=NOTHING.union(*(reach.due for reach in reaches)),
        due_code=max((reach.due_code for reach in reaches), key=_CODES.index, default="none"),
    )


def reach(catalog: Catalog, relation: str, access: Access, columns: Columns = None) -> Reach:
    """A bare name that only other schemas know means any of theirs (search_path)."""
    names = _meanings(catalog, relation)
    if not names:
        return unseen(relation, access, columns)
    walk = _Walk(catalog)
    for name in names:
        walk.visit(name, access, columns)
    code = walk.code
    if catalog.hidden_calls and code == "none":
        code = catalog.user_code if catalog.user_code != "none" else "unknown"
    return Reach(
        reads=frozenset(walk.reads),
        writes=frozenset(walk.writes),
        code=code,
        due=frozenset(walk.due),
        due_code=walk.due_code,
    )


def row_key(catalog: Catalog, relation: str) -> RowKey | None:
    """How rows of this table are told apart; None where something else is hidden behind it."""
    names = _meanings(catalog, relation)
    if len(names) != 1 or catalog.hidden_calls:
        return None
    found = catalog.relations[names[0]]
    simple = found.kind == "r" and not (
        found.generated or found.parts or found.mentions or found.triggers or found.has_rules
    )
    in_code = found.calls != "none" or found.default_calls != "none" or found.has_deferrable
    cascades = any(key.cascades for key in catalog.keys_to.get(names[0], ()))
    own = any(key.parent == names[0] for key in catalog.keys_of.get(names[0], ()))
    return None if not simple or in_code or cascades or own else found.row_key


def is_known(catalog: Catalog, relation: str) -> bool:
    return bool(_meanings(catalog, relation))


def _meanings(catalog: Catalog, relation: str) -> list[str]:
    if "." in relation:
        return [relation] if relation in catalog.relations else []
    return [name for name in catalog.relations if name.rpartition(".")[2] == relation]


@dataclass
class _Walk:
    catalog: Catalog
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    code: Code = "none"
    due: set[str] = field(default_factory=set)
    due_code: Code = "none"
    seen: set[tuple[str, Access, Columns]] = field(default_factory=set)

    def visit(self, name: str, access: Access, columns: Columns) -> None:
        """Everything that this access to the relation may lead to."""
        if (name, access, columns) in self.seen:
            return
        self.seen.add((name, access, columns))
        relation = self.catalog.relations.get(name)
        if relation is None:
            self._run("unknown")
            return
        # Sequences ignore transactions: who reads one sees what others did a moment ago.
        touched = self.writes if access != "read" or relation.kind == "S" else self.reads
        touched.add(name)
        self._run(relation.calls)
        if relation.kind == "f":
            self._run("unknown")
        for part in relation.parts:
            self.visit(part, access, None if relation.kind == "p" else columns)
        for other in relation.mentions:
            self._mentioned(relation, other, access)
        if access in ("insert", "change"):
            self._changed(name, relation, access, columns)

    def _mentioned(self, relation: Relation, other: str, access: Access) -> None:
        self.visit(other, "read", None)
        if relation.kind == "v" and access != "read":
            # Rows of a view are those of its tables.
            self.visit(other, access, None)

    def _changed(self, name: str, relation: Relation, access: Access, columns: Columns) -> None:
        events: frozenset[Event] = EVERY_EVENT
        whole = columns is None or relation.generated or relation.kind in ("p", "v")
        if access == "insert":
            events = frozenset({"insert"})
        elif not whole:
            events = frozenset({"update"})
        self._run(relation.default_calls)
        if columns is None or access == "insert":
            self.writes |= relation.defaults
        if relation.has_rules:
            self._run("unknown")
        if any(trigger.events & events for trigger in relation.triggers):
            self._run(self._user_code())
        self._wait_for_commit(name, relation)
        self._keys(name, relation, access, None if whole else columns)

    def _wait_for_commit(self, name: str, relation: Relation) -> None:
        if any(trigger.deferrable for trigger in relation.triggers):
            self.due_code = self._user_code()
        if relation.has_deferrable:
            self.due.add(name)
        for key in (*self.catalog.keys_of.get(name, ()), *self.catalog.keys_to.get(name, ())):
            if key.deferrable:
                self.due |= self._with_parts(key.child) | self._with_parts(key.parent)

    def _keys(self, name: str, relation: Relation, access: Access, columns: Columns) -> None:
        for key in self.catalog.keys_of.get(name, ()):
            if self._checks(key, relation, access, columns):
                self.visit(key.parent, "lock", None)
        if access == "insert":
            return
        for key in self.catalog.keys_to.get(name, ()):
            if columns is None or columns & key.parent_columns:
                self.visit(key.child, "change" if key.cascades else "lock", None)

    def _checks(
        self, key: ForeignKey, relation: Relation, access: Access, columns: Columns
    ) -> bool:
        """A new row without a value for the key refers to nothing."""
        if columns is None:
            return True
        if access == "insert":
            return key.child_columns <= columns | relation.filled
        return bool(key.child_columns & columns)

    def _user_code(self) -> Code:
        if self.catalog.notifies:
            self.writes.add(OUTSIDE)
        return self.catalog.user_code if self.catalog.user_code != "none" else "unknown"

    def _run(self, code: Code) -> None:
        self.code = max(self.code, code, key=_CODES.index)

    def _with_parts(self, name: str) -> set[str]:
        relation = self.catalog.relations.get(name, Relation())
        return {name}.union(*(self._with_parts(part) for part in relation.parts))
