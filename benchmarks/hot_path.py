"""What one request costs the engine: `python -m benchmarks.hot_path [--build B]`.

CPU time of the engine and of PostgreSQL (all of their processes, by the kernel's accounts), SQL
statements and round trips (counted by the proxy on a run of their own) and Redis commands, each per
request, for transfers between many wallets and for cached reads of a balance. CPU time depends
little on what else the machine does; the rate does, and shares its cores with the clients here.
"""

import argparse
import json
import os
import platform
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import psycopg2
import redis as redis_client

from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Recorded
from benchmarks.callers import done, log_in, with_pin
from benchmarks.figures import row, table
from engine.defences import parse_build
from engine.ownership import Workspace, sweep
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer, open_postgres, open_redis

OPENING_MINOR = 1_000_000_00
COUNTED = 20
"""Requests, one after the other, whose statements and commands are counted."""
ROUND_TRIPS = ("query", "sync", "call")
Ask = Callable[[int], bytes]
"""The request with this number, as it is on the wire."""


@dataclass(frozen=True, kw_only=True)
class Wallet:
    id: int
    headers: str


@dataclass(frozen=True, kw_only=True)
class Bench:
    postgres: PostgresServer
    redis: RedisServer
    engine: EngineProcess
    wallets: Sequence[Wallet]

    def transfer(self, number: int) -> bytes:
        payer = self.wallets[number % len(self.wallets)]
        payee = self.wallets[(number + 1) % len(self.wallets)]
        body = {
            "from_wallet_id": payer.id,
            "to_wallet_id": payee.id,
            "amount": {"amount": 1, "asset": "USD"},
        }
        key = f"Idempotency-Key: {secrets.token_hex(12)}\r\n"
        return _http("POST", "/v1/transfers", payer.headers + key, json.dumps(body).encode())

    def read(self, number: int) -> bytes:
        wallet = self.wallets[number % len(self.wallets)]
        return _http("GET", f"/v1/wallets/{wallet.id}", wallet.headers, b"")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="hardened")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--wallets", type=int, default=50)
    wanted = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, {wanted.build}", end="")
    print(f", {wanted.clients} clients, {wanted.workers} workers")
    sweep()
    with Workspace() as workspace, ExitStack() as opened:
        postgres = open_postgres("embedded", workspace)
        opened.callback(postgres.close)
        redis = open_redis("embedded", workspace)
        opened.callback(redis.close)
        counted = _counted(workspace, postgres, redis, wanted)
        with _bench(workspace, postgres, redis, wanted) as bench:
            table(
                "request", "engine, CPU ms", "PostgreSQL, CPU ms", "requests/s", "p50 ms", "p95 ms"
            )
            for name, ask in (("transfer", bench.transfer), ("read", bench.read)):
                _drive(bench, ask, wanted.requests // 4, wanted.clients)
                row(name, *_measured(bench, ask, wanted))
            print("counted, one request after the other:")
            for name, (statements, trips, commands) in counted.items():
                print(f"  {name}: {statements:.1f} statements, {trips:.1f} round trips, "
                      f"{commands:.1f} Redis commands (with those in scripts)")  # fmt: skip


def _measured(bench: Bench, ask: Ask, wanted: argparse.Namespace) -> tuple[str, ...]:
    engine_s, server_s = _cpu_s(bench.engine.pid), _servers_cpu_s(bench.postgres)
    began_s = time.monotonic()
    took_ms = sorted(_drive(bench, ask, wanted.requests, wanted.clients))
    lasted_s = time.monotonic() - began_s
    engine_ms = 1000 * (_cpu_s(bench.engine.pid) - engine_s) / wanted.requests
    server_ms = 1000 * (_servers_cpu_s(bench.postgres) - server_s) / wanted.requests
    middle, high = took_ms[len(took_ms) // 2], took_ms[len(took_ms) * 95 // 100]
    rate = wanted.requests / lasted_s
    return f"{engine_ms:.2f}", f"{server_ms:.2f}", f"{rate:.0f}", f"{middle:.1f}", f"{high:.1f}"


def _counted(
    workspace: Workspace, postgres: PostgresServer, redis: RedisServer, wanted: argparse.Namespace
) -> dict[str, tuple[float, float, float]]:
    """By request: SQL statements, round trips and Redis commands of one."""
    steps: list[Recorded] = []
    upstream = psycopg2.extensions.parse_dsn(postgres.admin_url)
    with (
        closing(Proxy(upstream["host"], int(upstream["port"]), record=steps.append)) as proxy,
        _bench(workspace, postgres, redis, wanted, port=proxy.port) as bench,
    ):
        found = {}
        for name, ask in (("transfer", bench.transfer), ("read", bench.read)):
            _drive(bench, ask, 2 * len(bench.wallets), 1)
            proxy.catch_up()
            seen, commands = len(steps), _commands(redis)
            _drive(bench, ask, COUNTED, 1)
            commands = _commands(redis) - commands - 1  # Less the one that asks.
            proxy.catch_up()
            kinds = [recorded.step.kind for recorded in steps[seen:]]
            trips = sum(kind in ROUND_TRIPS for kind in kinds)
            found[name] = (len(kinds) / COUNTED, trips / COUNTED, commands / COUNTED)
        return found


def _commands(redis: RedisServer) -> int:
    client = redis_client.Redis(host=redis.host, port=redis.port)
    with closing(client):
        stats: Any = client.info("commandstats")
    asked = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_get", "cmdstat_set", "cmdstat_info")
    return int(sum(stats.get(name, {"calls": 0})["calls"] for name in asked))


def _cpu_s(pid: int) -> float:
    head = psutil.Process(pid)
    family = [head, *head.children(recursive=True)]
    return sum(t.user + t.system for t in (process.cpu_times() for process in family))


def _servers_cpu_s(postgres: PostgresServer) -> float:
    """Of all processes of the server; those that ended meanwhile are with their parent."""
    with psycopg2.connect(postgres.admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone() or (0,)
        head = psutil.Process(pid).parent()
        connection.rollback()
    assert head is not None, "a backend has a parent"
    times = head.cpu_times()
    ended_s = times.children_user + times.children_system
    return ended_s + _cpu_s(head.pid)


def _drive(bench: Bench, ask: Ask, requests: int, clients: int) -> list[float]:
    """Milliseconds of each request, over so many connections that are kept open."""
    took_ms: list[float] = []
    failed: list[str] = []

    def client(number: int) -> None:
        with socket.create_connection(("127.0.0.1", bench.engine.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in range(number, requests, clients):
                sent = ask(request)
                began_s = time.perf_counter()
                connection.sendall(sent)
                status = _answered(connection)
                took_ms.append(1000 * (time.perf_counter() - began_s))
                if status not in (b"200", b"201"):
                    failed.append(status.decode())

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{len(failed)} requests failed: {sorted(set(failed))}")
    return took_ms


def _answered(connection: socket.socket) -> bytes:
    """The status of an answer that was read to its end."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65_536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head[9:12]


def _http(method: str, path: str, headers: str, body: bytes) -> bytes:
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}{length}\r\n".encode() + body


@contextmanager
def _bench(
    workspace: Workspace,
    postgres: PostgresServer,
    redis: RedisServer,
    wanted: argparse.Namespace,
    *,
    port: int | None = None,
) -> Iterator[Bench]:
    """`port`: of a proxy before PostgreSQL."""
    build = parse_build(wanted.build)
    database = Databases(postgres).create(build.defences)
    config = EngineConfig(
        build=build,
        database_url=postgres.url(database, port=port),
        redis_url=redis.url,
        redis_namespace=database,
        workers=wanted.workers,
        settings={"RATE_LIMIT_REQUESTS": "1000000"},
    )
    engine = start_engine(launched_in(workspace), config)
    try:
        with httpx.Client(base_url=engine.base_url, timeout=30) as http:
            operator = with_pin(http, log_in(http, "operator", engine.operator_password))
            wallets = [_wallet(http, operator, n) for n in range(wanted.wallets)]
        yield Bench(postgres=postgres, redis=redis, engine=engine, wallets=wallets)
    finally:
        engine.stop()


def _wallet(http: httpx.Client, operator: dict[str, str], number: int) -> Wallet:
    name, password = f"user{number}", secrets.token_urlsafe(12)
    user = done(http.post("/v1/users", json={"username": name, "password": password}))
    body = {"user_id": user["id"], "asset": "USD"}
    wallet = done(http.post("/v1/wallets", json=body, headers=operator))["id"]
    keyed = {**operator, "Idempotency-Key": secrets.token_hex(8)}
    paid = {"amount": {"amount": OPENING_MINOR, "asset": "USD"}}
    done(http.post(f"/v1/wallets/{wallet}/deposits", json=paid, headers=keyed))
    headers = with_pin(http, log_in(http, name, password))
    return Wallet(id=wallet, headers="".join(f"{n}: {v}\r\n" for n, v in headers.items()))


if __name__ == "__main__":
    main()
