"""The explorer over HTTP, for explorer.py: the engine's double-spend race."""

import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from attacks.history import Recorder
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried, Try
from attacks.postgres.explorer.run import Choose
from attacks.postgres.explorer.search import Branch, Following
from benchmarks.explorer_profile import print_profile, profiled
from benchmarks.figures import Wanted, row, spread, table
from engine.defences import parse_build
from scenarios.catalogue import select
from scenarios.cell import begin, run_cell
from scenarios.lab import Lab
from scenarios.replaying import replay
from scenarios.schedule_file import schedule_of
from scenarios.stand import Stand, open_lab
from scenarios.worker_process import work
from scenarios.workers import Post, hiring
from tests.integration import little_services

UNLIMITED = Budget(exhaustive=100_000, exhaustive_s=300)
SEED = 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searched:
    """One search over HTTP; seconds from before the checkpoint on."""

    explored: Explored
    took_s: float
    violated_after_s: float | None


@contextmanager
def lab_of(stand: Stand, build: str, seed: str = f"{SEED}/benchmark") -> Iterator[Lab]:
    (scenario,) = select(("double-spend",))
    opened = open_lab(
        stand,
        parse_build(build),
        Recorder(),
        invariants=scenario.invariants,
        seed=seed,
        effort=1,
    )
    with opened as lab:
        begin(lab)
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


def small_service(stand: Stand, wanted: Wanted) -> None:
    print("## Two payments over HTTP to a small service (FastAPI, sync endpoints, psycopg2)")
    print()
    print("SELECT, two UPDATEs and COMMIT each; the service is a process of its own.")
    print()
    table("endpoint", "search", "schedules", "schedules/s", "to the end")
    name = f"small_service_benchmark_{os.getpid()}"
    command = little_services.python("threads.py")
    with little_services.serving(stand.postgres, name, command, POOL_MIN="2") as service:
        for path, reduce in itertools.product(("/pay/right", "/pay/racy"), (True, False)):
            racers = service.two_payments(path)
            attempt = partial(service.attempt, racers, little_services.money_is_conserved)
            searching = partial(
                Exploration,
                attempt=attempt,
                racers=2,
                budget=UNLIMITED,
                reduce=reduce,
                keep_going=True,
                reproductions=0,
            )
            searching().run()  # Opens the service's connections.
            runs = [searching().run() for _ in range(wanted.repetitions)]
            row(
                path,
                "reduced" if reduce else "every order",
                spread([run.explored for run in runs]),
                spread([run.explored / run.duration_s for run in runs]),
                spread([run.duration_s for run in runs], 2, " s")
                + (", exhausted" if all(run.exhausted for run in runs) else ""),
            )


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


def workers(stand: Stand, wanted: Wanted) -> None:
    print("## Two workers, a database and a service each, against one (hardened, every order)")
    print()
    one, two = [], []
    for _ in range(wanted.worker_repetitions):
        one.append(rate_with(stand, 1))
        two.append(rate_with(stand, 2))
    table("schedules/s, one", "schedules/s, two", "ratio")
    row(spread(one), spread(two), spread([b / a for a, b in zip(one, two, strict=True)], 2))


def rate_with(stand: Stand, count: int) -> float:
    """Schedules a second of the search; the workers' start-up is not counted."""
    (scenario,) = select(("double-spend",))
    post = Post(
        build="hardened",
        claim=scenario.name,
        seed=f"{SEED}/{scenario.name}",
        effort=1,
        postgres_url=stand.postgres.admin_url,
        redis_url=stand.redis.url,
    )

    @contextmanager
    def ready(race: str) -> Iterator[Sequence[Try]]:
        with hiring(post, count - 1, work)(race) as places:
            for place in places:
                place(Following(branch=Branch(), reduce=False))
            yield places

    with lab_of(stand, post.build, seed=post.seed) as lab:
        lab.explorer.hire, lab.explorer.reduce = ready, False
        lab.explorer.budget = UNLIMITED
        scenario.attack(lab)
        explored = lab.explorer.races[0].explored
    if not explored.exhausted:
        raise RuntimeError(f"the search with {count} workers was not exhausted: {explored.reasons}")
    return explored.explored / explored.duration_s


def profile_http(stand: Stand, wanted: Wanted) -> None:
    for build, reduce in (("hardened", True), ("hardened", False), ("fragile", True)):
        with lab_of(stand, build) as lab:
            search(lab, 1)
            with profiled(lab.explorer.ground) as clock:
                tried = [
                    search(lab, 2 + number, reduce=reduce) for number in range(wanted.repetitions)
                ]
            pair_ms = unforced_pair_ms(lab)
        took_s = sum(one.took_s for one in tried)
        title = f"over HTTP, {build}, {'reduced' if reduce else 'every order'}"
        print_profile(clock, clock.counts["force"], took_s, title)
        print(f"Two payments that nobody forces, one after the other: {spread(pair_ms, 1)} ms.")
        print()


def unforced_pair_ms(lab: Lab) -> list[float]:
    """What the service needs for a schedule's two requests when nothing holds them."""
    payer, shop = lab.wallets(100_00, 0, round=1000)
    took_ms = []
    for _ in range(10):
        began_s = time.monotonic()
        for _ in range(2):
            lab.must(payer.pays(shop, 1_00), round=1000)
        took_ms.append((time.monotonic() - began_s) * 1000)
    return took_ms
