"""What one hop through the proxy costs a psycopg2 client: latency and throughput kept.

    python -m benchmarks.explorer --only proxy

The client is a process of its own, as a service is, and alternates batches over a direct
connection, one through a forwarder that only moves bytes between two sockets, two threads a
connection, and one through the proxy. What the forwarder costs is the price of a hop in Python; the
rest is ours. This process is the forwarder's and the proxy's, with recording on.
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
from typing import Any

import psycopg2

from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Recorded
from benchmarks.figures import row, spread, table

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
    parser.add_argument("urls", nargs=3)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--repetitions", type=int, required=True)
    wanted = parser.parse_args()
    print(json.dumps(alternated(wanted.urls, wanted.calls, wanted.repetitions)))


def alternated(urls: Sequence[str], calls: int, repetitions: int) -> dict[str, list[list[float]]]:
    """By what was measured, (direct, forwarded, proxied) for each repetition."""
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
            turn = number % len(urls)
            order = [*range(turn, len(urls)), *range(turn)]
            took = {which: measure(opened[which]) for which in order}
            if number >= 0:  # The first round warms up.
                found[name].append([took[which] for which in range(len(urls))])
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


def print_overhead(url: str, forwarded_url: str, *, calls: int, repetitions: int) -> None:
    """A table; the database has to have `wallet (id, balance)`.

    `forwarded_url` leads there through a forwarder that only moves bytes.
    """
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO wallet SELECT generate_series(100, 110), 1000")
        connection.commit()
    address = psycopg2.extensions.parse_dsn(url)
    recorded: deque[Recorded] = deque(maxlen=KEPT)
    proxy = Proxy(address["host"], int(address["port"]), record=recorded.append)
    with closing(proxy):
        proxied = psycopg2.extensions.make_dsn(url, host=proxy.host, port=proxy.port)
        found = _client([url, forwarded_url, proxied], calls, repetitions)
    if not recorded:
        raise RuntimeError("the proxy recorded nothing: the client did not go through it")
    table("measured", "direct", "bytes forwarded", "through the proxy", "bytes alone", "the proxy")
    for name, runs in found.items():
        columns = [spread(column) for column in zip(*runs, strict=True)]
        row(name, *columns, *(_change(name, runs, which) for which in (1, 2)))


def _change(name: str, runs: Sequence[Sequence[float]], which: int) -> str:
    """What is added to the direct connection's time, or kept of its throughput."""
    if name.endswith("µs"):
        return "+" + spread([run[which] - run[0] for run in runs], 0, " µs")
    return spread([run[which] / run[0] for run in runs], 2, " x")


def _client(urls: Sequence[str], calls: int, repetitions: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.proxy_overhead", *urls]
    command += ["--calls", str(calls), "--repetitions", str(repetitions)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
