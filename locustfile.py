"""Customers who pay each other, look at their balances, and ask again when they heard nothing.

    locust -f locustfile.py --host http://127.0.0.1:8000
    locust -f locustfile.py --host http://127.0.0.1:8000 --headless -u 50 -r 50 -t 60s -s 10 \
           --mix payments --tps 200 --threshold 'tps>=195' --threshold 'p95<50ms'

`assay load` runs this file against an engine of its own and looks for every cent afterwards. The
file only sends and records; it judges nothing but its thresholds. docs/load.md says how to write
the plan of another service, and how to load from several machines.

ASSAY_LOAD_PLAN     a JSON file that names the wallets, each with money in it already, and the
                    requests. Without it, users of Assay's own wallet sign up beforehand.
OPERATOR_PASSWORD   needed for that by builds that ask for a token: only operators pay money in;
OPERATOR_PIN        too, where the operator has set a PIN before.
ASSAY_LOAD_HISTORY  a folder: every operation becomes a line of JSON in its load.jsonl, or of each
                    worker's load.<n>.jsonl.

Importing Locust patches the sockets and threads of the whole process, so nothing else imports this.
A load is bounded: it goes to loopback addresses only unless --allow-remote names the host.
"""

from locust import events, tag, task

from attacks.history import Move
from attacks.load.driving import crew
from attacks.load.driving.customer import Customer, of
from attacks.load.plan import major
from attacks.load.thresholds import plugin

SMALL_MINOR, LARGE_MINOR = 5_00, 50_00
LARGE_SHARE = 0.02
"""Now and then a wallet runs dry: a balance is guarded where it ends."""
REPLAYED_SHARE = 0.05
"""Of the acknowledged payments, so many are sent again: by clients whose answer was lost."""
MOST_REPLAYS = 3
BATCH_ROWS = 5


class Customers(Customer):
    """What more than one kind of customer does."""

    abstract = True

    def some_minor(self) -> int:
        large = self.random.random() < LARGE_SHARE
        return self.random.randint(1, LARGE_MINOR if large else SMALL_MINOR)


class Payments(Customers):
    """Many wallets pay many wallets."""

    mix = "payments"
    needs = ("transfer",)
    weight = 10

    @tag("payments")
    @task
    def pay(self) -> None:
        due_s = self.due_s()
        payer, payee = self.two_wallets()
        minor, key = self.some_minor(), self.traffic.new_key()
        answer = self.transfer(payer, payee, minor, key=key, due_s=due_s)
        done = answer.outcome == "ok"
        if answer.outcome == "unknown" or (done and self.random.random() < REPLAYED_SHARE):
            self.transfer(payer, payee, minor, key=key, again=done)


class HotMerchant(Customers):
    """Everybody pays one wallet, and it pays everybody back."""

    mix = "hot"
    needs = ("transfer",)
    weight = 2

    @tag("hot")
    @task
    def pay_merchant(self) -> None:
        due_s = self.due_s()
        merchant = self.plan.wallets[self.plan.merchant]
        one, other = self.two_wallets()
        customer = other if one.id == merchant.id else one
        back = self.random.random() < 0.25
        payer, payee = (merchant, customer) if back else (customer, merchant)
        key = self.traffic.new_key()
        answer = self.transfer(payer, payee, self.some_minor(), key=key, due_s=due_s)
        if answer.outcome == "unknown":
            # Whoever heard nothing looks whether the money has moved.
            self.send("read-balance", of("wallet", payer), f"read {payer.id}")


class Retries(Customers):
    """Clients who never trust the first answer: the same key again, and again."""

    mix = "retries"
    needs = ("transfer",)
    weight = 2

    @tag("retries")
    @task
    def pay_again_and_again(self) -> None:
        due_s = self.due_s()
        payer, payee = self.two_wallets()
        minor, key = self.some_minor(), self.traffic.new_key()
        answer = self.transfer(payer, payee, minor, key=key, due_s=due_s)
        done = answer.outcome == "ok"
        for _ in range(self.random.randint(1, MOST_REPLAYS)):
            answer = self.transfer(payer, payee, minor, key=key, again=done)
            done = done or answer.outcome == "ok"


class Readers(Customers):
    """Who only look."""

    mix = "readers"
    needs = ("read-balance",)
    weight = 4

    @tag("readers")
    @task(4)
    def look(self) -> None:
        due_s = self.due_s()
        wallet = self.random.choice(self.plan.wallets)
        self.send("read-balance", of("wallet", wallet), f"read {wallet.id}", due_s=due_s)

    @tag("readers")
    @task(1)
    def look_back(self) -> None:
        if "read-history" not in self.traffic.kinds:
            self.look()
            return
        due_s = self.due_s()
        wallet = self.random.choice(self.plan.wallets)
        self.send("read-history", of("wallet", wallet), f"list {wallet.id}", due_s=due_s)


class Cash(Customers):
    """Money comes in and goes out."""

    mix = "cash"
    needs = ("withdrawal",)
    weight = 2

    @tag("cash")
    @task(1)
    def deposit(self) -> None:
        operator = self.plan.operator
        if operator is None or "deposit" not in self.traffic.kinds:
            self.withdraw()
            return
        due_s = self.due_s()
        wallet = self.random.choice(self.plan.wallets)
        minor, key = self.some_minor(), self.traffic.new_key()
        values = {"operator.token": operator.token, "operator.pin": operator.pin, "key": key}
        self.send(
            "deposit",
            {**values, **of("payee", wallet), **self.plan.amount(minor)},
            f"deposit {major(minor)} -> {wallet.id}",
            moves=(Move(payer=None, payee=wallet.id, amount_minor=minor),),
            key=key,
            due_s=due_s,
        )

    @tag("cash")
    @task(1)
    def withdraw(self) -> None:
        due_s = self.due_s()
        wallet = self.random.choice(self.plan.wallets)
        minor, key = self.some_minor(), self.traffic.new_key()
        self.send(
            "withdrawal",
            {**of("payer", wallet), **self.plan.amount(minor), "key": key},
            f"withdraw {major(minor)} <- {wallet.id}",
            moves=(Move(payer=wallet.id, payee=None, amount_minor=minor),),
            key=key,
            due_s=due_s,
        )


class Batches(Customers):
    """Payouts to several at once: set up, a file of rows, then paid out."""

    mix = "batches"
    needs = ("set-up-batch", "upload-batch", "execute-batch")
    weight = 1

    @tag("batches")
    @task
    def pay_out(self) -> None:
        due_s = self.due_s()
        payer, *payees = self.random.sample(
            self.plan.wallets, min(BATCH_ROWS + 1, len(self.plan.wallets))
        )
        key = self.traffic.new_key()
        values = {**of("payer", payer), "key": key}
        text = f"set up a batch of {payer.id}"
        set_up = self.send("set-up-batch", values, text, key=key, due_s=due_s)
        if set_up.outcome != "ok" or "id" not in set_up.values:
            return
        batch = set_up.values["id"]
        rows = [(payee, self.random.randint(1, SMALL_MINOR)) for payee in payees]
        lines = "\n".join(f"{payee.id},{major(minor)}" for payee, minor in rows)
        values = {**of("payer", payer), "batch": batch, "rows": lines}
        text = f"upload {len(rows)} rows of batch {batch}"
        if self.send("upload-batch", values, text).outcome != "ok":
            return
        values = {**of("payer", payer), "batch": batch}
        self.send(
            "execute-batch",
            values,
            f"pay batch {batch} out <- {payer.id}",
            moves=[
                Move(payer=payer.id, payee=payee.id, amount_minor=minor) for payee, minor in rows
            ],
            key=f"batch {batch}",
            look=lambda: self.send("read-batch", values, f"read batch {batch}"),
        )


CREW = crew.install(
    events,
    (Payments, HotMerchant, Retries, Readers, Cash, Batches),
    plugin.install(events),
)
