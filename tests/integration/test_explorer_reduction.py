"""The reduction loses no outcome: with it and without it the set of distinct outcomes is the same.

Over generated pairs and triples of small SQL programs, at each isolation level and mixed. For a
longer search set ASSAY_REDUCTION_CASES (pairs a level) and ASSAY_REDUCTION_SEED.
"""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import psycopg2
import pytest

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.forcing import Bounds
from attacks.postgres.explorer.programs import Program, Sessions
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.stores import PostgresServer

pytestmark = pytest.mark.slow

SCHEMA = """
CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE b (id int PRIMARY KEY, v int NOT NULL, a_id int REFERENCES a);
CREATE TABLE c (id int PRIMARY KEY, v int, a_id int REFERENCES a DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY, what text);
CREATE TABLE keyed (scope text, key text, v int NOT NULL, PRIMARY KEY (scope, key));
CREATE TABLE named (id int PRIMARY KEY, name text UNIQUE, v int NOT NULL DEFAULT 0);
CREATE SEQUENCE numbers;
CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO log (what) VALUES (TG_OP); RETURN NULL; END';
CREATE TRIGGER b_logged AFTER UPDATE ON b FOR EACH ROW EXECUTE FUNCTION logged();
CREATE FUNCTION moved() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT v FROM a WHERE id = 1) > 10 THEN UPDATE b SET v = v + 1 WHERE id = 1;
    ELSE UPDATE c SET v = v + 1 WHERE id = 1; END IF;
    RETURN 1;
END $$;
CREATE VIEW seen AS SELECT a.id, a.v + coalesce(b.v, 0) AS v FROM a LEFT JOIN b ON b.a_id = a.id;
INSERT INTO a VALUES (1, 10), (2, 20);
INSERT INTO b VALUES (1, 10, 1), (2, 20, 2);
INSERT INTO c VALUES (1, 10, 1), (2, 20, NULL);
INSERT INTO keyed VALUES ('s', 'old', 1);
INSERT INTO named VALUES (1, 'one', 1), (2, 'two', 2);
"""
STATE = """
SELECT (SELECT array_agg(a ORDER BY id) FROM a)::text,
       (SELECT array_agg(b ORDER BY id) FROM b)::text,
       (SELECT array_agg(c ORDER BY id) FROM c)::text,
       (SELECT array_agg(log.what ORDER BY id) FROM log)::text,
       (SELECT array_agg(keyed ORDER BY scope, key) FROM keyed)::text,
       (SELECT array_agg(named ORDER BY id) FROM named)::text,
       (SELECT last_value FROM numbers)
"""
READS = (
    "SELECT v FROM a WHERE id = 1",
    "SELECT sum(v) FROM a",
    "SELECT v FROM b WHERE id = 2",
    "SELECT count(*) FROM log",
    "SELECT a.v + b.v FROM a JOIN b ON b.a_id = a.id WHERE a.id = 1 ORDER BY b.id",
    "SELECT sum(v) FROM seen",
    "SELECT a_id FROM c WHERE id = 1",
)
LOCKS = (
    "SELECT v FROM a WHERE id = 1 FOR UPDATE",
    "SELECT v FROM a WHERE id = 2 FOR SHARE",
    "SELECT v FROM a WHERE id = 1 FOR KEY SHARE",
    "SELECT v FROM a WHERE id = 1 FOR NO KEY UPDATE",
    "SELECT v FROM a ORDER BY id FOR UPDATE SKIP LOCKED",
    "SELECT v FROM b WHERE id = 1 FOR UPDATE NOWAIT",
    "SELECT a.v, b.v FROM a JOIN b ON b.a_id = a.id WHERE a.id = 1 ORDER BY b.id FOR UPDATE",
    "SELECT pg_try_advisory_xact_lock(7)",
    "SELECT pg_advisory_xact_lock(7)",
    "SELECT pg_try_advisory_xact_lock(8)",
    "SELECT pg_advisory_xact_lock_shared(8)",
    "LOCK TABLE b IN SHARE ROW EXCLUSIVE MODE",
)
WRITES = (
    "UPDATE a SET v = v + 1 WHERE id = 1",
    "UPDATE a SET v = 5 WHERE id = 2",
    "UPDATE b SET v = v * 2 WHERE id = 2",
    "UPDATE a SET v = v + 100 WHERE v > 15",
    "UPDATE b SET v = (SELECT sum(v) FROM a) WHERE id = 1",
    "UPDATE b SET a_id = 2 WHERE id = 1",
    "UPDATE c SET a_id = 1 WHERE id = 2 RETURNING v",
    "INSERT INTO b VALUES (3, 1, 1)",
    "INSERT INTO a VALUES (3, 1) ON CONFLICT (id) DO UPDATE SET v = a.v + 1",
    "INSERT INTO a VALUES (1, 1) ON CONFLICT DO NOTHING",
    "INSERT INTO b VALUES (4, 1, 3)",
    "INSERT INTO c VALUES (3, 1, 3)",
    "INSERT INTO log (what) SELECT v::text FROM a WHERE id = 1 RETURNING id",
    "INSERT INTO c VALUES (nextval('numbers') + 5, 1, NULL) RETURNING id",
    "DELETE FROM b WHERE id = 1",
    "DELETE FROM a WHERE id = 2",
    "WITH x AS (DELETE FROM b WHERE id = 2 RETURNING v) UPDATE a SET v = 7 FROM x WHERE id = 1",
    "SELECT moved()",
)
ROWS = (
    "SELECT v FROM a WHERE id = 2",
    "UPDATE a SET v = v + 1 WHERE a.id = 1",
    "UPDATE a SET v = v + 1 WHERE id = '2'::int AND v > 5",
    "INSERT INTO a (id, v) VALUES (3, 1) ON CONFLICT DO NOTHING",
    "INSERT INTO a (id, v) VALUES (4, 1)",
    "DELETE FROM a WHERE id = 3",
    "INSERT INTO keyed (scope, key, v) VALUES ('s', 'new', 1) ON CONFLICT DO NOTHING RETURNING key",
    "INSERT INTO keyed (scope, key, v) VALUES ('s', 'other', 1) ON CONFLICT DO NOTHING",
    "INSERT INTO keyed (scope, key, v) VALUES ('t', 'new', 1)",
    "UPDATE keyed SET v = v + 1 WHERE scope = 's' AND key = 'old'",
    "UPDATE keyed AS k SET v = 7 WHERE k.key = 'new' AND 's' = k.scope",
    "UPDATE keyed SET key = 'other' WHERE scope = 's' AND key = 'old'",
    "SELECT v FROM keyed WHERE key = 'new' FOR UPDATE",
    "SELECT v FROM keyed k WHERE k.key = 'old' AND EXISTS (SELECT FROM a WHERE k.key = 'new')",
    "SELECT count(*) FROM keyed",
    "DELETE FROM keyed WHERE scope = 's' AND key = 'old'",
    "DELETE FROM keyed WHERE key = 'new' OR key = 'other'",
    (
        "WITH w AS (UPDATE keyed SET v = 9 WHERE key = 'new' AND scope = 's') UPDATE a SET v = 3"
        " FROM (VALUES (1)) AS n (id) WHERE a.id = n.id"
    ),
    "INSERT INTO named (id, name) VALUES (3, 'three') ON CONFLICT DO NOTHING",
    "INSERT INTO named (id, name) VALUES (4, 'three')",
    "UPDATE named SET name = 'three' WHERE id = 1",
    "UPDATE named SET v = v + 1 WHERE id = 2",
    "UPDATE named SET v = (SELECT v FROM named WHERE id = 1) WHERE id = 2",
    "SELECT v FROM named WHERE id = 1 FOR SHARE",
    "DELETE FROM named WHERE id = 1",
)
"""Statements that name their rows, or seem to."""
UNLOCK = "SELECT pg_advisory_unlock(7)"
ERRORS = ("SELECT 1 / (v - 10) FROM a WHERE id = 1", "UPDATE a SET v = NULL WHERE id = 2")
READ_COMMITTED, *_ = LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
CASES = int(os.environ.get("ASSAY_REDUCTION_CASES", "3"))
SEED = os.environ.get("ASSAY_REDUCTION_SEED", "1")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database, the proxy before it, and what brings it back to where it was."""

    url: str
    through_proxy: str
    track: RaceTrack
    checkpoint: Checkpoint
    reader: psycopg2.extensions.connection


@pytest.fixture(scope="module")
def place(postgres: PostgresServer) -> Iterator[Place]:
    name = "reduction"
    url = postgres.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SCHEMA)
        cursor.execute(f"ALTER DATABASE {name} SET deadlock_timeout = 1")
    with ExitStack() as opened:
        opened.callback(postgres.drop_database, name)
        address = psycopg2.extensions.parse_dsn(url)
        proxy = opened.enter_context(closing(Proxy(address["host"], int(address["port"]))))
        observer = opened.enter_context(closing(Observer(url)))
        reader = opened.enter_context(closing(psycopg2.connect(url)))
        reader.autocommit = True
        yield Place(
            url=url,
            through_proxy=postgres.url(name, port=proxy.port),
            track=RaceTrack(proxy, observer, bounds=Bounds(outside_s=5.0)),
            checkpoint=opened.enter_context(closing(Checkpoint(url))),
            reader=reader,
        )


def _body(randomness: random.Random, length: int) -> list[str]:
    kinds = (READS, READS, LOCKS, LOCKS, WRITES, WRITES, WRITES, WRITES, WRITES, ERRORS)
    body = [randomness.choice(randomness.choice(kinds)) for _ in range(length)]
    if length > 1 and randomness.random() < 0.2:
        body.insert(randomness.randrange(length), "SAVEPOINT here")
        body.append("ROLLBACK TO here")
    return body


def _program(randomness: random.Random, level: str, most: int) -> Program:
    body = _body(randomness, randomness.randrange(1, most + 1))
    kind = randomness.random()
    if level == READ_COMMITTED and kind < 0.15:
        return Program(statements=tuple(body[:2]))  # Each commits by itself.
    if most > 1 and kind < 0.2:
        # A read between them never waits, so the lock is always given back.
        body = ["SELECT pg_advisory_lock(7)", randomness.choice(READS), UNLOCK]
    end = "ROLLBACK" if kind > 0.88 else "COMMIT"
    return Program(statements=(f"BEGIN ISOLATION LEVEL {level}", *body, end))


def _programs(randomness: random.Random, sessions: int, level: str, most: int) -> list[Program]:
    levels = [randomness.choice(LEVELS) if level == "mixed" else level for _ in range(sessions)]
    return [_program(randomness, chosen, most) for chosen in levels]


def outcomes(
    place: Place, programs: Sequence[Program], *, reduce: bool
) -> tuple[dict[object, str], Explored]:
    """What each distinct outcome was first seen with (its order), and what the search says."""
    found: dict[object, str] = {}
    with closing(Sessions(place.through_proxy, programs)) as sessions:

        def attempt(choose: Choose) -> Tried:
            place.checkpoint.restore()
            run = place.track.force(sessions.racers, choose)
            if not run.gave_up:
                with place.reader.cursor() as cursor:
                    cursor.execute(STATE)
                    state = cursor.fetchone()
                order = "".join(map(str, run.order))
                found.setdefault((tuple(map(repr, run.results)), repr(state)), order)
            return Tried(run=run, violations=0)

        budget = Budget(exhaustive=5000, exhaustive_s=120, bounded=0, random=0)
        try:
            explored = Exploration(
                attempt=attempt, racers=len(programs), budget=budget, reduce=reduce
            ).run()
        finally:
            place.checkpoint.restore()
    return found, explored


def _compare(place: Place, programs: Sequence[Program]) -> tuple[int, int]:
    """How many schedules were run without the reduction, and with it."""
    told = "\n".join(f"{number}: {program.statements}" for number, program in enumerate(programs))
    all_of_them, without = outcomes(place, programs, reduce=False)
    reduced, with_it = outcomes(place, programs, reduce=True)
    assert without.exhausted, f"{told}\n{without.reasons}"
    assert with_it.exhausted, f"{told}\n{with_it.reasons}"
    lost = {outcome: order for outcome, order in all_of_them.items() if outcome not in reduced}
    assert not lost, f"{told}\nlost: {lost}"
    assert reduced.keys() == all_of_them.keys(), told
    assert with_it.explored <= without.explored, told
    return without.explored, with_it.explored


@pytest.mark.parametrize("level", [*LEVELS, "mixed"])
def test_no_outcome_of_two_sessions_is_lost(place: Place, level: str) -> None:
    randomness = random.Random(f"{SEED} pairs {level}")
    for _ in range(CASES):
        _compare(place, _programs(randomness, 2, level, 3))


@pytest.mark.parametrize("level", [*LEVELS, "mixed"])
def test_no_outcome_of_three_sessions_is_lost(place: Place, level: str) -> None:
    randomness = random.Random(f"{SEED} triples {level}")
    for _ in range(max(1, CASES // 3)):
        _compare(place, _programs(randomness, 3, level, 1))


@pytest.mark.parametrize("level", [*LEVELS, "mixed"])
def test_no_outcome_is_lost_where_rows_are_named(place: Place, level: str) -> None:
    """What two sessions do to different rows of one table is taken to commute."""
    randomness = random.Random(f"{SEED} rows {level}")
    tried, left_out = 0, 0
    for _ in range(CASES):
        programs = []
        for _ in range(2):
            chosen = randomness.choice(LEVELS) if level == "mixed" else level
            body = [randomness.choice(ROWS) for _ in range(randomness.randrange(1, 4))]
            programs.append(
                Program(statements=(f"BEGIN ISOLATION LEVEL {chosen}", *body, "COMMIT"))
            )
        without, with_it = _compare(place, programs)
        tried, left_out = tried + without, left_out + without - with_it
    assert left_out > 0 or level == "SERIALIZABLE"


def test_different_rows_are_not_tried_in_every_order(place: Place) -> None:
    one, other = (
        Program(
            statements=(
                "BEGIN",
                f"INSERT INTO keyed (scope, key, v) VALUES ('s', '{key}', 1)",
                f"UPDATE keyed SET v = 2 WHERE scope = 's' AND key = '{key}'",
                "COMMIT",
            )
        )
        for key in ("mine", "theirs")
    )
    serial_and_predicted = 3
    assert _compare(place, [one, other]) == (serial_and_predicted + 20, serial_and_predicted + 1)
    assert _compare(place, [one, one])[1] > serial_and_predicted + 1


def test_reads_that_commute_are_not_tried_in_every_order(place: Place) -> None:
    reader = Program(statements=("BEGIN", READS[0], READS[2], "COMMIT"))
    serial = 2
    assert _compare(place, [reader, reader]) == (serial + 20, serial + 1)
