"""What the page shows of a search over orders and fault points, as plain values."""

from dataclasses import dataclass
from pathlib import Path

from reports.evidence import Cell, Exploration, FaultCase, Schedule
from reports.faults import FaultTable, lay_out_faults
from reports.sql_text import full_sql, short_sql, unbroken
from reports.sql_timeline import SqlTimeline, kept, lay_out_sql, undone
from reports.words import exploration_in_words, faults_in_words, replay_command

CHARACTERS_IN_ALL = 240
CHARACTERS_AT_LEAST = 96
FAULT_CHARACTERS = 90
CASES_SHOWN = 400


@dataclass(frozen=True, kw_only=True)
class StatementView:
    """A statement as it is shown: its verb, the rest in short, and all of it."""

    verb: str
    rest: str
    full: str
    """"" when the short text says it all."""
    ending: str
    """"commit", "rollback" or ""."""


@dataclass(frozen=True, kw_only=True)
class ScheduleView:
    timeline: SqlTimeline
    statements: dict[int, StatementView]
    """By the number of the step."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of everything that there was to try."""

    kind: str
    """"held", "violated", "pruned" or "uncontrolled"."""
    number: int
    meaning: str


@dataclass(frozen=True, kw_only=True)
class ExplorationView:
    exploration: Exploration
    words: str
    shares: tuple[Share, ...]
    losing: ScheduleView | None
    serial: ScheduleView | None
    replay: str

    @property
    def drawn(self) -> tuple[ScheduleView, ...]:
        return tuple(view for view in (self.losing, self.serial) if view)

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """The signs that either schedule uses, each once."""
        return tuple(dict.fromkeys(sign for v in self.drawn for sign in v.timeline.legend))


@dataclass(frozen=True, kw_only=True)
class FaultsView:
    table: FaultTable
    words: str
    statements: dict[int, str]
    cases: tuple[FaultCase, ...]
    """All of them up to a bound, the violated first."""


@dataclass(frozen=True, kw_only=True)
class SearchView:
    explorations: tuple[ExplorationView, ...]
    faults: tuple[FaultsView, ...]

    @property
    def drawn(self) -> bool:
        """True when a schedule shows what happened, in place of the requests alone."""
        return any(view.drawn for view in self.explorations)


def lay_out_search(run: str, cell: Cell, folder: Path | None) -> SearchView:
    return SearchView(
        explorations=tuple(_exploration(run, e, folder) for e in cell.explorations),
        faults=tuple(_faults(table) for table in lay_out_faults(cell.fault_cases)),
    )


def _exploration(run: str, exploration: Exploration, folder: Path | None) -> ExplorationView:
    losing, serial = exploration.losing, exploration.serial
    return ExplorationView(
        exploration=exploration,
        words=exploration_in_words(exploration),
        shares=_shares(exploration),
        losing=_schedule(losing) if losing else None,
        serial=_schedule(serial) if serial else None,
        replay=replay_command(run, exploration, folder),
    )


def _shares(exploration: Exploration) -> tuple[Share, ...]:
    held = exploration.explored - exploration.violated
    return (
        Share(kind="violated", number=exploration.violated, meaning="violated"),
        Share(kind="held", number=held, meaning="tried and held"),
        Share(kind="pruned", number=exploration.pruned, meaning="skipped as equivalent"),
        Share(kind="uncontrolled", number=exploration.uncontrolled, meaning="uncontrolled"),
    )


def _schedule(schedule: Schedule) -> ScheduleView:
    timeline = lay_out_sql(schedule)
    room = max(CHARACTERS_IN_ALL // max(len(timeline.columns), 1), CHARACTERS_AT_LEAST)
    statements = {}
    for step in schedule.steps:
        short = short_sql(step.sql, step.parameters, room)
        full = full_sql(step.sql, step.parameters)
        verb, _, rest = short.partition(" ")
        statements[step.number] = StatementView(
            verb=verb or "(no text)",
            rest=unbroken(rest),
            full="" if full.rstrip(";") == short else full,
            ending="commit" if kept(step) else "rollback" if undone(step) else "",
        )
    return ScheduleView(timeline=timeline, statements=statements)


def _faults(table: FaultTable) -> FaultsView:
    statements = {row.step: short_sql(row.sql, (), FAULT_CHARACTERS) for row in table.rows}
    cases = (*table.violated, *(case for case in table.cases if not case.violated))
    return FaultsView(
        table=table,
        words=faults_in_words(table.cases),
        statements=statements,
        cases=cases[:CASES_SHOWN],
    )
