"""The head of an answer leaves with what comes after it."""

from engine.one_write import Joined


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def test_head_and_body_are_one_write() -> None:
    transport = Transport()
    joined = Joined(transport)
    joined.write(HEAD)
    assert transport.written == []
    joined.write(b"{}")
    assert transport.written == [HEAD + b"{}"]


def test_an_answer_without_a_body_leaves_and_so_does_the_rest_of_a_stream() -> None:
    transport = Transport()
    joined = Joined(transport)
    for data in (HEAD, b"", HEAD, b"one", b"two"):
        joined.write(data)
    assert transport.written == [HEAD, HEAD + b"one", b"two"]


def test_nothing_is_kept_back_that_a_client_waits_for() -> None:
    transport = Transport()
    Joined(transport).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert transport.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_a_head_leaves_before_the_connection_is_closed() -> None:
    transport = Transport()
    joined = Joined(transport)
    joined.write(HEAD)
    joined.close()
    assert (transport.written, transport.closed, joined.is_closing()) == ([HEAD], True, True)
