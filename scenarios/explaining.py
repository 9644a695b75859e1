"""`assay explain`: what a claim, a suite, a switch or a build is, in plain words."""

from engine.builds import RECIPES
from engine.defences import (
    Build,
    Switch,
    as_dict,
    named_builds,
    parse_build,
    switches,
    values_of,
)
from scenarios.ablation import MOST_CLAIMS, Removal, removals
from scenarios.catalogue import SCENARIOS, UnknownScenario, select
from scenarios.defence_stories import STORIES
from scenarios.model import Scenario
from scenarios.pricing.committed import committed, prices_of


def explain(name: str) -> str:
    """A page of text. Raises UnknownScenario when nothing has that name."""
    if name in switches():
        return _switch(name, switches()[name])
    if name.split(",", maxsplit=1)[0] in named_builds():
        return _build(name, parse_build(name))
    try:
        found = select((name,))
    except UnknownScenario as error:
        names = sorted([*switches(), *named_builds()])
        raise UnknownScenario(f"{error}; switches and builds: {', '.join(names)}") from error
    return "\n\n".join(_claim(scenario) for scenario in found)


def _claim(scenario: Scenario) -> str:
    lines = [
        f"{scenario.name} ({scenario.suite})",
        f"  Claim       {scenario.claim}",
        f"  Attack      {scenario.told('Attack')}",
        f"  Why         {scenario.told('Why')}",
        f"  Known as    {scenario.told('Known as')}",
        f"  Holds when  {scenario.holds_when.text}",
        f"  See it      assay compare --only {scenario.name}",
    ]
    return "\n".join(lines)


def _switch(name: str, switch: Switch) -> str:
    values = values_of(name)
    fragile = values[: switch.fragile_count]
    hardened = [value for value in values if value not in fragile]
    story = STORIES.get(name)
    kind = "a defence" if fragile else "a variant"
    lines = [f"{name}: {kind}, switched by a build such as hardened,{name}={values[0]}"]
    if story:
        lines.append(f"  Prevents    {story.prevents}")
    if fragile:
        lines.append(f"  Fragile     {', '.join(fragile)}: {switch.fragile_does}")
    lines.append(f"  Hardened    {', '.join(hardened)}: {switch.hardened_does}")
    if story:
        lines += [f"  Technique   {story.technique}", f"  In SQL      {story.in_sql}"]
    if switch.variants:
        lines.append(f"  Variants    {', '.join(switch.variants)} (speed and shape, not safety)")
    if fragile:
        lines += [f"  Proved by   {sentence}" for sentence in proofs(name)]
        lines.append(f"  See it      assay ablate --only {name}")
    lines += [f"  Price       {sentence}" for sentence in prices_of(name, committed())]
    return "\n".join(lines)


def proofs(name: str) -> list[str]:
    """For each fragile value of a defence the claims that catch it, as one reads it."""
    found = removals(SCENARIOS, (name,))
    pairs = {removal.build.name: removal for removal in found if len(removal.removed) > 1}
    return [_proof(removal, pairs) for removal in found if len(removal.removed) == 1]


def proving(name: str) -> list[str]:
    """The claims that catch a removal of this defence, alone or with the one that covers for it.

    As `assay ablate` runs them.
    """
    found = removals(SCENARIOS, (name,), most=MOST_CLAIMS)
    return list(dict.fromkeys(claim.name for removal in found for claim in removal.breaks))


def _proof(removal: Removal, pairs: dict[str, Removal]) -> str:
    ((name, value),) = removal.removed.items()
    if removal.breaks:
        return f"{name}={value} is caught by {_names(removal)}"
    if not removal.covered_in:
        return f"{name}={value} is caught by no claim of this version"
    covers = []
    for pair in (pairs[build] for build in removal.covered_in):
        ((other, weak),) = ((k, v) for k, v in pair.removed.items() if k != name)
        caught = f"with {other}={weak} it is caught by {_names(pair)}"
        covers.append(f"{other} covers for it, and {caught}")
    return f"{name}={value} is covered: {'; '.join(covers)}"


def _names(removal: Removal) -> str:
    return ", ".join(claim.name for claim in removal.breaks)


def _build(name: str, build: Build) -> str:
    recipe = RECIPES.get(name)
    lines = [f"{name}: a build" + (f", {recipe.stands_for}" if recipe else "")]
    values = as_dict(build.defences)
    lines += [f"  {switch:<16} {value}" for switch, value in values.items()]
    if traits := build.traits.words:
        lines.append(f"  In its own way: {', '.join(traits)}")
    claims = [s for s in SCENARIOS if not s.canary]
    apply = [s for s in claims if s.applies_when.holds(values)]
    broken = [s.name for s in apply if not s.holds_when.holds(values)]
    lines.append(f"  Predicted violated: {', '.join(broken) or 'nothing'}")
    if absent := [f"{s.name} ({s.applies_not})" for s in claims if s not in apply]:
        lines.append(f"  Not applicable: {', '.join(absent)}")
    return "\n".join(lines)
