"""What all users of one process share: the plan, the pace, the history, and the bounds."""

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import gevent
from gevent.event import Event

from attacks.history import BESIDE, ENDED, Operation, Recorder
from attacks.load.pace import MOST_OPERATIONS, UNSENT, Pace, Profile
from attacks.load.plan import Plan
from attacks.load.requests import Answer, Kind

LOG = logging.getLogger("assay.load")
FIRST_ANSWERS = 20
"""When so many were all errors, the target or the plan is wrong."""
USAGE, UNKNOWN, ENVIRONMENT = 2, 3, 4
"""Exit codes."""
REFUSED = "connection refused"
YIELD_EVERY = 1000
Over = Callable[[str, int | None], None]
"""Told why the load ends here, and with which exit code; None: with that of its results."""


class HistoryFileError(Exception):
    """There is nowhere to write what happens. One clear line."""


class Traffic:
    """One a process; a master has one too, without users."""

    def __init__(self, host: Callable[[], str], patience_s: float, over: Over) -> None:
        """`over` hears of it once, from whichever user saw the reason."""
        self.recorder = Recorder(since_epoch=True, keep=False)
        self.pace = Pace(None, self.recorder.now_s)
        self.ready = Event()
        """There is a plan, and the process knows its share of the pace."""
        self.stopping = Event()
        self._stopped_s = 0.0
        self.process = 0
        self.plan: Plan | None = None
        self.kinds: Mapping[str, Kind] = {}
        self._host = host
        self._patience_s = patience_s
        self._tell_over = over
        self._file: TextIO | None = None
        self._path: Path | None = None
        self._users = count(1)
        self._keys = count(1)
        self._run = secrets.token_hex(8)
        self._recorded = 0
        self._unrecorded = 0
        self._answered = False
        self._errors: dict[str, int] = {}
        self._silent_since_s: dict[str, float] = {}
        self._over = False

    def write_to(self, path: Path) -> None:
        """Raises HistoryFileError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("x", encoding="utf-8", newline="\n")
        except FileExistsError as error:
            why = f"there is a history in {path} already: name another folder"
            raise HistoryFileError(why) from error
        except OSError as error:
            why = f"the history {path} cannot be written: {error.strerror}"
            raise HistoryFileError(why) from error
        self._path = path
        self.recorder = Recorder(self._file, since_epoch=True, keep=False)

    def use(self, plan: Plan) -> None:
        """Raises RequestsError."""
        self.kinds = plan.kinds()
        self.plan = plan

    def begin(self, profile: Profile | None) -> None:
        """A test starts; in a web UI not the first one."""
        self.stopping.clear()
        self.ready.clear()
        self.pace = Pace(profile, self.recorder.now_s)
        self._answered, self._errors = False, {}
        self._silent_since_s = {}
        self._over = False

    def next_user(self) -> int:
        return next(self._users)

    def new_key(self) -> str:
        """No two are the same, in whichever process and run."""
        return f"{self._run}-{next(self._keys)}"

    def record(self, operation: Operation, answer: Answer, host: str) -> None:
        """`host` is who was asked."""
        if not self._write(operation):
            return
        if self._recorded >= MOST_OPERATIONS:
            self.end(f"the load ends here: {MOST_OPERATIONS} operations are its bound", UNKNOWN)
        self._heed_errors(answer)
        self._heed_silence(answer, host)

    def _write(self, operation: Operation) -> bool:
        try:
            self.recorder.operation(operation)
        except (OSError, ValueError) as error:
            self._cannot_be_written(error)
            return False
        self._recorded += 1
        return True

    def _heed_errors(self, answer: Answer) -> None:
        """A target that is wrong from the start is said at once, not after ten minutes."""
        if self._answered or not answer.error:
            self._answered = True
            return
        self._errors[answer.text] = self._errors.get(answer.text, 0) + 1
        if sum(self._errors.values()) >= FIRST_ANSWERS:
            seen = ", ".join(f"{number} x {text}" for text, number in self._errors.items())
            self.end(f"{self._host()} answers nothing but errors: {seen}", ENVIRONMENT)

    def _heed_silence(self, answer: Answer, host: str) -> None:
        if answer.status is not None:
            if self._silent_since_s.pop(host, None) is not None and not self._over:
                LOG.warning("%s answers again", host)
            return
        now_s = self.recorder.now_s()
        silent_s = now_s - self._silent_since_s.setdefault(host, now_s)
        if not silent_s:
            LOG.warning("nobody answers at %s: %s", host, answer.text)
        elif silent_s > self._patience_s:
            self.end(f"nobody has answered at {host} for {silent_s:.0f} s", ENVIRONMENT)

    def end(self, why: str, exit_code: int | None = None) -> None:
        """Say why, and let Locust end. Whoever calls this may be one of the users that it ends."""
        if self._over:
            return
        self._over = True
        LOG.error("%s", why)
        self._tell_over(why, exit_code)

    def wait_until(self, due_s: float) -> bool:
        """Whether the load still goes on when it is due."""
        wait_s = due_s - self.recorder.now_s()
        if wait_s > 0:
            self.stopping.wait(wait_s)
        return not self.stopping.is_set() or due_s <= self._stopped_s

    def stop(self) -> None:
        """No turn begins that is due later."""
        if not self.stopping.is_set():
            self._stopped_s = self.recorder.now_s()
            self.stopping.set()

    def belongs_with(self, name: str) -> None:
        """Note that this file, of another process, is to be judged with this one's history."""
        try:
            self.recorder.event(BESIDE, name)
        except (OSError, ValueError) as error:
            self._cannot_be_written(error)

    def _cannot_be_written(self, error: Exception) -> None:
        self._unrecorded += 1
        why = getattr(error, "strerror", None) or error
        self.end(f"the history {self._path} cannot be written any more: {why}", ENVIRONMENT)

    def unsent(self) -> Iterator[Operation]:
        """After `stop`: the turns that were due and that nobody was free to send, recorded.

        Left out, a service that stalls at the end of a load would look quick.
        """
        if not self.ready.is_set():
            return
        for number, due_s in enumerate(self.pace.claim_rest_s(self._stopped_s), start=1):
            if self._recorded >= MOST_OPERATIONS:
                LOG.error("the turns that nobody sent are too many to be recorded")
                return
            operation = Operation(
                id=self.recorder.new_id(),
                actor=f"{self.process}/nobody",
                name=UNSENT,
                text="a turn that was due",
                round=None,
                intended_s=due_s,
                started_s=self._stopped_s,
                ended_s=self._stopped_s,
                outcome="failed",
                status=None,
                answer="never sent: the time was up",
            )
            self._write(operation)
            yield operation
            if not number % YIELD_EVERY:
                gevent.sleep(0)  # Answers are still coming.

    def close(self) -> None:
        """A history without its last line is not whole."""
        if self._file is None:
            return
        try:
            if not self._unrecorded:
                self.recorder.event("note", ENDED)
            self._file.close()
        except OSError as error:
            why = error.strerror
            LOG.error("the history %s is not whole: %s", self._path, why)  # noqa: TRY400 - one line
        if self._unrecorded:
            LOG.error("%d operations are missing in %s", self._unrecorded, self._path)


def soon(what: Callable[[], Any]) -> None:
    """Not by whoever calls this, who may be one of those that it ends."""
    gevent.spawn(what)
