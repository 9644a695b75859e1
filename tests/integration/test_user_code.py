"""What the users' own functions and procedures may do beside a statement."""

from contextlib import closing
from functools import partial

import psycopg2
import pytest

from attacks.postgres.observer import Observer
from engine.defences import parse_build
from engine.provision import Databases
from engine.stores import PostgresServer

AUDITED = """
CREATE TABLE accounts (id int PRIMARY KEY);
CREATE TABLE audit (id bigserial, what text);
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO audit (what) VALUES (TG_TABLE_NAME); RETURN NULL; END';
CREATE TRIGGER audited AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION audited();
"""
SECRET = """
CREATE PROCEDURE aside() LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); END';
"""
CALLED = """
CREATE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN CALL aside(); RETURN NEW; END';
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [("", "measurable"), (SECRET, "measurable"), (SECRET + CALLED, "unknown")],
)
def test_a_procedure_runs_along_with_nothing_that_calls_none(
    postgres: PostgresServer, more: str, expected: str
) -> None:
    name = "procedures"
    url = postgres.create_database(name)
    try:
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute(AUDITED + more)
        with closing(Observer(url)) as observer:
            assert observer.reach("accounts", "change", None).code == expected
            assert not more or observer.purity("aside") == "unknown"
    finally:
        postgres.drop_database(name)


def test_the_engines_own_schema_needs_no_measurement(
    databases: Databases, postgres: PostgresServer
) -> None:
    name = databases.create(parse_build("hardened").defences)
    url = postgres.url(name)
    with closing(Observer(url)) as observer:
        catalog = observer._catalogs()
        tables = [table for table, found in catalog.relations.items() if found.kind == "r"]
        assert tables
        assert {observer.reach(table, "read", None).code for table in tables} == {"none"}
        reaches = map(partial(observer.reach, access="change", columns=None), tables)
        assert {found.code for found in reaches} <= {"none", "measurable"}
    databases.drop(name)
