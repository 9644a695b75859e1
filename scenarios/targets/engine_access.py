"""The access words of Assay's own wallet engine, in any build."""

import re
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import jwt
from jwt.warnings import InsecureKeyLengthWarning

from attacks.http.request import ReadReply, Reply, Request, definite
from scenarios.targets.access import Belongings, Peek
from scenarios.targets.protocol import Target, WalletRef

NOBODY = 10**12
OUTSIDE_API = re.compile(
    r"\[SQL:|\b(?:SELECT|UPDATE|INSERT INTO|DELETE FROM)\b|psycopg|sqlalche|Traceback|File \""
    r"|server closed the connection|relation \"|password_hash|pin_hash"
)
"""What an answer has no business with: statements, drivers, stacks, columns of secrets."""


class EngineAccess:
    """`secret` is the one that the service signs tokens with: expired ones have to be genuine."""

    def __init__(self, target: Target, secret: str) -> None:
        self._target = target
        self._secret = secret

    def as_other(self, request: Request, name: str, by: WalletRef) -> Request:
        key = {"Idempotency-Key": request.key} if request.key else {}
        return replace(
            request, name=name, headers={**_headers(by), **key}, read=_refusal(request.read)
        )

    def pays_with_pin(
        self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, pin: str | None, key: str
    ) -> Request:
        guessing = replace(payer, pin=pin)
        request = self._target.transfer(guessing, payee, amount_minor, key=key)
        guess = self.as_other(request, "guess", guessing)
        return replace(guess, read=_compared(guess.read))

    def wrong_pin(self, wallet: WalletRef) -> str:
        return "0000" if wallet.pin != "0000" else "0001"

    def change_pin(self, wallet: WalletRef, new: str) -> Request:
        return Request(
            name="change-pin",
            text=f"the owner of wallet {wallet.id} changes the PIN",
            method="PUT",
            path="/v1/users/me/pin",
            headers=_headers(replace(wallet, pin=None)),
            json={"pin": new},
            read=_refusal(definite),
        )

    def log_out(self, wallet: WalletRef) -> Request:
        return _request("log-out", f"owner of wallet {wallet.id}", "POST /v1/auth/logout", wallet)

    def opens_naming(self, wallet: WalletRef, columns: Mapping[str, Any]) -> Request:
        def read(response: httpx.Response) -> Reply:
            reply = definite(response)
            if reply.outcome != "ok":
                return reply
            return replace(reply, values={"id": str(response.json()["id"])})

        text = f"the owner of wallet {wallet.id} opens another, and names {sorted(columns)}"
        request = _request("open-wallet", text, "POST /v1/wallets", wallet)
        owner = {"user_id": int(wallet.owner)} if wallet.owner else {}
        return replace(request, json={"label": "second", **owner, **columns}, read=read)

    def reads(self, wallet: WalletRef) -> Request:
        text = f"its owner reads wallet {wallet.id}"
        return _request("read", text, f"GET /v1/wallets/{wallet.id}", wallet)

    def peeks(self, theirs: Belongings, by: WalletRef) -> Mapping[str, Peek]:
        wallet, nothing = theirs.wallet.id, uuid.UUID(int=0)
        payment = theirs.payment
        key = f"GET /v1/idempotency/{{}}?route={quote(f'{payment.method} {payment.path}')}"
        routes: dict[str, tuple[str, str, Any, Any]] = {
            "wallet": ("GET /v1/wallets/{}", "json", wallet, NOBODY),
            "statement": ("GET /v1/wallets/{}/entries", "json", wallet, NOBODY),
            "balances": ("POST /v1/wallets/balances", "ids", wallet, NOBODY),
            "movement": ("GET /v1/transfers/{}", "json", theirs.movement, nothing),
            "hold": ("GET /v1/holds/{}", "json", theirs.hold, nothing),
            "batch": ("GET /v1/batches/{}", "json", theirs.batch, NOBODY),
            "rows of batch": ("GET /v1/batches/{}/rows", "json", theirs.batch, NOBODY),
            "key": (key, "json", payment.key, "nobody's"),
            "limits of user": ("GET /v1/users/{}/limits", "json", theirs.wallet.owner, NOBODY),
            "user": ("GET /v1/users/{}", "json", theirs.wallet.owner, NOBODY),
        }
        return {
            what: Peek(
                there=_peek(what, route, there, by, in_body=how == "ids"),
                nowhere=_peek(what, route, nowhere, by, in_body=how == "ids"),
            )
            for what, (route, how, there, nowhere) in routes.items()
        }

    def privileged(self, wallet: WalletRef, other: WalletRef, *, key: str) -> tuple[Request, ...]:
        deposit = self._target.deposit(wallet, 1_00, key=key)
        freeze = self._target.set_status(other, "frozen")
        routes = ("GET /v1/users", "GET /v1/ledger/reconciliation", "GET /v1/ledger/trial-balance")
        reads = [_request("privileged", f"{r} as a user", r, wallet) for r in routes]
        opening = _request("privileged", "a wallet for user 1", "POST /v1/wallets", wallet)
        bonus = self._target.grant(wallet, 1_00, "WELCOME", key=f"{key}-bonus")
        limit = self._target.limit(wallet, daily_cap_minor=None, overdraft_minor=1_00)
        changes = (deposit, bonus, freeze, limit)
        return (
            *(self.as_other(change, "privileged", wallet) for change in changes),
            replace(opening, json={"user_id": 1, "asset": "GOLD"}),
            *reads,
        )

    def sign(self, claims: Mapping[str, Any], secret: str | None = None) -> str:
        # The key that a good token names: who forges one has seen a good one.
        headers = {"kid": str(claims["kid"])} if "kid" in claims else {}
        payload = {name: value for name, value in claims.items() if name != "kid"}
        with warnings.catch_warnings():
            # That such a secret is too short is the point of it.
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            return jwt.encode(payload, secret or self._secret, algorithm="HS256", headers=headers)

    def watched(self, request: Request, *secrets: str | None) -> Request:
        def read(response: httpx.Response) -> Reply:
            reply = definite(response)
            text = response.text + repr(sorted(response.headers.items()))
            inside = sorted({found.group() for found in OUTSIDE_API.finditer(text)})
            return replace(reply, values={"leaks": inside + self.secrets_in(text, *secrets)})

        return replace(request, read=read)

    def secrets_in(self, text: str, *secrets: str | None) -> list[str]:
        known = (self._secret if len(self._secret) > 8 else None, *secrets)
        # Four digits inside of an id or a time are no PIN.
        edges = r"(?<![\w.:-]){}(?![\w.:-])"
        values = ["the values of a statement"] if "[parameters:" in text else []
        return values + [
            "a secret" for s in known if s and re.search(edges.format(re.escape(s)), text)
        ]


def _headers(wallet: WalletRef) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {wallet.token}"} if wallet.token else {}
    return headers | ({"X-Pin": wallet.pin} if wallet.pin else {})


def _request(name: str, text: str, route: str, by: WalletRef) -> Request:
    method, _, path = route.partition(" ")
    return Request(
        name=name,
        text=text,
        method=method,
        path=path,
        headers=_headers(by),
        read=_refusal(definite),
    )


def _peek(what: str, route: str, which: Any, by: WalletRef, *, in_body: bool) -> Request:
    request = _request("peek", f"look at {what} {which}", route.format(which), by)
    return replace(request, json={"wallet_ids": [int(which)]}) if in_body else request


def _compared(read: ReadReply) -> ReadReply:
    """Also whether the answer tells if the PIN was right."""

    def read_guess(response: httpx.Response) -> Reply:
        reply = read(response)
        wrong = response.status_code < 500 and "the PIN is wrong" in response.text
        compared = wrong or response.status_code < 300
        return replace(reply, values={**reply.values, "compared": compared})

    return read_guess


def _refusal(read: ReadReply) -> ReadReply:
    """Also which refusal it is, and all that it tells: what it calls itself and its words."""

    def read_refusal(response: httpx.Response) -> Reply:
        reply = read(response)
        if response.status_code < 400:
            return reply
        body = response.json()
        problem = str(body.get("type", "")).rpartition(":")[2]
        told = re.sub(r"[0-9a-f]*[0-9][0-9a-f-]*", "#", str(body.get("detail", "")))
        return replace(
            reply,
            answer=f"{response.status_code} {problem}".strip(),
            values={"problem": problem, "told": f"{response.status_code} {problem} {told}"},
        )

    return read_refusal
