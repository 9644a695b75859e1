"""What one hop through the proxy costs a psycopg2 client: latency and throughput kept.

    python benchmarks/explorer.py --only proxy

The client is a process of its own, as a service is, and alternates batches over a direct connection
and one through the proxy. This process is the proxy's, with recording on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from figures import row, spread, table

from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Recorded

KEPT = 10_000
CONNECTIONS = 4
TRANSFER = (
    "SELECT balance FROM wallet WHERE id = {id} FOR NO KEY UPDATE",
    "UPDATE wallet SET balance = balance - 1 WHERE id = {id}",
    "UPDATE wallet SET balance = balance + 1 WHERE id = {id}",
)
Connection = psycopg2.extensions.connection


def main() -> None:
    """The client: told by the other side what to run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs=2)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--repetitions", type=int, required=True)
    wanted = parser.parse_args()
    print(json.dumps(alternated(wanted.urls, wanted.calls, wanted.repetitions)))


def alternated(urls: Sequence[str], calls: int, repetitions: int) -> dict[str, list[list[float]]]:
    """By what was measured, a pair (direct, proxied) for each repetition."""
    opened = [[psycopg2.connect(url) for _ in range(CONNECTIONS)] for url in urls]
    for connections in opened:
        for connection in connections:
            connection.autocommit = True
    transfers = max(20, calls // 20)
    measures: dict[str, Callable[[list[Connection]], float]] = {
        "SELECT 1, p50 in µs": lambda some: round_trip_us(some[0], calls),
        "transfers/s, 1 at once": lambda some: transfers_per_s(some[:1], transfers),
        "transfers/s, 4 at once": lambda some: transfers_per_s(some, transfers),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in measures}
    for number in range(-1, repetitions):
        for name, measure in measures.items():
            order = (0, 1) if number % 2 else (1, 0)
            pair = {which: measure(opened[which]) for which in order}
            if number >= 0:  # The first round warms up.
                found[name].append([pair[0], pair[1]])
    return found


def round_trip_us(connection: Connection, calls: int) -> float:
    took_ns = []
    with connection.cursor() as cursor:
        for _ in range(calls):
            began_ns = time.perf_counter_ns()
            cursor.execute("SELECT 1")
            took_ns.append(time.perf_counter_ns() - began_ns)
    return statistics.median(took_ns) / 1000


def transfers_per_s(connections: Sequence[Connection], each: int) -> float:
    """Durable commits, a wallet for every connection: nobody waits for a lock."""
    threads = [
        threading.Thread(target=transfer, args=(connection, number, each))
        for number, connection in enumerate(connections, start=100)
    ]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(connections) * each / (time.perf_counter() - began_s)


def transfer(connection: Connection, wallet: int, times: int) -> None:
    with connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute("BEGIN")
            for statement in TRANSFER:
                cursor.execute(statement.format(id=wallet))
            cursor.execute("COMMIT")


def print_overhead(url: str, *, calls: int, repetitions: int) -> None:
    """A table; the database has to have `wallet (id, balance)`."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO wallet SELECT generate_series(100, 110), 1000")
        connection.commit()
    address = psycopg2.extensions.parse_dsn(url)
    recorded: deque[Recorded] = deque(maxlen=KEPT)
    proxy = Proxy(address["host"], int(address["port"]), record=recorded.append)
    with closing(proxy):
        proxied = psycopg2.extensions.make_dsn(url, host=proxy.host, port=proxy.port)
        found = _client(url, proxied, calls, repetitions)
    if not recorded:
        raise RuntimeError("the proxy recorded nothing: the client did not go through it")
    table("measured", "direct", "through the proxy", "added, or kept")
    for name, pairs in found.items():
        direct, through = [p[0] for p in pairs], [p[1] for p in pairs]
        if name.endswith("µs"):
            change = spread([b - a for a, b in pairs], 0, " µs")
        else:
            change = spread([b / a for a, b in pairs], 2, " x")
        row(name, spread(direct), spread(through), change)


def _client(url: str, proxied: str, calls: int, repetitions: int) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), url, proxied]
    command += ["--calls", str(calls), "--repetitions", str(repetitions)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
