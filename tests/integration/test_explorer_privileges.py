"""Databases that do not let themselves be looked at, put back or stopped: one line says why."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import psycopg2
import pytest

from attacks.postgres.checkpoint import Checkpoint, CheckpointError
from attacks.postgres.explorer.choosing import serial
from attacks.postgres.explorer.race import MISSED, RaceTrack
from attacks.postgres.observer import Observer, ObserverError
from engine.stores import PostgresServer
from tests.integration.little_services import (
    Service,
    answers_anybody,
    money,
    money_is_conserved,
    python,
    serving,
)

DATABASE, ROLE, OWNER = "privileges", "privileges_few", "privileges_owner"


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    with money(postgres, DATABASE) as created:
        password = psycopg2.extensions.parse_dsn(created)["password"]
        for role in (ROLE, OWNER):
            execute(created, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        yield created
        for role in (ROLE, OWNER):
            execute(created, f"DROP OWNED BY {role}; DROP ROLE {role}")


def execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)


def of(url: str, role: str, **more: str) -> str:
    parameters = psycopg2.extensions.parse_dsn(url)
    return str(psycopg2.extensions.make_dsn(**{**parameters, "user": role, **more}))


@pytest.fixture
def granted(url: str) -> Iterator[Callable[[str], None]]:
    """Gives the role rights that end with the test."""
    given: list[str] = []

    def grant(what: str) -> None:
        execute(url, f"GRANT {what} TO {ROLE}")
        given.append(what)

    yield grant
    for what in given:
        execute(url, f"REVOKE {what} FROM {ROLE}")


def test_who_may_not_silence_triggers_cannot_put_back(url: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        Checkpoint(of(url, ROLE))
    line = str(refused.value)
    assert "\n" not in line
    assert 'permission denied to set parameter "session_replication_role"' in line
    assert "GRANT SET ON PARAMETER" in line


def test_who_may_not_create_a_schema_cannot_put_back(
    url: str, granted: Callable[[str], None]
) -> None:
    granted("SET ON PARAMETER session_replication_role")
    with pytest.raises(CheckpointError) as refused:
        Checkpoint(of(url, ROLE))
    line = str(refused.value)
    assert "\n" not in line
    assert f"permission denied for database {DATABASE}" in line
    assert "CREATE on the database" in line


def test_who_may_not_read_a_table_cannot_put_it_back(
    url: str, granted: Callable[[str], None]
) -> None:
    granted("SET ON PARAMETER session_replication_role")
    granted(f"CREATE ON DATABASE {DATABASE}")
    with pytest.raises(CheckpointError, match="permission denied for table account") as refused:
        Checkpoint(of(url, ROLE))
    assert "\n" not in str(refused.value)


def test_who_may_read_and_not_write_is_told_when_it_begins(
    url: str, granted: Callable[[str], None]
) -> None:
    granted("SET ON PARAMETER session_replication_role")
    granted(f"CREATE ON DATABASE {DATABASE}")
    granted("SELECT ON ALL TABLES IN SCHEMA public")
    granted("SELECT ON ALL SEQUENCES IN SCHEMA public")
    with pytest.raises(CheckpointError, match="permission denied for") as refused:
        Checkpoint(of(url, ROLE))
    assert "\n" not in str(refused.value)


def test_enough_privileges_to_put_back_without_being_a_superuser(
    url: str, granted: Callable[[str], None]
) -> None:
    granted("SET ON PARAMETER session_replication_role")
    granted(f"CREATE ON DATABASE {DATABASE}")
    granted("ALL ON ALL TABLES IN SCHEMA public")
    granted("ALL ON ALL SEQUENCES IN SCHEMA public")
    with closing(Checkpoint(of(url, ROLE))) as checkpoint:
        execute(url, "UPDATE account SET cents = 7")
        checkpoint.restore()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT sum(cents) FROM account")
        assert cursor.fetchone() == (10_000,)


def test_who_may_not_stop_others_is_told_which_role_it_needs(url: str) -> None:
    with (
        closing(psycopg2.connect(of(url, OWNER))) as service,
        closing(Observer(of(url, ROLE))) as observer,
        pytest.raises(ObserverError, match=r"lacks a privilege: .*pg_signal_backend") as refused,
    ):
        observer.terminate(service.info.backend_pid)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("side", [Observer, Checkpoint], ids=["observer", "checkpoint"])
@pytest.mark.parametrize(
    ("statement", "undo", "reason"),
    [
        (f"ALTER ROLE {ROLE} CONNECTION LIMIT 0", "CONNECTION LIMIT -1", "too many connections"),
        (f"ALTER ROLE {ROLE} NOLOGIN", "LOGIN", "not permitted to log in"),
        (f"ALTER ROLE {ROLE} PASSWORD 'other'", None, "password authentication failed"),
    ],
    ids=["limit", "nologin", "password"],
)
def test_a_refused_side_connection(
    url: str, side: type, statement: str, undo: str | None, reason: str
) -> None:
    password = psycopg2.extensions.parse_dsn(url)["password"]
    execute(url, statement)
    try:
        with pytest.raises((ObserverError, CheckpointError)) as refused:
            side(of(url, ROLE))
    finally:
        execute(url, f"ALTER ROLE {ROLE} {undo or f'''PASSWORD '{password}' '''}")
    line = str(refused.value)
    assert "\n" not in line
    assert reason in line
    assert ROLE in line


def test_a_request_that_cannot_be_stopped_is_said(postgres: PostgresServer, url: str) -> None:
    """The observer's role may look, but not end a session of the service's."""

    def race(service: Service, track: RaceTrack) -> tuple[str, ...]:
        racers = service.two_payments("/left-open")
        run = track.force(racers, serial((0, 1)))
        return run.uncontrolled

    with serving(postgres, "service_unstoppable", python("peculiar.py")) as service:
        with closing(Observer(of(service.url, ROLE))) as observer:
            probe = partial(answers_anybody, service.base_url)
            reasons = race(service, RaceTrack(service.proxy, observer, probe=probe))
        assert any("cannot be stopped: the observer's role lacks a privilege" in r for r in reasons)
        # With an observer that may, the next one is not disturbed.
        for pid, _, _ in service.open_transactions():
            assert isinstance(pid, int)
            service.track.observer.terminate(pid)
        run = service.attempt(
            service.two_payments("/two-sessions"), money_is_conserved, serial((0, 1))
        ).run
        # It did not see how the sessions began that the other track let through.
        assert set(run.uncontrolled) <= {MISSED}
