"""How many transfers of one call does PostgreSQL make, beside pgbench's own TPC-B?

    python -m benchmarks.whole_transfer
    python -m benchmarks.whole_transfer --seconds 20 --clients 16 --rounds 5

On embedded PostgreSQL, by pgbench with prepared statements: TPC-B of scale 10, transfers between
1,000 wallets, and transfers to and fro between two. They take turns. The CPU time is that of all of
PostgreSQL's processes, for each transaction: it says more than the rate where the machine is not
quiet. At the end every answer has to be 201, and no money may be missing.
"""

import argparse
import platform
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field

import psutil
import psycopg2

from benchmarks.figures import row, spread, table
from benchmarks.pgbench_scripts import ANSWER, FINGERPRINT, GUESS, TOKEN
from engine.api.problems import error_style
from engine.api.whole_transfers import refusals_at
from engine.defences import parse_build
from engine.ownership import Workspace, sweep
from engine.provision import Databases
from engine.stores import PostgresServer, open_postgres
from engine.stores.postgres_binaries import find_binaries
from engine.whole_transfers import RESULTS, words
from scenarios.process_family import used_by_family

BUILD = "hardened-fast"
WALLETS = 1_000
HELD_MINOR = 10_000_000_00
SETUP = f"""
INSERT INTO users (username, pin_hash)
SELECT 'payer-' || n, '{GUESS}' FROM generate_series(1, {WALLETS}) n;
INSERT INTO wallets (user_id, asset_type_id, balance)
SELECT u.id, (SELECT id FROM asset_types WHERE code = 'USD'), {HELD_MINOR}
FROM users u WHERE pin_hash IS NOT NULL ORDER BY u.id
"""
FIRST = """
SELECT min(w.user_id), min(w.id), min(w.asset_type_id) FROM wallets w
JOIN users u ON u.id = w.user_id WHERE u.pin_hash IS NOT NULL
"""
ACTORS = {
    "uniform": f"\\set payer random(0, {WALLETS - 1})\n"
    f"\\set payee (:payer + random(1, {WALLETS - 1})) % {WALLETS}\n",
    "hot": "\\set payer random(0, 1)\n\\set payee 1 - :payer\n",
}
# Texts with colons come as variables: pgbench would look for variables in them.
CALL = f"""
\\set k random(1, 9000000000000000000)
\\set owner :first_user + :payer
\\set debited :first_wallet + :payer
\\set credited :first_wallet + :payee
CALL whole_transfer('{TOKEN}', :owner, false, '{GUESS}', 5, 900, :owner || ' POST /v1/transfers',
    'key-' || :k, '{FINGERPRINT}', :debited, :credited, 1, :asset, 9007199254740991,
    gen_random_uuid(), :answer, :refusals, '{TOKEN}', {", ".join(["NULL"] * RESULTS)});
"""
RATE = re.compile(r"tps = ([0-9.]+)")
DONE = re.compile(r"actually processed: ([0-9]+)")


@dataclass(kw_only=True)
class Measured:
    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    sweep()
    with Workspace() as workspace:
        server = open_postgres("embedded", workspace)
        try:
            return _measure(server, wanted)
        finally:
            server.close()


def _measure(server: PostgresServer, wanted: argparse.Namespace) -> int:
    url = server.url(Databases(server).create(parse_build(BUILD).defences))
    tpcb = server.create_database("tpcb")
    pgbench = find_binaries().program("pgbench")
    subprocess.run([pgbench, "-i", "-q", "-s", "10", tpcb], check=True, capture_output=True)
    variables = _prepared(url)
    load = ["-n", "-M", "prepared", "-c", str(wanted.clients), "-j", "2", "-T"]
    measured = {name: Measured() for name in ("TPC-B", *ACTORS)}
    for _ in range(wanted.rounds):
        for name, found in measured.items():
            script = ["-f", "-", *variables, url] if name in ACTORS else [tpcb]
            before_s = _cpu_s(url)
            text = subprocess.run(
                [pgbench, *load, str(wanted.seconds), *script],
                input=ACTORS.get(name, "") + CALL,
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            found.per_s.append(float(RATE.findall(text)[0]))
            found.cpu_us.append(1e6 * (_cpu_s(url) - before_s) / int(DONE.findall(text)[0]))
    print(f"{platform.machine()}, {psutil.cpu_count()} cores, {wanted.clients} clients, medians")
    table("what", "transactions/s", "CPU of PostgreSQL each")
    for name, found in measured.items():
        row(name, spread(found.per_s), spread(found.cpu_us, unit=" µs"))
    return _checked(url)


def _prepared(url: str) -> list[str]:
    """The data. Gives pgbench's variables."""
    refusals = words(refusals_at(error_style(parse_build(BUILD).defences), "/v1/transfers"))
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SETUP)
        cursor.execute(FIRST)
        user, wallet, asset = cursor.fetchone() or (0, 0, 0)
        cursor.execute("VACUUM ANALYZE")
    values = {
        "first_user": user, "first_wallet": wallet, "asset": asset, "answer": ANSWER,
        "refusals": refusals,
    }  # fmt: skip
    return [part for name, value in values.items() for part in ("-D", f"{name}={value}")]


def _cpu_s(url: str) -> float:
    """Of the server's processes, those that have ended included."""
    with closing(psycopg2.connect(url)) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None, "a backend is the postmaster's child"
    used = used_by_family(postmaster.pid)
    return used.cpu_s if used else 0.0


def _checked(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT response_status FROM idempotency_keys")
        statuses = cursor.fetchall()
        cursor.execute(
            "SELECT sum(balance), (SELECT count(*) FROM wallets WHERE balance <> coalesce((SELECT "
            "balance_after FROM ledger_entries e WHERE e.wallet_id = wallets.id "
            "ORDER BY wallet_version DESC LIMIT 1), balance)) FROM wallets"
        )
        total, unexplained = cursor.fetchone() or (0, 0)
    right = (statuses, total, unexplained) == ([(201,)], WALLETS * HELD_MINOR, 0)
    if right:
        print("Every answer was 201, every balance is its ledger's, and no money is missing.")
    else:
        print(f"WRONG: answers {statuses}, {total} in all, {unexplained} wallets unexplained")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
