"""A user of Locust that speaks to a service by the plan's requests, on time, and records each."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.client import IDEMPOTENT_METHODS
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust import FastHttpUser, constant
from locust.exception import StopUser

from attacks.history import Move, Operation, Outcome
from attacks.load.driving.options import hosts_of
from attacks.load.driving.traffic import ENVIRONMENT, REFUSED, USAGE, Traffic
from attacks.load.plan import Plan, Wallet, major
from attacks.load.requests import Answer, Kind, Sent
from attacks.load.templates import TemplateError
from attacks.load.thresholds.plugin import Thresholds

READY_WITHIN_S = 60.0
TIMEOUT_S = 5.0
LOOK = "read-batch"
PAUSE_S = 0.05
"""Whoever was refused a connection does not spin."""


class AnsweredError(Exception):
    """What Locust's statistics show of a request that got no answer, or an error."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """One process of the service, and this customer's connection to it."""

    host: str
    prefix: str
    http: HTTPClient

    @classmethod
    def of(cls, host: str) -> "Door":
        http = HTTPClient.from_url(host, connection_timeout=TIMEOUT_S, network_timeout=TIMEOUT_S)
        return cls(host=host, prefix=urlsplit(host).path.rstrip("/"), http=http)


class Customer(FastHttpUser):
    """Has no task of its own; `mix` is its name on the command line."""

    abstract = True
    wait_time = constant(0)
    mix: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    """The kinds of requests that its tasks cannot do without."""
    traffic: ClassVar[Traffic]
    thresholds: ClassVar[Thresholds]
    plan: Plan

    def on_start(self) -> None:
        traffic = self.traffic
        if not traffic.ready.wait(READY_WITHIN_S) or traffic.plan is None:
            traffic.end(f"no plan came within {READY_WITHIN_S:g} s", ENVIRONMENT)
            raise StopUser
        if any(need not in traffic.kinds for need in self.needs):
            raise StopUser
        self.plan = traffic.plan
        number = traffic.next_user()
        self.actor = f"{traffic.process}/user {number}"
        seed = f"{self.plan.seed}/{traffic.process}/{number}"
        self.random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        hosts = hosts_of(self.host, self.environment.parsed_options)
        first = number % len(hosts)
        self._doors = tuple(map(Door.of, (*hosts[first:], *hosts[:first])))
        # As from a balancer: what is sent again goes to another process.
        self._turns = cycle(self._doors)

    def on_stop(self) -> None:
        for door in getattr(self, "_doors", ()):
            door.http.close()

    def due_s(self) -> float | None:
        """Wait for the next turn and say when it was due; None: at once. Raises StopUser."""
        if self.traffic.stopping.is_set():
            raise StopUser
        due_s = self.traffic.pace.claim_s()
        if due_s is not None and not self.traffic.wait_until(due_s):
            raise StopUser
        return due_s

    def two_wallets(self) -> tuple[Wallet, Wallet]:
        wallets = self.plan.wallets
        first = self.random.randrange(len(wallets))
        second = self.random.randrange(len(wallets) - 1)
        return wallets[first], wallets[second + (second >= first)]

    def transfer(  # noqa: PLR0913 - what a payment is made of
        self,
        payer: Wallet,
        payee: Wallet,
        minor: int,
        *,
        key: str,
        due_s: float | None = None,
        again: bool = False,
    ) -> Answer:
        return self.send(
            "transfer",
            {**of("payer", payer), **of("payee", payee), **self.plan.amount(minor), "key": key},
            f"transfer {major(minor)} {payer.id} -> {payee.id}",
            moves=(Move(payer=payer.id, payee=payee.id, amount_minor=minor),),
            key=key,
            due_s=due_s,
            again=again,
        )

    def send(  # noqa: PLR0913 - what an operation is made of
        self,
        name: str,
        values: Mapping[str, Any],
        text: str,
        *,
        moves: Sequence[Move] = (),
        key: str | None = None,
        due_s: float | None = None,
        again: bool = False,
        look: Callable[[], Answer] | None = None,
    ) -> Answer:
        """One request, recorded whatever becomes of it; `again`: it was acknowledged before.

        `look` asks what became of each of its moves, where the answer does not say.
        """
        traffic = self.traffic
        kind = traffic.kinds[name]
        sent, door = self._filled(kind, values), next(self._turns)
        recorder = traffic.recorder
        answer, told, length = Answer(), Answer(), 0
        started_s, ended_s = recorder.now_s(), None
        try:
            answer, length = self._exchange(door, kind, sent)
            ended_s = recorder.now_s()
            if look and answer.outcome == "unknown" and LOOK in traffic.kinds:
                told = look()
        finally:
            # Also when Locust stops this user while it waits: the request is out there.
            operation = Operation(
                id=recorder.new_id(),
                actor=self.actor,
                name=name,
                text=text,
                round=None,
                moves=tuple(moves),
                key=key,
                intended_s=due_s,
                started_s=started_s,
                ended_s=ended_s or recorder.now_s(),
                outcome=answer.outcome,
                status=answer.status,
                answer=answer.text,
                values=answer.values,
            )
            for line in kind.recorded(operation, recorder.new_id, told.parts):
                traffic.record(line, answer, door.host)
        if moves and answer.outcome == "ok" and not again:
            self.thresholds.count("tps")
            self.thresholds.count(f"{name}.tps")
        self.environment.events.request.fire(
            request_type=kind.method,
            name=name,
            # From when it was due: a stall of the service is everybody's, not one request's.
            response_time=operation.response_time_s * 1000,
            response_length=length,
            exception=AnsweredError(answer.error) if answer.error else None,
            context={},
            response=None,
            start_time=started_s,
            url=sent.path,
        )
        if answer.text == REFUSED:
            gevent.sleep(PAUSE_S)  # The port is closed: nothing to wait for but time.
        return answer

    def _filled(self, kind: Kind, values: Mapping[str, Any]) -> Sent:
        """Raises StopUser for a plan whose wallets its requests cannot name."""
        try:
            return kind.filled(values)
        except TemplateError as error:
            self.traffic.end(f"the plan's {kind.name} cannot be filled: {error}", USAGE)
            raise StopUser from error

    def _exchange(self, door: Door, kind: Kind, sent: Sent) -> tuple[Answer, int]:
        try:
            response = door.http.request(
                sent.method, door.prefix + sent.path, sent.body or b"", sent.headers
            )
            try:
                content = bytes(response.read())
            finally:
                response.release()
        except ConnectionRefusedError:
            # Nothing was sent, so nothing can have happened; but what may be sent twice was
            # perhaps sent before, on a connection that died.
            sent_before = sent.method in IDEMPOTENT_METHODS
            outcome: Outcome = "unknown" if sent_before else "failed"
            return Answer(outcome=outcome, text=REFUSED, error=REFUSED), 0
        except (OSError, HTTPConnectionClosed, HTTPParseError) as error:
            text = f"no answer: {type(error).__name__}"
            return Answer(text=text, error=text), 0
        return kind.answer(
            response.get_code(), lambda name: _text(response.get(name)), content
        ), len(content)


def of(role: str, wallet: Wallet) -> dict[str, Any]:
    """A wallet as requests are filled with it."""
    return {
        f"{role}.id": wallet.id,
        f"{role}.token": wallet.token,
        f"{role}.pin": wallet.pin,
    }


def _text(value: str | list[str] | None) -> str | None:
    return ", ".join(value) if isinstance(value, list) else value
