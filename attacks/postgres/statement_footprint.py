"""What one statement touches: its text, the functions it calls, the catalogs, and locks."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from attacks.postgres.grammar import Parsed
from attacks.postgres.purity import Purity
from attacks.postgres.reach import Reach, ReachOf, united
from attacks.postgres.relations import ADVISORY, OUTSIDE, Locks, is_pseudo
from attacks.postgres.rows import NO_ROWS, KeyOf, Rows, no_key, rows_of
from attacks.postgres.touched import NOTHING, Footprint, split, together

SECRETIVE = frozenset({"do", "execute", "unknown"})
"""Kinds of statements whose text does not show what they call."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a statement before it runs."""

    named: Footprint
    aside: Reach
    unmeasured: Footprint
    """Both together: enough as long as no user code runs along."""
    may_lock_for_session: bool


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Whom to ask about names: `observer.Observer` has both."""

    purity: Callable[[str], Purity]
    reach: ReachOf
    row_key: KeyOf = no_key
    _kept: dict[Parsed, Known] = field(default_factory=dict, compare=False)
    _deferred: dict[frozenset[str], Footprint] = field(default_factory=dict, compare=False)

    def of(self, parsed: Parsed) -> Known:
        """Asked once for each text: a service says the same few things again and again."""
        if parsed not in self._kept:
            named, reaches = self.named(parsed), self._reaches(parsed)
            aside = united([reach for some in reaches.values() for reach in some])
            self._kept[parsed] = Known(
                named=named,
                aside=aside,
                unmeasured=replace(unmeasured(named, aside), rows=self._rows(parsed, reaches)),
                may_lock_for_session=self.may_lock_for_session(parsed, aside),
            )
        return self._kept[parsed]

    def named(self, parsed: Parsed) -> Footprint:
        """What the text and the functions that it calls say."""
        writes, unknown = parsed.writes, parsed.unknown
        for name in parsed.functions:
            match self.purity(name):
                case "pure":
                    pass
                case "advisory":
                    writes |= {ADVISORY}
                case "outside":
                    writes |= {OUTSIDE}
                case _:
                    # A sequence whose name is computed is as unknown as a user's function.
                    unknown = True
        return Footprint(reads=parsed.reads, writes=writes, unknown=unknown)

    def _reaches(self, parsed: Parsed) -> dict[str, list[Reach]]:
        """What the catalogs add to each relation that the text names."""
        found: dict[str, list[Reach]] = defaultdict(list)
        for name in parsed.reads:
            if not is_pseudo(name):
                found[name].append(self.reach(name, "read", None))
        for name in parsed.writes:
            if not is_pseudo(name):
                access = "insert" if name in parsed.inserted else parsed.access
                found[name].append(self.reach(name, access, parsed.columns_of(name)))
        return found

    def _rows(self, parsed: Parsed, reaches: Mapping[str, Sequence[Reach]]) -> Rows:
        """Of the relations that nothing but the text touches."""
        if not parsed.touches or any(r.code != "none" for some in reaches.values() for r in some):
            return NO_ROWS
        alone = {
            name
            for name in {touch.relation for touch in parsed.touches}
            if not any(
                name in reach.reads | reach.writes
                for other, some in reaches.items()
                for reach in some
                if other != name
            )
        }
        return rows_of((t for t in parsed.touches if t.relation in alone), self.row_key)

    def may_lock_for_session(self, parsed: Parsed, aside: Reach) -> bool:
        """Whether it may take an advisory lock that outlasts its transaction."""
        return (
            any("advisory" in name and "xact" not in name for name in parsed.functions)
            or any(self.purity(name) == "unknown" for name in parsed.functions)
            or aside.code == "unknown"
            or not SECRETIVE.isdisjoint(parsed.kinds)
        )

    def deferred(self, written: frozenset[str]) -> Footprint:
        """What the constraints may touch that are checked when the transaction commits.

        User code that runs then is unknown: its locks are gone before anybody could look.
        """
        if written not in self._deferred:
            found = united(
                [self.reach(name, "change", None) for name in written if not is_pseudo(name)]
            )
            due = Footprint(writes=found.due, unknown=found.due_code != "none")
            self._deferred[written] = due
        return self._deferred[written]


def unmeasured(named: Footprint, aside: Reach) -> Footprint:
    """The catalogs alone: enough as long as no user code runs along."""
    return replace(
        together(named, Footprint(reads=aside.reads, writes=aside.writes)),
        unknown=named.unknown or aside.code != "none",
    )


def measured(named: Footprint, aside: Reach, growth: Locks, held: Locks) -> Footprint:
    """With the locks that the statement gained, and those held before that it may have used."""
    whole = together(named, split(growth | _again(aside, held)))
    outside = aside.writes & {OUTSIDE}
    return replace(
        whole, writes=whole.writes | outside, unknown=whole.unknown or aside.code == "unknown"
    )


def of_cursors(fetch: Parsed, cursors: tuple[Parsed, ...]) -> Parsed:
    """FETCH runs the query of a cursor: any that this transaction has declared."""
    return replace(
        fetch,
        reads=NOTHING.union(*(cursor.reads for cursor in cursors)),
        writes=NOTHING.union(*(cursor.writes for cursor in cursors)),
        functions=NOTHING.union(*(cursor.functions for cursor in cursors)),
        unknown=not cursors or any(cursor.unknown for cursor in cursors),
    )


def _again(aside: Reach, held: Locks) -> Locks:
    """A lock that an earlier statement took does not grow anew, and may have been used again."""
    if aside.code != "none":
        return held
    return frozenset(
        (name, mode)
        for name, mode in held
        if name in aside.writes or (name in aside.reads and mode == "AccessShareLock")
    )
