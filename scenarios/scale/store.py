"""DuckDB inside this process: bounded memory, and a place on disk for what does not fit into it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psutil

MEMORY_LIMIT = "1GB"
"""Of DuckDB's own buffers; what needs more goes to disk. The process takes some 20 % beside it."""


class ArchiveError(Exception):
    """One clear line: there is nothing that could be judged, or no room for it."""


class Store:
    """SQL over one connection. Its errors are DuckDB's."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str, *parameters: Any) -> None:
        self._connection.execute(sql, parameters or None)

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters or None).fetchall()

    def row(self, sql: str, *parameters: Any) -> tuple[Any, ...]:
        """The only row."""
        (row,) = self.rows(sql, *parameters)
        return row

    def stream(self, sql: str, *parameters: Any) -> Iterator[tuple[Any, ...]]:
        """Row by row, in bounded memory. Nothing else runs on this store meanwhile."""
        # A result of execute() is complete before its first row; a cursor's is not kept longer.
        cursor = self._connection.cursor()
        cursor.execute(sql, parameters or None)
        while batch := cursor.fetchmany(10_000):
            yield from batch


@contextmanager
def open_store(folder: Path, *, memory_limit: str = MEMORY_LIMIT) -> Iterator[Store]:
    """An empty database that spills into the folder and leaves nothing there.

    Raises ArchiveError for what DuckDB cannot do with the files or the disk.
    """
    try:
        with (
            scratch(folder, "spill") as spill,
            duckdb.connect(
                config={
                    "memory_limit": memory_limit,
                    "temp_directory": str(spill),
                    "preserve_insertion_order": False,
                    # Nothing is fetched from anywhere.
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                }
            ) as connection,
        ):
            yield Store(connection)
    except (duckdb.Error, OSError) as error:
        raise ArchiveError(f"{folder.name} cannot be judged: {one_line(error)}") from error


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """A new folder in there that goes in any case. What a process left that was killed goes too."""
    for left in folder.glob(f".{name}-*-*"):
        owner = left.name.split("-")[1]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{name}-{os.getpid()}-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def quoted(path: Path) -> str:
    """A path as an SQL literal: table functions take no parameters in views."""
    return "'" + str(path).replace("'", "''") + "'"
