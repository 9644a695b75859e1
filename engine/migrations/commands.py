"""The four commands, each on one database URL."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from engine.database import sqlalchemy_url
from engine.migrations.shape import Shape

FOLDER = Path(__file__).parent
LOCK_KEY = 0x_A55A_1ED6
"""Advisory lock that makes two migrations of one database wait for each other."""


class MigrationError(Exception):
    """One clear line: which database, what is wrong, what to do."""


def up(url: str, shape: Shape, *, revision: str = "head") -> None:
    """Migrate to `revision`. Raises MigrationError when the database has another shape."""
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
        _refuse_other_shape(connection, shape)
        _run(connection, shape, lambda config: command.upgrade(config, revision))


def down(url: str, *, revision: str = "-1") -> None:
    """Undo the last migration, or all of them with revision "base"."""
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
        shape = recorded_shape(connection)
        if shape is None:
            raise MigrationError("this database holds no migration: there is nothing to undo")
        _run(connection, shape, lambda config: command.downgrade(config, revision))


def status(url: str) -> list[tuple[str, str, bool]]:
    """(revision, description, applied) of every migration, oldest first."""
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    script = ScriptDirectory.from_config(_config())
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    revisions = list(reversed(list(script.walk_revisions())))
    names = [revision.revision for revision in revisions]
    applied = names.index(current) if current in names else -1
    return [
        (revision.revision, revision.doc, position <= applied)
        for position, revision in enumerate(revisions)
    ]


def create_revision(title: str) -> Path:
    """Write an empty migration after the last one and return its file."""
    script = ScriptDirectory.from_config(_config())
    number = len(list(script.walk_revisions())) + 1
    revision = command.revision(_config(), message=title, rev_id=f"{number:04}")
    if revision is None or isinstance(revision, list):
        raise MigrationError("alembic wrote no revision")
    return Path(revision.path)


def recorded_shape(connection: sa.Connection) -> Shape | None:
    """The shape that this database was migrated with, or None when it never was."""
    if not sa.inspect(connection).has_table("schema_shape"):
        return None
    row = connection.execute(
        sa.text("SELECT money, constraints, double_entry FROM schema_shape")
    ).one()
    return Shape(money=row.money, constraints=row.constraints, double_entry=row.double_entry)


def _refuse_other_shape(connection: sa.Connection, shape: Shape) -> None:
    recorded = recorded_shape(connection)
    if recorded is not None and recorded != shape:
        raise MigrationError(
            f"this database was migrated as {recorded.label}, the build needs {shape.label}: "
            "use a database of its own for each shape"
        )


def _run(connection: sa.Connection, shape: Shape, action: Callable[[Config], None]) -> None:
    config = _config()
    config.attributes["connection"] = connection
    config.attributes["shape"] = shape
    try:
        action(config)
    except CommandError as error:
        raise MigrationError(f"migration failed: {error}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
