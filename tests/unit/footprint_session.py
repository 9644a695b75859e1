"""A session of which PostgreSQL's part is played, and tables that nothing hangs on."""

from dataclasses import dataclass
from functools import partial

from attacks.postgres.catalog import Catalog, Relation
from attacks.postgres.footprint import Footprint, SessionFootprints
from attacks.postgres.purity import Purity, builtin_purity
from attacks.postgres.reach import ReachOf, reach
from attacks.postgres.relations import Isolation, Locks
from attacks.postgres.trace import Kind, Reply, Step, TransactionStatus

A, B, AB = frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"})


def purity(name: str) -> Purity:
    if name.startswith("own"):
        return "unknown"
    return "measurable" if name.startswith("measured") else builtin_purity(name, volatile=False)


def plain(*names: str) -> ReachOf:
    """Tables that nothing hangs on."""
    catalog = Catalog(
        names={},
        indexes=frozenset(),
        relations={name: Relation() for name in names},
        keys_of={},
        keys_to={},
        functions={},
    )
    return partial(reach, catalog)


PLAIN = plain("a", "b", "c")


@dataclass
class Session:
    """Answers as PostgreSQL would, for what succeeds."""

    footprints: SessionFootprints
    status: TransactionStatus = "I"
    number: int = 0

    def run(
        self,
        sql: str,
        *,
        locks: Locks | None = None,
        error: str | None = None,
        tag: str | None = None,
        then: TransactionStatus | None = None,
        kind: Kind = "query",
        lost: bool = False,
        synced: bool = True,
    ) -> Footprint:
        step = self.step(sql, kind=kind, synced=synced)
        status = then or self._next(sql, error)
        reply = Reply(
            tag=tag,
            sqlstate=error,
            lost=lost,
            status=status if synced and not lost else None,
        )
        footprint = self.footprints.after(step, reply, locks, reply.status)
        if synced:
            self.status = status
        return footprint

    def step(self, sql: str, *, kind: Kind = "query", synced: bool = True) -> Step:
        self.number += 1
        return Step(
            session=1,
            number=self.number,
            kind=kind,
            sql=sql,
            status_before=self.status,
            ends_with_sync=synced,
        )

    def is_choice(self, sql: str, *, kind: Kind = "query", synced: bool = True) -> bool:
        found = self.footprints.is_choice(self.step(sql, kind=kind, synced=synced))
        self.number -= 1
        return found

    def _next(self, sql: str, error: str | None) -> TransactionStatus:
        word = sql.split(" ", maxsplit=1)[0]
        if error:
            return "I" if self.status == "I" else "E"
        if word == "BEGIN" or sql.startswith("ROLLBACK TO") or sql.endswith("CHAIN"):
            return "T"
        return "I" if word in ("COMMIT", "ROLLBACK") else self.status


def session(
    reach_of: ReachOf = PLAIN,
    default: Isolation = "read committed",
) -> Session:
    return Session(SessionFootprints(purity, default, reach=reach_of))


def locks(*pairs: str) -> Locks:
    """`a:RowShare`, …"""
    return frozenset((name, f"{mode}Lock") for name, mode in (pair.split(":") for pair in pairs))
