"""Requests sent as fast as answers come, in turns, by a process of its own.

A plan names sites, each with its clients and what these send, and slots: whose turn it is and for
how long. A client sends, waits for the answer, and sends the next request of its list, picked at
random. All of it is data: the pump does not know what it asks for. `attacks.http.pump_process` is
the process; it reads a plan as JSON from its standard input and writes lines of JSON:

    {"measuring": 0}     the slot's beginning is over, what counts begins
    {"measured": 0}      what counts is over; requests that are still open are waited for, and
                         count with the time that they take
    {"slot": {...}}      a `Slot`
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Self

DRAIN_S = 20.0
"""How long answers are waited for that were open when their slot ended."""
STOP_WITHIN_S = 5.0


class PumpError(Exception):
    """The pump ended, or said what nobody understands. One clear line."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One request that is sent again and again."""

    name: str
    method: str
    path: str
    headers: int = 0
    """Which of the site's sets of headers."""
    body: str = ""
    key_header: str | None = None
    """This header gets another value each time."""
    times: int = 1
    """So often with the same value of `key_header`; the further ones are counted as `again`."""
    again: str = "again"
    good: tuple[int, ...] = (200, 201)
    refused: tuple[int, ...] = ()
    """Answers that are no success, and nothing wrong either."""


@dataclass(frozen=True, kw_only=True)
class PumpSite:
    """A service, and for each of its clients what it sends."""

    host: str
    port: int
    headers: tuple[Mapping[str, str], ...]
    clients: tuple[tuple[Shot, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One slot: the first `warm_s` of it do not count.

    It takes longer where it would end without one good answer to each kind of request.
    """

    site: int
    warm_s: float
    measure_s: float
    clients: int | None = None
    """The first so many; None: all."""


@dataclass(frozen=True, kw_only=True)
class PumpPlan:
    sites: tuple[PumpSite, ...]
    turns: tuple[Turn, ...]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one turn came to."""

    turn: int
    site: int
    measured_s: float
    latencies_us: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Of each request that was sent while it counted and got a good answer, by its name."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Such as {"transfer 409": 3}, of those that were sent while it counted."""
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    """All good answers of the turn, also those that do not count."""
    wrong: Mapping[str, int] = field(default_factory=dict)
    """All answers that were neither good nor a refusal, and requests without an answer."""
    first_wrong: str = ""
    pump_cpu_s: float = 0.0

    def good(self, name: str) -> int:
        return len(self.latencies_us.get(name, ()))


Seen = Callable[[str, int], None]
"""Told "measuring" and "measured" with the number of the turn, at once."""


def plan_as_json(plan: PumpPlan) -> str:
    return json.dumps(asdict(plan))


def plan_from_json(text: str) -> PumpPlan:
    """Raises PumpError."""
    try:
        document = json.loads(text)
        sites = tuple(_site(site) for site in document["sites"])
        turns = tuple(Turn(**turn) for turn in document["turns"])
        plan = PumpPlan(sites=sites, turns=turns, seed=int(document["seed"]))
    except (ValueError, KeyError, TypeError) as error:
        raise PumpError(f"this is no plan: {error!r}") from error
    if wrong := _wrong_in(plan):
        raise PumpError(f"this plan cannot be carried out: {wrong}")
    return plan


def _site(document: Mapping[str, Any]) -> PumpSite:
    clients = tuple(
        tuple(
            Shot(**{**shot, "good": tuple(shot["good"]), "refused": tuple(shot["refused"])})
            for shot in client
        )
        for client in document["clients"]
    )
    return PumpSite(
        host=str(document["host"]),
        port=int(document["port"]),
        headers=tuple(document["headers"]),
        clients=clients,
    )


def _wrong_in(plan: PumpPlan) -> str:
    """ "" when nothing is."""
    for number, site in enumerate(plan.sites):
        if not site.clients or not all(site.clients):
            return f"site {number} has no client, or one that has nothing to send"
        most = max(shot.headers for client in site.clients for shot in client)
        if most >= len(site.headers):
            return f"site {number} has no headers {most}"
    for number, turn in enumerate(plan.turns):
        if not 0 <= turn.site < len(plan.sites):
            return f"turn {number} is of site {turn.site}, which there is not"
        if (
            turn.measure_s <= 0
            or turn.warm_s < 0
            or (turn.clients is not None and not turn.clients)
        ):
            return f"turn {number} has no time or no clients"
    return ""


class Pump:
    """The process. Use it as a context manager: it does not outlive it."""

    def __init__(self) -> None:
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the rest
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attacks.http.pump_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, plan: PumpPlan, seen: Seen = lambda _, __: None) -> list[Slot]:
        """Every turn of the plan, one after the other. Raises PumpError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(plan_as_json(plan) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise PumpError(self._why_ended()) from error
        slots: list[Slot] = []
        while len(slots) < len(plan.turns):
            for kind, value in self._line().items():
                if kind == "slot":
                    slots.append(Slot(**value))
                elif kind == "error":
                    raise PumpError(str(value))
                else:
                    seen(kind, int(value))
        return slots

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PumpError(self._why_ended())
        try:
            document: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise PumpError(f"the load generator said {line[:80]!r}") from error
        return document

    def _why_ended(self) -> str:
        self._process.wait(STOP_WITHIN_S)
        self._errors.seek(0)
        words = " ".join(self._errors.read().split()[-30:])
        return f"the load generator ended with {self._process.returncode}: {words or 'no word'}"

    def close(self) -> None:
        """Stop it. May be called again."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # What was still to be written has no reader any more.


def added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts of several slots as one."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
