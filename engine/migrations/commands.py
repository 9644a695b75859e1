"""The four commands, each on one database URL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError

from engine.database import sqlalchemy_url
from engine.shape import Shape

FOLDER = Path(__file__).parent
LOCK_KEY = 0x_A55A_1ED6
"""Advisory lock that makes two migrations of one database wait for each other."""


class MigrationError(Exception):
    """One clear line: which database, what is wrong, what to do."""


def up(url: str, shape: Shape, *, revision: str = "head") -> None:
    """Migrate to `revision`. Raises MigrationError when the database has another shape."""
    with _migrating(url) as connection:
        _refuse_other_shape(connection, shape)
        _run(connection, shape, lambda config: command.upgrade(config, revision))


def down(url: str, *, revision: str = "-1") -> None:
    """Undo the last migration, or all of them with revision "base".

    What a migration brought goes with it, data included. Raises MigrationError.
    """
    with _migrating(url) as connection:
        shape = Shape.recorded(connection)
        if shape is None:
            raise MigrationError("this database holds no migration: there is nothing to undo")
        _run(connection, shape, lambda config: command.downgrade(config, revision))


def status(url: str) -> list[tuple[str, str, bool]]:
    """(revision, description, applied) of every migration, oldest first."""
    script = ScriptDirectory.from_config(_config(FOLDER))
    with _connected(url) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    revisions = list(reversed(list(script.walk_revisions())))
    names = [revision.revision for revision in revisions]
    if current is not None and current not in names:
        raise MigrationError(
            f"this database is at revision {current}, which this engine does not know: "
            "use the engine that migrated it"
        )
    applied = names.index(current) if current else -1
    return [
        (revision.revision, revision.doc, position <= applied)
        for position, revision in enumerate(revisions)
    ]


def create_revision(title: str, *, folder: Path = FOLDER) -> Path:
    """Write an empty migration after the last one of `folder` and return its file."""
    if not title.strip():
        raise MigrationError("a migration needs a title, such as `assay migrate new 'add holds'`")
    config = _config(folder)
    existing = ScriptDirectory.from_config(config).walk_revisions()
    number = max((int(revision.revision) for revision in existing), default=0) + 1
    revision = command.revision(config, message=title, rev_id=f"{number:04}")
    if revision is None or isinstance(revision, list):
        raise MigrationError("alembic wrote no revision")
    return Path(revision.path)


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    """One database transaction. Raises MigrationError with the database's own first line."""
    try:
        engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
        with engine.begin() as connection:
            yield connection
    except ImportError as error:
        raise MigrationError(f"not a PostgreSQL URL: {error}; nothing was changed") from error
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise MigrationError(f"migration failed: {cause}; nothing was changed") from error


@contextmanager
def _migrating(url: str) -> Iterator[sa.Connection]:
    with _connected(url) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
        yield connection


def _refuse_other_shape(connection: sa.Connection, shape: Shape) -> None:
    recorded = Shape.recorded(connection)
    if recorded is not None and recorded != shape:
        raise MigrationError(
            f"this database was migrated as {recorded.label}, the build needs {shape.label}: "
            "use a database of its own for each shape"
        )


def _run(connection: sa.Connection, shape: Shape, action: Callable[[Config], None]) -> None:
    config = _config(FOLDER)
    config.attributes["connection"] = connection
    config.attributes["shape"] = shape
    try:
        action(config)
    except CommandError as error:
        raise MigrationError(f"migration failed: {error}") from error


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
