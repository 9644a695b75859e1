"""The document of a price list: what `price.json` holds, and nothing that needs a database.

Version 1. Times are milliseconds, throughput is good answers a second, CPU is milliseconds of
processor time for one good answer. A ratio is the side with the defence over the side without it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from reports.quiet import is_busy

VERSION = 1


SURE = 0.99
"""How sure a figure has to be. A list has about a hundred: one of them may be wrong by chance."""


class PriceError(Exception):
    """A file that holds no price list. One clear line."""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Document):
    """A median and how sure it is."""

    middle: float
    low: float
    """This and the next bound the true median with probability `sure`."""
    high: float
    lowest: float
    highest: float
    sure: float
    values: tuple[float, ...]

    def differs_from(self, nothing: float) -> bool:
        """Whether it is sure that it is not this. Never with fewer than eight values."""
        return self.sure >= SURE and not self.low <= nothing <= self.high


class Side(Document):
    """One of the two builds."""

    build: str
    good: int
    """Good answers that counted."""
    per_s: Spread
    p50_ms: Spread
    p99_ms: Spread
    engine_cpu_ms: Spread
    postgres_cpu_ms: Spread | None = None
    """None where the server is not on this machine."""
    driver_cpu_ms: Spread | None = None
    """Of the load generator: where it comes near the engine's, it is what was measured."""


class Price(Document):
    """What one switch costs."""

    name: str
    switch: str
    on: str
    off: str
    variant: bool
    """Whether both values are safe, so that it is a matter of speed only."""
    workload: str
    shown: str
    """Which requests' latencies these are."""
    why: str = ""
    status: Literal["measured", "not measurable", "unknown"]
    words: str
    """The price as one sentence, or why there is none."""
    on_side: Side | None = None
    off_side: Side | None = None
    throughput: Spread | None = None
    p50: Spread | None = None
    p99: Spread | None = None
    p50_more_ms: Spread | None = None
    p99_more_ms: Spread | None = None
    engine_cpu: Spread | None = None
    postgres_cpu: Spread | None = None
    cpu_more_ms: Spread | None = None
    """Of both together, for one good answer."""


class Strategy(Document):
    """One way of locking under one load."""

    locking: str
    kind: Literal["pessimistic", "optimistic", "one statement"]
    wallets: int
    build: str
    per_s: Spread
    to_row: Spread | None
    """Throughput over that of `row` in the same round."""
    conflicts: float
    """Refused with 409 or 503, of each 100 requests of writers."""
    rolled_back: float | None
    """Database transactions that came to nothing, for each 100 payments; without those of readers,
    who write nothing."""
    writer_p50_ms: Spread
    writer_p99_ms: Spread
    reader_p50_ms: Spread
    reader_p99_ms: Spread


class Locking(Document):
    """Strategies side by side."""

    writers: int
    readers: int
    both: str
    """What all builds have beside `hardened`, and why."""
    strategies: tuple[Strategy, ...]
    failed: tuple[str, ...] = ()
    says: tuple[str, ...]
    """When optimistic wins and when pessimistic does."""


class Machine(Document):
    cores: int
    processor: str
    python: str
    postgres: str
    redis: str
    load_before: float
    """Processes that wanted to run in the minute before."""

    @property
    def busy(self) -> bool:
        """Whether others were at work on it already, so that little can be measured."""
        return is_busy(self.load_before, self.cores)


class PriceList(Document):
    """The whole document."""

    version: Literal[1] = 1
    command: str
    began: str
    lasted_s: float
    commit: str | None
    machine: Machine
    stores: str
    clients: int
    pairs: int
    slot_s: float
    seed: int
    prices: tuple[Price, ...]
    not_priced: dict[str, str]
    status: Literal["running", "complete", "interrupted"] = "complete"
    """Whether all is here that was asked for."""
    locking: Locking | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be measured at all."""
        failed = self.locking.failed if self.locking else ()
        return (*(p.name for p in self.prices if p.status == "unknown"), *failed)


def read_price_list(text: str) -> PriceList:
    """Raises PriceError."""
    try:
        return PriceList.model_validate_json(text)
    except ValueError as error:
        raise PriceError(f"this is no price list of version {VERSION}: {error}") from error
