"""Faults of processes: killed, stopped, started again."""

from typing import Protocol

from attacks.history import Recorder


class Victim(Protocol):
    """A process, or a container, that can be killed and started again."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


class Pausable(Protocol):
    """A process, or a container, that can be frozen."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def kill(recorder: Recorder, victim: Victim, name: str, *, round: int | None) -> None:  # noqa: A002
    """SIGKILL: nothing is finished, nothing is flushed."""
    victim.kill()
    recorder.event("kill", f"{name} is killed (SIGKILL)", round=round)


def start(recorder: Recorder, victim: Victim, name: str, *, round: int | None) -> None:  # noqa: A002
    victim.start()
    recorder.event("start", f"{name} is started again", round=round)


def pause(recorder: Recorder, victim: Pausable, name: str, *, round: int | None) -> None:  # noqa: A002
    """SIGSTOP: connections stay open and nobody answers."""
    victim.pause()
    recorder.event("pause", f"{name} is stopped (SIGSTOP)", round=round)


def resume(recorder: Recorder, victim: Pausable, name: str, *, round: int | None) -> None:  # noqa: A002
    victim.resume()
    recorder.event("resume", f"{name} goes on (SIGCONT)", round=round)
