"""`pytest scenarios --build hardened`: every claim as a test, over the same runner as `verify`.

A violated claim fails with its argument, an unknown one with its reason. The canary passes when
it is seen violated.
"""

from collections.abc import Iterator

import pytest

from engine.defences import parse_build
from reports.judgement import Judgement, judge
from reports.store import RunFolder
from reports.terminal import render_text
from scenarios.catalogue import SCENARIOS
from scenarios.cell_record import record_cell
from scenarios.lanes import Ground
from scenarios.model import Scenario
from scenarios.runner import OUT, Plan, Run, begin, finish, new_seed
from scenarios.stand import Stand, open_stand


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "build" in metafunc.fixturenames:
        metafunc.parametrize("build", metafunc.config.getoption("--build") or ["hardened"])


@pytest.fixture(scope="module")
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with open_stand(str(request.config.getoption("--stores"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def current(request: pytest.FixtureRequest, stand: Stand) -> Iterator[Run]:
    config = request.config
    builds = tuple(parse_build(name) for name in config.getoption("--build") or ["hardened"])
    plan = Plan(
        command=f"pytest {' '.join(config.invocation_params.args)}",
        scenarios=SCENARIOS,
        builds=builds,
        by_prediction=False,
        stores=str(config.getoption("--stores")),
        seed=new_seed(),
        out=config.rootpath / OUT,
    )
    begun = begin(plan, Ground.of(stand))
    yield begun
    finish(begun, "complete")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_claim(scenario: Scenario, build: str, stand: Stand, current: Run) -> None:
    cell = record_cell(current.terms, stand, scenario, parse_build(build))
    current.add(cell)
    evidence = current.evidence("running")
    judged = judge(evidence, cell)
    if judged is Judgement.SKIPPED:
        pytest.skip(cell.cause)
    if judged is not Judgement.PASSED:
        report = RunFolder(path=current.folder).page
        text = render_text(evidence, cell, folder=current.folder)
        pytest.fail(f"{text}\n\nReport  {report}", pytrace=False)
