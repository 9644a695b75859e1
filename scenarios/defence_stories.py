"""What each defence prevents, by which technique, and how it shows in SQL: for `explain` and docs.

What the fragile and the hardened code do stands with the switch itself, and which claims prove it
follows from their needs: neither is repeated here.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Story:
    """What only a person can say about a defence."""

    vulnerability: str
    """Its name, in a few words."""
    prevents: str
    """What goes wrong, in one sentence or two."""
    technique: str
    """What it is known as, and who has written it down where somebody has."""
    in_sql: str
    """What somebody who watches the statements sees of it."""


STORIES: Mapping[str, Story] = {
    "locking": Story(
        vulnerability="lost update, double spend",
        prevents="Two payments read the same balance, both find enough, and the second writes over "
        "the first: the money is paid out twice, and one of the two leaves no trace.",
        technique="Pessimistic row locks, optimistic version numbers (Kung and Robinson, 1981), "
        "conditional updates, advisory locks, or serializable snapshot isolation (Cahill, 2008).",
        in_sql="SELECT … FOR NO KEY UPDATE before the balance is looked at, an UPDATE that says "
        "WHERE version = what was read, or BEGIN ISOLATION LEVEL SERIALIZABLE; without it a plain "
        "SELECT and an UPDATE that writes an absolute balance.",
    ),
    "lock_order": Story(
        vulnerability="deadlock",
        prevents="Two wallets pay each other; each request holds what the other one waits for, "
        "and PostgreSQL has to end one of them.",
        technique="A global order of lock acquisition (Havender, 1968).",
        in_sql="One SELECT … WHERE id IN (…) ORDER BY id FOR NO KEY UPDATE; without it a SELECT a "
        "wallet, payer first.",
    ),
    "retry": Story(
        vulnerability="lost update after a retry, double execution, needless failure",
        prevents="A deadlock or a serialisation failure, which means no more than try again, "
        "reaches the client as an error, is tried again with values that are old by now, or is "
        "tried again although it was committed.",
        technique="Bounded retry of the whole unit of work with exponential backoff and full "
        "jitter (Brooker, 2015).",
        in_sql="After 40001 or 40P01 a ROLLBACK and a new BEGIN that reads everything anew, at "
        "most five times, and none once COMMIT was sent; without it the error, an UPDATE without "
        "a new SELECT, or a second BEGIN after a COMMIT that may have been done.",
    ),
    "unit_of_work": Story(
        vulnerability="partial commit, acknowledged but rolled back",
        prevents="The service dies, or a write fails, between the debit and the credit: money has "
        "left one wallet and reached no other, or is acknowledged and was never committed.",
        technique="Atomicity: one database transaction a request (Haerder and Reuter, 1983).",
        in_sql="One BEGIN and one COMMIT around all writes of a request; without it a COMMIT after "
        "each step or movement, or a COMMIT that PostgreSQL answers with ROLLBACK.",
    ),
    "reads": Story(
        vulnerability="read skew",
        prevents="A report over several wallets is read while money moves between them, and shows "
        "a total that never existed.",
        technique="One snapshot for one answer (read skew, A5A: Berenson et al., 1995).",
        in_sql="One SELECT … WHERE id IN (…), or REPEATABLE READ around several; without it a "
        "SELECT a wallet, each with a snapshot of its own.",
    ),
    "idempotency": Story(
        vulnerability="double execution of a repeated request",
        prevents="An answer is lost, the client asks again, and the money moves twice.",
        technique="An idempotency key that is stored with its effect (Helland, 2007; the IETF "
        "draft on the Idempotency-Key header).",
        in_sql="INSERT INTO idempotency_keys … ON CONFLICT DO NOTHING RETURNING key, and an UPDATE "
        "that stores the answer, in the database transaction of the money; without it no such "
        "statement.",
    ),
    "key_fingerprint": Story(
        vulnerability="key reuse with another payload",
        prevents="A key that is used again for another payment gets the first one's answer: the "
        "client believes that it has paid.",
        technique="A hash of the request beside its key.",
        in_sql="The fingerprint that SELECT … FROM idempotency_keys brings back is compared before "
        "the stored answer is given out.",
    ),
    "key_scope": Story(
        vulnerability="another caller's answer is returned",
        prevents="Two clients that happen to choose the same key get each other's answers.",
        technique="Keys in the name space of caller, method and path.",
        in_sql="The column scope of idempotency_keys, part of its primary key, names the caller "
        "and the route; without it it is empty.",
    ),
    "key_in_flight": Story(
        vulnerability="server error for a concurrent twin",
        prevents="The same request arrives a second time before the first is done, and the unique "
        "key turns it into a server error.",
        technique="A non-blocking lock on the key, or a wait for its owner.",
        in_sql="SELECT pg_try_advisory_xact_lock(…) on a hash of the key, or an INSERT … ON "
        "CONFLICT that waits for the twin; without it a SELECT, then an INSERT that fails with "
        "23505.",
    ),
    "key_failures": Story(
        vulnerability="a repeated refusal becomes a payment",
        prevents="A payment is refused, its retry is decided again when the balance has changed, "
        "and goes through: one key has two answers.",
        technique="Definite refusals are answers, too, and are stored as such.",
        in_sql="An UPDATE of idempotency_keys with the refusal, and COMMIT; without it ROLLBACK.",
    ),
    "replay_cache": Story(
        vulnerability="cache key confusion",
        prevents="Replays are answered from Redis by the bare key, to whoever sends it and "
        "whatever they ask.",
        technique="The cache key holds everything that the answer depends on.",
        in_sql="None: a replay is answered by one GET in Redis and reaches no database.",
    ),
    "money": Story(
        vulnerability="rounding drift, precision loss, overflow",
        prevents="0.10 + 0.20 is not 0.30 in binary fractions: cents appear and vanish by "
        "rounding.",
        technique="Integers in minor units (Fowler's Money, 2002).",
        in_sql="Balances and amounts are BIGINT; without it DOUBLE PRECISION.",
    ),
    "validation": Story(
        vulnerability="negative amounts, NaN, self-transfer",
        prevents="A negative amount pulls money out of the payee; NaN compares with nothing and "
        "poisons every sum; a new wallet's body names its balance.",
        technique="An allow-list of fields, and of what an amount is, at the border.",
        in_sql="None: what is no amount never reaches a statement.",
    ),
    "constraints": Story(
        vulnerability="check then act without a last word",
        prevents="One forgotten check anywhere in the code, and the books hold a negative "
        "balance, a second key, or a record of nobody's.",
        technique="Defence in depth: the rules stand in the schema as well.",
        in_sql="CHECK, UNIQUE and FOREIGN KEY on the tables: 23514, 23505 and 23503 instead of a "
        "wrong row.",
    ),
    "ledger": Story(
        vulnerability="balances that nothing proves",
        prevents="A balance is wrong, and nothing that is stored can prove it or say since when.",
        technique="Double-entry bookkeeping (Pacioli, 1494), and hashes that chain the entries of "
        "a wallet (Haber and Stornetta, 1991), so that who rewrites one past all triggers, and the "
        "balance with it, has to rewrite all that follow.",
        in_sql="INSERT INTO ledger_entries: a debit and a credit with the balance after each, in "
        "the statement that moves the money; chained, a trigger adds a row of ledger_hashes to "
        "each; without it one row in transactions, or an UPDATE of wallets and nothing else.",
    ),
    "authentication": Story(
        vulnerability="forged and stolen tokens",
        prevents="Anybody is whoever they say they are.",
        technique="Signed tokens with a pinned algorithm and an expiry (RFC 7519, RFC 8725).",
        in_sql="None: who cannot prove a name gets 401 before the first statement.",
    ),
    "authorization": Story(
        vulnerability="broken object and function level authorization",
        prevents="Whoever knows the number of a wallet can pay from it.",
        technique="Ownership is looked up, never believed (broken object-level authorization, "
        "OWASP API1:2023).",
        in_sql="user_id comes along with the locked wallet and is compared with the token; without "
        "it nobody looks at it.",
    ),
    "pin": Story(
        vulnerability="guessing a PIN, also many guesses at once",
        prevents="A stolen token is enough to pay, or ten thousand guesses are.",
        technique="A second factor with a counter that survives the refusal.",
        in_sql="An UPDATE that raises pin_failures and a COMMIT of its own before the comparison.",
    ),
    "rate_limit": Story(
        vulnerability="brute force, bursts at a window's edge",
        prevents="One client takes all there is, or guesses as fast as the wire allows.",
        technique="A sliding window, counted by one atomic script.",
        in_sql="None: one script in Redis, or a bucket in the process where Redis is away.",
    ),
    "balance_cache": Story(
        vulnerability="stale reads",
        prevents="A reader puts the old balance back into the cache between its deletion and the "
        "commit; there it stays for its time to live.",
        technique="Write after commit, only forwards in versions, and a new generation of keys "
        "after an outage.",
        in_sql="The commands to Redis come after COMMIT; without it DEL comes before COMMIT.",
    ),
    "redis_policy": Story(
        vulnerability="an outage that spreads",
        prevents="A cache that hangs makes every payment hang; one that is gone makes it fail.",
        technique="Time-outs and a circuit breaker (Nygard, 2007).",
        in_sql="None: the statements are the same with and without Redis.",
    ),
    "timeouts": Story(
        vulnerability="waits without end, time-outs taken for failures",
        prevents="One stuck session holds a row, everybody else waits for it, and nobody is ever "
        "told.",
        technique="A bound on every wait.",
        in_sql="lock_timeout, statement_timeout and idle_in_transaction_session_timeout on each "
        "connection; without it a SELECT … FOR UPDATE waits as long as it takes.",
    ),
    "session_scope": Story(
        vulnerability="connection pool exhaustion",
        prevents="Connections are held by requests that wait for one: the pool is empty although "
        "nobody works; and what fails in the teardown has been acknowledged by then.",
        technique="Take late, give back early.",
        in_sql="COMMIT and the return of the connection come before the answer; without it after.",
    ),
    "limit_lock": Story(
        vulnerability="write skew, phantoms",
        prevents="A limit over several wallets is summed while another of them pays: each payment "
        "is within the limit, both together are not.",
        technique="A lock on what the limit belongs to (write skew, A5B: Berenson et al., 1995).",
        in_sql="The owner's row is locked before the sum is read; without it the payer's only.",
    ),
    "batch": Story(
        vulnerability="a batch paid twice or in part",
        prevents="A payout of a thousand rows dies at row 500, is started again, and pays the "
        "first 500 twice.",
        technique="Frozen input, and a row's state in the database transaction of its transfer.",
        in_sql="An UPDATE of batch_rows between the BEGIN and the COMMIT of each row's transfer.",
    ),
    "compensation": Story(
        vulnerability="a row paid back twice",
        prevents="A batch is taken back twice, because each call pays it back anew.",
        technique="A compensating transaction that names what it takes back, once (Garcia-Molina "
        "and Salem, 1987).",
        in_sql="A UNIQUE on what a reversal reverses.",
    ),
    "durability": Story(
        vulnerability="acknowledged payments lost with the server",
        prevents="A payment is acknowledged, the database's machine loses power, and the payment "
        "is gone.",
        technique="Write-ahead logging that is waited for (Mohan et al., 1992).",
        in_sql="COMMIT returns after the log is on disk; without it SET synchronous_commit = off.",
    ),
    "funding": Story(
        vulnerability="money from nowhere",
        prevents="Deposits come from nowhere, so that no sum over the books proves anything.",
        technique="Every movement has two sides: the outside world is an account, too.",
        in_sql="A deposit also writes the system wallet's row; without it the payee's only.",
    ),
    "errors": Story(
        vulnerability="leaks, errors that nobody can act on",
        prevents="An answer that says neither whether money moved nor whether to try again, and "
        "shows the text of an exception.",
        technique="Problem details for HTTP APIs (RFC 9457).",
        in_sql="None: it is what the client is told that differs.",
    ),
}
