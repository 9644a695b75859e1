"""`assay load` as it is typed: what becomes of the options, and what is refused at once."""

import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from typer.testing import CliRunner

from attacks.history import Recorder
from reports.evidence import Verdict
from scenarios import cli
from scenarios.loading import command
from scenarios.loading.course import Course, why_short
from scenarios.loading.faults import Strikes, Victims
from scenarios.loading.figures import Figures
from scenarios.loading.generator import LOCUSTFILE, locust_command
from scenarios.loading.histories import Follower
from scenarios.loading.load import Loaded
from scenarios.loading.plan import LoadPlan
from scenarios.loading.refusals import LoadRefused
from scenarios.loading.site import Site, config_of
from scenarios.loading.watching import LoadWatcher
from scenarios.stand import Stand
from tests.unit.load_samples import document


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[LoadPlan]:
    """The plans that the command has made; nothing is started."""
    made: list[LoadPlan] = []

    def pretend(plan: LoadPlan, watcher: object) -> Loaded:
        made.append(plan)
        return Loaded(document=document(), folder=plan.out)

    monkeypatch.setattr(command, "run_load", pretend)
    return made


def typed(*options: str) -> int:
    return CliRunner().invoke(cli.app, ["load", *options]).exit_code


@pytest.mark.parametrize(("verdict", "code"), [("held", 0), ("violated", 1), ("unknown", 3)])
def test_the_command_ends_with_the_load_s_code(
    monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    left = document(verdict=Verdict(verdict))
    monkeypatch.setattr(command, "run_load", lambda *_: Loaded(document=left, folder=Path("out")))
    assert typed() == code


def test_a_plan_is_made_of_the_options(plans: list[LoadPlan]) -> None:
    assert typed("--users", "3", "--seed", "7") == 0
    assert typed(
        *("--against", "fragile", "--tps", "200", "--tps-profile", "ramp", "--mix", "hot"),
        *("--tps-period-s", "10", "--threshold-abort"),
        *("--fault", "kill-engine@5s", "--fault", "redis-down@2s+2s"),
        *("--threshold", "p95<50ms", "--processes", "2", "--workers", "2"),
    ) == 0  # fmt: skip
    plain, full = plans
    assert (plain.users, plain.wallets, plain.seed, plain.tps) == (3, 50, 7, 0)
    assert [build.name for build in plain.builds] == ["hardened"]
    assert [build.name for build in full.builds] == ["hardened", "fragile"]
    assert [fault.kind for fault in full.faults] == ["redis-down", "kill-engine"]
    assert [threshold.text for threshold in full.thresholds] == ["p95<50ms"]
    assert (full.workers, full.processes, full.profile, full.mix) == (2, 2, "ramp", "hot")
    assert (full.period_s, full.threshold_abort) == (10, True)
    assert (plain.period_s, plain.threshold_abort) == (60, False)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--tps-profile", "ramp", "--tps", "9"), "a ramp takes 60 s, the whole load 22 s"),
        (("--tps-profile", "spike", "--tps", "9"), "a spike takes 50 s, the whole load 22 s"),
        (("--tps-profile", "ramp", "--tps-period-s", "9"), "a ramp needs a pace: say --tps"),
    ],
)
def test_a_profile_that_nobody_would_see_is_refused(
    options: tuple[str, ...],
    complaint: str,
    plans: list[LoadPlan],
) -> None:
    ended = CliRunner().invoke(cli.app, ["load", *options])
    assert isinstance(ended.exception, LoadRefused)
    assert complaint in str(ended.exception)
    assert not plans


@pytest.mark.parametrize(
    "option",
    [
        ("--users", "0"),
        ("--duration-s", "0"),
        ("--wallets", "1"),
        ("--tps", "-1"),
        ("--tps", "many"),
        ("--tps-profile", "wavy"),
        ("--processes", "0"),
    ],
)
def test_a_load_without_bounds_is_a_usage_error(option: tuple[str, str]) -> None:
    assert typed(*option) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--fault", "redis-dwon@1s"), "no fault is called"),
        (("--fault", "kill-engine@19s"), "leaves no time to recover"),
        (("--threshold", "p95 quick"), "is no threshold"),
        (("--threshold-file", "there/is/none"), "No such file"),
        (("--mix", "payments,fun"), "no mix is called 'fun'"),
        (("--against", "hardened"), "against itself"),
        (("--tps", "1000", "--duration-s", "2000"), "records 2,000,000 operations at most"),
        (("--tps", "1000", "--tps-profile", "spike", "--duration-s", "1600"), "within 1,500 s of"),
    ],
)
def test_what_does_not_parse_is_refused_before_anything_starts(
    options: tuple[str, str], complaint: str, plans: list[LoadPlan]
) -> None:
    result = CliRunner().invoke(cli.app, ["load", *options])
    assert isinstance(result.exception, LoadRefused)
    assert complaint in str(result.exception)
    assert plans == []


def test_what_the_processes_can_record_is_not_refused(plans: list[LoadPlan]) -> None:
    assert typed("--tps", "1000", "--duration-s", "1990") == 0
    assert typed("--tps", "1000", "--duration-s", "3900", "--processes", "2") == 0
    assert typed("--tps", "0.01", "--tps-profile", "spike", "--duration-s", "86400") == 0
    assert len(plans) == 3


def test_a_load_that_ended_early_is_in_doubt() -> None:
    assert why_short(60.0, 60) == why_short(54.5, 60) == why_short(0.2, 1) == []
    assert why_short(33.2, 60) == ["the load ended after 33 s of 60 s"]


def test_the_engine_has_its_workers_and_tokens_that_outlast_the_load(
    plans: list[LoadPlan],
) -> None:
    typed("--duration-s", "86400", "--workers", "2")
    stores = SimpleNamespace(url=lambda name: f"postgresql://127.0.0.1/{name}")
    stand = SimpleNamespace(postgres=stores, redis=SimpleNamespace(url="redis://127.0.0.1"))
    config = config_of(cast("Stand", stand), plans[0], plans[0].build, "one")
    assert config.workers == 2
    assert int(config.settings["JWT_LIFETIME_S"]) > 86400 + plans[0].warm_up_s


def test_a_load_under_way_has_the_clock_of_its_histories(
    plans: list[LoadPlan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    typed()
    recorder = Recorder(since_epoch=True, keep=False)
    store = SimpleNamespace(choice=SimpleNamespace(kind="external"))
    site = SimpleNamespace(stand=SimpleNamespace(postgres=store), database_url="")
    course = Course(
        site=cast("Site", site),
        plan=plans[0],
        follower=Follower(folder=tmp_path),
        strikes=Strikes(victims=cast("Victims", None), recorder=recorder, all=()),
        watcher=LoadWatcher(),
    )
    assert course.since_clock_s() == -plans[0].warm_up_s
    course.figures = Figures(recorder.now_s() - 5.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 5.0 <= course.since_clock_s() < 3600, "somebody has set the clock of the machine"


def test_locust_gets_what_the_plan_says(plans: list[LoadPlan]) -> None:
    typed("--tps", "200", "--users", "3", "--duration-s", "4", "--warm-up-s", "1")
    given = locust_command(plans[0], "http://127.0.0.1:1", Path("locust.html"))
    assert given[3:5] == ["-f", str(LOCUSTFILE)]
    assert LOCUSTFILE.exists()
    options = dict(pairwise(given))
    assert (options["--users"], options["--run-time"], options["--tps"]) == ("3", "6s", "200")
    assert options["--html"] == "locust.html"
    assert options["--exit-code-on-error"] == "0"
    assert "--headless" in given
    assert "--master-port" not in given


def test_processes_of_locust_meet_on_a_port_of_their_own(plans: list[LoadPlan]) -> None:
    typed("--processes", "2")
    one, other = (
        dict(pairwise(locust_command(plans[0], "http://127.0.0.1:1", Path("locust.html"))))
        for _ in range(2)
    )
    assert one["--master-bind-host"] == "127.0.0.1"
    assert one["--master-port"] == one["--master-bind-port"] != other["--master-port"]
