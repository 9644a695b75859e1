"""The command `assay`. Thin: every command hands over to the module that does the work."""

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn

import typer
from rich.text import Text

from attacks.postgres.observer import ObserverError
from engine.defences import Build, DefenceError, parse_build
from engine.migrations import MigrationError, Shape, create_revision, down, status, up
from engine.ownership import WorkspaceError
from engine.process import EngineError
from engine.stores import StoreError, inspect_stores
from reports.document import EvidenceError
from reports.load_store import is_load, read_load, write_load
from reports.store import RunFolder, read_evidence, write_reports
from reports.words import headline
from scenarios.ablation import MOST_CLAIMS, removals
from scenarios.auditing import audit
from scenarios.catalogue import SCENARIOS, UnknownScenario, select
from scenarios.console import console_for, counting, show_result, watching
from scenarios.explaining import explain as explained
from scenarios.lanes import LaneError
from scenarios.loading.command import load
from scenarios.loading.refusals import LoadRefused
from scenarios.pricing.command import price
from scenarios.replaying import replay as replay_schedule
from scenarios.replaying import told
from scenarios.runner import OUT, Plan, new_seed, read_builds, run
from scenarios.schedule_file import ScheduleError, order_in_words, read_schedule
from scenarios.serving import Serving
from scenarios.serving import serve as serve_build

ENVIRONMENT_ERRORS = (
    StoreError,
    WorkspaceError,
    EngineError,
    MigrationError,
    ObserverError,
    LaneError,
)
USAGE, UNKNOWN, ENVIRONMENT = 2, 3, 4
Stores = Literal["auto", "external", "container", "embedded"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Proves that software which moves money does not lose it.",
)
migrate_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Migrate a database: up, down, status, new.",
)
app.add_typer(migrate_app, name="migrate")

Only = Annotated[
    list[str] | None, typer.Option(help='A claim (double-spend) or a suite ("double spend").')
]
StoresOption = Annotated[Stores, typer.Option(help="Where PostgreSQL and Redis come from.")]
Seed = Annotated[int | None, typer.Option(help="Repeats the random choices of a run.")]
Effort = Annotated[float, typer.Option(min=0.1, max=100, help="Scales the number of rounds.")]
Workers = Annotated[
    int,
    typer.Option(min=1, max=64, help="Processes that search a race, with a database each."),
]
Jobs = Annotated[
    int, typer.Option(min=1, max=64, help="Claims at once, each on stores of its own.")
]
JOBS = min(4, 2 * (os.cpu_count() or 1))
"""They mostly wait: for processes that start, for PostgreSQL, for each other."""
Out = Annotated[Path, typer.Option(help="The folder that runs are written to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the evidence as JSON.")]
Url = Annotated[str, typer.Option(envvar="DATABASE_URL", help="postgresql://…")]


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM: everything is closed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@app.command()
def compare(  # noqa: PLR0913, PLR0917 - the command's options
    build: Annotated[
        list[str] | None,
        typer.Option(
            "--build", "--builds", help="`all`, or builds with commas; may be given again."
        ),
    ] = None,
    only: Only = None,
    stores: StoresOption = "auto",
    seed: Seed = None,
    effort: Effort = 1.0,
    workers: Workers = 1,
    jobs: Jobs = JOBS,
    out: Out = OUT,
    as_json: AsJson = False,
) -> None:
    """Run every claim against builds side by side; green when every prediction came true."""
    names = build or ["fragile", "hardened"]
    _run(
        read_builds(names),
        only,
        stores,
        seed,
        effort,
        workers,
        jobs,
        out,
        as_json=as_json,
        by_prediction=True,
    )


@app.command()
def ablate(  # noqa: PLR0913 - the command's options
    only: Annotated[
        list[str] | None, typer.Option(help="A defence (locking), or one value (retry=blind).")
    ] = None,
    *,
    every_claim: Annotated[
        bool, typer.Option("--every-claim", help="Not only the three that name a removal best.")
    ] = False,
    stores: StoresOption = "auto",
    seed: Seed = None,
    effort: Effort = 1.0,
    workers: Workers = 1,
    jobs: Jobs = JOBS,
    out: Out = OUT,
    as_json: AsJson = False,
) -> None:
    """Remove each defence of `hardened` in turn; green when a claim catches every removal."""
    removed = removals(SCENARIOS, only or (), most=None if every_claim else MOST_CLAIMS)
    named = {scenario.name for removal in removed for scenario in removal.scenarios}
    _run_plan(
        Plan(
            command=f"assay {shlex.join(sys.argv[1:])}",
            scenarios=tuple(scenario for scenario in SCENARIOS if scenario.name in named),
            builds=tuple(removal.build for removal in removed),
            by_prediction=True,
            stores=stores,
            seed=new_seed() if seed is None else seed,
            effort=effort,
            workers=workers,
            jobs=jobs,
            out=out,
            removals=removed,
        ),
        as_json=as_json,
    )


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A schedule from the folder of a run.")],
    stores: StoresOption = "auto",
    times: Annotated[int, typer.Option(min=1, max=100_000, help="How often to force it.")] = 100,
) -> None:
    """Force a violated schedule again and say how often it is violated. 0: every time."""
    schedule = read_schedule(file)
    console = console_for(to_stderr=False)
    with counting(console, f"forcing {order_in_words(schedule.order)}", times) as seen:
        replayed = replay_schedule(file, schedule, stores=stores, times=times, seen=seen)
    console.print(Text(told(schedule, replayed)))
    if replayed.reproduced < replayed.times:
        raise typer.Exit(1)


@app.command()
def verify(  # noqa: PLR0913, PLR0917 - the command's options
    build: Annotated[str, typer.Option(help="Such as hardened or hardened,locking=none.")],
    only: Only = None,
    stores: StoresOption = "auto",
    seed: Seed = None,
    effort: Effort = 1.0,
    workers: Workers = 1,
    jobs: Jobs = JOBS,
    out: Out = OUT,
    as_json: AsJson = False,
) -> None:
    """Run every claim against one build; green when every claim held. The gate for CI."""
    _run(
        (parse_build(build),),
        only,
        stores,
        seed,
        effort,
        workers,
        jobs,
        out,
        as_json=as_json,
        by_prediction=False,
    )


def _run(  # noqa: PLR0913, PLR0917 - what both commands hand over
    builds: tuple[Build, ...],
    only: list[str] | None,
    stores: Stores,
    seed: int | None,
    effort: float,
    workers: int,
    jobs: int,
    out: Path,
    *,
    as_json: bool,
    by_prediction: bool,
) -> None:
    plan = Plan(
        command=f"assay {shlex.join(sys.argv[1:])}",
        scenarios=select(tuple(only or ())),
        builds=builds,
        by_prediction=by_prediction,
        stores=stores,
        seed=new_seed() if seed is None else seed,
        effort=effort,
        workers=workers,
        jobs=jobs,
        out=out,
    )
    _run_plan(plan, as_json=as_json)


def _run_plan(plan: Plan, *, as_json: bool) -> NoReturn:
    console = console_for(to_stderr=as_json)
    with watching(console, cells=len(plan.cells)) as watcher:
        folder, evidence = run(plan, watcher)
    show_result(console, evidence, folder)
    if as_json:
        typer.echo(evidence.model_dump_json(indent=2))
    raise typer.Exit(evidence.exit_code or 0)


@app.command()
def scenarios(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
) -> None:
    """List every claim."""
    if as_json:
        rows = [
            {"name": s.name, "suite": s.suite, "claim": s.claim, "holds_when": s.holds_when.text}
            for s in SCENARIOS
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    for scenario in SCENARIOS:
        typer.echo(f"{scenario.name:<19} {scenario.suite:<15} {scenario.claim}")


@app.command()
def explain(name: Annotated[str, typer.Argument(help="A claim, suite, switch or build.")]) -> None:
    """Say what a claim, a suite, a switch or a build is."""
    typer.echo(explained(name))


@app.command()
def serve(  # noqa: PLR0913, PLR0917 - the command's options
    build: Annotated[str, typer.Option(help="Which build to serve.")] = "hardened",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Loopback unless you say otherwise.")] = "127.0.0.1",
    stores: StoresOption = "auto",
    data: Annotated[Path | None, typer.Option(help="Keep the data in this folder.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes of the engine behind the port.")
    ] = 1,
) -> None:
    """Serve one build for a person, with its API documentation, until Ctrl-C."""

    def ready(serving: Serving) -> None:
        typer.echo(f"{build} at {serving.engine.base_url}, pages at /ui/, documentation at /docs")
        typer.echo(f"{serving.postgres}: {serving.database_url}")
        typer.echo(f"{serving.redis}")
        typer.echo(f"operator's password: {serving.engine.operator_password}")
        typer.echo("Ctrl-C ends it" + ("" if data else " and forgets the data"))

    wanted = parse_build(build)
    try:
        serve_build(
            wanted,
            stores=stores,
            host=host,
            port=port,
            data=data,
            workers=workers,
            ready=ready,
        )
    except Interrupted:
        typer.echo("stopped")  # The way in which serving ends.


app.command()(load)
app.command()(audit)
app.command()(price)


@app.command()
def report(
    run_folder: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder or name, or `last`.")
    ] = "last",
    out: Out = OUT,
) -> None:
    """Draw the reports of a run again from its evidence, also of one that was interrupted."""
    folder = _find_run(run_folder, out)
    if is_load(folder):
        left = read_load(folder)
        write_load(folder, left)
        typer.echo(f"{left.verdict.shown}. {left.conclusion}")
        typer.echo(f"Report  {RunFolder(path=folder).page}")
        return
    evidence = read_evidence(folder)
    write_reports(folder, evidence)
    typer.echo(headline(evidence).sentence)
    typer.echo(f"Report  {RunFolder(path=folder).page}")


def _find_run(name: str, out: Path) -> Path:
    if name == "last":
        runs = sorted(
            path
            for path in out.glob("*")
            if RunFolder(path=path).evidence.exists() or is_load(path)
        )
        if not runs:
            raise EvidenceError(f"{out} holds no run yet: make one with `assay compare`")
        return runs[-1]
    folder = Path(name) if Path(name).exists() else out / name
    return folder.parent if folder.is_file() else folder


@migrate_app.command("up")
def migrate_up(url: Url, build: str = "hardened") -> None:
    """Bring a database to the newest schema of a build."""
    up(url, Shape.of(parse_build(build).defences))
    _print_status(url)


@migrate_app.command("down")
def migrate_down(
    url: Url, *, everything: Annotated[bool, typer.Option("--all", help="Undo all.")] = False
) -> None:
    """Undo the last migration."""
    down(url, revision="base" if everything else "-1")
    _print_status(url)


@migrate_app.command("status")
def migrate_status(url: Url) -> None:
    """Show which migrations a database has."""
    _print_status(url)


@migrate_app.command("new")
def migrate_new(title: str) -> None:
    """Write an empty migration after the last one."""
    typer.echo(create_revision(title))


def _print_status(url: str) -> None:
    for revision, title, applied in status(url):
        typer.echo(f"{'applied' if applied else 'pending'}  {revision}  {title}")


@app.command()
def doctor() -> None:
    """Say what was found on this machine, and how to get the rest."""
    for found in inspect_stores():
        typer.echo(f"{'ok     ' if found.ok else 'missing'}  {found.name}: {found.detail}")
        if not found.ok and found.remedy:
            typer.echo(f"         {found.remedy}")


def main() -> None:
    """The entry point: one clear line for whatever goes wrong, and the documented exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except Interrupted as interruption:
        _end("interrupted; what was seen so far is kept", interruption.exit_code)
    except (DefenceError, UnknownScenario, EvidenceError, ScheduleError, LoadRefused) as error:
        _end(str(error), USAGE)
    except ENVIRONMENT_ERRORS as error:
        _end(str(error), ENVIRONMENT)
    except OSError as error:
        _end(_system_error(error), ENVIRONMENT)


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    # One is enough: a second Ctrl-C must not stop the closing of what was started.
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise Interrupted(number)


def _system_error(error: OSError) -> str:
    what = os.strerror(error.errno) if error.errno else str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}; free some space or mend the permission, or choose another --out folder"


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"assay: {' '.join(message.split())}\n")
    sys.exit(code)
