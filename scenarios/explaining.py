"""`assay explain`: what a claim, a suite, a switch or a build is, in plain words."""

from engine.defences import (
    Defences,
    Switch,
    as_dict,
    named_builds,
    parse_build,
    switches,
    values_of,
)
from scenarios.catalogue import SCENARIOS, UnknownScenario, select
from scenarios.model import Scenario


def explain(name: str) -> str:
    """A page of text. Raises UnknownScenario when nothing has that name."""
    if name in switches():
        return _switch(name, switches()[name])
    if name.split(",", maxsplit=1)[0] in named_builds():
        return _build(name, parse_build(name).defences)
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
    proved_by = [s.name for s in SCENARIOS if name in s.holds_when.switches]
    lines = [f"{name}: a defence, switched by a build such as hardened,{name}={values[0]}"]
    if fragile:
        lines.append(f"  Fragile     {', '.join(fragile)}: {switch.fragile_does}")
    lines.append(f"  Hardened    {', '.join(hardened)}: {switch.hardened_does}")
    if switch.variants:
        lines.append(f"  Variants    {', '.join(switch.variants)} (speed and shape, not safety)")
    lines.append(f"  Proved by   {', '.join(proved_by) or 'no claim of this version'}")
    return "\n".join(lines)


def _build(name: str, defences: Defences) -> str:
    lines = [f"{name}: a build"]
    lines += [f"  {switch:<16} {value}" for switch, value in as_dict(defences).items()]
    broken = [s for s in SCENARIOS if not s.holds_when.holds(as_dict(defences)) and not s.canary]
    lines.append(f"  Predicted violated: {', '.join(s.name for s in broken) or 'nothing'}")
    return "\n".join(lines)
