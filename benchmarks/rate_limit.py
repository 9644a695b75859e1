"""The sliding window over several engine processes: `python -m benchmarks.rate_limit [CALLS]`.

So many calls of one caller (10,000 unless told), over HTTP, to four processes with one Redis; half
as many are allowed, in a window that is longer than the run. Counted is how many pass, how fast
calls of each kind are answered, and what the same processes answer without limits. The load
generator runs on the same machine and costs most of the time: trust the ratio.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice

import httpx

from benchmarks.figures import row, table
from engine.defences import parse_build
from engine.fork_server import ForkServer
from engine.ownership import Workspace, sweep
from engine.process import EngineConfig, EngineProcess, start_engine
from engine.provision import Databases
from engine.stores import open_postgres, open_redis

CALLS = 10_000
PROCESSES = 4
CLIENTS = 32
WINDOW_S = 3600
# A call that takes too long counts as an outage: the processes would go on by themselves.
CALL_TIMEOUT_MS = 5_000


def main(calls: int) -> None:
    sweep()
    table("build", "calls", "passed", "refused", "others", "calls/s")
    for build in ("hardened", "hardened,rate_limit=fixed_racy", "hardened,rate_limit=off"):
        with _processes(build, calls // 2) as (engines, token):
            began_s = time.monotonic()
            statuses = _call(engines, token, calls)
            took_s = time.monotonic() - began_s
        passed, refused = statuses.pop(200, 0), statuses.pop(429, 0)
        others = ", ".join(f"{status}: {count}" for status, count in statuses.items()) or "0"
        row(build, str(calls), str(passed), str(refused), others, f"{calls / took_s:.0f}")
    print(f"Allowed: {calls // 2} in a window of {WINDOW_S} s; {PROCESSES} processes.")


@contextmanager
def _processes(build: str, limit: int) -> Iterator[tuple[list[str], str]]:
    """Base URLs of the processes of one service, and a token of its operator."""
    with Workspace() as workspace, ExitStack() as opened:
        fork_server = ForkServer(workspace)
        postgres = open_postgres("embedded", workspace)
        opened.callback(postgres.close)
        redis = open_redis("embedded", workspace)
        opened.callback(redis.close)
        parsed = parse_build(build)
        database = Databases(postgres).create(parsed.defences)
        config = EngineConfig(
            build=parsed,
            database_url=postgres.url(database),
            redis_url=redis.url,
            redis_namespace=database,
            settings={
                "RATE_LIMIT_REQUESTS": str(limit),
                "RATE_LIMIT_WINDOW_S": str(WINDOW_S),
                "REDIS_CALL_TIMEOUT_MS": str(CALL_TIMEOUT_MS),
            },
        )
        first = start_engine(fork_server.start, config)
        opened.callback(first.stop)
        engines = [first, *(first.another() for _ in range(PROCESSES - 1))]
        for other in engines[1:]:
            opened.callback(other.stop)
            other.wait_until_ready()
        yield [engine.base_url for engine in engines], _token(first)


def _token(engine: EngineProcess) -> str:
    body = {"username": "operator", "password": engine.operator_password}
    answer = httpx.post(f"{engine.base_url}/v1/auth/token", json=body, timeout=30)
    return str(answer.raise_for_status().json()["access_token"])


def _call(engines: list[str], token: str, calls: int) -> Counter[int]:
    """How often each status was answered; every client goes on to the next process."""

    def client(number: int) -> Counter[int]:
        statuses: Counter[int] = Counter()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(headers=headers, timeout=60) as http:
            mine = range(number, calls, CLIENTS)
            for base_url in islice(cycle(engines), number, number + len(mine)):
                statuses[http.get(f"{base_url}/v1/users/me").status_code] += 1
        return statuses

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(client, range(CLIENTS)), Counter[int]())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
