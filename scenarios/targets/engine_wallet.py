"""The adapter of Assay's own wallet engine, in any build."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import psycopg2.extensions

from attacks.history import Move
from attacks.http.request import Reply, Request, definite
from scenarios.targets.engine_holds import read_escrow, read_holds
from scenarios.targets.protocol import Ask, TargetError, WalletRef
from scenarios.truth import Balance, Effect, GroundTruth, Leg

ASSET = "USD"


class EngineWallet:
    """Speaks floats or minor units, with or without tokens, as the build asks."""

    def __init__(self, meta: Mapping[str, Any], operator_password: str) -> None:
        self._floats = meta["defences"]["money"] == "float"
        self._asks_for_token = meta["defences"]["authentication"] != "none"
        self._keeps_escrow = meta["defences"]["funding"] == "system"
        self._operator_password = operator_password
        self._operator_token: str | None = None

    def open_wallet(self, ask: Ask, *, can_pay: bool) -> WalletRef:
        token = None
        username = f"user-{secrets.token_hex(6)}"
        password = secrets.token_urlsafe(12) if can_pay and self._asks_for_token else None
        user = {"username": username, "password": password}
        user_id = self._value(ask, self._plain("sign-up", "/v1/users", user), "id")
        if password:
            token = self._log_in(ask, username, password)
        operator = self._headers(self._operator(ask))
        wallet = {"user_id": int(user_id), "asset": ASSET}
        request = self._plain("open-wallet", "/v1/wallets", wallet, headers=operator)
        return WalletRef(id=self._value(ask, request, "id"), token=token, owner=user_id)

    def open_wallet_beside(self, ask: Ask, wallet: WalletRef, asset: str) -> WalletRef:
        operator = self._headers(self._operator(ask))
        body = {"user_id": int(wallet.owner), "asset": asset}
        request = self._plain("open-wallet", "/v1/wallets", body, headers=operator)
        return replace(wallet, id=self._value(ask, request, "id"), asset=asset)

    def deposit(self, wallet: WalletRef, amount_minor: int, *, key: str) -> Request:
        return self._movement(
            name="deposit",
            text=f"deposit {_shown(amount_minor)} -> wallet {wallet.id}",
            path=f"/v1/wallets/{wallet.id}/deposits",
            body={"amount": self._money(amount_minor, wallet.asset)},
            token=self._operator_token,
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
            key=key,
            moves=(Move(payer=payer.id, payee=payee.id, amount_minor=amount_minor),),
        )

    def transfer_of_raw_amount(
        self, payer: WalletRef, payee: WalletRef, amount: str, *, key: str
    ) -> Request:
        wire = amount if self._floats else f'{{"amount":{amount},"asset":"{ASSET}"}}'
        body = f'{{"from_wallet_id":{payer.id},"to_wallet_id":{payee.id},"amount":{wire}}}'
        return Request(
            name="bad-transfer",
            text=f"transfer of {amount} wallet {payer.id} -> {payee.id}",
            method="POST",
            path="/v1/transfers",
            headers={**self._headers(payer.token), "Idempotency-Key": key},
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

    def lock_wallet(self, wallet: WalletRef) -> tuple[str, Sequence[Any]]:
        return "SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (int(wallet.id),)

    def read_truth(self, connection: psycopg2.extensions.connection) -> GroundTruth:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        try:
            return self._truth(connection)
        finally:
            connection.rollback()

    def _truth(self, connection: psycopg2.extensions.connection) -> GroundTruth:
        rows = _rows(
            connection,
            "SELECT w.id, a.code, w.balance, w.allow_negative, w.status, u.role "
            "FROM wallets w JOIN asset_types a ON a.id = w.asset_type_id "
            "JOIN users u ON u.id = w.user_id ORDER BY w.id",
        )
        system = frozenset(str(row[0]) for row in rows if row[5] in ("system", "escrow"))
        balances = {
            str(wallet): Balance(
                wallet=str(wallet),
                asset=asset,
                amount_minor=self._minor(balance),
                may_be_negative=allow_negative,
                status=status,
            )
            for wallet, asset, balance, allow_negative, status, _ in rows
        }
        effects = tuple(
            Effect(
                id=str(row[0]),
                payer=_outside(row[1], system),
                payee=_outside(row[2], system),
                amount_minor=self._minor(row[3]),
            )
            for row in _rows(
                connection,
                "SELECT id, from_wallet_id, to_wallet_id, amount FROM transactions "
                "WHERE status = 'COMPLETED' ORDER BY timestamp, id",
            )
        )
        return GroundTruth(
            balances=balances,
            effects=effects,
            legs=self._legs(connection),
            system_wallets=system,
            holds=read_holds(connection, self._minor),
            escrow=read_escrow(connection, self._minor) if self._keeps_escrow else None,
        )

    def _legs(self, connection: psycopg2.extensions.connection) -> tuple[Leg, ...] | None:
        if _rows(connection, "SELECT to_regclass('ledger_entries')") == [(None,)]:
            return None
        rows = _rows(
            connection,
            "SELECT transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version "
            "FROM ledger_entries ORDER BY wallet_id, wallet_version, id",
        )
        return tuple(
            Leg(
                effect=str(effect),
                wallet=str(wallet),
                amount_minor=self._minor(amount) * (1 if kind == "CREDIT" else -1),
                balance_after_minor=self._minor(after),
                position=version,
            )
            for effect, wallet, kind, amount, after, version in rows
        )

    def _operator(self, ask: Ask) -> str | None:
        if self._asks_for_token and self._operator_token is None:
            self._operator_token = self._log_in(ask, "operator", self._operator_password)
        return self._operator_token

    def _log_in(self, ask: Ask, username: str, password: str) -> str:
        body = {"username": username, "password": password}
        request = self._plain("log-in", "/v1/auth/token", body)
        return self._value(ask, request, "access_token")

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
        key: str,
        moves: tuple[Move, ...],
    ) -> Request:
        return Request(
            name=name,
            text=text,
            method="POST",
            path=path,
            headers={**self._headers(token), "Idempotency-Key": key},
            json=body,
            moves=moves,
            key=key,
            read=self._read,
        )

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
            key=key,
            moves=(move,),
        )
        return replace(request, read=lambda response: self._read_with(response, settles=what))

    def _headers(self, token: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _money(self, amount_minor: int, asset: str | None = None) -> Any:
        if self._floats:
            return amount_minor / 100
        return {"amount": amount_minor, "asset": asset or ASSET}

    def _minor(self, stored: float) -> Decimal:
        return Decimal(repr(stored)) * 100 if self._floats else Decimal(stored)

    def _read(self, response: httpx.Response) -> Reply:
        reply = definite(response)
        body = response.json() if response.content else {}
        values = {k: body[k] for k in ("id", "access_token") if k in body}
        if response.status_code == 503 and body.get("type", "").endswith(":unavailable"):
            # The engine promises that nothing was committed.
            return Reply(outcome="failed", answer="503 nothing committed", values=values)
        # Replays are compared by this.
        values["body"] = json.dumps(body, sort_keys=True)
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

    def _wire_minor(self, wire: Any) -> int | str:
        """Whole minor units; what is no whole number of them stays as the text that came."""
        if not self._floats:
            return int(wire["amount"])
        minor = Decimal(str(wire)) * 100
        whole = minor.is_finite() and minor == minor.to_integral_value()
        return int(minor) if whole else str(wire)


def _rows(connection: psycopg2.extensions.connection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _outside(wallet: int | None, system: frozenset[str]) -> str | None:
    return None if wallet is None or str(wallet) in system else str(wallet)


def _shown(amount_minor: int | str) -> str:
    return amount_minor if isinstance(amount_minor, str) else f"{amount_minor / 100:.2f}"
