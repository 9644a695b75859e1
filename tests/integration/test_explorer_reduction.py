"""The reduction loses no outcome: with it and without it the set of distinct outcomes is the same.

Over generated pairs (and some triples) of small SQL programs, at each isolation level.
"""

import os
import random
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.programs import Program, Sessions
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.stores import PostgresServer

SCHEMA = """
CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE b (id int PRIMARY KEY, v int NOT NULL, a_id int REFERENCES a);
CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY, what text);
CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO log (what) VALUES (TG_OP); RETURN NULL; END';
CREATE TRIGGER b_logged AFTER UPDATE ON b FOR EACH ROW EXECUTE FUNCTION logged();
INSERT INTO a VALUES (1, 10), (2, 20);
INSERT INTO b VALUES (1, 10, 1), (2, 20, 2);
"""
READS = (
    "SELECT v FROM a WHERE id = 1",
    "SELECT sum(v) FROM a",
    "SELECT v FROM b WHERE id = 2",
    "SELECT count(*) FROM log",
    "SELECT a.v + b.v FROM a JOIN b ON b.a_id = a.id WHERE a.id = 1",
)
LOCKS = (
    "SELECT v FROM a WHERE id = 1 FOR UPDATE",
    "SELECT v FROM a WHERE id = 2 FOR SHARE",
    "SELECT pg_try_advisory_xact_lock(7)",
    "SELECT pg_advisory_xact_lock(7)",
)
WRITES = (
    "UPDATE a SET v = v + 1 WHERE id = 1",
    "UPDATE a SET v = 5 WHERE id = 2",
    "UPDATE b SET v = v * 2 WHERE id = 2",
    "UPDATE a SET v = v + 100 WHERE v > 15",
    "UPDATE b SET v = (SELECT sum(v) FROM a) WHERE id = 1",
    "INSERT INTO b VALUES (3, 1, 1)",
    "INSERT INTO a VALUES (3, 1) ON CONFLICT (id) DO UPDATE SET v = a.v + 1",
    "DELETE FROM b WHERE id = 1",
)
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
CASES = int(os.environ.get("ASSAY_REDUCTION_CASES", "8"))
"""Pairs a level; set it higher for a longer search."""


@pytest.fixture
def place(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"reduction_{random.randrange(10**9)}"
    url = postgres.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SCHEMA)
        cursor.execute(f"ALTER DATABASE {name} SET deadlock_timeout = 1")
    yield name
    postgres.drop_database(name)


def _programs(randomness: random.Random, level: str) -> list[Program]:
    sessions = 2
    programs = []
    for _ in range(sessions):
        body = [
            randomness.choice(randomness.choice((READS, LOCKS, WRITES, WRITES)))
            for _ in range(randomness.randrange(1, 4))
        ]
        if len(body) == 1 and randomness.random() < 0.5 and level == "READ COMMITTED":
            programs.append(Program(statements=tuple(body)))  # Autocommit.
            continue
        end = "ROLLBACK" if randomness.random() < 0.15 else "COMMIT"
        begin = f"BEGIN ISOLATION LEVEL {level}"
        programs.append(Program(statements=(begin, *body, end)))
    return programs


def outcomes(
    track: RaceTrack, url: str, sessions: Sessions, *, reduce: bool
) -> tuple[set[object], Explored]:
    found: set[object] = set()
    with closing(Checkpoint(url)) as checkpoint, closing(psycopg2.connect(url)) as reader:
        reader.autocommit = True

        def attempt(choose: Choose) -> Tried:
            checkpoint.restore()
            run = track.force(sessions.racers, choose)
            if not run.gave_up:
                found.add((tuple(map(repr, run.results)), _state(reader)))
            return Tried(run=run, violations=0)

        budget = Budget(exhaustive=5000, exhaustive_s=120, bounded=0, random=0)
        explored = Exploration(
            attempt=attempt, racers=len(sessions.racers), budget=budget, reduce=reduce
        ).run()
        checkpoint.restore()
    return found, explored


def _state(reader: psycopg2.extensions.connection) -> str:
    with reader.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT array_agg(a ORDER BY id) FROM a)::text,"
            " (SELECT array_agg(b ORDER BY id) FROM b)::text, (SELECT count(*) FROM log)"
        )
        return repr(cursor.fetchone())


@pytest.mark.parametrize("level", LEVELS)
def test_the_reduction_loses_no_outcome(place: str, postgres: PostgresServer, level: str) -> None:
    randomness = random.Random(f"reduction {level}")
    url = postgres.url(place)
    address = psycopg2.extensions.parse_dsn(url)
    proxy = Proxy(address["host"], int(address["port"]))
    pruned = 0
    with closing(proxy), closing(Observer(url)) as observer:
        for case in range(CASES):
            programs = _programs(randomness, level)
            with closing(Sessions(postgres.url(place, port=proxy.port), programs)) as sessions:
                track = RaceTrack(proxy, observer)
                all_of_them, without = outcomes(track, url, sessions, reduce=False)
                reduced, with_it = outcomes(track, url, sessions, reduce=True)
            told = f"case {case} at {level}: {[p.statements for p in programs]}"
            assert without.exhausted, (told, without.reasons)
            assert with_it.exhausted, (told, with_it.reasons)
            assert reduced == all_of_them, told
            assert with_it.explored <= without.explored + 2, told
            pruned += without.explored - with_it.explored
    if level == "READ COMMITTED":
        assert pruned > 0, "nothing was ever pruned: the reduction does not reduce"
