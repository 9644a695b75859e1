"""PostgreSQL in a container, on a fixed loopback port."""

import os
import secrets

from engine.ownership import Workspace
from engine.stores.container import OwnedContainer, run_container
from engine.stores.databases import Databases, server_version, wait_until_ready
from engine.stores.model import Choice, StoreError
from engine.stores.ports import LOOPBACK
from engine.stores.urls import with_database

SETTING = "ASSAY_POSTGRES_IMAGE"
DEFAULT_IMAGE = "postgres:18-alpine"
ROLE = "assay"
READY_S = 60.0
STOP_S = 20.0
COMMAND = ["postgres", "-c", "deadlock_timeout=20ms", "-c", "max_connections=200"]


def image() -> str:
    return os.environ.get(SETTING) or DEFAULT_IMAGE


class ContainerPostgres:
    """See `PostgresServer`. Raises StoreError when it cannot be started."""

    restartable = True

    def __init__(self, workspace: Workspace, choice: Choice) -> None:
        self.choice = choice
        self._password = secrets.token_urlsafe(18)
        self._container = self._run(workspace)
        self._wait_until_ready()
        self.version = server_version(self.admin_url)
        self._databases = Databases(self.admin_url)

    @property
    def admin_url(self) -> str:
        return f"postgresql://{ROLE}:{self._password}@{LOOPBACK}:{self._container.port}/postgres"

    def url(self, database: str, *, port: int | None = None) -> str:
        return with_database(self.admin_url, database, proxy_port=port)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        return self._databases.create(name, template)

    def drop_database(self, name: str) -> None:
        self._databases.drop(name)

    def restart(self) -> None:
        # Not the engine's own restart: it sends what the image says, which for some images is the
        # signal that lets PostgreSQL wait for its clients.
        self._container.end("SIGINT", STOP_S)
        self.start()

    def kill(self) -> None:
        self._container.end("SIGKILL", STOP_S)

    def start(self) -> None:
        self._container.start()
        self._wait_until_ready()

    def close(self) -> None:
        self._container.remove()

    def _run(self, workspace: Workspace) -> OwnedContainer:
        env = {
            "POSTGRES_USER": ROLE,
            "POSTGRES_PASSWORD": self._password,
            "POSTGRES_DB": "postgres",
        }
        return run_container(workspace, image(), COMMAND, inner_port=5432, env=env)

    def _wait_until_ready(self) -> None:
        if not wait_until_ready(
            self.admin_url, alive=self._container.is_running, deadline_s=READY_S
        ):
            last_line = self._container.last_line()
            self._container.remove()
            raise StoreError(
                f"PostgreSQL in a container of {image()} does not answer: "
                f"{last_line}; try another {SETTING}"
            )
