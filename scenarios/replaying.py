"""Forcing a written schedule again: `assay replay`."""

from collections.abc import Callable
from pathlib import Path

from attacks.history import Recorder
from engine.defences import DefenceError, parse_build
from scenarios.catalogue import UnknownScenario, select
from scenarios.cell import begin
from scenarios.racing import Replay, Replayed
from scenarios.schedule_file import ScheduleError, ScheduleFile, order_in_words
from scenarios.stand import open_lab, open_stand

TIMES = 100


def replay(
    path: Path,
    schedule: ScheduleFile,
    *,
    stores: str,
    times: int = TIMES,
    seen: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Set up what the schedule's claim sets up and force its order so many times.

    Raises ScheduleError when the file names a build, claim or race that is not known (any more),
    and whatever open_stand and open_lab raise.
    """
    try:
        build = parse_build(schedule.build)
        (scenario,) = select((schedule.claim,))
    except (DefenceError, UnknownScenario, ValueError) as error:
        raise ScheduleError(f"{path} cannot be replayed here: {error}") from error
    with (
        open_stand(stores) as stand,
        open_lab(
            stand,
            build,
            Recorder(),
            invariants=scenario.invariants,
            seed=f"{schedule.seed}/{scenario.name}",
            effort=1,
            settings=scenario.settings,
            processes=scenario.processes,
        ) as lab,
    ):
        lab.explorer.replay = Replay(schedule=schedule, times=times, seen=seen)
        begin(lab)
        scenario.attack(lab)
        if lab.explorer.replayed is None:
            raise ScheduleError(
                f"{path} cannot be replayed: {scenario.name} has no race named {schedule.race!r}"
            )
        return lab.explorer.replayed


def told(schedule: ScheduleFile, replayed: Replayed) -> str:
    """What came of it, as lines to print."""
    count = f"{replayed.reproduced} of {replayed.times}"
    lines = [
        f"{schedule.claim} against {schedule.build}, {schedule.race}",
        f"order {order_in_words(schedule.order)}",
        f"reproduced {count} ({', '.join(schedule.violated)})",
    ]
    if replayed.difference:
        other = replayed.times - replayed.same_trace
        lines.append(
            f"the trace was another one in {other} of {replayed.times}: first {replayed.difference}"
        )
    else:
        lines.append("each time with the trace of the file")
    return "\n".join(lines)
