"""Which migration a database has, and which one this engine needs, known without Alembic.

A process that serves does not load it: that would take a seventh of its start.
"""

from pathlib import Path

import sqlalchemy as sa

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def newest_revision() -> str:
    """Of the migrations that this engine brings; they are numbered."""
    return max(file.name.partition("_")[0] for file in VERSIONS.glob("[0-9]*_*.py"))


def recorded_revision(connection: sa.Connection) -> str | None:
    """None where there is no migration."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision
