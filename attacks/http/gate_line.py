"""Connections with requests that wait on them: served in one thread, and let go at once."""

import select
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from attacks.http.gate_exchange import LOST, Exchange
from attacks.http.gate_link import Link

TICK_S = 0.001
"""How often to look at what no socket tells of."""
READING = select.POLLIN | select.POLLHUP | select.POLLERR


class Line(Protocol):
    """A connection and the requests that wait on it."""

    link: Link
    exchanges: Sequence[Exchange]

    def begin(self) -> None:
        """Write all that may go before the release."""

    def is_begun(self) -> bool:
        """Whether all of it has left, and the ends can follow at any moment."""

    def drop_unbegun(self, at_s: float) -> None:
        """Give up the requests whose beginning the service would not take."""

    def warm(self) -> None:
        """Ask for a sign that the service has read all of it, if the protocol has one."""

    def is_warm(self) -> bool:
        """Whether the sign has come."""

    def ends(self) -> bytes:
        """What completes the requests that have not ended; from now on they are complete."""

    def take(self, data: bytes, at_s: float) -> None:
        """What came; empty: the other side has closed."""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """The ends of one connection's requests, written by one call."""

    at_s: float
    """By time.monotonic()."""
    size_bytes: int
    in_one_segment: bool


def all_ended(lines: Sequence[Line]) -> bool:
    return all(exchange.ended for line in lines for exchange in line.exchanges)


def watch(
    lines: Sequence[Line],
    now_s: Callable[[], float],
    *,
    until: Callable[[], bool],
    deadline_s: float,
    tick_s: float | None = None,
) -> None:
    """Read and write what can be, until `until()`, or the deadline, or nobody is left.

    `until` is asked after each event, and each `tick_s` where no event announces it.
    """
    until_s = time.monotonic() + deadline_s
    while not until() and (left_s := until_s - time.monotonic()) > 0:
        live = {line.link.socket.fileno(): line for line in lines if not line.link.ended}
        if not live:
            return
        poll = select.poll()
        for number, line in live.items():
            poll.register(number, READING | (select.POLLOUT if line.link.unsent else 0))
        wait_s = left_s if tick_s is None else min(left_s, tick_s)
        for number, mask in poll.poll(wait_s * 1000):
            _serve(live[number], mask, now_s)


def let_go(lines: Sequence[Line]) -> tuple[Departure, ...]:
    """Write the ends of all lines back to back.

    All bytes and all places for what is noted are there before the first is written.
    """
    ends = [line.link.seal(line.ends()) for line in lines]
    sends = [line.link.socket.send for line in lines]
    stamps_s = array("d", bytes(8 * len(lines)))
    written = array("q", bytes(8 * len(lines)))
    clock = time.monotonic
    for position in range(len(lines)):
        stamps_s[position] = clock()
        try:
            written[position] = sends[position](ends[position])
        except BlockingIOError:
            pass
        except OSError:
            written[position] = -1
    return tuple(map(_departed, lines, ends, stamps_s, written))


def _departed(line: Line, end: bytes, at_s: float, written: int) -> Departure:
    """Note it, and write what had no room."""
    link = line.link
    if written < 0:
        link.cut = True
        return Departure(at_s=at_s, size_bytes=len(end), in_one_segment=True)
    fits = written == len(end) <= link.segment_bytes
    link.unsent += end[written:]
    link.flush()
    return Departure(at_s=at_s, size_bytes=len(end), in_one_segment=fits)


def _serve(line: Line, mask: int, now_s: Callable[[], float]) -> None:
    link = line.link
    try:
        if mask & select.POLLOUT:
            link.flush()
        data = link.read() if mask & READING else None
    except OSError:
        link.ended = True
        for exchange in line.exchanges:
            exchange.lose(LOST, now_s())
        return
    if data is not None:
        link.ended = not data
        line.take(data, now_s())
