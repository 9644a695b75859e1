"""The command `assay load`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from attacks.load.pace import PEAK, PERIOD_S
from engine.defences import parse_build
from scenarios.console import console_for
from scenarios.loading.faults import KINDS, parse_faults
from scenarios.loading.limits import read_thresholds
from scenarios.loading.load import load as run_load
from scenarios.loading.plan import (
    WARM_UP_S,
    LoadPlan,
    refuse_a_profile_that_is_not_seen,
    refuse_what_is_too_much,
)
from scenarios.loading.refusals import LoadRefused
from scenarios.loading.show import show_loaded, watching_load
from scenarios.runner import OUT, new_seed

FAULTS_HELP = (
    "KIND@WHEN[+HOW-LONG] such as redis-down@20s+10s, may be given again. "
    f"KIND: {', '.join(KINDS)}."
)
MIXES = ("payments", "hot", "retries", "readers", "cash", "batches", "all")


Tps = Annotated[
    float,
    typer.Option(
        min=0, max=100_000, help="Turns due a second; 0: each user as fast as answers come."
    ),
]
TpsProfile = Annotated[
    Literal["constant", "ramp", "spike"], typer.Option(help="How the pace changes.")
]
TpsPeriod = Annotated[
    float, typer.Option(min=1, max=86_400, help="How long a ramp rises, how often a spike comes.")
]
Stores = Annotated[
    Literal["auto", "external", "container", "embedded"],
    typer.Option(help="Where PostgreSQL and Redis come from."),
]
TpsPeak = Annotated[float, typer.Option(min=1, max=1000, help="How many times --tps a spike is.")]


def load(  # noqa: PLR0913, PLR0917 - the command's options
    build: Annotated[str, typer.Option(help="Which build to load.")] = "hardened",
    against: Annotated[
        str | None, typer.Option(help="A build that gets the same load and should lose money.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, max=2000, help="Users at once.")] = 16,
    wallets: Annotated[int, typer.Option(min=2, max=5000, help="Wallets they share.")] = 50,
    tps: Tps = 0.0,
    tps_profile: TpsProfile = "constant",
    tps_period_s: TpsPeriod = PERIOD_S,
    tps_peak: TpsPeak = PEAK,
    mix: Annotated[
        str, typer.Option(help=f"What is asked, with commas: {', '.join(MIXES)}.")
    ] = "payments,readers",
    duration_s: Annotated[int, typer.Option(min=1, max=86_400, help="After the warm-up.")] = 20,
    warm_up_s: Annotated[
        float, typer.Option(min=0, max=600, help="Audited, but in no figure.")
    ] = WARM_UP_S,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of the engine.")] = 1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes of Locust.")] = 1,
    fault: Annotated[list[str] | None, typer.Option(help=FAULTS_HELP)] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Such as 'p95<50ms' or 'violations==0'; may be given again."),
    ] = None,
    threshold_file: Annotated[Path | None, typer.Option(help="A threshold a line.")] = None,
    threshold_abort: Annotated[
        bool,
        typer.Option("--threshold-abort", help="A threshold missed after 10 s ends the load."),
    ] = False,
    stores: Stores = "auto",
    seed: Annotated[int | None, typer.Option(help="Repeats the random choices of a run.")] = None,
    out: Annotated[Path, typer.Option(help="The folder that runs are written to.")] = OUT,
) -> None:
    """Load a build with payments, then look for every cent past its API.

    Exit codes: 0 every cent found and every threshold met, 1 money lost or a threshold missed,
    2 usage, 3 nothing can be said for sure, 4 the stores, the engine or the disk failed.
    """
    _refuse_what_says_nothing(mix, build, against)
    plan = LoadPlan(
        command=f"assay {shlex.join(sys.argv[1:])}",
        build=parse_build(build),
        against=None if against is None else parse_build(against),
        stores=stores,
        users=users,
        wallets=wallets,
        tps=tps,
        profile=tps_profile,
        period_s=tps_period_s,
        peak=tps_peak,
        mix=mix,
        warm_up_s=warm_up_s,
        duration_s=duration_s,
        workers=workers,
        processes=processes,
        faults=parse_faults(fault or (), duration_s=duration_s),
        thresholds=read_thresholds(threshold or (), threshold_file),
        threshold_abort=threshold_abort,
        seed=new_seed() if seed is None else seed,
        out=out,
    )
    refuse_a_profile_that_is_not_seen(plan)
    refuse_what_is_too_much(plan)
    console = console_for(to_stderr=False)
    with watching_load(console) as watcher:
        loaded = run_load(plan, watcher)
    show_loaded(console, loaded)
    raise typer.Exit(loaded.exit_code)


def _refuse_what_says_nothing(mix: str, build: str, against: str | None) -> None:
    for name in mix.split(","):
        if name not in MIXES:
            raise LoadRefused(f"no mix is called {name!r}; there are {', '.join(MIXES)}")
    if against is not None and parse_build(against).name == parse_build(build).name:
        raise LoadRefused(f"{build} against itself says nothing: name another build")
