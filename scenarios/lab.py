"""What an attack stands on: a running service, its stores, and ways to reach and to hurt them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from attacks.history import SETUP, History, Operation, Recorder
from attacks.http.gate import release_together
from attacks.http.request import Request
from attacks.http.sender import REQUEST_TIMEOUT_S, Batch, Sender
from attacks.postgres.faults import Fault, killed_after, killed_before, terminated
from attacks.postgres.side_session import SideSession
from attacks.redis.link import Link
from scenarios.ground import Beginning
from scenarios.racing import Explorer
from scenarios.striking import Striker
from scenarios.targets.access import Access
from scenarios.targets.protocol import Target, WalletRef


class AttackFailed(Exception):  # noqa: N818 - the attack failed; nothing is said of the service
    """The attack could not be carried out, so nothing can be said. One clear line."""


class Service(Protocol):
    """The process under attack."""

    @property
    def alive(self) -> bool: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...

    def start(self) -> None: ...

    def log(self, lines: int) -> str:
        """The last lines that it wrote."""


class Restartable(Protocol):
    """A store of ours."""

    @property
    def restartable(self) -> bool: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


class RedisStore(Restartable, Protocol):
    def pause(self) -> None: ...

    def resume(self) -> None: ...


class PostgresStore(Restartable, Protocol):
    def restart(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """A wallet and the words for what it does. Every request has a new key unless one is given."""

    ref: WalletRef
    lab: "Lab"

    @property
    def id(self) -> str:
        return self.ref.id

    def pays(self, payee: "Wallet", amount_minor: int, *, key: str | None = None) -> Request:
        return self.lab.target.transfer(
            self.ref, payee.ref, amount_minor, key=key or self.lab.new_key()
        )

    def pays_raw(self, payee: "Wallet", amount: str, *, key: str | None = None) -> Request:
        return self.lab.target.transfer_of_raw_amount(
            self.ref, payee.ref, amount, key=key or self.lab.new_key()
        )

    def receives(self, amount_minor: int) -> Request:
        return self.lab.target.deposit(self.ref, amount_minor, key=self.lab.new_key())

    def pays_out(self, amount_minor: int, *, key: str | None = None) -> Request:
        return self.lab.target.withdraw(self.ref, amount_minor, key=key or self.lab.new_key())

    def chains(self, payee: "Wallet", amount_minor: int) -> Request:
        return self.lab.target.chain(self.ref, payee.ref, amount_minor, key=self.lab.new_key())

    def read(self) -> Request:
        return self.lab.target.read_balance(self.ref)

    def becomes(self, status: str) -> Request:
        return self.lab.target.set_status(self.ref, status)

    def limits_its_owner(
        self, *, daily_cap_minor: int | None = None, overdraft_minor: int | None = None
    ) -> Request:
        return self.lab.target.limit(
            self.ref, daily_cap_minor=daily_cap_minor, overdraft_minor=overdraft_minor
        )

    def row_lock(self) -> tuple[str, Sequence[Any]]:
        return self.lab.target.lock_wallet(self.ref)


@dataclass(frozen=True, kw_only=True)
class Lab:
    """One service for one scenario: a database of its own, a Redis behind a link."""

    target: Target
    access: Access
    sender: Sender
    senders: tuple[Sender, ...]
    """One for each process of the service; the first is `sender`."""
    recorder: Recorder
    service: Service
    postgres: PostgresStore
    redis: RedisStore
    link: Link
    explorer: Explorer
    striker: Striker
    base_url: str
    database_url: str
    pool_size: int
    """Connections in the service's pool: racing more than these at once only queues them."""
    effort: float
    """Scales the number of rounds; 1 is the usual."""
    random: random.Random

    def rounds(self, usual: int) -> range:
        return range(1, max(1, round(usual * self.effort)) + 1)

    def new_key(self) -> str:
        return f"key-{self.random.getrandbits(64):016x}"

    def wallets(self, *balances_minor: int, round: int | None) -> tuple[Wallet, ...]:  # noqa: A002
        """Wallets of different owners, each with this balance paid in. Raises AttackFailed.

        The owner of an empty wallet is not logged in: there is nothing to pay with.
        """
        opened = tuple(
            Wallet(ref=self.target.open_wallet(self.sender.ask, can_pay=balance > 0), lab=self)
            for balance in balances_minor
        )
        self._may_be_held(opened, round)
        for wallet, balance_minor in zip(opened, balances_minor, strict=True):
            if balance_minor:
                self.must(wallet.receives(balance_minor), round=round)
        return opened

    def beside(self, wallet: Wallet, balance_minor: int, *, round: int) -> Wallet:  # noqa: A002
        """One more wallet of the same owner, with this balance paid in. Raises AttackFailed."""
        other = Wallet(ref=self.target.open_beside(self.sender.ask, wallet.ref), lab=self)
        self._may_be_held([other], round)
        self.must(other.receives(balance_minor), round=round)
        return other

    def _may_be_held(self, wallets: Sequence[Wallet], number: int | None) -> None:
        """Requests of one statement are held back at these rows, or they would not overlap."""
        rows = self.explorer.rows.setdefault(number, [])
        rows += [wallet.row_lock() for wallet in wallets]
        rows += [self.target.locks.owner(wallet.ref) for wallet in wallets]

    def must(self, request: Request, *, round: int | None) -> Operation:  # noqa: A002
        """Send what the attack cannot do without. Raises AttackFailed."""
        operation = self.sender.send(request, actor=SETUP, round=round)
        if operation.outcome != "ok":
            raise AttackFailed(f"{request.text} was answered {operation.answer}")
        return operation

    def release(
        self,
        requests: Sequence[Request],
        *,
        round: int,  # noqa: A002
        deadline_s: float = REQUEST_TIMEOUT_S,
    ) -> Batch:
        """Send all at once, past the explorer: each is held back to its last byte."""
        return release_together(
            self.base_url,
            requests,
            self.recorder,
            round=round,
            protocol="http/1.1",
            deadline_s=deadline_s,
        )

    def explore(self, race: str, *requests: Request, round: int) -> None:  # noqa: A002
        """Race these requests in every order of their statements, from how things are now.

        The wallets of the round have to be set up before. The database is put back afterwards.
        """
        self.explorer.explore(
            race, requests, self._beginning(round), writes=self.target.locks.writes()
        )

    def strike(  # noqa: PLR0913 - what a series is made of
        self,
        what: str,
        request: Request,
        faults: Sequence[Fault],
        *,
        round: int,  # noqa: A002
        at_the_end: Sequence[Fault] = (),
        retry: bool = True,
        beside: Request | None = None,
        around: Sequence[Request] = (),
    ) -> None:
        """Send the request again and again, each time with one fault at one of its statements.

        Every fault strikes at every statement (`at_the_end`: only at the last), each time from how
        things are now. Then the service
        is started again where it died, and the same request is sent once more (`retry`). `beside`
        is another request, which runs to its end right after the fault; `around` are sent one
        after the other, before it and when all is over.
        """
        self.striker.strike(
            what,
            request,
            faults,
            self._beginning(round),
            at_the_end=at_the_end,
            retry=retry,
            beside=beside,
            around=around,
        )

    @property
    def terminated(self) -> Fault:
        return terminated(self.explorer.ground.track.observer.terminate)

    @property
    def kill_before(self) -> Fault:
        return killed_before(self.service.kill)

    @property
    def kill_after(self) -> Fault:
        return killed_after(self.service.kill)

    def _beginning(self, number: int) -> Beginning:
        operations = self.recorder.history().operations
        setup = History(operations=tuple(o for o in operations if o.round == number))
        return Beginning(setup=setup, round=number)

    def side_session(self) -> SideSession:
        return SideSession(self.database_url)
