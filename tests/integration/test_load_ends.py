"""How a load ends: processes that end by themselves, what was said of it last."""

from pathlib import Path

import pytest

from scenarios.loading import generator
from scenarios.loading.load import load
from scenarios.loading.plan import LoadPlan
from scenarios.loading.watching import LoadWatcher
from tests.integration.test_load import plan_in

pytestmark = pytest.mark.slow


def test_processes_that_end_by_themselves_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locust's time begins before its first request: on a busy machine seconds before it."""

    def early(plan: LoadPlan) -> int:
        return int(plan.warm_up_s + plan.duration_s) - 3

    monkeypatch.setattr(generator, "run_time_s", early)
    loaded = load(plan_in(tmp_path / "out", duration_s=8, processes=2), LoadWatcher())
    (run,) = loaded.document.runs
    assert not run.partial
    (doubt,) = run.doubts
    assert doubt.startswith("the load ended after")
    assert loaded.exit_code == 3


def test_the_last_word_of_the_invariants_is_about_all_of_it(tmp_path: Path) -> None:
    """Also of a load that is over before the first look at it was due."""
    plan = plan_in(tmp_path / "out", warm_up_s=0.0, duration_s=2)
    (run,) = load(plan, LoadWatcher()).document.runs
    last = run.so_far[-1]
    assert last.checked > 0
    assert last.acknowledged == run.payments
    assert last.violations == ()
