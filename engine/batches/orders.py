"""A row of a batch as an order to the one use case that moves money."""

from engine.idempotency import KeyedRequest
from engine.identity import Principal
from engine.payments import MarkOf, Order
from engine.refusals import OUTCOME_UNKNOWN, Problem, Refused
from engine.schema import Amount
from engine.wallets import Answer, Movement


def row_order(  # noqa: PLR0913 - what a transfer is made of
    principal: Principal,
    *,
    payer: int,
    payee: int,
    amount: Amount,
    name: str,
    mark: MarkOf | None,
) -> Order:
    """A transfer whose answer has its id; `name` is recorded with it in the key's place."""
    movement = Movement(
        kind="TRANSFER", from_wallet_id=payer, to_wallet_id=payee, amount=amount, asset=None
    )
    return Order(
        principal=principal,
        request=KeyedRequest(scope="", key=name, fingerprint=""),
        movements=(movement,),
        present=lambda postings, _: {"id": str(postings[0].id)},
        present_refusal=lambda refusal: Answer(status=refusal.problem.status, body={}),
        mark=mark,
    )


def is_final(problem: Problem) -> bool:
    """Whether it makes no sense to try the row again."""
    return problem.status < 500 and not problem.retriable and problem is not OUTCOME_UNKNOWN


def reason_of(refusal: Refused) -> str:
    return f"{refusal.problem.name}: {refusal.detail}"
