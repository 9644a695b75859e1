"""Why the engine refuses, as plain values; the API turns them into answers.

A refusal is definite: nothing happened and nothing will. It is worth another try where its problem
is `retriable`. OUTCOME_UNKNOWN is the exception: there only the idempotency key can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One kind of refusal: its stable name, HTTP status, title, and what a client may do then."""

    name: str
    status: int
    title: str
    retriable: bool = False
    retry_with_same_key: bool = False
    stored_under_key: bool = False
    """Whether this refusal is a final answer, repeated to whoever repeats the key."""


def _final(name: str, status: int, title: str) -> Problem:
    return Problem(name=name, status=status, title=title, stored_under_key=True)


def _passing(name: str, status: int, title: str) -> Problem:
    return Problem(name=name, status=status, title=title, retriable=True, retry_with_same_key=True)


MALFORMED_BODY = Problem(name="malformed-body", status=400, title="The body is not JSON")
KEY_MISSING = Problem(name="idempotency-key-missing", status=400, title="Idempotency-Key required")
KEY_MALFORMED = Problem(
    name="idempotency-key-malformed", status=400, title="Idempotency-Key is malformed"
)
UNAUTHENTICATED = Problem(name="unauthenticated", status=401, title="Not authenticated")
PIN_REQUIRED = Problem(name="pin-required", status=403, title="A PIN is required")
PIN_NOT_SET = Problem(name="pin-not-set", status=403, title="No PIN is set")
PIN_WRONG = Problem(name="pin-wrong", status=403, title="The PIN is wrong")
PIN_MALFORMED = Problem(name="pin-malformed", status=422, title="The PIN is malformed")
PIN_LOCKED = Problem(name="pin-locked", status=423, title="The PIN is locked")
INSUFFICIENT_FUNDS = _final("insufficient-funds", 402, "Insufficient funds")
OVERDRAFT_LIMIT = _final("overdraft-limit", 402, "The joint overdraft limit would be passed")
DAILY_LIMIT = _final("daily-limit", 402, "The daily limit would be passed")
FORBIDDEN = _final("forbidden", 403, "Not allowed")
NOT_FOUND = _final("not-found", 404, "Not found")
METHOD_NOT_ALLOWED = Problem(name="method-not-allowed", status=405, title="Method not allowed")
WALLET_INACTIVE = _final("wallet-inactive", 409, "Wallet is not active")
OVERDRAWN = Problem(name="overdrawn", status=409, title="A wallet is overdrawn")
WALLET_NOT_EMPTY = Problem(name="wallet-not-empty", status=409, title="Wallet is not empty")
ALREADY_REVERSED = _final("already-reversed", 409, "Already reversed")
NOT_REVERSIBLE = _final("not-reversible", 409, "This kind of movement cannot be reversed")
HOLD_SETTLED = _final("hold-settled", 409, "The hold was captured or released")
ALREADY_GRANTED = _final("already-granted", 409, "Already granted")
ALREADY_EXISTS = Problem(name="already-exists", status=409, title="Already exists")
KEY_IN_FLIGHT = _passing("idempotency-key-in-flight", 409, "The same request is being processed")
VERSION_CONFLICT = _passing("version-conflict", 409, "The wallet changed meanwhile")
CHANGED_MEANWHILE = Problem(
    name="precondition-failed", status=412, title="It is no longer what was read"
)
TOO_LARGE = Problem(name="body-too-large", status=413, title="The body is too large")
NOT_JSON = Problem(name="unsupported-media-type", status=415, title="Send application/json")
NOT_CSV = Problem(name="csv-expected", status=415, title="Send text/csv in UTF-8")
BATCH_RUNNING = _passing("batch-running", 409, "The batch is being paid out")
BATCH_INTERRUPTED = _passing(
    "batch-interrupted", 503, "The batch was interrupted; some rows may be done"
)
BATCH_FROZEN = Problem(name="batch-frozen", status=409, title="The batch has its rows")
BATCH_EMPTY = Problem(name="batch-empty", status=409, title="The batch has no rows yet")
ROWS_INVALID = Problem(name="rows-invalid", status=422, title="The file has lines that are wrong")
ROWS_DOUBLE = Problem(name="rows-double", status=422, title="The file has rows more than once")
ROWS_NOT_PAID = Problem(name="rows-not-paid", status=422, title="These rows were never paid")
INVALID = Problem(name="invalid-request", status=422, title="The request is not valid")
KEY_REUSED = Problem(
    name="idempotency-key-reused", status=422, title="Idempotency-Key reused with another payload"
)
SELF_TRANSFER = Problem(name="self-transfer", status=422, title="Payer and payee are the same")
ASSET_MISMATCH = _final("asset-mismatch", 422, "Wallets hold different assets")
BALANCE_LIMIT = _final("balance-limit", 422, "The balance would pass its limit")
RATE_LIMITED = _passing("rate-limited", 429, "Too many requests")
UNAVAILABLE = _passing("unavailable", 503, "Temporarily unavailable; nothing was committed")
OUTCOME_UNKNOWN = Problem(
    name="outcome-unknown",
    status=504,
    title="The outcome is not known; ask with the same key",
    retry_with_same_key=True,
)
INTERNAL = Problem(name="internal-error", status=500, title="Internal error")

PROBLEMS = {value.name: value for value in list(globals().values()) if isinstance(value, Problem)}


class Refused(Exception):  # noqa: N818 - reads as the sentence "the request was refused"
    """The request ends with this problem; `detail` may be shown to the caller."""

    def __init__(
        self,
        problem: Problem,
        detail: str,
        *,
        field: str | None = None,
        errors: Sequence[dict[str, str]] = (),
        retry_after_s: int = 1,
    ) -> None:
        """`errors`: field and message of each, where more than one thing is wrong."""
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s
        """Told to the client where a retry makes sense."""
        self.errors = list(errors)
