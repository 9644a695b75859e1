"""Wallets for a load on Assay's own wallet: signed up, opened and paid in, through the API alone.

Any other service is loaded by a plan that names its wallets.
"""

import hashlib
import json
import os
import secrets
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import gevent.socket
from gevent.pool import Pool
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from attacks.history import PREPARATION, Move, Operation, Recorder
from attacks.load.plan import ASSET, Operator, Plan, PlanError, Wallet, major, money_of

OPENING_MINOR = 100_00
DEPOSIT_HINT = ": is the operator's PIN another? set OPERATOR_PIN"
AT_ONCE = 8
"""Signing up hashes a password, which takes its time on purpose; the engine has several threads."""
WALLETS_EACH = 4
"""Of one owner: a thousand wallets do not take a thousand passwords."""
TIMEOUT_S = 20.0
CONNECT_WITHIN_S = 5.0


def must_be_there(host: str) -> None:
    """Raises PlanError where nobody listens."""
    parts = urlsplit(host)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = (parts.hostname or "", port)
        gevent.socket.create_connection(address, timeout=CONNECT_WITHIN_S).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise PlanError(f"nobody answers at {host}: {why}") from error


class Preparation:
    """Owners of a few wallets each, with money in them."""

    def __init__(self, host: str, recorder: Recorder) -> None:
        # An event hook of its own: preparations are no part of Locust's statistics.
        self._http = FastHttpSession(
            host,
            EventHook(),  # type: ignore[no-untyped-call]
            user=None,
            network_timeout=TIMEOUT_S,
            connection_timeout=CONNECT_WITHIN_S,
            concurrency=AT_ONCE,
        )
        self._host = host
        self._recorder = recorder
        self._plan = Plan(money="minor_units", wallets=())
        self._tokens = False
        self._asks_for_pin = False
        self._operator = Operator()

    def plan(self, wallets: int) -> Plan:
        """So many. Raises PlanError."""
        meta = self._call("GET", "/v1/meta")
        try:
            defences = meta["defences"]
            money = money_of(defences["money"])
            self._tokens = defences["authentication"] != "none"
            self._asks_for_pin = self._tokens and defences["pin"] != "off"
        except (KeyError, TypeError) as error:
            raise PlanError(
                f"{self._host} is no wallet of Assay's: name the wallets in ASSAY_LOAD_PLAN"
            ) from error
        self._plan = Plan(money=money, wallets=())
        self._log_operator_in()
        pool = Pool(AT_ONCE)
        try:
            owners = [
                min(WALLETS_EACH, wallets - first) for first in range(0, wallets, WALLETS_EACH)
            ]
            # The first alone: eight wrong PINs at once would lock the operator out.
            first = self._open(owners[0])
            opened = (*first, *chain.from_iterable(pool.imap(self._open, owners[1:])))
        finally:
            pool.kill()
        return Plan(
            money=self._plan.money,
            seed=secrets.randbelow(2**31),
            wallets=opened,
            operator=self._operator,
        )

    def _log_operator_in(self) -> None:
        if not self._tokens:
            return
        password = os.environ.get("OPERATOR_PASSWORD", "")
        if not password:
            raise PlanError(
                f"the build at {self._host} asks for tokens, and only its operator pays money in: "
                "set OPERATOR_PASSWORD (`assay serve` prints it), or ASSAY_LOAD_PLAN"
            )
        token = self._log_in("operator", password)
        pin = os.environ.get("OPERATOR_PIN")
        if self._asks_for_pin and not pin:
            # The same for the next load on this wallet: who has a PIN cannot be given another.
            digest = hashlib.sha256(f"the operator's PIN {password}".encode()).digest()
            pin = f"{int.from_bytes(digest[:8]) % 10_000:04}"
            self._answer("PUT", "/v1/users/me/pin", {"pin": pin}, token)
        self._operator = Operator(token=token, pin=pin)

    def _open(self, how_many: int) -> list[Wallet]:
        """The wallets of one more owner."""
        username = f"load-{secrets.token_hex(6)}"
        password = secrets.token_urlsafe(12) if self._tokens else None
        user = self._call("POST", "/v1/users", {"username": username, "password": password})
        token = self._log_in(username, password) if password else None
        pin = self._set_pin(token)
        wallets = []
        for number in range(how_many):
            body = {"user_id": user["id"], "asset": ASSET, "label": f"load-{number}"}
            opened = self._call("POST", "/v1/wallets", body, self._operator.token)
            wallet = Wallet(id=str(opened["id"]), token=token, pin=pin)
            self._deposit(wallet)
            wallets.append(wallet)
        return wallets

    def _log_in(self, username: str, password: str) -> str:
        who = {"username": username, "password": password}
        return str(self._call("POST", "/v1/auth/token", who)["access_token"])

    def _set_pin(self, token: str | None) -> str | None:
        pin = f"{secrets.randbelow(10_000):04}" if self._asks_for_pin else None
        if pin:
            self._call("PUT", "/v1/users/me/pin", {"pin": pin}, token)
        return pin

    def _deposit(self, wallet: Wallet) -> None:
        key = secrets.token_hex(12)
        started_s = self._recorder.now_s()
        body = {**_amount_of(self._plan), "pin": self._operator.pin}
        path = f"/v1/wallets/{wallet.id}/deposits"
        done = self._call("POST", path, body, self._operator.token, key, DEPOSIT_HINT)
        self._recorder.operation(
            Operation(
                id=self._recorder.new_id(),
                actor=PREPARATION,
                name="deposit",
                text=f"deposit {major(OPENING_MINOR)} -> {wallet.id}",
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

    def _call(  # noqa: PLR0913, PLR0917 - what a request is made of
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        key: str | None = None,
        hint: str = "",
    ) -> dict[str, Any]:
        """What was answered; `hint` is what a 403 may mean. Raises PlanError."""
        response = self._answer(method, path, body, token, key)
        if not 200 <= response.status_code < 300:
            what = response.status_code or f"nothing ({getattr(response, 'error', None)})"
            why = hint if response.status_code == 403 else ""
            raise PlanError(f"{method} {self._host}{path} was answered {what}{why}")
        try:
            answer = json.loads(response.content or b"{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PlanError(f"{method} {self._host}{path} was answered with something else")
        return answer

    def _answer(
        self, method: str, path: str, body: Any, token: str | None, key: str | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        return self._http.request(method, path, headers=headers, json=body)


def _amount_of(plan: Plan) -> dict[str, Any]:
    return {"amount": plan.amount(OPENING_MINOR)["amount"]}
