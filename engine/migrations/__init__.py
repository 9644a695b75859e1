"""Schema migrations: up, down, status, new. Alembic does the work; the shape of the schema is ours.

Some switches change the schema (money, constraints, ledger). A database records the shape that it
was migrated with, and refuses a build of another shape instead of corrupting it.
"""

from engine.migrations.commands import MigrationError, create_revision, down, status, up
from engine.shape import Shape

__all__ = ["MigrationError", "Shape", "create_revision", "down", "status", "up"]
