"""The process of `attacks.http.pump`: greenlets over kept connections, without anything around.

    python -m attacks.http.pump_process < plan.json

One plan a line; it ends with its standard input.
"""

import json
import random
import secrets
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from itertools import count
from typing import Any

import gevent
from gevent.event import Event
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from attacks.http.pump import DRAIN_S, PumpError, PumpPlan, PumpSite, Shot, Slot, plan_from_json

ANSWER_WITHIN_S = 15.0
CONNECT_WITHIN_S = 5.0
PATIENCE_S = 15.0
"""How much longer than planned a slot may take to have one good answer of each kind."""
WRONG_AT_MOST = 5
"""After so many in a row a client gives the turn up: nobody is helped by more of them."""
NO_ANSWER = (OSError, HTTPParseError, ValueError)
WORDS = 200


class Tally:
    """What one turn saw. What is sent while it is `counting` counts, whenever the answer comes.

    Were it the answers of that time, those that are late when it ends would be missing: the
    slowest ones.
    """

    def __init__(self, names: set[str]) -> None:
        self.complete = Event()
        """Set when every kind of request has had a good answer that counts."""
        self._missing = names
        self.counting = False
        self.over = False
        self.latencies_us: defaultdict[str, list[int]] = defaultdict(list)
        self.refused: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.first_wrong = ""

    def note(self, name: str, shot: Shot, status: int, took_us: int, *, counts: bool) -> bool:
        """Whether the answer was one that may come. `counts`: was it counting when it was sent?"""
        if status in shot.good:
            self.acknowledged[name] += 1
            if counts:
                self._count(name, took_us)
            return True
        if status in shot.refused:
            if counts:
                self.refused[f"{name} {status}"] += 1
            return True
        return False

    def _count(self, name: str, took_us: int) -> None:
        self.latencies_us[name].append(took_us)
        self._missing.discard(name)
        if not self._missing:
            self.complete.set()

    def note_wrong(self, what: str, words: str) -> None:
        self.wrong[what] += 1
        self.first_wrong = self.first_wrong or f"{what}: {words[:WORDS]}"


class Client:
    """One connection, and what is sent over it."""

    def __init__(self, site: PumpSite, shots: tuple[Shot, ...], seed: str) -> None:
        self._http = HTTPClient(
            site.host,
            site.port,
            connection_timeout=CONNECT_WITHIN_S,
            network_timeout=ANSWER_WITHIN_S,
            disable_ipv6=True,
        )
        self._headers = [dict(headers) for headers in site.headers]
        self._shots = shots
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._prefix = secrets.token_hex(8)
        self._numbers = count()

    def run(self, tally: Tally) -> None:
        in_a_row = 0
        while not tally.over and in_a_row < WRONG_AT_MOST:
            shot = self._random.choice(self._shots)
            in_a_row = 0 if self._fire(shot, tally) else in_a_row + 1

    def _fire(self, shot: Shot, tally: Tally) -> bool:
        headers = self._headers[shot.headers]
        if shot.key_header:
            headers = {**headers, shot.key_header: f"{self._prefix}-{next(self._numbers)}"}
        for time_sent in range(shot.times):
            name = shot.again if time_sent else shot.name
            if not self._exchange(name, shot, headers, tally):
                return False
        return True

    def _exchange(self, name: str, shot: Shot, headers: dict[str, str], tally: Tally) -> bool:
        counts, began_ns = tally.counting, time.perf_counter_ns()
        try:
            response = self._http.request(shot.method, shot.path, shot.body.encode(), headers)
            words = bytes(response.read())
        except NO_ANSWER as error:
            tally.note_wrong(f"{name} without an answer", repr(error))
            return False
        took_us = (time.perf_counter_ns() - began_ns) // 1000
        status = int(response.status_code)
        if tally.note(name, shot, status, took_us, counts=counts):
            return True
        tally.note_wrong(f"{name} {status}", words.decode(errors="replace"))
        return False

    def close(self) -> None:
        self._http.close()


def names_of(shot: Shot) -> tuple[str, ...]:
    """As its answers are counted."""
    return (shot.name, shot.again) if shot.times > 1 else (shot.name,)


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def carry_out(plan: PumpPlan) -> None:
    clients = [
        [
            Client(site, shots, f"{plan.seed}/{number}/{which}")
            for which, shots in enumerate(site.clients)
        ]
        for number, site in enumerate(plan.sites)
    ]
    try:
        for number in range(len(plan.turns)):
            say({"slot": asdict(take_turn(plan, number, clients))})
    finally:
        for client in (client for some in clients for client in some):
            client.close()


def take_turn(plan: PumpPlan, number: int, clients: list[list[Client]]) -> Slot:
    turn = plan.turns[number]
    asked = plan.sites[turn.site].clients[: turn.clients]
    tally = Tally({name for shots in asked for shot in shots for name in names_of(shot)})
    cpu_s = time.process_time()
    running = [gevent.spawn(client.run, tally) for client in clients[turn.site][: turn.clients]]
    if turn.warm_s:  # Else nothing is sent before it counts.
        gevent.joinall(running, timeout=turn.warm_s)
    say({"measuring": number})
    tally.counting, began_s = True, time.perf_counter()
    gevent.joinall(running, timeout=turn.measure_s)
    # On a machine that is busy with other things a slot may be too short for even one answer.
    gevent.wait([tally.complete, *running], timeout=PATIENCE_S, count=1)
    tally.counting, measured_s = False, time.perf_counter() - began_s
    say({"measured": number})
    tally.over = True
    gevent.joinall(running, timeout=DRAIN_S)
    for greenlet in running:
        if not greenlet.successful():
            error = greenlet.exception or "still waiting"
            tally.note_wrong("a client that did not end", repr(error))
    gevent.killall(running)
    return Slot(
        turn=number,
        site=turn.site,
        measured_s=measured_s,
        latencies_us=dict(tally.latencies_us),
        refused=dict(tally.refused),
        acknowledged=dict(tally.acknowledged),
        wrong=dict(tally.wrong),
        first_wrong=tally.first_wrong,
        pump_cpu_s=time.process_time() - cpu_s,
    )


def main() -> int:
    for line in sys.stdin:
        try:
            carry_out(plan_from_json(line))
        except PumpError as error:
            say({"error": str(error)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
