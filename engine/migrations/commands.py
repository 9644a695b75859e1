"""The four commands, each on one database URL."""

import random
import time
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
from engine.migrations.online import bound_waits
from engine.shape import Shape

FOLDER = Path(__file__).parent
LOCK_KEY = 0x_A55A_1ED6
"""Advisory lock that makes two migrations of one database wait for each other."""


GIVE_UP_S = 120
"""So long a migration waits for its turn, or is tried again where it got no lock in time."""
PAUSE_S = 0.5
GAVE_WAY = frozenset({"55P03", "40P01"})
"""A lock was not had in time, or somebody else waited for this one in a circle."""


class MigrationError(Exception):
    """One clear line: which database, what is wrong, what to do."""


def up(url: str, shape: Shape, *, revision: str = "head") -> None:
    """Migrate to `revision`. Raises MigrationError when the database has another shape."""
    with _migrating(url) as connection:
        _refuse_other_shape(connection, shape)
        connection.rollback()
        _run(connection, shape, lambda config: command.upgrade(config, revision))


def down(url: str, *, revision: str = "-1") -> None:
    """Undo the last migration, or all of them with revision "base".

    What a migration brought goes with it, data included. Raises MigrationError.
    """
    with _migrating(url) as connection:
        shape = Shape.recorded(connection)
        if shape is None:
            raise MigrationError("this database holds no migration: there is nothing to undo")
        connection.rollback()
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
    known = ScriptDirectory.from_config(config).walk_revisions()
    number = max((int(revision.revision) for revision in known), default=0) + 1
    revision = command.revision(config, message=title, rev_id=f"{number:04}")
    if revision is None or isinstance(revision, list):
        raise MigrationError("alembic wrote no revision")
    return Path(revision.path)


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    """A session in no database transaction. Raises MigrationError in the database's own words."""
    try:
        engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection
    except ImportError as error:
        raise MigrationError(f"not a PostgreSQL URL: {error}; nothing was changed") from error
    except SQLAlchemyError as error:
        raise MigrationError(f"migration failed: {_line(error)}; nothing was changed") from error


@contextmanager
def _migrating(url: str) -> Iterator[sa.Connection]:
    """With the only session that migrates this database."""
    with _connected(url) as connection:
        # Asking, not waiting: an index that is built CONCURRENTLY waits for whoever waits here.
        until_s = time.monotonic() + GIVE_UP_S
        while not _is_alone(connection):
            if time.monotonic() > until_s:
                raise MigrationError("somebody else migrates this database; nothing was changed")
            time.sleep(random.uniform(0, PAUSE_S))  # noqa: S311 - jitter
        bound_waits(connection)
        connection.commit()
        yield connection


def _is_alone(connection: sa.Connection) -> bool:
    alone = connection.execute(sa.select(sa.func.pg_try_advisory_lock(LOCK_KEY))).scalar_one()
    connection.commit()
    return bool(alone)


def _refuse_other_shape(connection: sa.Connection, shape: Shape) -> None:
    recorded = Shape.recorded(connection, wanted=shape)
    if recorded is not None and recorded != shape:
        raise MigrationError(
            f"this database was migrated as {recorded.label}, the build needs {shape.label}: "
            "use a database of its own for each shape"
        )


def _run(connection: sa.Connection, shape: Shape, action: Callable[[Config], None]) -> None:
    """Each migration commits by itself; one that waited too long for a lock is run again."""
    config = _config(FOLDER)
    config.attributes["connection"] = connection
    config.attributes["shape"] = shape
    until_s = time.monotonic() + GIVE_UP_S
    while True:
        try:
            action(config)
        except CommandError as error:
            raise MigrationError(f"migration failed: {error}") from error
        except SQLAlchemyError as error:
            connection.rollback()
            if not _gave_way(error) or time.monotonic() > until_s:
                raise MigrationError(_failure(error, _revision(connection))) from error
            time.sleep(random.uniform(0, PAUSE_S))  # noqa: S311 - jitter
            bound_waits(connection)  # It may have broken off while it waited without bound.
            connection.commit()
        else:
            return


def _gave_way(error: SQLAlchemyError) -> bool:
    return getattr(getattr(error, "orig", None), "pgcode", None) in GAVE_WAY


def _failure(error: SQLAlchemyError, revision: str | None) -> str:
    where = f"the database is at revision {revision}: mend it and run this again"
    return f"migration failed: {_line(error)}; {where if revision else 'nothing was changed'}"


def _revision(connection: sa.Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()  # What it has read is read: nothing stays open.
    return revision


def _line(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
