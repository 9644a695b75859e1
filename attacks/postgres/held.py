"""Bytes of a stream that were received and not passed on yet."""


class Held:
    """Addressed by their position in the stream, as `wire.Frame` gives it."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, data: bytes) -> None:
        self._bytes += data

    def skip(self, count: int) -> None:
        """So many bytes went past while nothing was held."""
        self._start += count

    def take(self, until: int | None = None) -> bytes:
        """Everything before a position, or everything."""
        count = len(self._bytes) if until is None else max(until - self._start, 0)
        taken = bytes(self._bytes[:count])
        del self._bytes[:count]
        self._start += len(taken)
        return taken

    def cut(self, start: int, until: int) -> bytes:
        """Take a piece from the middle.

        What is held before it counts as that much later from then on: `take` of a position there
        takes less than it could, never more.
        """
        first, last = max(start - self._start, 0), max(until - self._start, 0)
        piece = bytes(self._bytes[first:last])
        del self._bytes[first:last]
        self._start += len(piece)
        return piece
