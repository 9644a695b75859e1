"""Customers who pay each other, look at their balances, and ask again when they heard nothing.

    locust -f locustfile.py --host http://127.0.0.1:8000
    locust -f locustfile.py --host http://127.0.0.1:8000 --headless -u 16 -r 16 -t 20s -s 10

`assay load` runs this file against an engine of its own and looks for every cent afterwards. The
file only sends and records; it judges nothing. Any user may pay from any wallet, so that
payments meet in the same wallets. What it is told by the environment:

ASSAY_LOAD_PLAN     a JSON file that names the wallets, each with money in it already:
                    {"money": "minor_units" or "float", "seed": 1,
                     "wallets": [{"id": "1", "token": "…" or null, "pin": "…" or null}, …]}
                    Without it, users sign up and wallets are opened through the API beforehand.
OPERATOR_PASSWORD   needed for that by builds that ask for a token: only operators pay money in;
OPERATOR_PIN        too, where the operator has set a PIN before.
ASSAY_LOAD_HISTORY  every operation is appended to this file as a line of JSON; each of Locust's
                    worker processes writes a file of its own, with its process id in the name.

Importing Locust patches the sockets and threads of the whole process, so nothing else imports it.
A load is bounded: it goes to loopback addresses only and ends after `MOST_OPERATIONS`.
"""

import ipaddress
import json
import logging
import os
import random
import secrets
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, TextIO
from urllib.parse import urlsplit

import gevent
from locust import FastHttpUser, constant, events, task
from locust.contrib.fasthttp import FastHttpSession, FastResponse
from locust.event import EventHook
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from attacks.history import Move, Operation, Outcome, Recorder

LOG = logging.getLogger("assay.load")
ASSET = "USD"
OPENING_MINOR = 100_00
OWN_WALLETS = 50
"""Wallets that are opened where no plan names any."""
LARGEST_PAYMENT_MINOR = 20_00
"""Large enough that wallets run dry now and then: a balance is guarded where it ends."""
REPLAYED_SHARE = 0.05
"""Of the acknowledged payments, so many are sent again: by clients whose answer was lost."""
MOST_OPERATIONS = 300_000
"""In one process; all of them are kept in memory."""
MOST_REFUSED_CONNECTIONS = 200
"""After so many in a row nobody is there any more."""
USAGE, ENVIRONMENT = 2, 4


class PlanError(Exception):
    """The wallets cannot be had. One clear line."""


@dataclass(frozen=True, kw_only=True)
class Wallet:
    id: str
    token: str | None
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who may pay whom, and how the service writes money."""

    floats: bool
    seed: int
    wallets: tuple[Wallet, ...]

    def money(self, amount_minor: int) -> Any:
        return amount_minor / 100 if self.floats else {"amount": amount_minor, "asset": ASSET}


def read_plan(path: Path) -> Plan:
    """Raises PlanError."""
    try:
        document = json.loads(path.read_text())
        style = document["money"]
        wallets = tuple(
            Wallet(id=str(int(wallet["id"])), token=wallet.get("token"), pin=wallet.get("pin"))
            for wallet in document["wallets"]
        )
        seed = int(document.get("seed", 0))
    except OSError as error:
        raise PlanError(f"the plan {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{path} is not a plan: {error!r}") from error
    if style not in ("minor_units", "float"):
        raise PlanError(f"{path}: money is {style!r}, it has to be minor_units or float")
    if len({wallet.id for wallet in wallets}) < max(2, len(wallets)):
        raise PlanError(f"{path}: a plan names two wallets or more, each once")
    return Plan(floats=style == "float", seed=seed, wallets=wallets)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; to begin with: nothing."""

    outcome: Outcome = "unknown"
    status: int | None = None
    text: str = "stopped before an answer came"
    values: dict[str, Any]


def read_answer(response: FastResponse) -> Answer:
    """2xx: done; 4xx: not done; anything else: nobody can say, unless the engine itself does."""
    status = response.status_code or None
    if status is None:
        error = getattr(response, "error", None)
        if isinstance(error, ConnectionRefusedError):
            # Nothing was sent: nothing can have happened.
            return Answer(outcome="failed", text="connection refused", values={})
        return Answer(text=f"no answer: {type(error).__name__}", values={})
    body = _body(response)
    if status == 503 and str(body.get("type", "")).endswith(":unavailable"):
        # The engine promises that nothing was committed.
        return Answer(outcome="failed", status=status, text="503 nothing committed", values={})
    outcome: Outcome = "unknown"
    if status < 300 or 400 <= status < 500:
        outcome = "ok" if status < 300 else "failed"
    headers = response.headers
    replayed = " replayed" if headers and headers.get("Idempotent-Replayed") else ""
    values = {"id": body["id"]} if "id" in body else {}
    return Answer(outcome=outcome, status=status, text=f"{status}{replayed}", values=values)


def _body(response: FastResponse) -> dict[str, Any]:
    try:
        body = json.loads(response.content or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


class Traffic:
    """What all users of this process share: the plan, the history, the bounds."""

    def __init__(self, environment: Any, plan: Plan | None, file: TextIO | None) -> None:
        self.plan = plan
        self.recorder = Recorder(file, since_epoch=True)
        self._environment = environment
        self._file = file
        self._users = count(1)
        self._recorded = 0
        self._refused_in_a_row = 0
        self._over = False

    def next_user(self) -> int:
        return next(self._users)

    def record(self, operation: Operation) -> None:
        self.recorder.operation(operation)
        self._recorded += 1
        refused = operation.answer == "connection refused"
        self._refused_in_a_row = self._refused_in_a_row + 1 if refused else 0
        if self._recorded >= MOST_OPERATIONS:
            self.end(f"the load ends here: {MOST_OPERATIONS} operations are its bound")
        elif self._refused_in_a_row >= MOST_REFUSED_CONNECTIONS:
            self.end(f"nobody answers at {self._environment.host} any more", ENVIRONMENT)

    def end(self, why: str, exit_code: int | None = None) -> None:
        """Say why, and let Locust end. Whoever calls this may be one of the users that it ends."""
        if self._over:
            return
        self._over = True
        LOG.error("%s", why)
        self._environment.process_exit_code = exit_code
        gevent.spawn(self._environment.runner.quit)

    def close(self) -> None:
        """A history without this last line is not whole."""
        self.recorder.event("note", "load ended")
        if self._file is not None:
            self._file.close()


class Customer(FastHttpUser):
    """Pays as one wallet's owner, then as another's, as fast as the answers come."""

    wait_time = constant(0)
    network_timeout = 5.0
    connection_timeout = 5.0
    max_redirects = 0
    """Whoever is pointed elsewhere stays here: no network beyond the host."""
    traffic: Traffic

    def on_start(self) -> None:
        plan = self.traffic.plan
        if plan is None:
            raise StopUser
        number = self.traffic.next_user()
        self.plan = plan
        self.actor = f"user {number}"
        self.random = random.Random(f"{plan.seed}/{number}")  # noqa: S311 - repeatable, not secret

    @task(8)
    def pay(self) -> None:
        payer, payee = self.random.sample(self.plan.wallets, 2)
        amount_minor = self.random.randint(1, LARGEST_PAYMENT_MINOR)
        key = secrets.token_hex(12)
        answer = self._transfer(payer, payee, amount_minor, key)
        lost = answer.outcome == "ok" and self.random.random() < REPLAYED_SHARE
        if answer.outcome == "unknown" or lost:
            self._transfer(payer, payee, amount_minor, key)

    @task(2)
    def look(self) -> None:
        wallet = self.random.choice(self.plan.wallets)
        self._send(
            "read-balance",
            f"read wallet {wallet.id}",
            wallet,
            ("GET", f"/v1/wallets/{wallet.id}"),
        )

    def _transfer(self, payer: Wallet, payee: Wallet, amount_minor: int, key: str) -> Answer:
        return self._send(
            "transfer",
            f"transfer {amount_minor / 100:.2f} wallet {payer.id} -> wallet {payee.id}",
            payer,
            ("POST", "/v1/transfers"),
            body={
                "from_wallet_id": int(payer.id),
                "to_wallet_id": int(payee.id),
                "amount": self.plan.money(amount_minor),
                "pin": payer.pin,
            },
            move=Move(payer=payer.id, payee=payee.id, amount_minor=amount_minor),
            key=key,
        )

    def _send(  # noqa: PLR0913, PLR0917 - what a request is made of
        self,
        name: str,
        text: str,
        wallet: Wallet,
        route: tuple[str, str],
        body: Any = None,
        move: Move | None = None,
        key: str | None = None,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {wallet.token}"} if wallet.token else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        recorder = self.traffic.recorder
        answer = Answer(values={})
        started_s = recorder.now_s()
        try:
            answer = self._exchange(name, route, headers, body)
        finally:
            # Also when Locust stops this user while it waits: the request is out there.
            self.traffic.record(
                Operation(
                    id=recorder.new_id(),
                    actor=self.actor,
                    name=name,
                    text=text,
                    round=None,
                    moves=(move,) if move else (),
                    key=key,
                    started_s=started_s,
                    ended_s=recorder.now_s(),
                    outcome=answer.outcome,
                    status=answer.status,
                    answer=answer.text,
                    values=answer.values,
                )
            )
        if answer.text == "connection refused":
            gevent.sleep(0.05)
        return answer

    def _exchange(
        self, name: str, route: tuple[str, str], headers: dict[str, str], body: Any
    ) -> Answer:
        method, path = route
        with self.client.request(
            method, path, name=name, headers=headers, json=body, catch_response=True
        ) as response:
            answer = read_answer(response)
            if answer.outcome == "failed" and 400 <= (answer.status or 0) < 500:
                # A refusal is an answer; Locust's failures are those who got none.
                response.success()
        return answer


class Preparation:
    """Signs users up, opens their wallets and pays money in, through the API alone."""

    def __init__(self, host: str, recorder: Recorder) -> None:
        # An event hook of its own: preparations are no part of Locust's statistics.
        self._http = FastHttpSession(
            host, EventHook(), user=None, network_timeout=20.0, connection_timeout=5.0
        )
        self._host = host
        self._recorder = recorder
        self._floats = False
        self._tokens = False
        self._asks_for_pin = False
        self._operator: str | None = None
        self._operator_pin: str | None = None

    def plan(self) -> Plan:
        """Raises PlanError."""
        defences = self._call("GET", "/v1/meta")["defences"]
        self._floats = defences["money"] == "float"
        self._tokens = defences["authentication"] != "none"
        self._asks_for_pin = self._tokens and defences["pin"] != "off"
        password = os.environ.get("OPERATOR_PASSWORD", "")
        if self._tokens and not password:
            raise PlanError(
                f"the build at {self._host} asks for tokens, and only its operator pays money in: "
                "set OPERATOR_PASSWORD (`assay serve` prints it), or ASSAY_LOAD_PLAN"
            )
        if self._tokens:
            self._operator = self._log_in("operator", password)
            self._operator_pin = os.environ.get("OPERATOR_PIN") or self._set_pin(self._operator)
        wallets = tuple(self._open() for _ in range(OWN_WALLETS))
        return Plan(floats=self._floats, seed=secrets.randbelow(2**31), wallets=wallets)

    def _open(self) -> Wallet:
        username = f"load-{secrets.token_hex(6)}"
        password = secrets.token_urlsafe(12) if self._tokens else None
        user = self._call("POST", "/v1/users", {"username": username, "password": password})
        body = {"user_id": user["id"], "asset": ASSET}
        opened = self._call("POST", "/v1/wallets", body, self._operator)
        token = self._log_in(username, password) if password else None
        wallet = Wallet(id=str(opened["id"]), token=token, pin=self._set_pin(token))
        self._deposit(wallet)
        return wallet

    def _log_in(self, username: str, password: str) -> str:
        who = {"username": username, "password": password}
        return str(self._call("POST", "/v1/auth/token", who)["access_token"])

    def _set_pin(self, token: str | None) -> str | None:
        pin = f"{secrets.randbelow(10_000):04}" if self._asks_for_pin else None
        if pin:
            self._call("PUT", "/v1/users/me/pin", {"pin": pin}, token)
        return pin

    def _deposit(self, wallet: Wallet) -> None:
        amount = Plan(floats=self._floats, seed=0, wallets=()).money(OPENING_MINOR)
        key = secrets.token_hex(12)
        started_s = self._recorder.now_s()
        body = {"amount": amount, "pin": self._operator_pin}
        done = self._call("POST", f"/v1/wallets/{wallet.id}/deposits", body, self._operator, key)
        self._recorder.operation(
            Operation(
                id=self._recorder.new_id(),
                actor="setup",
                name="deposit",
                text=f"deposit {OPENING_MINOR / 100:.2f} -> wallet {wallet.id}",
                round=None,
                moves=(Move(payer=None, payee=wallet.id, amount_minor=OPENING_MINOR),),
                key=key,
                started_s=started_s,
                ended_s=self._recorder.now_s(),
                outcome="ok",
                status=201,
                answer="201",
                values={"id": done.get("id")},
            )
        )

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        response = self._http.request(method, path, headers=headers, json=body)
        if not 200 <= response.status_code < 300:
            what = response.status_code or f"nothing ({getattr(response, 'error', None)})"
            raise PlanError(f"{method} {self._host}{path} was answered {what}")
        return _body(response)


def is_loopback(host: str) -> bool:
    name = urlsplit(host).hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@events.init.add_listener
def open_traffic(environment: Any, **_: Any) -> None:
    """Once in every process, before any user exists."""
    path = os.environ.get("ASSAY_LOAD_PLAN", "")
    try:
        plan = read_plan(Path(path)) if path else None
    except PlanError as error:
        _refuse(str(error))
    history = os.environ.get("ASSAY_LOAD_HISTORY", "")
    is_worker = isinstance(environment.runner, WorkerRunner)
    file = _history_file(Path(history), own=is_worker) if history else None
    Customer.traffic = Traffic(environment, plan, file)


def _history_file(path: Path, *, own: bool) -> TextIO:
    if own:
        path = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")
    try:
        return path.open("a")
    except OSError as error:
        _refuse(f"the history {path} cannot be written: {error.strerror}")


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"assay load: {why}\n")
    raise SystemExit(USAGE)


@events.test_start.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Wallets before the first user starts; in a master there are no users."""
    traffic = Customer.traffic
    if isinstance(environment.runner, MasterRunner):
        return
    if not is_loopback(environment.host or ""):
        traffic.plan = None
        traffic.end(f"{environment.host} is not a loopback address: load stays at home", USAGE)
        return
    if traffic.plan is None:
        try:
            traffic.plan = Preparation(environment.host, traffic.recorder).plan()
        except PlanError as error:
            traffic.end(str(error), ENVIRONMENT)


@events.quit.add_listener
def close_traffic(**_: Any) -> None:
    """After the last user was stopped and had its last request recorded."""
    Customer.traffic.close()
