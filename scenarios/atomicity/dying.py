"""How the atomicity claims make a service die in the middle of its work, without luck."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from attacks.history import Operation
from attacks.http.request import Request
from attacks.postgres.side_session import SideSession
from attacks.process import kill, start
from scenarios.lab import AttackFailed, Lab, Wallet

Death = Literal["kill", "cut"]
NOT_WAITING = "not-waiting"
"""Event: the service never came to wait for the lock, so the fault had no moment to strike at."""


def die_while_waiting(
    lab: Lab, request: Request, payee: Wallet, death: Death, *, number: int
) -> None:
    """Lock the payee's row from the side, send the request, and strike when it is seen waiting.

    `kill` is SIGKILL of the service, which is then started again; `cut` ends its database session.
    """
    with lab.side_session() as side:
        sql, parameters = payee.row_lock()
        side.hold(sql, parameters)
        pending = lab.sender.background(request, round=number)
        waiter = side.wait_for_waiter()
        if waiter is None:
            lab.recorder.event(NOT_WAITING, "nothing came to wait for the payee", round=number)
        else:
            lab.recorder.event(
                "waiting", f"the service waits for wallet {payee.id}, which is locked", round=number
            )
            _strike(lab, side, waiter, death, number)
        side.release()
        _await(pending)
    if not lab.service.alive:
        start(lab.recorder, lab.service, "the service", round=number)


def _strike(lab: Lab, side: SideSession, waiter: int, death: Death, number: int) -> None:
    strikes: dict[Death, Callable[[], None]] = {
        "kill": lambda: kill(lab.recorder, lab.service, "the service", round=number),
        "cut": lambda: _cut(lab, side, waiter, number),
    }
    strikes[death]()


def _cut(lab: Lab, side: SideSession, waiter: int, number: int) -> None:
    side.end_session(waiter)
    lab.recorder.event("cut", "the service's database session is cut", round=number)


def _await(pending: "Future[Operation]") -> None:
    try:
        pending.result(timeout=15)
    except TimeoutError as error:
        raise AttackFailed("a request did not end within 15 s of its fault") from error
