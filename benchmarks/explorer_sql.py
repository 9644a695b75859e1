"""The explorer with plain SQL sessions, for explorer.py, and beside isolationtester."""

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.programs import Program, Sessions
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from benchmarks.explorer_profile import print_profile, profiled
from benchmarks.figures import Wanted, row, spread, table
from benchmarks.isolationtester import ILLEGAL_WAITS_S, Order, isolationtesters, run_spec
from benchmarks.proxy_overhead import print_overhead
from scenarios.stand import Stand
from tests.integration.lossy_forwarder import forwarder_to

SCHEMA = "CREATE TABLE wallet (id int PRIMARY KEY, balance int NOT NULL)"
BEGINNING = "DELETE FROM wallet; INSERT INTO wallet VALUES (1, 100);"
PROGRAMS = {
    "read, write": (
        "SELECT balance FROM wallet WHERE id = 1",
        "UPDATE wallet SET balance = 0 WHERE id = 1",
        "COMMIT",
    ),
    "lock, write": (
        "SELECT balance FROM wallet WHERE id = 1 FOR UPDATE",
        "UPDATE wallet SET balance = 0 WHERE id = 1",
        "COMMIT",
    ),
}
"""Two sessions run one of these after a BEGIN: three steps each, and they wait for each other."""
UNLIMITED = Budget(exhaustive=100_000, exhaustive_s=300)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SqlPlace:
    """A database with one wallet, and a proxy before it."""

    url: str
    proxied_url: str
    track: RaceTrack


@contextmanager
def sql_place(stand: Stand) -> Iterator[SqlPlace]:
    name = f"explorer_benchmark_{os.getpid()}"
    url = stand.postgres.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SCHEMA)
        cursor.execute(BEGINNING)
        cursor.execute(f"ALTER DATABASE {name} SET deadlock_timeout = 1")
    address = psycopg2.extensions.parse_dsn(url)
    with ExitStack() as opened:
        opened.callback(stand.postgres.drop_database, name)
        proxy = opened.enter_context(closing(Proxy(address["host"], int(address["port"]))))
        observer = opened.enter_context(closing(Observer(url)))
        yield SqlPlace(
            url=url,
            proxied_url=stand.postgres.url(name, port=proxy.port),
            track=RaceTrack(proxy, observer),
        )


def explore_sql(
    place: SqlPlace, steps: Sequence[str], *, reduce: bool
) -> tuple[float, Explored, list[Order]]:
    """Seconds from opening the sessions on; the search; the orders that it ran."""
    orders: list[Order] = []
    began_s = time.monotonic()
    program = Program(statements=("BEGIN", *steps))
    with (
        closing(Sessions(place.proxied_url, [program] * 2)) as sessions,
        closing(Checkpoint(place.url)) as checkpoint,
    ):

        def attempt(choose: Choose) -> Tried:
            checkpoint.restore()
            return Tried(run=place.track.force(sessions.racers, choose), violations=0)

        explored = Exploration(
            attempt=attempt,
            racers=2,
            budget=UNLIMITED,
            reduce=reduce,
            seen=lambda tried: orders.append(tried.run.order),
        ).run()
        took_s = time.monotonic() - began_s
        checkpoint.restore()
    return took_s, explored, orders


def force_all(place: SqlPlace, steps: Sequence[str], orders: Sequence[Order]) -> float:
    """Schedules a second, sessions open."""
    program = Program(statements=("BEGIN", *steps))
    with (
        closing(Sessions(place.proxied_url, [program] * 2)) as sessions,
        closing(Checkpoint(place.url)) as checkpoint,
    ):
        began_s = time.monotonic()
        for order in orders:
            checkpoint.restore()
            run = place.track.force(sessions.racers, following(order))
            if run.order != order:
                raise RuntimeError(f"{order} could not be forced, it became {run.order}")
        return len(orders) / (time.monotonic() - began_s)


def plain_sql(stand: Stand, wanted: Wanted) -> None:
    print("## Plain SQL sessions: two sessions of three steps, forced through the proxy")
    print()
    table("program", "search", "schedules", "schedules/s", "to the end, connecting included")
    with sql_place(stand) as place:
        for program, steps in PROGRAMS.items():
            for words, reduce in (("reduced", True), ("every order", False)):
                took, explored = [], []
                for _ in range(wanted.repetitions):
                    took_s, one, _ = explore_sql(place, steps, reduce=reduce)
                    took.append(took_s)
                    explored.append(one)
                rates = [one.explored / one.duration_s for one in explored]
                end = "exhausted" if all(e.exhausted for e in explored) else "not exhausted"
                counts = spread([e.explored for e in explored])
                row(program, words, counts, spread(rates), f"{spread(took, 2, ' s')}, {end}")


def beside_isolationtester(stand: Stand, wanted: Wanted) -> None:
    print("## Beside PostgreSQL's isolationtester, same SQL")
    print()
    testers = isolationtesters()
    if not testers:
        print("isolationtester was found neither in the wheel of the embedded PostgreSQL, nor by")
        print("pg_config, nor where Debian puts it: nothing to compare with.")
        return
    with sql_place(stand) as place:
        print("The legal permutations only, lock waits included; schedules/s, start-up excluded.")
        print()
        table("program", "permutations", "isolationtester", "its rate", "the explorer", "ratio")
        for program, steps in PROGRAMS.items():
            _, explored, orders = explore_sql(place, steps, reduce=False)
            if not explored.exhausted:
                print(f"{program}: the search was not exhausted: {explored.reasons}")
                continue
            legal = sorted(set(orders))
            for name, tester in testers.items():
                compare_rates(
                    place,
                    wanted,
                    program=program,
                    steps=steps,
                    legal=legal,
                    name=name,
                    tester=tester,
                )
        print()
        print(
            "Left to find the orders themselves, from start to end; isolationtester tries illegal"
            f" ones too,\nand gives each up after {ILLEGAL_WAITS_S} s (by default after minutes)."
        )
        print()
        table("program", "isolationtester", "permutations", "it takes", "the explorer takes")
        name, tester = next(iter(testers.items()))
        for program, steps in tuple(PROGRAMS.items())[: wanted.blind_programs]:
            ours = [explore_sql(place, steps, reduce=True)[0] for _ in range(wanted.repetitions)]
            theirs_s, ran = run_spec(tester, place.url, BEGINNING, steps, ())
            row(program, name, str(ran), f"{theirs_s:.1f} s", spread(ours, 2, " s"))


def compare_rates(  # noqa: PLR0913 - what is compared, and on what
    place: SqlPlace,
    wanted: Wanted,
    *,
    program: str,
    steps: Sequence[str],
    legal: Sequence[Order],
    name: str,
    tester: Path,
) -> None:
    orders = list(legal) * wanted.permutation_repeats
    ours, theirs = [], []
    for _ in range(wanted.repetitions):
        ours.append(force_all(place, steps, orders))
        took_s, ran = run_spec(tester, place.url, BEGINNING, steps, orders)
        theirs.append(ran / took_s)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    row(program, str(len(legal)), name, spread(theirs), spread(ours), spread(ratios, 2))


def overhead(stand: Stand, wanted: Wanted) -> None:
    print("## What the proxy costs (psycopg2 in a process of its own, recording on)")
    print()
    with sql_place(stand) as place, forwarder_to(place.url) as forwarder:
        print_overhead(place.url, forwarder.url, calls=wanted.calls, repetitions=wanted.repetitions)


def profile_sql(stand: Stand, wanted: Wanted) -> None:
    with sql_place(stand) as place:
        for program, steps in PROGRAMS.items():
            _, _, orders = explore_sql(place, steps, reduce=False)
            some = sorted(set(orders)) * wanted.permutation_repeats
            with profiled() as clock:
                rate = force_all(place, steps, some)
            print_profile(clock, len(some), len(some) / rate, f"plain SQL, {program}")
