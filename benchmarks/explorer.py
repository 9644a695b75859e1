"""How fast is the explorer? Over HTTP, with plain SQL sessions, and beside isolationtester.

    python benchmarks/explorer.py            (some minutes; --quick for one)
    python benchmarks/explorer.py --profile  (where the time of one schedule over HTTP goes)

Everything runs on one embedded PostgreSQL. What is compared is run in turn, again and again; each
row gives the median and the least and most of the repetitions, ratios are taken within one.
isolationtester is PostgreSQL's own tool for this: it forces the permutations of a spec file. It
gets the same SQL and the same permutations, and a row to put back instead of a table to make.
"""

import argparse
import dataclasses
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2

from attacks.history import Recorder
from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.programs import Program, Sessions
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.defences import parse_build
from engine.stores import StoreError
from engine.stores.postgres_binaries import find_binaries
from explorer_profile import print_profile, profiled
from proxy_overhead import print_overhead
from scenarios.catalogue import select
from scenarios.cell import run_cell
from scenarios.lab import Lab
from scenarios.replaying import replay
from scenarios.schedule_file import schedule_of
from scenarios.stand import Stand, open_lab, open_stand

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
ISOLATIONTESTER = Path("pgxs", "src", "test", "isolation", "isolationtester")
SEED = 7
Order = tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much of everything."""

    repetitions: int
    permutation_repeats: int
    """How often a repetition runs the whole list of legal permutations."""
    replays: int
    blind_timeout_s: int
    """PGISOLATIONTIMEOUT, for illegal permutations: they wait until it ends."""
    calls: int
    """Round trips of a batch through the proxy."""


FULL = Wanted(repetitions=7, permutation_repeats=10, replays=100, blind_timeout_s=3, calls=2000)
QUICK = Wanted(repetitions=3, permutation_repeats=3, replays=10, blind_timeout_s=1, calls=300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions of everything")
    parser.add_argument("--profile", action="store_true", help="only where a schedule's time goes")
    parser.add_argument("--only", choices=tuple(SECTIONS), action="append", help="some sections")
    given = parser.parse_args()
    wanted = QUICK if given.quick else FULL
    with open_stand("embedded") as stand:
        print_machine(stand, wanted)
        if given.profile:
            profile(stand, wanted)
            return
        for name in given.only or SECTIONS:
            SECTIONS[name](stand, wanted)
            print()
            sys.stdout.flush()


def print_machine(stand: Stand, wanted: Wanted) -> None:
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()},"
        f" Python {platform.python_version()}, PostgreSQL {stand.postgres.version} (embedded,"
        f" deadlock_timeout 1 ms); load {load:.1f} at the beginning."
    )
    print(f"Medians of {wanted.repetitions} repetitions (least to most).")
    print()


def table(*columns: str) -> None:
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")
    sys.stdout.flush()


def spread(values: Sequence[float], digits: int = 0, unit: str = "") -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


# Over HTTP: the engine's double-spend race.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searched:
    """One search over HTTP; seconds from before the checkpoint on."""

    explored: Explored
    took_s: float
    violated_after_s: float | None


@contextmanager
def lab_of(stand: Stand, build: str) -> Iterator[Lab]:
    (scenario,) = select(("double-spend",))
    opened = open_lab(
        stand,
        parse_build(build),
        Recorder(),
        invariants=scenario.invariants,
        seed=f"{SEED}/benchmark",
        effort=1,
    )
    with opened as lab:
        lab.wallets(5_00, 0, round=None)
        yield lab


def search(lab: Lab, number: int, *, reduce: bool = True) -> Searched:
    """Double spend between new wallets: what `Lab.explore` does, with the clock beside it."""
    payer, shop, mall = lab.wallets(100_00, 0, 0, round=number)
    beginning = lab._beginning(number)  # noqa: SLF001 - the clock has to begin after the set-up
    ground = lab.explorer.ground
    began_s = time.monotonic()
    violated_s: list[float] = []
    racers = ground.racers((payer.pays(shop, 100_00), payer.pays(mall, 100_00)), number)
    with ground.from_here() as again:

        def attempt(choose: Choose) -> Tried:
            again()
            run = ground.track.force(racers, choose)
            if run.gave_up:
                return Tried(run=run, violations=0)
            outcome = ground.judged(beginning)
            if outcome.findings:
                violated_s.append(time.monotonic() - began_s)
            return Tried(run=run, violations=len(outcome.findings), verdict=outcome)

        explored = Exploration(
            attempt=attempt, racers=len(racers), budget=UNLIMITED, reduce=reduce
        ).run()
        took_s = time.monotonic() - began_s
    return Searched(
        explored=explored,
        took_s=took_s,
        violated_after_s=violated_s[0] if violated_s else None,
    )


def over_http(stand: Stand, wanted: Wanted) -> None:
    print("## Double spend over HTTP (the engine, FastAPI, in a process of its own)")
    print()
    table("build", "search", "schedules", "schedules/s", "to the first violation", "to the end")
    with lab_of(stand, "hardened") as lab, lab_of(stand, "fragile") as broken:
        search(lab, 1)  # Opens the service's connections.
        search(broken, 1)
        rounds: dict[tuple[str, str], list[Searched]] = {}
        for number in range(2, 2 + wanted.repetitions):
            for build, words, one in (
                ("hardened", "reduced", search(lab, number * 10)),
                ("hardened", "every order", search(lab, number * 10 + 1, reduce=False)),
                ("fragile", "reduced", search(broken, number * 10)),
            ):
                rounds.setdefault((build, words), []).append(one)
    for (build, words), all_of_them in rounds.items():
        violated = [one.violated_after_s for one in all_of_them if one.violated_after_s]
        ends = {"exhausted" if one.explored.exhausted else "not over" for one in all_of_them}
        done = f"{spread([one.took_s for one in all_of_them], 2, ' s')}, {' or '.join(ends)}"
        row(
            build,
            words,
            spread([one.explored.explored for one in all_of_them]),
            spread([one.explored.explored / one.took_s for one in all_of_them]),
            spread(violated, 2, " s") if violated else "none",
            "" if build == "fragile" else done,
        )


# With plain SQL sessions, and the same with isolationtester.


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
                rates = [e.explored / s for e, s in zip(explored, took, strict=True)]
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
                compare_rates(place, wanted, program, steps, legal, name, tester)
        print()
        print("Left to find the orders themselves, from start to end.")
        print()
        table("program", "isolationtester", "it takes", "the explorer takes")
        name, tester = next(iter(testers.items()))
        for program, steps in PROGRAMS.items():
            ours = [explore_sql(place, steps, reduce=True)[0] for _ in range(wanted.repetitions)]
            theirs_s, permutations = run_spec(place, tester, steps, (), wanted.blind_timeout_s)
            blind = f"{theirs_s:.1f} s, {permutations} permutations, PGISOLATIONTIMEOUT="
            row(program, name, f"{blind}{wanted.blind_timeout_s}", spread(ours, 2, " s"))


def compare_rates(  # noqa: PLR0913 - what is compared, and on what
    place: SqlPlace,
    wanted: Wanted,
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
        took_s, ran = run_spec(place, tester, steps, orders, wanted.blind_timeout_s)
        theirs.append(ran / took_s)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    row(program, str(len(legal)), name, spread(theirs), spread(ours), spread(ratios, 2))


def isolationtesters() -> Mapping[str, Path]:
    """By name, the embedded PostgreSQL's own first."""
    found: dict[str, Path] = {}
    for version in ("18", "16"):
        try:
            binaries = find_binaries(version)
        except StoreError:
            continue
        places = (binaries.bin.parent / "lib" / "postgresql" / ISOLATIONTESTER,)
        found |= {f"{binaries.version}, wheel": p for p in places if os.access(p, os.X_OK)}
    if pg_config := shutil.which("pg_config"):
        said = subprocess.run([pg_config, "--pgxs"], capture_output=True, text=True, check=False)
        path = Path(said.stdout.strip()).parents[2] / ISOLATIONTESTER if said.stdout else None
        if path and os.access(path, os.X_OK):
            found["pg_config's"] = path
    debian = Path("/usr/lib/postgresql")
    for path in sorted(debian.glob(f"*/lib/{ISOLATIONTESTER}")):
        if path not in found.values():
            found[f"{path.relative_to(debian).parts[0]}, Debian"] = path
    return found


def spec_of(steps: Sequence[str], orders: Sequence[Order]) -> str:
    """Without permutations isolationtester makes up all of them, legal or not."""
    parts = [f"setup {{ {BEGINNING} }}"]
    for session in "ab":
        parts.append(f'session "{session}"\nsetup {{ BEGIN; }}')
        parts += [f'step "{session}{n}" {{ {sql}; }}' for n, sql in enumerate(steps)]
    for order in orders:
        count = [0, 0]
        words = []
        for racer in order:
            words.append(f'"{"ab"[racer]}{count[racer]}"')
            count[racer] += 1
        parts.append(f"permutation {' '.join(words)}")
    return "\n".join(parts) + "\n"


def run_spec(
    place: SqlPlace, tester: Path, steps: Sequence[str], orders: Sequence[Order], timeout_s: int
) -> tuple[float, int]:
    """Seconds (with orders: from the first permutation on), and how many permutations it ran."""
    environment = {**os.environ, "PGISOLATIONTIMEOUT": str(timeout_s)}
    with tempfile.TemporaryFile("w+") as spec:
        spec.write(spec_of(steps, orders))
        spec.seek(0)
        began_s, ran = time.monotonic(), 0
        with subprocess.Popen(
            [tester, place.url], stdin=spec, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None, "it was asked for"
            for line in process.stdout:
                if line.startswith("starting permutation"):
                    if not ran and orders:
                        began_s = time.monotonic()
                    ran += 1
        took_s = time.monotonic() - began_s
    if process.returncode or (orders and ran != len(orders)):
        raise RuntimeError(
            f"{tester.name} ended with {process.returncode} after {ran} permutations"
        )
    return took_s, ran


def replays(stand: Stand, wanted: Wanted) -> None:
    print("## Replay of a losing schedule (double-spend, fragile), a new service each")
    print()
    (scenario,) = select(("double-spend",))
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history.jsonl"
        build = parse_build("fragile")
        seen = run_cell(stand, scenario, build, seed=SEED, effort=1, history_file=history)
    race = seen.races[0]
    if race.explored.losing is None:
        print("no losing schedule was found")
        return
    schedule = schedule_of(
        race.explored.losing, build="fragile", claim=scenario.name, race=race.name, seed=SEED
    )
    began_s = time.monotonic()
    done = replay(history, schedule, stores="embedded", times=wanted.replays)
    took_s = time.monotonic() - began_s
    table("reproduced", "with the same trace", "took, stores and service included")
    row(
        f"{done.reproduced} of {done.times}",
        f"{done.same_trace} of {done.times}",
        f"{took_s:.1f} s",
    )


def overhead(stand: Stand, wanted: Wanted) -> None:
    print("## What the proxy costs (psycopg2 in a process of its own, recording on)")
    print()
    with sql_place(stand) as place:
        print_overhead(place.url, calls=wanted.calls, repetitions=wanted.repetitions)


def profile(stand: Stand, wanted: Wanted) -> None:
    for build, reduce in (("hardened", True), ("hardened", False), ("fragile", True)):
        with lab_of(stand, build) as lab:
            search(lab, 1)
            with profiled(lab.explorer.ground) as clock:
                tried = [
                    search(lab, 2 + number, reduce=reduce) for number in range(wanted.repetitions)
                ]
        schedules = clock.counts["force"]
        words = "reduced" if reduce else "every order"
        print_profile(clock, schedules, sum(one.took_s for one in tried), f"{build}, {words}")


Section = Callable[[Stand, Wanted], None]
SECTIONS: Mapping[str, Section] = {
    "http": over_http,
    "sql": plain_sql,
    "isolationtester": beside_isolationtester,
    "replay": replays,
    "proxy": overhead,
}


if __name__ == "__main__":
    main()
