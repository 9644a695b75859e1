"""The adapter of Assay's own wallet engine, in any build."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import psycopg2.extensions

from attacks.history import Move
from attacks.http.request import Reply, Request, definite
from scenarios.targets.engine_batches import EngineBatches
from scenarios.targets.engine_keys import advice_of, fate_of, keyed
from scenarios.targets.engine_money import EngineMoney
from scenarios.targets.engine_truth import rewriting, truth_in
from scenarios.targets.protocol import Ask, TargetError, WalletRef
from scenarios.targets.truth_queries import TruthQueries, engine_queries
from scenarios.truth import GroundTruth

ASSET = "USD"
OTHER_ASSET = "GOLD"


class EngineWallet:
    """Speaks bare numbers or minor units, with or without tokens, as the build asks."""

    def __init__(self, meta: Mapping[str, Any], operator_password: str) -> None:
        money = EngineMoney(kind=meta["defences"]["money"], usual_asset=ASSET)
        self._money, self._minor = money.sent, money.stored_minor
        self._wire_minor, self._bare_numbers = money.received_minor, money.bare_numbers
        self._asks_for_token = meta["defences"]["authentication"] != "none"
        self._defences = meta["defences"]
        self._asks_for_pin = self._asks_for_token and meta["defences"]["pin"] != "off"
        self._keeps_escrow = meta["defences"]["funding"] == "system"
        self._operator_password = operator_password
        self._operator_token: str | None = None
        self._operator_pin: str | None = None
        self.batches = EngineBatches(
            headers=self._headers,
            operator=lambda: self._headers(self._operator_token, self._operator_pin),
            read=self._read,
        )

    def open_wallet(self, ask: Ask, *, can_pay: bool) -> WalletRef:
        token = pin = None
        username = f"user-{secrets.token_hex(6)}"
        password = secrets.token_urlsafe(12) if can_pay and self._asks_for_token else None
        user = {"username": username, "password": password}
        user_id = self._value(ask, self._plain("sign-up", "/v1/users", user), "id")
        if password:
            token = self._log_in(ask, username, password)
            pin = self._set_pin(ask, token)
        operator = self._headers(self._operator(ask))
        wallet = {"user_id": int(user_id), "asset": ASSET}
        request = self._plain("open-wallet", "/v1/wallets", wallet, headers=operator)
        return WalletRef(id=self._value(ask, request, "id"), token=token, owner=user_id, pin=pin)

    def open_beside(self, ask: Ask, wallet: WalletRef) -> WalletRef:
        body = {"user_id": int(wallet.owner or 0), "asset": ASSET, "label": secrets.token_hex(4)}
        operator = self._headers(self._operator(ask))
        request = self._plain("open-wallet", "/v1/wallets", body, headers=operator)
        return replace(wallet, id=self._value(ask, request, "id"))

    def open_same(self, wallet: WalletRef) -> Request:
        return Request(
            name="open-wallet",
            text=f"open the {OTHER_ASSET} wallet of user {wallet.owner}",
            method="POST",
            path="/v1/wallets",
            headers=self._headers(self._operator_token),
            json={"user_id": int(wallet.owner or 0), "asset": OTHER_ASSET},
            read=self._read,
        )

    def sign_up(self, username: str) -> Request:
        body = {"username": username}
        return replace(self._plain("sign-up", "/v1/users", body), text=f"sign up as {username}")

    def tampering(self) -> Sequence[str]:
        return rewriting(self._defences["ledger"])

    def limit(
        self, wallet: WalletRef, *, daily_cap_minor: int | None, overdraft_minor: int | None
    ) -> Request:
        limits = {"daily_cap": daily_cap_minor, "overdraft": overdraft_minor}
        set_minor = {name: minor for name, minor in limits.items() if minor is not None}
        told = ", ".join(f"{name} {_shown(minor)}" for name, minor in set_minor.items())
        return Request(
            name="set-limit",
            text=f"limit the owner of wallet {wallet.id}: {told}",
            method="PUT",
            path=f"/v1/users/{wallet.owner}/limits/{ASSET}",
            headers=self._headers(self._operator_token),
            json={name: self._money(minor) for name, minor in set_minor.items()},
            read=self._read,
        )

    def log_in(self, ask: Ask) -> Request:
        body = {
            "username": f"user-{secrets.token_hex(6)}",
            "password": secrets.token_urlsafe(12),
        }
        self._value(ask, self._plain("sign-up", "/v1/users", body), "id")
        request = self._plain("log-in", "/v1/auth/token", body)
        return replace(request, read=definite)

    def open_wallet_beside(self, ask: Ask, wallet: WalletRef, asset: str) -> WalletRef:
        operator = self._headers(self._operator(ask))
        body = {"user_id": int(wallet.owner or 0), "asset": asset}
        request = self._plain("open-wallet", "/v1/wallets", body, headers=operator)
        return replace(wallet, id=self._value(ask, request, "id"), asset=asset)

    def deposit(self, wallet: WalletRef, amount_minor: int, *, key: str) -> Request:
        return self._movement(
            name="deposit",
            text=f"deposit {_shown(amount_minor)} -> wallet {wallet.id}",
            path=f"/v1/wallets/{wallet.id}/deposits",
            body={"amount": self._money(amount_minor, wallet.asset)},
            token=self._operator_token,
            pin=self._operator_pin,
            key=key,
            moves=(Move(payer=None, payee=wallet.id, amount_minor=amount_minor),),
        )

    def withdraw(self, wallet: WalletRef, amount_minor: int, *, key: str) -> Request:
        return self._movement(
            name="withdrawal",
            text=f"withdraw {_shown(amount_minor)} <- wallet {wallet.id}",
            path=f"/v1/wallets/{wallet.id}/withdrawals",
            body={"amount": self._money(amount_minor, wallet.asset)},
            token=wallet.token,
            pin=wallet.pin,
            key=key,
            moves=(Move(payer=wallet.id, payee=None, amount_minor=amount_minor),),
        )

    def transfer(
        self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, key: str
    ) -> Request:
        return self._movement(
            name="transfer",
            text=f"transfer {_shown(amount_minor)} wallet {payer.id} -> {payee.id}",
            path="/v1/transfers",
            body={
                "from_wallet_id": int(payer.id),
                "to_wallet_id": int(payee.id),
                "amount": self._money(amount_minor, payer.asset),
            },
            token=payer.token,
            pin=payer.pin,
            key=key,
            moves=(Move(payer=payer.id, payee=payee.id, amount_minor=amount_minor),),
        )

    def transfer_of_raw_amount(
        self, payer: WalletRef, payee: WalletRef, amount: str, *, key: str
    ) -> Request:
        wire = amount if self._bare_numbers else f'{{"amount":{amount},"asset":"{ASSET}"}}'
        body = f'{{"from_wallet_id":{payer.id},"to_wallet_id":{payee.id},"amount":{wire}}}'
        return Request(
            name="bad-transfer",
            text=f"transfer of {amount} wallet {payer.id} -> {payee.id}",
            method="POST",
            path="/v1/transfers",
            headers={**self._headers(payer.token, payer.pin), "Idempotency-Key": key},
            content=body.encode(),
            key=key,
            read=definite,
        )

    def chain(self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, key: str) -> Request:
        paid, got = (self._money(amount_minor, side.asset) for side in (payer, payee))
        return self._movement(
            name="chain",
            text=f"as one: {_shown(amount_minor)} out of wallet {payer.id}, into {payee.id}",
            path="/v1/chains",
            body={
                "movements": [
                    {"type": "WITHDRAWAL", "wallet_id": int(payer.id), "amount": paid},
                    {"type": "DEPOSIT", "wallet_id": int(payee.id), "amount": got},
                ]
            },
            token=payer.token,
            pin=payer.pin,
            key=key,
            moves=(
                Move(payer=payer.id, payee=None, amount_minor=amount_minor),
                Move(payer=None, payee=payee.id, amount_minor=amount_minor),
            ),
        )

    def grant(self, wallet: WalletRef, amount_minor: int, campaign: str, *, key: str) -> Request:
        return self._settling(
            f"campaign {campaign} for user {wallet.owner}",
            name="bonus",
            text=f"bonus {_shown(amount_minor)} of {campaign} -> wallet {wallet.id}",
            path=f"/v1/wallets/{wallet.id}/bonuses",
            body={"amount": self._money(amount_minor, wallet.asset), "campaign": campaign},
            key=key,
            move=Move(payer=None, payee=wallet.id, amount_minor=amount_minor),
        )

    def reverse(
        self,
        movement_id: str,
        payer: WalletRef,
        payee: WalletRef,
        amount_minor: int,
        *,
        key: str,
    ) -> Request:
        return self._settling(
            f"movement {movement_id}",
            name="reversal",
            text=f"reverse {_shown(amount_minor)} wallet {payer.id} -> {payee.id}",
            path=f"/v1/transfers/{movement_id}/reversals",
            body=None,
            key=key,
            move=Move(payer=payee.id, payee=payer.id, amount_minor=amount_minor),
        )

    def hold(self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, key: str) -> Request:
        return self._movement(
            name="hold",
            text=f"hold {_shown(amount_minor)} of wallet {payer.id} for {payee.id}",
            path="/v1/holds",
            body={
                "from_wallet_id": int(payer.id),
                "to_wallet_id": int(payee.id),
                "amount": self._money(amount_minor, payer.asset),
            },
            token=payer.token,
            pin=payer.pin,
            key=key,
            moves=(Move(payer=payer.id, payee=None, amount_minor=amount_minor),),
        )

    def capture(self, hold_id: str, payee: WalletRef, amount_minor: int, *, key: str) -> Request:
        return self._settling(
            f"hold {hold_id}",
            name="capture",
            text=f"capture {_shown(amount_minor)} for wallet {payee.id}",
            path=f"/v1/holds/{hold_id}/capture",
            body=None,
            key=key,
            move=Move(payer=None, payee=payee.id, amount_minor=amount_minor),
        )

    def release(self, hold_id: str, payer: WalletRef, amount_minor: int, *, key: str) -> Request:
        return self._settling(
            f"hold {hold_id}",
            name="release",
            text=f"release {_shown(amount_minor)} to wallet {payer.id}",
            path=f"/v1/holds/{hold_id}/release",
            body=None,
            key=key,
            move=Move(payer=None, payee=payer.id, amount_minor=amount_minor),
        )

    def read_balance(self, wallet: WalletRef) -> Request:
        return Request(
            name="read-balance",
            text=f"read wallet {wallet.id}",
            method="GET",
            path=f"/v1/wallets/{wallet.id}",
            headers=self._headers(self._operator_token),
            read=lambda response: self._balances(response, one=True),
        )

    def read_balances(self, wallets: Sequence[WalletRef]) -> Request:
        ids = [int(wallet.id) for wallet in wallets]
        return Request(
            name="read-balances",
            text=f"read wallets {', '.join(map(str, ids))} together",
            method="POST",
            path="/v1/wallets/balances",
            headers=self._headers(self._operator_token),
            json={"wallet_ids": ids},
            read=lambda response: self._balances(response, one=False),
        )

    def set_status(self, wallet: WalletRef, status: str) -> Request:
        return Request(
            name="set-status",
            text=f"set wallet {wallet.id} {status}",
            method="PATCH",
            path=f"/v1/wallets/{wallet.id}",
            headers=self._headers(self._operator_token),
            json={"status": status},
            read=lambda response: self._read_with(response, status={wallet.id: status}),
        )

    def keyed(self, request: Request, key: str | None) -> Request:
        return keyed(request, key)

    def fate_of(self, request: Request) -> Request:
        return fate_of(request)

    def lock_wallet(self, wallet: WalletRef) -> tuple[str, Sequence[Any]]:
        return "SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (int(wallet.id),)

    def lock_all_wallets(self) -> tuple[str, Sequence[Any]]:
        return "LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE", ()

    def describe(self) -> Request:
        return Request(
            name="describe",
            text="ask which build it is",
            method="GET",
            path="/v1/meta",
            read=definite,
        )

    def read_truth(self, connection: psycopg2.extensions.connection) -> GroundTruth:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        try:
            kept = self._defences["ledger"] != "none"
            return truth_in(
                connection, self._minor, keeps_escrow=self._keeps_escrow, records_kept=kept
            )
        finally:
            connection.rollback()

    def truth_queries(self, connection: psycopg2.extensions.connection) -> TruthQueries:
        return engine_queries(connection, self._defences)

    def _operator(self, ask: Ask) -> str | None:
        if self._asks_for_token and self._operator_token is None:
            self._operator_token = self._log_in(ask, "operator", self._operator_password)
            self._operator_pin = self._set_pin(ask, self._operator_token)
        return self._operator_token

    def _log_in(self, ask: Ask, username: str, password: str) -> str:
        body = {"username": username, "password": password}
        request = self._plain("log-in", "/v1/auth/token", body)
        return self._value(ask, request, "access_token")

    def _set_pin(self, ask: Ask, token: str) -> str | None:
        """Whoever pays has to have one where the build asks for it. Raises TargetError."""
        if not self._asks_for_pin:
            return None
        pin = f"{secrets.randbelow(10_000):04d}"
        request = Request(
            name="set-pin",
            text="set-pin",
            method="PUT",
            path="/v1/users/me/pin",
            headers=self._headers(token),
            json={"pin": pin},
            read=self._read,
        )
        reply = ask(request)
        if reply.outcome != "ok":
            raise TargetError(f"set-pin: the service answered {reply.answer}")
        return pin

    def _value(self, ask: Ask, request: Request, name: str) -> str:
        reply = ask(request)
        if reply.outcome != "ok" or name not in reply.values:
            raise TargetError(f"{request.text}: the service answered {reply.answer}")
        return str(reply.values[name])

    def _plain(
        self, name: str, path: str, body: Any, *, headers: Mapping[str, str] | None = None
    ) -> Request:
        return Request(
            name=name,
            text=name,
            method="POST",
            path=path,
            headers=headers or {},
            json=body,
            read=self._read,
        )

    def _movement(  # noqa: PLR0913 - what a movement's request is made of
        self,
        *,
        name: str,
        text: str,
        path: str,
        body: Any,
        token: str | None,
        pin: str | None,
        key: str,
        moves: tuple[Move, ...],
    ) -> Request:
        return Request(
            name=name,
            text=text,
            method="POST",
            path=path,
            headers={**self._headers(token, pin), "Idempotency-Key": key},
            json=body,
            moves=moves,
            key=key,
            read=self._read,
        )

    def _headers(self, token: str | None, pin: str | None = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return headers | ({"X-Pin": pin} if pin else {})

    def _settling(  # noqa: PLR0913 - as `_movement`
        self, what: str, *, name: str, text: str, path: str, body: Any, key: str, move: Move
    ) -> Request:
        """Does what may be done once: its reply's values name it as "settles"."""
        request = self._movement(
            name=name,
            text=text,
            path=path,
            body=body,
            token=self._operator_token,
            pin=self._operator_pin,
            key=key,
            moves=(move,),
        )
        return replace(request, read=lambda response: self._read_with(response, settles=what))

    def _read(self, response: httpx.Response) -> Reply:
        reply = definite(response)
        body = response.json() if response.content else {}
        values = {k: body[k] for k in ("id", "access_token") if k in body} | advice_of(body)
        # Replays are compared by this.
        values["body"] = json.dumps(body, sort_keys=True)
        if response.status_code == 503 and body.get("type", "").endswith(":unavailable"):
            # The engine promises that nothing was committed.
            return Reply(outcome="failed", answer="503 nothing committed", values=values)
        replayed = " replayed" if response.headers.get("Idempotent-Replayed") else ""
        return Reply(outcome=reply.outcome, answer=reply.answer + replayed, values=values)

    def _read_with(self, response: httpx.Response, **values: Any) -> Reply:
        reply = self._read(response)
        return replace(reply, values={**reply.values, **values})

    def _balances(self, response: httpx.Response, *, one: bool) -> Reply:
        reply = definite(response)
        if reply.outcome != "ok":
            return reply
        body = response.json()
        wallets = [body] if one else body["wallets"]
        balances = {str(w["id"]): self._wire_minor(w["balance"]) for w in wallets}
        shown = ", ".join(f"{wallet}: {_shown(minor)}" for wallet, minor in balances.items())
        return Reply(outcome="ok", answer=f"200 {shown}", values={"balances": balances})


def _shown(amount_minor: int | str) -> str:
    return amount_minor if isinstance(amount_minor, str) else f"{amount_minor / 100:.2f}"
