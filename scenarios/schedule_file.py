"""A violated schedule as a small JSON file, which `assay replay` forces again."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attacks.http.sender import actor_name
from attacks.postgres.explorer.exploring import Tried
from attacks.postgres.explorer.signature import Line, signature

SCHEDULE_VERSION: Literal["1"] = "1"
TARGET = "Assay wallet engine"


class ScheduleError(Exception):
    """One clear line: why this file cannot be replayed."""


class ScheduleFile(BaseModel):
    """Everything that is needed to reach the same state and force the same order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    assay_schedule: Literal["1"]
    """The version of this format."""
    target: str
    build: str
    claim: str
    race: str
    seed: int
    requests: tuple[str, ...]
    order: tuple[int, ...] = Field(min_length=1)
    """Which request goes next, counted from 0, at each choice. Others are not sent."""
    held: int | None = None
    """The number of the lock, among those of the race, that was held until all had come."""
    violated: tuple[str, ...]
    """The invariants that did not hold."""
    trace: tuple[Line, ...]
    """Session, SQL, parameters, answer and rows of each step; ids and times masked."""


def schedule_of(tried: Tried, *, build: str, claim: str, race: str, seed: int) -> ScheduleFile:
    outcome = tried.verdict
    return ScheduleFile(
        assay_schedule=SCHEDULE_VERSION,
        target=TARGET,
        build=build,
        claim=claim,
        race=race,
        seed=seed,
        requests=tuple(f"{o.actor}: {o.text}" for o in outcome.operations),
        order=tried.run.order,
        held=tried.held,
        violated=tuple(dict.fromkeys(finding.invariant for finding in outcome.findings)),
        trace=signature(tried.run),
    )


def order_in_words(order: tuple[int, ...]) -> str:
    """AABBAB."""
    return "".join(actor_name(racer) for racer in order)


def read_schedule(path: Path) -> ScheduleFile:
    """Raises ScheduleError with the reason: unreadable, another version, another service."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ScheduleError(f"{path} cannot be read: {reason}") from error
    try:
        schedule = ScheduleFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if where == "assay_schedule":
            raise ScheduleError(
                f"{path} was written by another version of Assay (this one reads version"
                f" {SCHEDULE_VERSION}): run the claim again to get a new one"
            ) from error
        detail = f"{where}: {first['msg']}" if where else first["msg"]
        raise ScheduleError(f"{path} is no schedule of Assay: {detail}") from error
    if schedule.target != TARGET:
        raise ScheduleError(
            f"{path} belongs to another service ({schedule.target}); this is {TARGET}"
        )
    known = {request.split(":")[0] for request in schedule.requests}
    if not all(racer >= 0 and actor_name(racer) in known for racer in schedule.order):
        raise ScheduleError(f"{path} names a request that it does not have")
    return schedule
