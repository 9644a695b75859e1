"""What goes wrong at one command, a value each with the one method `strike`."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LATE_BY_S = 0.2
"""Usual delay: longer than a careful client waits, shorter than anybody's patience."""
HEARD_AFTER_S = 4.0
"""A reply is held back for so long at most."""
FLUSH = b"*1\r\n$8\r\nFLUSHALL\r\n"
LOADING_TEXT = "LOADING Redis is loading the dataset in memory"
READONLY_TEXT = "READONLY You can't write against a read only replica."


class FaultFailed(Exception):  # noqa: N818 - the fault failed; nothing is said of the service
    """The fault could not be brought about. One clear line."""


class Wire(Protocol):
    """What a fault can do to the connection and the command that it strikes."""

    @property
    def client_is_gone(self) -> bool:
        """The service has given up on this connection: nobody is there to feel anything."""

    def forward(self, take: Callable[[bytes], None] | None = None) -> None:
        """Let Redis execute it. Its reply goes to `take`, otherwise to the client."""

    def say(self, data: bytes) -> None:
        """To the client, now."""

    def answer(self, reply: bytes) -> None:
        """In Redis's place, when all earlier commands have been answered; not executed."""

    def do_first(self, command: bytes) -> None:
        """Have Redis execute another command, for the proxy. Raises FaultFailed."""

    def fall_silent(self) -> None:
        """The connection stays open; nothing comes through any more."""

    def reset(self) -> None:
        """End both connections, the client's with a RST."""

    def refuse(self) -> None:
        """Take no new connection until restored."""


class Fault(Protocol):
    """One thing that goes wrong."""

    @property
    def text(self) -> str:
        """What happened, as one reads it."""

    def strike(self, wire: Wire) -> None: ...


@dataclass(frozen=True)
class Refuse:
    """Redis has died: the connection ends and no new one is taken until restored."""

    text: str = "Redis is gone, connections are refused"

    def strike(self, wire: Wire) -> None:
        wire.refuse()
        wire.reset()


@dataclass(frozen=True)
class Reset:
    text: str = "the connection is reset before the command arrives"

    def strike(self, wire: Wire) -> None:
        wire.reset()


@dataclass(frozen=True)
class Hang:
    text: str = "the command is lost, the connection stays open"

    def strike(self, wire: Wire) -> None:
        wire.fall_silent()


@dataclass(frozen=True)
class AnswerLate:
    """Redis executes at once and is heard late."""

    by_s: float = LATE_BY_S

    @property
    def text(self) -> str:
        return f"the reply comes {self.by_s:g} s late"

    def strike(self, wire: Wire) -> None:
        def later(reply: bytes) -> None:
            time.sleep(self.by_s)  # The fault itself.
            wire.say(reply)

        wire.forward(later)


@dataclass(frozen=True)
class Delay:
    """Harmless by itself: with `Link.arm(…, release=…)` the command comes when it is let go."""

    text: str = "the command is held back on its way"

    def strike(self, wire: Wire) -> None:
        wire.forward()


@dataclass(frozen=True)
class AnswerWhen:
    """Redis executes at once; its reply is let go when somebody says so, or after `most_s`."""

    executed: threading.Event
    release: threading.Event
    most_s: float = HEARD_AFTER_S
    text: str = "the reply is held back on its way"

    def strike(self, wire: Wire) -> None:
        def later(reply: bytes) -> None:
            self.executed.set()
            self.release.wait(self.most_s)
            wire.say(reply)

        wire.forward(later)


@dataclass(frozen=True)
class AnswerError:
    """Redis refuses the command with this error, and does not execute it."""

    error: str

    @property
    def text(self) -> str:
        return f"Redis answers -{self.error.split()[0]}"

    def strike(self, wire: Wire) -> None:
        wire.answer(f"-{self.error}\r\n".encode())


@dataclass(frozen=True)
class DropReply:
    text: str = "the command is executed, its reply is lost with the connection"

    def strike(self, wire: Wire) -> None:
        wire.forward(lambda _: wire.reset())


@dataclass(frozen=True)
class HalfAnswer:
    text: str = "the connection is reset in the middle of the reply"

    def strike(self, wire: Wire) -> None:
        def cut(reply: bytes) -> None:
            wire.say(reply[: len(reply) // 2])
            wire.reset()

        wire.forward(cut)


@dataclass(frozen=True)
class LoseData:
    """Everything that Redis holds is gone: never for a Redis that others use as well."""

    text: str = "Redis has lost all its data"

    def strike(self, wire: Wire) -> None:
        wire.do_first(FLUSH)
        wire.forward()


LOADING = AnswerError(LOADING_TEXT)
READONLY = AnswerError(READONLY_TEXT)
FAULTS: tuple[Fault, ...] = (
    LoseData(),
    READONLY,
    LOADING,
    Reset(),
    DropReply(),
    HalfAnswer(),
    AnswerLate(),
    Refuse(),
    Hang(),
)
"""Each once, with its usual parameters; those that cost the least time first."""
