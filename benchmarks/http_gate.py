"""How far apart do requests arrive that are sent "at once"? Measured where they arrive.

    python -m benchmarks.http_gate --rounds 100

A small ASGI service under hypercorn, in a process of its own, notes when each request became
complete. In every round each way of sending has its turn, in rotating order. Printed is the spread
from the first arrival to the last, as the service saw it: quartiles over the rounds, and how many
times narrower the median is than that of asyncio.gather. Then the same through a relay that delays
every piece it reads by a random time, each connection for itself, as a network would.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx

from attacks.history import Recorder
from attacks.http.gate import release_together
from attacks.http.request import Request, definite
from attacks.http.sender import Sender

START_S = 20.0
TRANSFER = Request(
    name="transfer",
    text="transfer",
    method="POST",
    path="/transfers",
    headers={"Authorization": "Bearer " + "t" * 300},
    json={"payer": "a", "payee": "b", "amount": "100.00"},
    read=definite,
)
Send = Callable[[Sequence[Request]], None]


class ArrivalService:
    """Notes when requests are complete (time.monotonic_ns); GET /arrivals tells, and forgets."""

    def __init__(self) -> None:
        self.arrivals: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        arrived_ns = time.monotonic_ns()
        body = b"{}"
        if scope["method"] == "POST":
            self.arrivals.append(arrived_ns)
        elif scope["path"] == "/arrivals":
            body, self.arrivals = json.dumps(self.arrivals).encode(), []
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--requests", type=int, nargs="+", default=[2, 20])
    parser.add_argument("--jitter-ms", type=float, default=5.0)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--relay", type=int, nargs=2, metavar="PORT", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve is not None:
        serve(wanted.serve)
        return
    if wanted.relay is not None:
        port, target = wanted.relay
        asyncio.run(relay(port, target, wanted.jitter_ms / 1000))
        return
    with arrival_service() as url, jittering(url, wanted.jitter_ms) as far_url:
        for size in wanted.requests:
            print(f"{size} requests, {wanted.rounds} rounds, loopback")
            print_table(measured(url, size, wanted.rounds))
        for size in wanted.requests:
            print(f"{size} requests, {wanted.rounds} rounds, 0 to {wanted.jitter_ms:g} ms delay")
            print_table(measured(far_url, size, wanted.rounds))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, loopback,", end=" ")
    print(f"Python {platform.python_version()}, hypercorn; client and service on one machine")


def serve(port: int) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.loglevel = "ERROR"
    asyncio.run(hypercorn_serve(ArrivalService(), config))


async def relay(port: int, target: int, jitter_s: float) -> None:
    """Passes bytes on, in order, every piece after a random delay; answers without one."""
    chance = random.Random(1)

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, longest_s: float
    ) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                if longest_s:
                    await asyncio.sleep(chance.uniform(0, longest_s))
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, far_writer, jitter_s), pump(far_reader, writer, 0))

    async with await asyncio.start_server(accepted, "127.0.0.1", port) as server:
        await server.serve_forever()


@contextmanager
def arrival_service() -> Iterator[str]:
    """The service in a process of its own; its address."""
    port = _free_port()
    with _child(["--serve", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def jittering(url: str, jitter_ms: float) -> Iterator[str]:
    """A way to the service on which every piece takes a time of its own; its address."""
    port, target = _free_port(), url.rpartition(":")[2]
    words = ["--relay", str(port), target, "--jitter-ms", str(jitter_ms)]
    with _child(words, port):
        yield f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def _child(words: Sequence[str], port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.http_gate", *words]
    with subprocess.Popen(command) as process:
        try:
            _wait_for(port)
            yield
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"no service after {START_S} s")


def measured(url: str, size: int, rounds: int) -> Mapping[str, Sequence[float]]:
    """For each way of sending the spread of arrival of every round, in microseconds."""
    spreads: dict[str, list[float]] = defaultdict(list)
    requests = [TRANSFER] * size
    with ExitStack() as stack, httpx.Client(base_url=url, trust_env=False) as reader:
        ways = list(ways_of_sending(url, stack).items())
        for number in range(-1, rounds):
            for name, send in ways[number % len(ways) :] + ways[: number % len(ways)]:
                send(requests)
                arrivals = reader.get("/arrivals").json()
                if len(arrivals) != size:
                    raise RuntimeError(f"{name}: {len(arrivals)} of {size} requests arrived")
                if number >= 0:  # The first round opens connections and warms up.
                    spreads[name].append((max(arrivals) - min(arrivals)) / 1000)
    return spreads


def ways_of_sending(url: str, stack: ExitStack) -> Mapping[str, Send]:
    sender = Sender(url, Recorder())
    stack.callback(sender.close)
    runner = stack.enter_context(asyncio.Runner())
    client = httpx.AsyncClient(base_url=url, trust_env=False)
    stack.callback(lambda: runner.run(client.aclose()))

    async def gather(requests: Sequence[Request]) -> None:
        await asyncio.gather(
            *(client.post(r.path, json=r.json, headers=dict(r.headers)) for r in requests)
        )

    return {
        "asyncio.gather": lambda requests: runner.run(gather(requests)),
        "threads, barrier": lambda requests: _discard(sender.together(requests)),
        "last byte, HTTP/1.1": lambda requests: _discard(
            release_together(url, requests, Recorder(), protocol="http/1.1")
        ),
        "one packet, HTTP/2": lambda requests: _discard(
            release_together(url, requests, Recorder(), protocol="h2")
        ),
    }


def _discard(_batch: object) -> None:
    """The service has noted what counts."""


def print_table(spreads: Mapping[str, Sequence[float]]) -> None:
    print("from the first arrival to the last, in microseconds")
    print(f"  {'sent by':<21}{'quarter':>9}{'median':>9}{'3 quarters':>12}{'narrower':>11}")
    base = statistics.median(spreads["asyncio.gather"])
    for name, values in spreads.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"  {name:<21}{low:>9.0f}{middle:>9.0f}{high:>12.0f}{base / middle:>9.1f} x")
    print()


if __name__ == "__main__":
    main()
