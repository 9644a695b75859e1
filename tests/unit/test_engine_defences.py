"""Switches and builds: read right, refused clearly, and each one read at one place."""

import ast
import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from engine.builds import BESIDE_THE_PROCEDURE, HOLLOW, RECIPES
from engine.defences import (
    DefenceError,
    Defences,
    as_dict,
    named_builds,
    parse_build,
    switches,
    values_of,
)

ENGINE = Path(__file__).parents[2] / "engine"


def test_a_build_is_a_name_and_changes() -> None:
    build = parse_build("hardened, locking=none ,retry=none")
    assert as_dict(build.defences) == as_dict(parse_build("hardened").defences) | {
        "locking": "none",
        "retry": "none",
    }
    assert not build.legacy_routes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hardend", "unknown build 'hardend'; did you mean 'hardened'? (there are: correctness"),
        ("", "unknown build ''"),
        ("hardened,lokcing=row", "unknown switch 'lokcing'; did you mean 'locking'?"),
        ("hardened,locking=rows", "switch locking has no value 'rows'; did you mean 'row'?"),
        ("hardened,locking", "switch locking has no value ''"),
        ("hardened,locking=row,locking=none", "switch locking is set twice"),
    ],
)
def test_what_is_unknown_is_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(DefenceError) as caught:
        parse_build(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fragile_takes_fragile_values_and_hardened_takes_none() -> None:
    builds = named_builds()
    for name, switch in switches().items():
        fragile_values = values_of(name)[: switch.fragile_count]
        assert getattr(builds["hardened"].defences, name) not in fragile_values
        if switch.fragile_count:
            as_shipped = name == "durability"
            assert (getattr(builds["fragile"].defences, name) in fragile_values) != as_shipped
            assert switch.fragile_does
        assert switch.hardened_does
        assert set(switch.variants) <= set(values_of(name))


def test_the_named_builds_stay_what_they_are_whatever_values_are_added() -> None:
    builds = {name: as_dict(build.defences) for name, build in named_builds().items()}
    assert [
        (
            builds[name]["locking"],
            builds[name]["retry"],
            builds[name]["unit_of_work"],
            builds[name]["balance_cache"],
            builds[name]["rate_limit"],
        )
        for name in ("fragile", "hardened")
    ] == [
        ("none", "none", "per_movement", "before_commit", "off"),
        ("row", "bounded", "atomic", "versioned", "sliding"),
    ]


def test_every_switch_has_facts_and_at_least_two_values() -> None:
    assert list(switches()) == [field.name for field in dataclasses.fields(Defences)]
    for name, switch in switches().items():
        assert 0 <= switch.fragile_count < len(values_of(name)) >= 2, name


def test_each_switch_is_read_at_exactly_one_place() -> None:
    readings: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    for file in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and _names_defences(node.value):
                readings[node.attr] += 1
                where = f"{file.relative_to(ENGINE.parent)}:{node.lineno}"
                places.setdefault(node.attr, []).append(where)
    for name in switches():
        assert readings[name] == 1, (
            f"switch {name} is read at {places.get(name, 'no place')}: choose a part at one place "
            "and hand it on"
        )


def _names_defences(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "defences") or (
        isinstance(node, ast.Attribute) and node.attr == "defences"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fragile,authentication=none,authorization=owner", "no owner to compare"),
        ("hardened,idempotency=off,key_scope=caller_and_route", "ignores every key"),
        ("hardened,key_in_flight=wait,idempotency=redis_only", "claims nothing"),
    ],
)
def test_a_defence_that_cannot_work_beside_another_setting_is_refused(
    text: str, message: str
) -> None:
    with pytest.raises(DefenceError) as caught:
        parse_build(text)
    assert message in str(caught.value)
    assert "makes no sense beside" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "hardened-fast,locking=none",
            "beside locking=none: the procedure locks the wallets' rows",
        ),
        ("hardened,execution=function,pin=off", "beside pin=off: the procedure counts"),
        ("fragile,execution=function", "beside locking=none"),
        ("hardened-fast,retry=stale_values", "(retry is none or blind or bounded there)"),
        ("hardened-fast,idempotency=redis_only", "beside idempotency=redis_only"),
    ],
)
def test_what_the_procedure_does_in_one_way_cannot_be_had_in_another(
    text: str, message: str
) -> None:
    with pytest.raises(DefenceError) as caught:
        parse_build(text)
    assert "execution=function makes no sense beside " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_beside_the_procedure_values_are_possible_or_refused_as_listed() -> None:
    hardened = as_dict(parse_build("hardened-fast").defences)
    for switch, (possible, because) in BESIDE_THE_PROCEDURE.items():
        assert hardened[switch] in possible
        assert because
        for value in values_of(switch):
            text = f"hardened-fast,{switch}={value}"
            if value in possible:
                assert getattr(parse_build(text).defences, switch) == value
            else:
                with pytest.raises(DefenceError, match=f"execution=function.*{switch}={value}"):
                    parse_build(text)
        assert set(possible) < set(values_of(switch))


def test_every_rule_of_what_is_hollow_names_switches_and_values_that_exist() -> None:
    for rule in HOLLOW:
        other, value = rule.beside
        assert set(rule.values) <= set(
            values_of(rule.switch)[switches()[rule.switch].fragile_count :]
        )
        assert value in values_of(other)


def test_the_named_builds_are_those_of_the_seeds_and_the_one_for_load() -> None:
    builds = {name: as_dict(build.defences) for name, build in named_builds().items()}
    assert builds.pop("hardened-fast") == builds["hardened"] | {"execution": "function"}
    assert list(builds) == ["fragile", "g-wallet", "correctness-first", "dino", "hardened"]
    rows = ("locking", "retry", "money", "ledger", "authentication", "execution")
    assert {name: [values[row] for row in rows] for name, values in builds.items()} == {
        "fragile": ["none", "none", "float", "single_entry", "none", "orm"],
        "g-wallet": ["row", "none", "float", "single_entry", "jwt", "orm"],
        "correctness-first": ["version", "none", "minor_units", "single_entry", "none", "core"],
        "dino": ["row", "none", "numeric", "double_entry", "none", "core"],
        "hardened": ["row", "bounded", "minor_units", "double_entry", "jwt", "core"],
    }
    without_redis = ("replay_cache", "balance_cache")
    assert {builds["g-wallet"][switch] for switch in without_redis} == {"off"}
    assert parse_build("g-wallet,locking=none").defences.locking == "none"


def test_a_recipe_says_only_what_differs_from_its_beginning() -> None:
    for name, recipe in RECIPES.items():
        for switch, value in recipe.differs.items():
            assert value in values_of(switch), f"{name}: {switch} has no value {value}"
            first = 0 if recipe.begins_fragile else switches()[switch].fragile_count
            told = value != values_of(switch)[first] or switches()[switch].fragile_count == 0
            assert told, f"{name}: {switch}={value} is what it begins with: leave it out"
