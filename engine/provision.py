"""A database of its own for each run, copied from a template that was migrated once."""

import secrets

from engine.defences import Defences
from engine.migrations import Shape, up
from engine.stores import PostgresServer


class Databases:
    """Fresh migrated databases on one server; a template for each shape of the schema."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._suffix = secrets.token_hex(4)
        self._templates: dict[Shape, str] = {}

    def create(self, defences: Defences) -> str:
        """A new database in the shape that the switches ask for; returns its name."""
        shape = Shape.of(defences)
        if shape not in self._templates:
            template = f"assay_template_{self._suffix}_{len(self._templates)}"
            up(self._server.create_database(template), shape)
            self._templates[shape] = template
        name = f"assay_{self._suffix}_{secrets.token_hex(4)}"
        self._server.create_database(name, template=self._templates[shape])
        return name

    def drop(self, name: str) -> None:
        self._server.drop_database(name)
