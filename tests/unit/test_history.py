"""The recorder keeps what it saw, from any number of threads, and a file gives it back."""

import json
import threading
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from attacks import process
from attacks.history import History, Recorder, read_history
from tests.unit.histories.small import move, operation

THREADS = 8
EACH = 50


def test_many_threads_lose_nothing_and_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with path.open("w") as file:
        recorder = Recorder(file)

        def record() -> None:
            for _ in range(EACH):
                number = recorder.new_id()
                at = recorder.now_s()
                recorder.operation(operation(number, move("a", "b", number), at=(at, at + 1)))
                recorder.event("note", "seen", round=1)

        threads = [threading.Thread(target=record) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    history = recorder.history()
    assert sorted(o.id for o in history.operations) == list(range(1, THREADS * EACH + 1))
    assert len(history.events) == THREADS * EACH
    assert len(path.read_text().splitlines()) == 2 * THREADS * EACH
    assert read_history(path) == history


def test_a_history_is_in_the_order_of_start_however_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with path.open("w") as file:
        recorder = Recorder(file)
        recorder.operation(operation(1, at=(5.0, 6.0), key="k", values={"balances": {"a": 1}}))
        recorder.operation(operation(2, move(None, "a", 3), at=(1.0, 9.0), outcome="unknown"))
    assert [o.id for o in recorder.history().operations] == [2, 1]
    assert read_history(path) == recorder.history()


def test_each_line_is_there_as_soon_as_it_is_recorded() -> None:
    file = StringIO()
    recorder = Recorder(file)
    recorder.operation(operation(1))
    assert json.loads(file.getvalue())["operation"]["id"] == 1
    recorder.event("kill", "killed")
    assert json.loads(file.getvalue().splitlines()[1])["event"]["kind"] == "kill"


def test_values_that_json_does_not_know_are_kept_as_text() -> None:
    file = StringIO()
    Recorder(file).operation(operation(1, values={"path": Path("x")}))
    assert json.loads(file.getvalue())["operation"]["values"] == {"path": "x"}


def test_an_event_with_a_duration_is_recorded_when_it_ends_even_by_an_error() -> None:
    recorder = Recorder()

    def outage() -> None:
        with recorder.lasting("pause", "stopped", round=2):
            assert recorder.history().events == ()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outage()
    (event,) = recorder.history().events
    assert (event.kind, event.round) == ("pause", 2)
    assert event.until_s is not None
    assert event.until_s >= event.at_s


def test_a_duration_is_from_start_to_end() -> None:
    assert operation(1, at=(2.0, 5.5)).duration_s == 3.5


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "5",
        "[]",
        "{}",
        '{"operation": 5}',
        '{"operation": {"id": 1}}',
        '{"event": {"kind": "kill", "colour": "red"}}',
    ],
)
def test_the_first_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "torn.jsonl"
    with path.open("w") as file:
        Recorder(file).operation(operation(1))
        file.write(line)
    with pytest.raises(ValueError, match=r"^torn\.jsonl:2 is not a line of a history: "):
        read_history(path)


class Fake:
    """A process that remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def kill(self) -> None:
        self.done.append("kill")

    def start(self) -> None:
        self.done.append("start")

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")


def test_what_is_done_to_a_process_is_recorded_once_it_is_done() -> None:
    recorder, victim = Recorder(), Fake()
    for fault in (process.kill, process.start, process.pause, process.resume):
        fault(recorder, victim, "Redis", round=3)
    events = recorder.history().events
    assert victim.done == [event.kind for event in events]
    assert {event.round for event in events} == {3}
    assert all(event.text.startswith("Redis ") for event in events)


def test_a_fault_that_did_not_strike_is_not_recorded() -> None:
    class Immortal(Fake):
        def kill(self) -> None:
            raise ProcessLookupError

    recorder = Recorder()
    with pytest.raises(ProcessLookupError):
        process.kill(recorder, Immortal(), "the service", round=1)
    assert recorder.history().events == ()


def test_what_only_the_file_has_is_comparable_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    with path.open("w") as file:
        recorder = Recorder(file, since_epoch=True, keep=False)
        before_s = time.time()
        began_s = recorder.now_s()
        due_s = began_s - 0.5
        stalled = replace(
            operation(1, move("a", "b", 1), at=(began_s, began_s + 0.25)), intended_s=due_s
        )
        recorder.operation(stalled)
        recorder.event("note", "load ended")
    assert abs(began_s - before_s) < 5
    assert recorder.history() == History(operations=())
    (read,) = read_history(path).operations
    assert read == stalled
    assert read.response_time_s == pytest.approx(0.75)
    assert read.duration_s == pytest.approx(0.25)


@pytest.mark.parametrize("text", ["€ \u2028 \x85 \x1c line?\r\n", "\ud800", '"\\', str(10**30)])
def test_whatever_an_answer_says_stays_on_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.jsonl"
    with path.open("w", encoding="ascii") as file:
        recorder = Recorder(file)
        recorder.operation(replace(operation(1), answer=text, values={"n": 10**30}))
        recorder.operation(operation(2))
    assert read_history(path) == recorder.history()


def test_a_torn_last_line_may_be_left_out_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    with path.open("w") as file:
        Recorder(file).operation(operation(1))
        file.write('{"operation": {"id"')
    assert [o.id for o in read_history(path, torn=True).operations] == [1]
    with path.open("a") as file:
        file.write("\n")
        Recorder(file).operation(operation(2))
    with pytest.raises(ValueError, match=r"^torn\.jsonl:2 is not a line"):
        read_history(path, torn=True)
