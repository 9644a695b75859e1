"""Messages put together into steps, and answers to what was asked: without sockets."""

import struct
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from attacks.postgres import wire
from attacks.postgres.conversation import Conversation, Exchange
from attacks.postgres.statements import Batch
from attacks.postgres.trace import Reply, SessionInfo, Step
from attacks.postgres.wire import Frame, Framer, WireError

SESSION = SessionInfo(number=1)
ONE, TWO, THREE = (wire.typed(kind) for kind in b"123")
COPY_IN = wire.typed(wire.COPY_IN, b"\0\0\0")


def tag(text: str) -> bytes:
    return wire.typed(wire.COMMAND_COMPLETE, wire.text(text))


def columns(*names: str, oid: int = 25) -> bytes:
    each = (wire.text(name) + struct.pack(">IHIhiH", 0, 0, oid, -1, -1, 0) for name in names)
    return wire.typed(wire.ROW_DESCRIPTION, struct.pack(">H", len(names)) + b"".join(each))


def row(*values: bytes) -> bytes:
    each = (struct.pack(">i", len(value)) + value for value in values)
    return wire.typed(wire.DATA_ROW, struct.pack(">H", len(values)) + b"".join(each))


def error(code: str, severity: str = "ERROR") -> bytes:
    return wire.error_response({"S": severity, "V": severity, "C": code, "M": "why"})


def ready(status: str = "I") -> bytes:
    return wire.ready_for_query(status)


class Talk:
    """Feeds both sides of a conversation and keeps what comes out."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.done: list[tuple[Step, Reply]] = []
        self._client, self._server = Framer(), Framer()

    def ask(self, *messages: bytes) -> list[Step]:
        steps = []
        for frame in self._frames(self._client, messages):
            for part in self.conversation.asked(frame):
                if isinstance(part, Batch):
                    step = self.conversation.next_step(SESSION, part)
                    self.conversation.begin(part, step=step, arrived_s=0, forwarded_s=0)
                    steps.append(step)
        return steps

    def answer(self, *messages: bytes) -> list[Reply]:
        found = []
        for frame in self._frames(self._server, messages):
            exchange = self.conversation.answered(frame)
            if exchange is not None:
                found.append(self._settle(exchange))
        return found

    def _settle(self, exchange: Exchange) -> Reply:
        reply = exchange.builder.reply()
        assert exchange.step is not None
        self.done.append((exchange.step, reply))
        self.conversation.settle(exchange)
        return reply

    @staticmethod
    def _frames(framer: Framer, messages: tuple[bytes, ...]) -> Iterator[Frame]:
        for message in messages:
            yield from framer.feed(message)


def what(steps: list[Step]) -> list[tuple[str, str, bool]]:
    return [(step.kind, step.sql, step.ends_with_sync) for step in steps]


INSERT = "INSERT INTO t VALUES ($1)"
RUN = (wire.parse("", INSERT, [23]), wire.bind("", "", [b"7"]), wire.execute(""))


def test_a_simple_query() -> None:
    talk = Talk()
    assert what(talk.ask(wire.query("BEGIN"))) == [("query", "BEGIN", True)]
    (reply,) = talk.answer(tag("BEGIN"), ready("T"))
    assert (reply.tag, reply.status, reply.row_count) == ("BEGIN", "T", 0)
    (step,) = talk.ask(wire.query("SELECT"))
    assert (step.status_before, step.number) == ("T", 2)


def test_two_statements_in_one_query_are_one_step() -> None:
    talk = Talk()
    talk.ask(wire.query("SELECT 1; SELECT 2"))
    assert talk.answer(columns("a"), row(b"1"), tag("SELECT 1")) == []
    (reply,) = talk.answer(columns("b"), row(b"2"), tag("SELECT 1"), ready())
    assert (reply.columns, reply.rows, reply.row_count) == (("b",), (("1",), ("2",)), 2)


def test_an_execute_with_its_sync() -> None:
    talk = Talk()
    assert talk.ask(*RUN) == []
    (step,) = talk.ask(wire.sync())
    assert (step.kind, step.sql, step.parameters) == ("execute", INSERT, ("7",))
    assert talk.answer(ONE, TWO, tag("INSERT 0 1")) == []
    (reply,) = talk.answer(ready())
    assert (reply.tag, reply.status) == ("INSERT 0 1", "I")


def test_a_pipeline_and_the_sync_that_ends_it() -> None:
    talk = Talk()
    steps = talk.ask(*RUN, *RUN, wire.flush(), wire.sync())
    assert what(steps) == [
        ("execute", INSERT, False),
        ("execute", INSERT, False),
        ("sync", "", True),
    ]
    replies = talk.answer(*(ONE, TWO, tag("INSERT 0 1")) * 2, ready())
    assert [(r.tag, r.status) for r in replies] == [
        ("INSERT 0 1", None),
        ("INSERT 0 1", None),
        (None, "I"),
    ]


def test_a_sync_inside_a_transaction_block_ends_nothing() -> None:
    talk = Talk()
    begin = (wire.parse("", "BEGIN"), wire.bind("", ""), wire.execute(""), wire.flush())
    talk.ask(*begin)
    talk.answer(ONE, TWO, tag("BEGIN"))
    assert what(talk.ask(wire.sync())) == [("prepare", "", True)]
    talk.answer(ready("T"))
    commit = (wire.parse("", "COMMIT"), wire.bind("", ""), wire.execute(""), wire.flush())
    talk.ask(*commit, *RUN, wire.flush())
    talk.answer(ONE, TWO, tag("COMMIT"), ONE, TWO, tag("INSERT 0 1"))
    assert what(talk.ask(wire.sync())) == [("sync", "", True)]


def test_a_sync_with_nothing_before_it_ends_nothing() -> None:
    assert what(Talk().ask(wire.sync())) == [("prepare", "", True)]


def test_a_close_behind_an_execute_belongs_to_it() -> None:
    talk = Talk()
    steps = talk.ask(*RUN, wire.close("P", ""), wire.sync())
    assert what(steps) == [("execute", INSERT, True)]
    (reply,) = talk.answer(ONE, TWO, tag("INSERT 0 1"), THREE, ready())
    assert reply.tag == "INSERT 0 1"


def test_a_prepared_statement_is_known_by_its_sql_and_types() -> None:
    talk = Talk()
    prepared = talk.ask(wire.parse("s", INSERT), wire.describe("S", "s"), wire.flush())
    assert what(prepared) == [("prepare", INSERT, False)]
    types = wire.typed(wire.PARAMETER_DESCRIPTION, struct.pack(">HI", 1, 20))
    (reply,) = talk.answer(ONE, types, columns("id", oid=23))
    assert (reply.tag, reply.sqlstate, reply.status) == (None, None, None)
    value = struct.pack(">q", 12)
    bound = wire.bind("p", "s", [value], formats=[1], result_formats=[1])
    (step,) = talk.ask(bound, wire.execute("p"), wire.sync())
    assert (step.sql, step.parameters) == (INSERT, ("12",))
    (reply,) = talk.answer(TWO, row(struct.pack(">i", 5)), tag("SELECT 1"), ready())
    assert (reply.columns, reply.rows) == (("id",), (("5",),))


def test_a_parse_that_failed_leaves_the_name_as_it_was() -> None:
    talk = Talk()
    talk.ask(wire.parse("s", "SELECT 1"), wire.sync())
    talk.answer(ONE, ready())
    talk.ask(wire.parse("s", "SELECT 2"), wire.parse("t", "SELECT 3"), wire.sync())
    talk.answer(error("42P05"), ready())
    (step,) = talk.ask(wire.bind("", "s"), wire.execute(""), wire.sync())
    assert step.sql == "SELECT 1"
    talk.answer(TWO, tag("SELECT 0"), ready())
    (step,) = talk.ask(wire.bind("", "t"), wire.execute(""), wire.sync())
    assert step.sql == ""


def test_a_closed_name_is_forgotten() -> None:
    talk = Talk()
    talk.ask(wire.parse("s", "SELECT 1"), wire.close("S", "s"), wire.sync())
    talk.answer(ONE, THREE, ready())
    (step,) = talk.ask(wire.bind("", "s"), wire.execute(""), wire.sync())
    assert step.sql == ""


def test_after_an_error_everything_to_the_sync_is_discarded() -> None:
    talk = Talk()
    talk.ask(*RUN, *RUN, wire.query("SELECT 1"), *RUN, wire.sync(), wire.query("SELECT 2"))
    assert [r.sqlstate for r in talk.answer(ONE, error("23505"))] == ["23505"]
    talk.answer(ready(), columns("a"), tag("SELECT 0"), ready())
    assert [(step.kind, reply.sqlstate) for step, reply in talk.done] == [
        ("execute", "23505"),
        ("sync", None),
        ("query", None),
    ]


def test_after_an_error_that_is_known_nothing_is_asked_before_the_sync() -> None:
    talk = Talk()
    talk.ask(*RUN, wire.flush())
    talk.answer(error("23505"))
    assert talk.ask(*RUN, wire.flush(), wire.query("SELECT 1")) == []
    assert what(talk.ask(wire.sync())) == [("sync", "", True)]
    talk.answer(ready())
    assert what(talk.ask(wire.query("SELECT 1"))) == [("query", "SELECT 1", True)]


def test_a_fatal_error_is_an_answer() -> None:
    talk = Talk()
    talk.ask(wire.query("SELECT 1"))
    (reply,) = talk.answer(error("57P01", "FATAL"))
    assert (reply.sqlstate, reply.message, reply.status) == ("57P01", "why", None)


def test_a_portal_that_is_suspended_is_asked_again() -> None:
    talk = Talk()
    more = (wire.execute("", most_rows=1), wire.flush())
    talk.ask(wire.parse("", "SELECT 1"), wire.bind("", ""), wire.describe("P", ""), *more)
    suspended = wire.typed(wire.PORTAL_SUSPENDED)
    (reply,) = talk.answer(ONE, TWO, columns("a"), row(b"1"), suspended)
    assert (reply.tag, reply.row_count) == (None, 1)
    (step,) = talk.ask(*more)
    assert (step.kind, step.sql) == ("execute", "SELECT 1")


def test_copy_data_of_a_simple_query_is_no_step() -> None:
    talk = Talk()
    talk.ask(wire.query("COPY t FROM STDIN"))
    assert talk.answer(COPY_IN) == []
    assert talk.ask(wire.typed(wire.COPY_DATA, b"1\n"), wire.typed(wire.COPY_DONE)) == []
    (reply,) = talk.answer(tag("COPY 1"), ready())
    assert reply.tag == "COPY 1"
    assert len(talk.ask(wire.query("SELECT 1"))) == 1


def test_in_the_extended_protocol_a_sync_ends_the_copy_data() -> None:
    talk = Talk()
    copy = (wire.parse("", "COPY t FROM STDIN"), wire.bind("", ""), wire.execute(""), wire.sync())
    assert len(talk.ask(*copy)) == 1
    talk.answer(ONE, TWO, COPY_IN)
    data = (wire.typed(wire.COPY_DATA, b"1\n"), wire.typed(wire.COPY_DONE), wire.sync())
    assert talk.ask(*data) == []
    (reply,) = talk.answer(tag("COPY 1"), ready())
    assert reply.tag == "COPY 1"
    assert len(talk.ask(wire.query("SELECT 1"))) == 1


def test_a_function_call() -> None:
    talk = Talk()
    (step,) = talk.ask(wire.typed(wire.FUNCTION_CALL, struct.pack(">I", 77) + b"\0" * 6))
    assert (step.kind, step.sql) == ("call", "function 77")
    (reply,) = talk.answer(wire.typed(wire.FUNCTION_RESULT, b"\0\0\0\0"), ready())
    assert reply.status == "I"


def test_many_and_long_rows_are_counted_and_shortened() -> None:
    talk = Talk()
    talk.ask(wire.query("SELECT"))
    rows = [row(str(number).encode() + b"x" * 500) for number in range(30)]
    (reply,) = talk.answer(columns("a"), *rows, tag("SELECT 30"), ready())
    assert (reply.row_count, len(reply.rows)) == (30, 20)
    assert reply.rows[0] == ("0" + "x" * 199,)


def test_what_comes_unasked_answers_nothing() -> None:
    talk = Talk()
    notice = wire.typed(wire.NOTICE, wire.error_response({"M": "x"})[5:])
    assert talk.answer(notice, error("25P03", "FATAL")) == []
    talk.ask(wire.query("SELECT 1"))
    assert talk.answer(notice, wire.typed(wire.PARAMETER_STATUS, b"a\0b\0")) == []


MESSAGES = st.one_of(
    st.sampled_from(
        [*RUN, wire.sync(), wire.flush(), wire.query("SELECT 1"), wire.describe("S", ""), COPY_IN]
    ),
    st.builds(wire.typed, st.sampled_from(list(b"QPBDEHSCFXdcfpGWZTtnCI123sE")), st.binary()),
)


@given(st.lists(st.tuples(st.booleans(), MESSAGES), max_size=25))
def test_no_messages_raise_anything_but_wire_errors(sent: list[tuple[bool, bytes]]) -> None:
    talk = Talk()
    numbers: list[int] = []
    for from_client, message in sent:
        try:
            if from_client:
                numbers += [step.number for step in talk.ask(message)]
            else:
                talk.answer(message)
        except WireError:
            break
    assert numbers == list(range(1, len(numbers) + 1))
