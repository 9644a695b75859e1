"""PostgreSQL that somebody else runs: its URL is given, its databases are not touched."""

import os
from contextlib import closing

import psycopg2

from engine.stores.databases import Databases, connect, server_version
from engine.stores.model import Choice, StoreError
from engine.stores.urls import parse_postgres, with_database, without_password

SETTING = "ASSAY_POSTGRES_URL"


class ExternalPostgres:
    """See `PostgresServer`. Raises StoreError when the server is not fit for use."""

    restartable = False

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.admin_url = _given_url()
        _refuse_unless_fit(self.admin_url)
        self.version = server_version(self.admin_url)
        self._databases = Databases(self.admin_url)

    def url(self, database: str, *, port: int | None = None) -> str:
        return with_database(self.admin_url, database, proxy_port=port)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        return self._databases.create(name, template)

    def drop_database(self, name: str) -> None:
        self._databases.drop(name)

    def restart(self) -> None:
        raise self._not_ours("restart")

    def kill(self) -> None:
        raise self._not_ours("kill")

    def start(self) -> None:
        raise self._not_ours("start")

    def close(self) -> None:
        self._databases.drop_all()

    def _not_ours(self, action: str) -> StoreError:
        where = without_password(self.admin_url)
        return StoreError(
            f"Assay does not {action} the PostgreSQL at {where}: it did not start it; "
            "use --stores container or --stores embedded"
        )


def _given_url() -> str:
    """The URL as given, with the database `postgres` where it names none."""
    url = os.environ.get(SETTING)
    if not url:
        raise StoreError(
            f"{SETTING} is not set; set it to postgresql://user:password@host:5432/database, "
            "or use --stores container or --stores embedded"
        )
    parts = parse_postgres(url)
    return with_database(parts.geturl(), parts.path.strip("/") or "postgres")


def _refuse_unless_fit(url: str) -> None:
    where = without_password(url)
    try:
        with closing(connect(url)) as admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT current_user, rolcreatedb OR rolsuper "
                "FROM pg_roles WHERE rolname = current_user"
            )
            role, may_create = cursor.fetchone() or ("unknown", False)
    except psycopg2.Error as error:
        raise StoreError(
            f"no PostgreSQL at {where} ({SETTING}): {' '.join(str(error).split())}; "
            "start it, correct the URL or unset it"
        ) from error
    if not may_create:
        raise StoreError(
            f"role {role} at {where} lacks the privilege CREATEDB, and every run needs a database "
            f'of its own; as a superuser: ALTER ROLE "{role}" CREATEDB'
        )
