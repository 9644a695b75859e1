"""The load generator against a small server that counts what it gets."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from attacks.http.pump import Pump, PumpError, PumpPlan, PumpSite, Shot, Slot, Turn, added
from engine.stores import free_port

TURN = Turn(site=0, warm_s=0.05, measure_s=0.2)
PAY = Shot(name="pay", method="POST", path="/pay", body="{}", key_header="Key", times=2)
LOOK = Shot(name="look", method="GET", path="/look")


class Late:
    """Lets the second answer wait until the slot in which it was asked for is over."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._seen = 0

    def tell(self, what: str, _: int) -> None:
        if what == "measured":
            self._over.set()

    def wait(self) -> None:
        self._seen += 1
        if self._seen == 2:
            self._over.wait(10)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, statuses: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = statuses
        self.lock = threading.Lock()
        self.late = Late()
        self.asked: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.tokens: set[str | None] = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        with self.server.lock:
            self.server.asked[self.path] += 1
            self.server.tokens.add(self.headers["Token"])
            if key := self.headers["Key"]:
                self.server.keys[key] += 1
        if self.path == "/late":
            self.server.late.wait()
        self.send_response(self.server.statuses.get(self.path, 200))
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"said")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server(**statuses: int) -> Iterator[Server]:
    with Server({f"/{path}": status for path, status in statuses.items()}) as opened:
        threading.Thread(target=opened.serve_forever, args=(0.01,), daemon=True).start()
        yield opened
        opened.shutdown()


def site(port: int, *clients: tuple[Shot, ...]) -> PumpSite:
    return PumpSite(host="127.0.0.1", port=port, headers=({"Token": "t"},), clients=clients)


def run(plan: PumpPlan) -> list[Slot]:
    with Pump() as pump:
        return pump.run(plan)


def test_it_says_exactly_what_the_server_got() -> None:
    with server() as little:
        plan = PumpPlan(
            sites=(site(little.server_port, (PAY,), (LOOK,)),),
            turns=(TURN, Turn(site=0, warm_s=0, measure_s=0.1, clients=1)),
        )
        seen: list[tuple[str, int]] = []
        with Pump() as pump:
            slots = pump.run(plan, lambda what, number: seen.append((what, number)))
        got = added([slot.acknowledged for slot in slots])
        assert (got["pay"] + got["again"], got["look"]) == (
            little.asked["/pay"],
            little.asked["/look"],
        )
        assert slots[1].acknowledged.get("look", 0) == 0
        assert set(little.keys.values()) == {2}, "the same key twice, then another"
        assert little.tokens == {"t"}
    assert not any(slot.wrong for slot in slots)
    assert all(0 < slot.good("pay") <= slot.acknowledged["pay"] for slot in slots)
    assert seen == [(what, n) for n in (0, 1) for what in ("measuring", "measured")]


def test_refusals_that_are_expected_are_told_from_wrong_answers() -> None:
    expected = Shot(name="pay", method="POST", path="/pay", refused=(409,))
    with server(pay=409, look=500) as little:
        (slot,) = run(
            PumpPlan(sites=(site(little.server_port, (expected,), (LOOK,)),), turns=(TURN,))
        )
        assert set(slot.refused) == {"pay 409"}
        assert slot.wrong == {"look 500": little.asked["/look"]}
        assert slot.first_wrong == "look 500: said"
        assert slot.good("pay") == slot.good("look") == 0


def test_an_answer_that_comes_after_the_slot_counts_in_it() -> None:
    late = Shot(name="late", method="GET", path="/late")
    turn = Turn(site=0, warm_s=0, measure_s=0.1)
    with server() as little, Pump() as pump:
        plan = PumpPlan(sites=(site(little.server_port, (late,)),), turns=(turn,))
        (slot,) = pump.run(plan, little.late.tell)
        assert slot.good("late") == slot.acknowledged["late"] == little.asked["/late"] == 2


def test_where_nobody_listens_every_client_gives_up() -> None:
    (slot,) = run(PumpPlan(sites=(site(free_port(), (LOOK,), (LOOK,)),), turns=(TURN,)))
    assert slot.wrong == {"look without an answer": 10}


def test_a_plan_that_cannot_be_carried_out_is_one_clear_line() -> None:
    with Pump() as pump, pytest.raises(PumpError, match="turn 0 is of site 7"):
        pump.run(PumpPlan(sites=(site(1, (LOOK,)),), turns=(Turn(site=7, warm_s=0, measure_s=1),)))


def test_a_load_generator_that_dies_is_told_and_none_is_left() -> None:
    with server() as little, Pump() as pump:
        plan = PumpPlan(sites=(site(little.server_port, (LOOK,)),), turns=(TURN,))

        def kill(*_: object) -> None:
            psutil.Process(pump.pid).kill()

        with pytest.raises(PumpError, match="the load generator ended with -9"):
            pump.run(plan, kill)
    assert not psutil.pid_exists(pump.pid)


def test_it_carries_neither_locust_nor_psycopg2() -> None:
    code = "import sys, attacks.http.pump_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "geventhttpclient" in loaded
    assert not {"locust", "psycopg2", "engine", "scenarios"} & loaded
