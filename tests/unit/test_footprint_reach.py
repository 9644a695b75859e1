"""What the catalogs add to a statement: hand-made catalogs, one closure after the other."""

from collections import defaultdict
from dataclasses import replace

import pytest

from attacks.postgres.catalog import Catalog, ForeignKey, Relation, Trigger
from attacks.postgres.purity import builtin_purity, is_harmless_builtin
from attacks.postgres.reach import Columns, Reach, is_known, reach, united, unseen
from attacks.postgres.relations import OUTSIDE, Access


def catalog(*keys: ForeignKey, **relations: Relation) -> Catalog:
    keys_of: dict[str, tuple[ForeignKey, ...]] = defaultdict(tuple)
    keys_to: dict[str, tuple[ForeignKey, ...]] = defaultdict(tuple)
    for key in keys:
        keys_of[key.child] += (key,)
        keys_to[key.parent] += (key,)
    return Catalog(
        names={},
        indexes=frozenset(),
        relations=relations,
        keys_of=keys_of,
        keys_to=keys_to,
        functions={},
    )


def key(child: str, parent: str, *, cascades: bool = False) -> ForeignKey:
    return ForeignKey(
        child=child,
        parent=parent,
        child_columns=frozenset({f"{parent}_id"}),
        parent_columns=frozenset({"id"}),
        cascades=cascades,
    )


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TABLE = Relation()
KEYS = catalog(
    key("entries", "transfers"),
    key("transfers", "accounts"),
    key("cards", "accounts", cascades=True),
    key("swipes", "cards", cascades=True),
    entries=TABLE,
    transfers=TABLE,
    accounts=TABLE,
    cards=TABLE,
    swipes=TABLE,
)


@pytest.mark.parametrize(
    ("relation", "access", "columns", "writes"),
    [
        ("transfers", "read", None, ""),
        ("transfers", "lock", None, "transfers"),
        ("transfers", "insert", None, "transfers accounts"),
        ("transfers", "insert", {"note", "accounts_id"}, "transfers accounts"),
        # Without a value the key refers to nothing.
        ("transfers", "insert", {"note"}, "transfers"),
        ("entries", "insert", None, "entries transfers"),
        ("transfers", "change", {"note"}, "transfers"),
        ("transfers", "change", {"accounts_id"}, "transfers accounts"),
        ("transfers", "change", {"id"}, "transfers entries"),
        ("transfers", "change", None, "transfers accounts entries"),
        ("accounts", "insert", None, "accounts"),
        ("accounts", "change", {"balance"}, "accounts"),
        # A cascade goes on where the child is a parent itself, a restriction only locks.
        ("accounts", "change", None, "accounts transfers cards swipes"),
        ("swipes", "change", None, "swipes cards"),
    ],
)
def test_foreign_keys(relation: str, access: Access, columns: set[str] | None, writes: str) -> None:
    chosen: Columns = None if columns is None else frozenset(columns)
    found = reach(KEYS, relation, access, chosen)
    assert found.writes == names(writes)
    assert (found.code, found.due, found.due_code) == ("none", names(""), "none")


def test_a_computed_column_may_be_a_key() -> None:
    generated = replace(KEYS, relations={**KEYS.relations, "transfers": Relation(generated=True)})
    found = reach(generated, "transfers", "change", frozenset({"note"}))
    assert found.writes == names("transfers accounts entries")


def test_a_row_has_keys_that_it_does_not_name() -> None:
    """By a default, an identity or a domain."""
    filled = Relation(filled=names("accounts_id"), defaults=names("numbers"))
    catalog_ = replace(KEYS, relations={**KEYS.relations, "transfers": filled, "numbers": TABLE})
    for columns in (frozenset({"note"}), frozenset({"accounts_id"}), None):
        found = reach(catalog_, "transfers", "insert", columns)
        assert found.writes == names("transfers accounts numbers")


VIEWS = catalog(
    base=TABLE,
    other=TABLE,
    view=Relation(kind="v", mentions=names("base other")),
    of_view=Relation(kind="v", mentions=names("view")),
)


@pytest.mark.parametrize(
    ("relation", "access", "reads", "writes"),
    [
        ("view", "read", "view base other", ""),
        ("of_view", "read", "of_view view base other", ""),
        ("view", "lock", "base other", "view base other"),
        ("of_view", "change", "view base other", "of_view view base other"),
    ],
)
def test_views(relation: str, access: Access, reads: str, writes: str) -> None:
    found = reach(VIEWS, relation, access)
    assert (found.reads, found.writes, found.code) == (names(reads), names(writes), "none")


def test_policies_and_checks_read() -> None:
    guarded = catalog(rows=Relation(mentions=names("members")), members=TABLE)
    assert reach(guarded, "rows", "read").reads == names("rows members")
    found = reach(guarded, "rows", "insert")
    assert (found.reads, found.writes) == (names("members"), names("rows"))


def test_partitions_go_with_their_table() -> None:
    parted = catalog(
        key("p1", "target"),
        whole=Relation(kind="p", parts=names("p1 p2")),
        p1=TABLE,
        p2=TABLE,
        target=TABLE,
    )
    assert reach(parted, "whole", "read").reads == names("whole p1 p2")
    # A row may move to another partition, where all its keys are new.
    moved = reach(parted, "whole", "change", frozenset({"note"}))
    assert moved.writes == names("whole p1 p2 target")
    assert reach(parted, "p2", "read").reads == names("p2")


def test_sequences_are_written_whoever_looks() -> None:
    counted = catalog(
        rows=Relation(defaults=names("ids"), default_calls="measurable"),
        ids=Relation(kind="S"),
        view=Relation(kind="v", mentions=names("ids")),
    )
    assert reach(counted, "ids", "read").writes == names("ids")
    assert reach(counted, "view", "read").writes == names("ids")
    assert reach(counted, "rows", "read") == Reach(reads=names("rows"))
    assert reach(counted, "rows", "change", names("note")).writes == names("rows")
    inserted = reach(counted, "rows", "insert")
    assert (inserted.writes, inserted.code) == (names("rows ids"), "measurable")


TRIGGERED = replace(
    catalog(
        key("child", "rows", cascades=True),
        rows=Relation(triggers=(Trigger(events=frozenset({"insert"}), deferrable=False),)),
        child=Relation(triggers=(Trigger(events=frozenset({"delete"}), deferrable=False),)),
    ),
    user_code="measurable",
)


@pytest.mark.parametrize(
    ("relation", "access", "columns", "code"),
    [
        ("rows", "read", None, "none"),
        ("rows", "lock", None, "none"),
        ("rows", "insert", None, "measurable"),
        ("rows", "change", {"note"}, "none"),
        ("child", "insert", None, "none"),
        ("child", "change", {"note"}, "none"),
        ("child", "change", None, "measurable"),
    ],
)
def test_triggers(relation: str, access: Access, columns: set[str] | None, code: str) -> None:
    chosen: Columns = None if columns is None else frozenset(columns)
    assert reach(TRIGGERED, relation, access, chosen).code == code


def test_a_cascade_sets_triggers_off() -> None:
    quiet = replace(TRIGGERED, relations={**TRIGGERED.relations, "rows": TABLE})
    assert reach(quiet, "rows", "change").code == "measurable"


def test_code_that_nobody_can_measure() -> None:
    unknown = replace(TRIGGERED, user_code="unknown")
    assert reach(unknown, "rows", "insert").code == "unknown"
    foreign = replace(TRIGGERED, user_code="none")
    assert reach(foreign, "rows", "insert").code == "unknown"
    assert reach(catalog(far=Relation(kind="f")), "far", "read").code == "unknown"
    assert reach(catalog(ruled=Relation(has_rules=True)), "ruled", "insert").code == "unknown"
    assert reach(catalog(called=Relation(calls="measurable")), "called", "read").code == (
        "measurable"
    )


def test_code_that_notifies() -> None:
    assert OUTSIDE in reach(replace(TRIGGERED, notifies=True), "rows", "insert").writes
    assert OUTSIDE not in reach(TRIGGERED, "rows", "insert").writes


def test_operators_of_the_users_own_may_run_anywhere() -> None:
    everywhere = replace(TRIGGERED, hidden_calls=True)
    assert reach(everywhere, "rows", "read").code == "measurable"
    assert reach(replace(everywhere, user_code="none"), "rows", "read").code == "unknown"


def test_what_is_checked_by_the_commit() -> None:
    later = catalog(
        replace(key("late", "whole"), deferrable=True),
        key("prompt", "late"),
        late=TABLE,
        prompt=TABLE,
        whole=Relation(kind="p", parts=names("part")),
        part=TABLE,
        unique=Relation(has_deferrable=True),
        checked=Relation(triggers=(Trigger(events=names("update"), deferrable=True),)),  # type: ignore[arg-type]
    )
    assert reach(later, "late", "insert").due == names("late whole part")
    assert reach(later, "whole", "change").due == names("late whole part")
    assert reach(later, "late", "lock").due == names("")
    assert reach(later, "prompt", "insert").due == names("")
    assert reach(later, "unique", "insert").due == names("unique")
    measurable = replace(later, user_code="measurable")
    assert reach(measurable, "checked", "insert").due_code == "measurable"
    assert reach(measurable, "late", "insert").due_code == "none"


def test_a_bare_name_means_every_schemas_relation() -> None:
    two = replace(
        KEYS, relations={"x.rows": Relation(mentions=names("a")), "y.rows": TABLE, "a": TABLE}
    )
    assert reach(two, "rows", "read").reads == names("x.rows y.rows a")
    assert reach(two, "y.rows", "read").reads == names("y.rows")


def test_what_the_catalogs_do_not_show() -> None:
    nobodys = Reach(code="measurable", due=names("unheard_of"))
    assert reach(KEYS, "unheard_of", "read") == nobodys
    assert unseen("unheard_of", "read", None) == nobodys
    assert reach(KEYS, "other.accounts", "read").code == "measurable"
    assert not is_known(KEYS, "other.accounts")
    assert is_known(KEYS, "accounts")
    broken = catalog(view=Relation(kind="v", mentions=names("gone")))
    assert reach(broken, "view", "read").code == "unknown"


def test_circles_end() -> None:
    circle = catalog(
        key("one", "other", cascades=True), key("other", "one", cascades=True), one=TABLE,
        other=TABLE,
    )  # fmt: skip
    assert reach(circle, "one", "change").writes == names("one other")


def test_united() -> None:
    one = Reach(reads=names("a"), code="measurable")
    other = Reach(writes=names("b"), due=names("c"), due_code="unknown")
    assert united([one, other]) == Reach(
        reads=names("a"),
        writes=names("b"),
        code="measurable",
        due=names("c"),
        due_code="unknown",
    )
    assert united([]) == Reach()


@pytest.mark.parametrize(
    ("name", "volatile", "expected"),
    [
        ("lower", False, "pure"),
        ("random", True, "pure"),
        ("uuid_generate_v4", True, "pure"),
        ("pg_advisory_lock", True, "advisory"),
        ("pg_try_advisory_xact_lock_shared", True, "advisory"),
        ("nextval", True, "sequence"),
        ("setval", True, "sequence"),
        ("pg_notify", True, "outside"),
        ("pg_terminate_backend", True, "unknown"),
        ("dblink", True, "unknown"),
        ("pg_stat_get_xact_tuples_inserted", False, "unknown"),
        ("table_to_xml", False, "unknown"),
        ("pg_current_snapshot", False, "unknown"),
    ],
)
def test_builtins(name: str, volatile: bool, expected: str) -> None:
    assert builtin_purity(name, volatile=volatile) == expected


def test_what_pings_call() -> None:
    assert is_harmless_builtin("version")
    assert is_harmless_builtin("pg_catalog.current_schema")
    assert not is_harmless_builtin("public.version")
    assert not is_harmless_builtin("pg_sleep_for_users")
