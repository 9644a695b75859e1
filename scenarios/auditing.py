"""The command `assay audit`: the histories of any load against the database behind it.

For loads that `assay load` did not start: Locust on other machines, several engines before one
database. Their histories are put into one folder and judged together.
"""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import psycopg2
import sqlalchemy as sa
import typer
from rich.text import Text

from engine.defences import Build, as_dict, parse_build
from engine.shape import Shape
from scenarios.audit import Audit
from scenarios.console import console_for, show_checks, show_doubts
from scenarios.loading.refusals import LoadRefused
from scenarios.scale.archive import archive
from scenarios.scale.judge import audit_archive
from scenarios.scale.store import ArchiveError, one_line
from scenarios.targets.engine_wallet import EngineWallet

CONNECT_WITHIN_S = 5
ENVIRONMENT = 4


def audit(
    folder: Annotated[Path, typer.Argument(help="Where the histories (*.jsonl) are.")],
    database_url: Annotated[
        str, typer.Option(envvar="DATABASE_URL", help="The service's database, at rest.")
    ],
    build: Annotated[str, typer.Option(help="Which build was loaded.")] = "hardened",
) -> None:
    """Look for every cent of a load, past the API: histories against the database.

    The histories have to name all that happened to their wallets, the first deposits included.
    Exit codes: 0 every cent found, 1 money lost, 2 usage, 3 nothing can be said for sure, 4 the
    histories or the database could not be read.
    """
    console = console_for(to_stderr=False)
    try:
        verdicts = audited(folder, database_url, parse_build(build))
    except (ArchiveError, psycopg2.Error) as error:
        console.print(Text(f"assay: {one_line(error)}"))
        raise typer.Exit(ENVIRONMENT) from error
    show_checks(console, verdicts.checks)
    show_doubts(console, verdicts.doubts)
    payments = f"{verdicts.payments:,} acknowledged payments"
    console.print(Text(f"{verdicts.verdict.shown}. {payments} in {folder}."))
    raise typer.Exit(verdicts.exit_code)


def audited(folder: Path, database_url: str, build: Build) -> Audit:
    """Raises ArchiveError, psycopg2.Error, or LoadRefused for another build's database.

    Whoever starts from the folder again gets the same: nothing in the database is changed.
    """
    target = EngineWallet({"defences": as_dict(build.defences)}, operator_password="")
    with closing(psycopg2.connect(database_url, connect_timeout=CONNECT_WITHIN_S)) as connection:
        _must_be_of(build, connection)
        archive(folder, connection, target)
    return audit_archive(folder)


def _must_be_of(build: Build, connection: psycopg2.extensions.connection) -> None:
    """Raises LoadRefused, or ArchiveError when nobody may look."""
    # The pool keeps the connection open: it is the caller's.
    engine = sa.create_engine(
        "postgresql+psycopg2://", creator=lambda: connection, poolclass=sa.StaticPool
    )
    try:
        with engine.connect() as looking:
            recorded = Shape.recorded(looking, wanted=Shape.of(build.defences))
    except sa.exc.DBAPIError as error:
        why = one_line(error.orig or error)
        raise ArchiveError(f"the database could not be read: {why}") from error
    if recorded is None or recorded != Shape.of(build.defences):
        found = "no wallet engine's" if recorded is None else f"one of the shape {recorded.label}"
        raise LoadRefused(
            f"the database is {found}, {build.name} has {Shape.of(build.defences).label}: "
            "name the build that was loaded"
        )
