"""Transfers over HTTP against pgbench with the same SQL, on the same server, in the same run.

    python -m benchmarks.against_pgbench [--quick] [--build hardened]

pgbench runs the statements of a transfer as the engine sends them (benchmarks/pgbench_scripts.py)
in the engine's own database, by turns with clients who ask the engine for transfers; as many
clients either way. What is missing to 1 is the price of HTTP, Python and the checks around them.
The books are looked at afterwards, pgbench's part of them too.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from attacks.http.pump import Pump
from benchmarks.figures import row, table
from benchmarks.paced import figures, pace_of, parser_for, print_conditions, run
from benchmarks.pgbench_scripts import SCRIPTS
from engine.defences import parse_build
from engine.stores.postgres_binaries import find_binaries
from reports.price_words import ratio_shown, shown
from scenarios.pricing.site import Population, Site, open_site
from scenarios.pricing.statistics import ratios, spread
from scenarios.pricing.turns import NotMeasured, Pace, Took, must_be_right, per_s, take_turns
from scenarios.pricing.workload import clients
from scenarios.stand import open_stand

WALLETS_A_CLIENT = 16
TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: ([1-9]\d*)", re.MULTILINE)
LATENCY = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)
WANTED = 0.3
CALIBRATION_TRANSFERS = 20
"""Of each client, in the round that does not count."""


def main() -> int:
    wanted = parser_for(__doc__).parse_args()
    pace, build = pace_of(wanted), parse_build(wanted.build)
    if build.defences.execution not in SCRIPTS:
        raise NotMeasured(f"there is no script for execution={build.defences.execution} yet")
    with (
        open_stand(wanted.stores) as stand,
        open_site(stand, build, Population(wallets=pace.clients * WALLETS_A_CLIENT)) as site,
        TemporaryDirectory() as folder,
        Pump() as pump,
    ):
        print_conditions(stand, pace, build.name)
        script = Path(folder) / "transfer.sql"
        script.write_text(SCRIPTS[build.defences.execution]())
        pumped = site.pumped(clients(site.supply, "payments", pace.clients, pace.seed))
        took: list[Took] = []
        bare: list[tuple[float, float]] = []
        each = CALIBRATION_TRANSFERS
        for number in range(pace.pairs + 1):
            # ABBA: a drift of the machine hits both alike.
            for side in ("http", "sql") if number % 2 else ("sql", "http"):
                if side == "sql":
                    bare.append(pgbench(site, script, pace, each))
                    each = max(
                        CALIBRATION_TRANSFERS, round(bare[-1][0] * pace.slot_s / pace.clients)
                    )
                else:
                    took += take_turns(pump, [site], [pumped], [pace.turn(0)], pace.seed)
        must_be_right(site, took)
    return _show(took[1:], bare[1:])


def each_for(tps: float, pace: Pace) -> int:
    """How many transfers of each client take about as long as a slot."""
    return max(CALIBRATION_TRANSFERS, round(tps * pace.slot_s / pace.clients))


def pgbench(site: Site, script: Path, pace: Pace, each: int) -> tuple[float, float]:
    """Transfers a second and their average latency in ms. Raises NotMeasured.

    `each`: so many of every client; a busy machine may not finish one in a given time.
    """
    users = site.supply.purses
    first = users[0].wallet
    with site.side.cursor() as cursor:
        cursor.execute("SELECT user_id FROM wallets WHERE id = %s", (first,))
        (first_user,) = cursor.fetchone() or (0,)
    variables = {
        "first_wallet": first,
        "first_user": first_user,
        "payers": len(users),
        "step": users[1].wallet - first,
    }
    command = [
        *(find_binaries().program("pgbench"), "--no-vacuum", "--file", str(script)),
        *("--client", str(pace.clients), "--jobs", "1", "--transactions", str(each)),
        *(part for name, value in variables.items() for part in ("--define", f"{name}={value}")),
        site.database_url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    tps, latency = TPS.search(done.stdout), LATENCY.search(done.stdout)
    if done.returncode or tps is None or latency is None or FAILED.search(done.stdout):
        words = " ".join((done.stderr or done.stdout).split())
        raise NotMeasured(f"pgbench ended with {done.returncode}: {words[:300]}")
    return float(tps.group(1)), float(latency.group(1))


def _show(took: Sequence[Took], bare: Sequence[tuple[float, float]]) -> int:
    ratio = ratios(per_s(took).values, [tps for tps, _ in bare])
    table("transfers", "a second", "p50, ms", "p99, ms", "engine CPU, ms")
    row("over HTTP", *figures(took, "transfer"))
    row("pgbench", shown(spread([tps for tps, _ in bare])), "", "", "")
    average_ms = shown(spread([latency_ms for _, latency_ms in bare]))
    print(f"pgbench's average latency: {average_ms} ms")
    print(f"over HTTP / pgbench: {ratio_shown(ratio)}; wanted of hardened-fast: {WANTED}")
    return 0


if __name__ == "__main__":
    run(main)
