"""Alembic's entry: runs on the connection and for the shape that `commands` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,
    transaction_per_migration=True,  # None holds its locks until the last one is done.
    target_metadata=None,
)
with context.begin_transaction():
    context.run_migrations()
