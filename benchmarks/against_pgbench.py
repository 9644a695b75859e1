"""Transfers over HTTP against pgbench with the same SQL, on the same server, in the same run.

    python -m benchmarks.against_pgbench --build hardened-fast
    python -m benchmarks.against_pgbench [--quick] [--workers 4]

pgbench runs the statements of a transfer as the engine sends them (benchmarks/pgbench_scripts.py):
in the same database, with the same options of the connection and the same query protocol, by as
many clients, each between as many wallets of its own. Both take turns. What is missing to 1 is the
price of HTTP, of Python, and of the checks around the statements. Every transfer that either side
has counted has to be in the books afterwards.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from attacks.http.pump import Pump, added
from benchmarks.figures import row, table
from benchmarks.paced import figures, pace_of, parser_for, print_conditions, run
from benchmarks.pgbench_scripts import GUESS, SCRIPTS
from engine.database import waits_of
from engine.defences import Build, parse_build
from engine.settings import Settings
from engine.stores.postgres_binaries import find_binaries
from reports.price import SURE, Spread
from reports.price_words import ratio_shown, shown
from scenarios.pricing.filling import (
    FUND,
    OPENING_MINOR,
    TIME_ORDERED_SINCE,
    WALLETS,
    Connection,
    Filled,
)
from scenarios.pricing.site import Population, Site, open_site
from scenarios.pricing.statistics import ratios, spread
from scenarios.pricing.turns import NotMeasured, Pace, Took, must_be_right, per_s, take_turns
from scenarios.pricing.workload import clients
from scenarios.stand import open_stand

WALLETS_A_CLIENT = 16
WORKERS = 4
"""Two a core: with one a core each waits for its own interpreter while the processor is idle."""
TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: ([1-9]\d*)", re.MULTILINE)
PROCESSED = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
LATENCY = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)
WANTED = 0.3
WANTED_OF = "hardened-fast"
CALIBRATION_TRANSFERS = 20
"""Of each client, in the round that does not count."""

# Beside those who pay over HTTP: their PINs are not all the same, and each turn has its own rows.
PAYERS = """
INSERT INTO users (username, role, pin_hash)
SELECT 'pgbench ' || n, 'user', %(guess)s FROM generate_series(1, %(payers)s) AS n
RETURNING id
"""
BOOKED = """
SELECT count(t.id) FILTER (WHERE t.from_wallet_id >= %(first)s),
    count(t.id) FILTER (WHERE t.from_wallet_id < %(first)s),
    (SELECT count(*) FROM idempotency_keys WHERE response_status = 201),
    (SELECT count(*) FROM ledger_entries)
FROM transactions t
"""
UNEXPLAINED = """
SELECT count(*) FROM wallets w
WHERE w.id >= %(first)s AND w.balance <> %(opening)s + (
    SELECT coalesce(sum(CASE e.entry_type WHEN 'CREDIT' THEN e.amount ELSE -e.amount END), 0)
    FROM ledger_entries e WHERE e.wallet_id = w.id)
"""


@dataclass(frozen=True, kw_only=True)
class Payers:
    """Who pays in pgbench's script: wallets and users with consecutive ids."""

    first_user: int
    first_wallet: int
    asset: int


@dataclass(frozen=True, kw_only=True)
class Bare:
    """One run of pgbench."""

    tps: float
    latency_ms: float
    processed: int


def main() -> int:
    wanted = parser_for(__doc__, workers=WORKERS).parse_args()
    pace, build = pace_of(wanted), parse_build(wanted.build)
    if build.defences.execution not in SCRIPTS or build.defences.money != "minor_units":
        raise NotMeasured(f"pgbench has no script for {build.name}: its SQL is another")
    many = pace.clients * WALLETS_A_CLIENT
    added_payers: list[Payers] = []
    population = Population(wallets=many, then=partial(add_payers, added_payers, many))
    with (
        open_stand(wanted.stores) as stand,
        open_site(stand, build, population, workers=wanted.workers) as site,
        TemporaryDirectory() as folder,
        Pump() as pump,
    ):
        print_conditions(stand, pace, build.name, wanted.workers)
        (payers,) = added_payers
        new_id = (
            "uuidv7()"
            if site.side.info.server_version >= TIME_ORDERED_SINCE
            else "gen_random_uuid()"
        )
        script = Path(folder) / "transfer.sql"
        script.write_text(SCRIPTS[build.defences.execution](build, payers.asset, new_id))
        pumped = site.pumped(clients(site.supply, "payments", pace.clients, pace.seed))
        took: list[Took] = []
        bare: list[Bare] = []
        for number in range(pace.pairs + 1):
            # ABBA: a drift of the machine hits both alike.
            for side in ("http", "sql") if number % 2 else ("sql", "http"):
                if side == "sql":
                    each = each_for(bare[-1].tps if bare else 0.0, pace)
                    bare.append(pgbench(site, script, payers, pace, each))
                else:
                    took += take_turns(pump, [site], [pumped], [pace.turn(0)], pace.seed)
        must_be_right(site, took)
        must_be_booked(site, payers, took, bare)
    return _show(build, took[1:], bare[1:])


def add_payers(found: list[Payers], how_many: int, connection: Connection, _: Filled) -> None:
    """With their wallets and their money. Commits."""
    with connection.cursor() as cursor:
        cursor.execute(PAYERS, {"guess": GUESS, "payers": how_many})
        users = sorted(int(user) for (user,) in cursor.fetchall())
        span = {"first": users[0], "last": users[-1], "opening": OPENING_MINOR}
        cursor.execute(WALLETS, span)
        cursor.execute(FUND, {"all": OPENING_MINOR * how_many})
        cursor.execute(
            "SELECT min(id), max(id), min(asset_type_id) FROM wallets WHERE user_id >= %s",
            (users[0],),
        )
        first, last, asset = cursor.fetchone() or (0, 0, 0)
    if (users[-1] - users[0], last - first) != (how_many - 1, how_many - 1):
        raise NotMeasured("somebody else adds users: their ids are not consecutive")
    connection.commit()
    found.append(Payers(first_user=users[0], first_wallet=first, asset=asset))


def each_for(tps: float, pace: Pace) -> int:
    """How many transfers of each client take about as long as a slot."""
    return max(CALIBRATION_TRANSFERS, round(tps * pace.slot_s / pace.clients))


def pgbench(site: Site, script: Path, payers: Payers, pace: Pace, each: int) -> Bare:
    """`each`: so many of every client; a busy machine may not finish one in a given time.

    Raises NotMeasured.
    """
    variables = {
        "first_wallet": payers.first_wallet,
        "first_user": payers.first_user,
        "wallets_each": WALLETS_A_CLIENT,
    }
    command = [
        *(find_binaries().program("pgbench"), "--no-vacuum", "--file", str(script)),
        *("--client", str(pace.clients), "--jobs", "1", "--transactions", str(each)),
        *("--protocol", "simple"),
        *(part for name, value in variables.items() for part in ("--define", f"{name}={value}")),
        site.database_url,
    ]
    waits = waits_of(site.build.defences, Settings(database_url="", jwt_secret=""))
    options = waits.engine_options["connect_args"]["options"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PGOPTIONS": options},
    )
    found = [pattern.search(done.stdout) for pattern in (TPS, LATENCY, PROCESSED)]
    if done.returncode or None in found or FAILED.search(done.stdout):
        said = " ".join((done.stderr or done.stdout).split())
        raise NotMeasured(f"pgbench ended with {done.returncode}: {said[:300]}")
    tps, latency_ms, processed = (float(one.group(1)) for one in found if one)
    return Bare(tps=tps, latency_ms=latency_ms, processed=int(processed))


def must_be_booked(site: Site, payers: Payers, took: Sequence[Took], bare: Sequence[Bare]) -> None:
    """Raises NotMeasured where a transfer was counted that is not in the books, or the reverse."""
    by_pgbench = sum(one.processed for one in bare)
    over_http = added([one.slot.acknowledged for one in took])["transfer"]
    with site.side.cursor() as cursor:
        cursor.execute(BOOKED, {"first": payers.first_wallet})
        booked = tuple(map(int, cursor.fetchone() or ()))
        cursor.execute(UNEXPLAINED, {"first": payers.first_wallet, "opening": OPENING_MINOR})
        (unexplained,) = cursor.fetchone() or (None,)
    both = by_pgbench + over_http
    expected = (by_pgbench, over_http, both, 2 * both)
    if booked != expected or unexplained:
        raise NotMeasured(
            "what was counted and what is in the books (transfers of pgbench, over HTTP, answered "
            f"keys, legs) is not the same: {expected} and {booked}; {unexplained} balances are not "
            "those of their legs"
        )
    print(
        f"In the books: {by_pgbench:,} transfers of pgbench and {over_http:,} over HTTP, as "
        "many as each has counted, each with its legs and its answered key."
    )


def _show(build: Build, took: Sequence[Took], bare: Sequence[Bare]) -> int:
    bare_tps = [one.tps for one in bare]
    ratio = ratios(per_s(took).values, bare_tps)
    table("transfers", "a second", "p50, ms", "p99, ms", "engine CPU, ms")
    row("over HTTP", *figures(took, "transfer"))
    row("pgbench, simple protocol", shown(spread(bare_tps)), "", "", "")
    print(f"pgbench's average latency: {shown(spread([one.latency_ms for one in bare]))} ms")
    print(f"over HTTP / pgbench: {ratio_shown(ratio)}")
    if build.name == WANTED_OF:
        print(f"wanted: at least {WANTED}: {verdict(ratio)}")
    return 0


def verdict(ratio: Spread | None) -> str:
    """Whether the target is reached, as far as the interval allows to say so."""
    if ratio is None or ratio.sure < SURE or ratio.low < WANTED <= ratio.high:
        return "these pairs do not tell"
    return "reached" if ratio.low >= WANTED else "missed"


if __name__ == "__main__":
    run(main)
