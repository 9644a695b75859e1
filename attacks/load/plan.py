"""Who may pay whom, with what, and in which words: the file that a load is prepared by.

It holds tokens: it is written for its owner's eyes only.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from attacks.load.requests import Kind, RequestsError, our_document, requests_of

Money = Literal["minor_units", "float"]
ASSET = "USD"


class PlanError(Exception):
    """The wallets cannot be had. One clear line."""


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """What its owner asks with."""

    id: str
    token: str | None = field(default=None, repr=False)
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Whoever may pay money in."""

    token: str | None = field(default=None, repr=False)
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Wallets with money in them already, and how the service is spoken to."""

    money: Money
    seed: int = 0
    wallets: tuple[Wallet, ...]
    merchant: int = 0
    """Whom the customers of one hot wallet pay: an index into the wallets."""
    operator: Operator | None = None
    """None: nobody can pay money in."""
    asset: str = ASSET
    requests: Any = field(default=None, repr=False)
    """The document that describes them; None: Assay's own wallet."""

    def kinds(self) -> Mapping[str, Kind]:
        """Raises RequestsError."""
        return requests_of(our_document() if self.requests is None else self.requests)

    def amount(self, minor: int) -> dict[str, Any]:
        """An amount as requests are filled with it."""
        wire = minor / 100 if self.money == "float" else {"amount": minor, "asset": self.asset}
        return {
            "amount": wire,
            "amount_minor": minor,
            "amount_major": major(minor),
            "asset": self.asset,
        }


def money_of(switch: str) -> Money:
    """How a build of Assay's wallet reads amounts, by its switch `money`."""
    return "minor_units" if switch == "minor_units" else "float"


def major(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def read_plan(path: Path) -> Plan:
    """Raises PlanError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"the plan {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PlanError(f"{path} is not a plan: {error!r}") from error
    return plan_of(document, str(path))


def plan_of(document: Any, source: str) -> Plan:
    """`source` is where the document came from, as one reads it. Raises PlanError."""
    try:
        operator = document.get("operator")
        plan = Plan(
            money=document["money"],
            seed=int(document.get("seed", 0)),
            wallets=tuple(
                Wallet(id=str(wallet["id"]), token=wallet.get("token"), pin=wallet.get("pin"))
                for wallet in document["wallets"]
            ),
            merchant=int(document.get("merchant") or 0),
            operator=operator and Operator(token=operator.get("token"), pin=operator.get("pin")),
            asset=str(document.get("asset", ASSET)),
            requests=document.get("requests"),
        )
        plan.kinds()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{source} is not a plan: {error!r}") from error
    except RequestsError as error:
        raise PlanError(f"{source}: {error}") from error
    if plan.money not in get_args(Money):
        raise PlanError(f"{source}: money is {plan.money!r}, it has to be minor_units or float")
    if len({wallet.id for wallet in plan.wallets}) < max(2, len(plan.wallets)):
        raise PlanError(f"{source}: a plan names two wallets or more, each once")
    if not 0 <= plan.merchant < len(plan.wallets):
        raise PlanError(f"{source}: there is no wallet {plan.merchant} to be the merchant")
    return plan


def document_of(plan: Plan) -> dict[str, Any]:
    """What `plan_of` reads."""
    operator = plan.operator
    return {
        "money": plan.money,
        "seed": plan.seed,
        "wallets": [{"id": w.id, "token": w.token, "pin": w.pin} for w in plan.wallets],
        "merchant": plan.merchant,
        "operator": operator and {"token": operator.token, "pin": operator.pin},
        "asset": plan.asset,
        "requests": plan.requests,
    }


def write_plan(path: Path, plan: Plan) -> None:
    """For this user's eyes only, from its first byte on. Raises OSError."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - by its descriptor
        json.dump(document_of(plan), file)
