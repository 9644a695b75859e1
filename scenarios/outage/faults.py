"""The ways in which Redis goes away and comes back."""

from collections.abc import Callable
from dataclasses import dataclass

from attacks.process import kill, pause, resume, start
from scenarios.lab import Lab


@dataclass(frozen=True, kw_only=True)
class Outage:
    """How Redis goes away, and how it returns."""

    name: str
    begin: Callable[[Lab, int], None]
    end: Callable[[Lab, int], None]
    needs_own_redis: bool


def _unreachable(lab: Lab, number: int) -> None:
    lab.link.refuse()
    lab.recorder.event("unreachable", "Redis is unreachable (connections refused)", round=number)


def _silent(lab: Lab, number: int) -> None:
    lab.link.swallow()
    lab.recorder.event("silent", "Redis is unreachable (packets are lost)", round=number)


def _restored(lab: Lab, number: int) -> None:
    lab.link.restore()
    lab.recorder.event("restored", "Redis is reachable again", round=number)


KILLED = Outage(
    name="killed",
    begin=lambda lab, number: kill(lab.recorder, lab.redis, "Redis", round=number),
    end=lambda lab, number: start(lab.recorder, lab.redis, "Redis", round=number),
    needs_own_redis=True,
)
STOPPED = Outage(
    name="stopped",
    begin=lambda lab, number: pause(lab.recorder, lab.redis, "Redis", round=number),
    end=lambda lab, number: resume(lab.recorder, lab.redis, "Redis", round=number),
    needs_own_redis=True,
)
UNREACHABLE = Outage(name="unreachable", begin=_unreachable, end=_restored, needs_own_redis=False)
SILENT = Outage(name="silent", begin=_silent, end=_restored, needs_own_redis=False)


def outages(lab: Lab) -> tuple[Outage, ...]:
    """Those that this lab can bring about: a Redis that is not ours is cut off, never killed."""
    known = (KILLED, STOPPED, UNREACHABLE, SILENT)
    return tuple(o for o in known if lab.redis.restartable or not o.needs_own_redis)


def outages_that_keep_data(lab: Lab) -> tuple[Outage, ...]:
    """Redis returns with everything that it had: what was cached before is still there."""
    return tuple(outage for outage in outages(lab) if outage in (STOPPED, SILENT))
