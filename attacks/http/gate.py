"""The HTTP gate: requests are held back by their last bytes and completed together.

For services whose database is out of reach, so that only the moment of arrival can be steered. All
of a request but its end goes ahead; when the service has taken in every beginning, the ends are
written back to back from one thread (HTTP/1.1: last-byte synchronisation), or in one write (HTTP/2:
the single-packet attack), which a network cannot pull apart.

Source: James Kettle, "Smashing the state machine: the true potential of web race conditions",
PortSwigger Research, 2023.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from attacks.history import Operation, Recorder
from attacks.http.gate_exchange import NO_ANSWER, Exchange, exchange_for
from attacks.http.gate_line import TICK_S, Line, all_ended, let_go, watch
from attacks.http.gate_link import Address, Link, address_of
from attacks.http.http1_gate import Http1Line, Serialised
from attacks.http.http2_gate import Http2Line, check_headers
from attacks.http.request import Request
from attacks.http.sender import REQUEST_TIMEOUT_S, Batch, actor_name, in_thread

Spoken = Literal["http/1.1", "h2"]
Wanted = Literal["auto", "http/1.1", "h2"]

SETTLE_S = 0.02
"""How long the service has for the beginnings: their arrival can be seen, their reading cannot."""
GREETING_S = 1.0
"""How long `protocol_of` waits for an answer to the preface of HTTP/2."""


def release_together(  # noqa: PLR0913 - each is a choice of the caller's
    base_url: str,
    requests: Sequence[Request],
    recorder: Recorder,
    *,
    round: int | None = None,  # noqa: A002 - the field's word for it
    protocol: Wanted = "auto",
    deadline_s: float = REQUEST_TIMEOUT_S,
    settle_s: float = SETTLE_S,
    ca_file: Path | None = None,
) -> Batch:
    """Send all at once, and wait. Operations and actors come in the order of the requests.

    An operation starts when its end is written, or with its beginning if it was answered before
    that; a note in the history says how many were. `deadline_s` holds twice: until the release and
    for the answers. `ca_file`: a certificate authority to trust in place of the system's.

    "auto" asks the service first, over a connection of its own: see `protocol_of`.

    Raises ValueError for an address or a request that cannot be sent, OSError for `ca_file`.
    """
    if not requests:
        raise ValueError("there is nothing to release")
    address = address_of(base_url, ca_file=ca_file)
    exchanges = [exchange_for(base_url, request) for request in requests]
    if protocol == "auto":
        protocol = _spoken_at(address, deadline_s)
    gate = _Gate(
        address=address, recorder=recorder, round=round, until_s=time.monotonic() + deadline_s
    )
    with _closing(gate):
        if protocol == "h2":
            _open_http2(gate, exchanges)
        else:
            _open_http1(gate, exchanges)
        _hold(gate, settle_s)
        spread_s = _release(gate)
        watch(
            gate.lines, recorder.now_s, until=partial(all_ended, gate.lines), deadline_s=deadline_s
        )
        for exchange in exchanges:
            exchange.lose(NO_ANSWER, recorder.now_s())
    operations = tuple(
        _recorded(recorder, exchange, actor_name(position), round)
        for position, exchange in enumerate(exchanges)
    )
    return Batch(operations=operations, spread_s=spread_s)


def protocol_of(
    base_url: str, *, deadline_s: float = REQUEST_TIMEOUT_S, ca_file: Path | None = None
) -> Spoken:
    """What the service speaks: h2 if it chooses it by ALPN or, without TLS, answers its preface.

    To a service that speaks HTTP/1.1 without TLS the preface is a request of an unknown method,
    PRI. Who releases many rounds asks once. A service that cannot be reached counts as HTTP/1.1:
    the race will show it.

    Raises ValueError for an address that is none, OSError for `ca_file`.
    """
    return _spoken_at(address_of(base_url, ca_file=ca_file), deadline_s)


@dataclass(kw_only=True)
class _Gate:
    """One release: where to, until when, and the connections that wait."""

    address: Address
    recorder: Recorder
    round: int | None
    until_s: float
    lines: list[Line] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        return max(self.until_s - time.monotonic(), 0.001)

    def note(self, text: str) -> None:
        self.recorder.event("note", text, round=self.round)

    def give_up(self, exchanges: Sequence[Exchange], why: OSError) -> None:
        """Nothing was sent: nothing can have happened."""
        refused = isinstance(why, ConnectionRefusedError)
        for exchange in exchanges:
            text = "connection refused" if refused else f"not connected: {why}"
            exchange.lose(text, self.recorder.now_s(), outcome="failed")


@contextmanager
def _closing(gate: _Gate) -> Iterator[None]:
    try:
        yield
    finally:
        for line in gate.lines:
            line.link.close()


def _spoken_at(address: Address, deadline_s: float) -> Spoken:
    try:
        link = address.open(("h2", "http/1.1"), deadline_s=deadline_s)
    except OSError:
        return "http/1.1"
    try:
        if address.tls is not None:
            return "h2" if link.chosen_protocol == "h2" else "http/1.1"
        line = _greeted(link, min(deadline_s, GREETING_S))
        return "h2" if line.is_greeted() else "http/1.1"
    finally:
        link.close()


def _greeted(link: Link, deadline_s: float) -> Http2Line:
    line = Http2Line(link)
    line.greet()
    watch([line], time.monotonic, until=line.is_greeted, deadline_s=deadline_s)
    return line


def _open_http1(gate: _Gate, exchanges: Sequence[Exchange]) -> None:
    """A connection for each request, all opened at the same time."""

    def dial() -> Link:
        return gate.address.open(("http/1.1",), deadline_s=gate.left_s)

    waiting = [Serialised.of(exchange) for exchange in exchanges]
    dialled: list[Future[Link]] = [in_thread(dial) for _ in exchanges]
    wait(dialled)
    for serialised, future in zip(waiting, dialled, strict=True):
        try:
            gate.lines.append(Http1Line(future.result(), serialised))
        except OSError as error:
            gate.give_up([serialised.exchange], error)


def _open_http2(gate: _Gate, exchanges: Sequence[Exchange]) -> None:
    """One connection, or as many as it takes where a service limits the streams of one."""
    check_headers(exchanges)
    left = list(exchanges)
    while left:
        try:
            line = _open_line(gate)
        except OSError as error:
            gate.give_up(left, error)
            break
        gate.lines.append(line)
        line.carry(left[: line.most_requests])
        left = left[line.most_requests :]
    carrying = [len(line.exchanges) for line in gate.lines]
    if len(carrying) > 1:
        gate.note(
            f"{len(exchanges)} requests need {len(carrying)} connections, and as many packets: "
            f"the service allows {max(carrying)} streams on one"
        )


def _open_line(gate: _Gate) -> Http2Line:
    line = _greeted(gate.address.open(("h2",), deadline_s=gate.left_s), gate.left_s)
    usable = line.is_greeted() and not line.link.ended and line.most_requests > 0
    if usable:
        return line
    line.link.close()
    speaks = line.is_greeted()
    raise ConnectionError(
        "the service allows no stream" if speaks else "the service does not speak HTTP/2"
    )


def _hold(gate: _Gate, settle_s: float) -> None:
    """Send the beginnings and wait until the service has them."""
    now_s = gate.recorder.now_s
    for line in gate.lines:
        for exchange in line.exchanges:
            exchange.sent_s = now_s()
        line.begin()

    def begun() -> bool:
        return all(line.link.ended or line.is_begun() for line in gate.lines)

    def warm() -> bool:
        return all(line.link.ended or line.is_warm() for line in gate.lines)

    # Half of the time, so that a body which is not taken in leaves some to the others.
    watch(gate.lines, now_s, until=begun, deadline_s=gate.left_s / 2, tick_s=TICK_S)
    for line in gate.lines:
        line.drop_unbegun(now_s())
    watch(gate.lines, now_s, until=partial(all_ended, gate.lines), deadline_s=settle_s)
    for line in gate.lines:
        if not line.link.ended:
            line.warm()
    watch(gate.lines, now_s, until=warm, deadline_s=gate.left_s)


def _release(gate: _Gate) -> float:
    """Let go of all that waits. From the first write to the last one, in seconds."""
    held = [(line, [e for e in line.exchanges if not e.ended]) for line in gate.lines]
    total = sum(len(line.exchanges) for line in gate.lines)
    for _, exchanges in held:
        for exchange in exchanges:
            exchange.early = exchange.status is not None
    waiting = [line for line, exchanges in held if exchanges]
    offset_s = gate.recorder.now_s() - time.monotonic()
    departures = let_go(waiting)
    released = [exchanges for _, exchanges in held if exchanges]
    for exchanges, departure in zip(released, departures, strict=True):
        for exchange in exchanges:
            exchange.released_s = departure.at_s + offset_s
    in_time = sum(not exchange.early for exchanges in released for exchange in exchanges)
    if in_time < total:
        gate.note(
            f"{total - in_time} of {total} requests were answered or lost before they were complete"
        )
    for departure in departures:
        if not departure.in_one_segment:
            gate.note(f"{departure.size_bytes} bytes of ends did not fit into one TCP segment")
    at_s = [departure.at_s for departure in departures]
    return max(at_s) - min(at_s) if at_s else 0.0


def _recorded(
    recorder: Recorder,
    exchange: Exchange,
    actor: str,
    round: int | None,  # noqa: A002
) -> Operation:
    status, reply = exchange.read()
    request = exchange.request
    ended_s = recorder.now_s() if exchange.ended_s is None else exchange.ended_s
    return recorder.operation(
        Operation(
            id=recorder.new_id(),
            actor=actor,
            name=request.name,
            text=request.text,
            round=round,
            moves=request.moves,
            key=request.key,
            started_s=exchange.started_s(ended_s),
            ended_s=ended_s,
            outcome=reply.outcome,
            status=status,
            answer=reply.answer,
            values=reply.values,
        )
    )
