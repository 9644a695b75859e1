"""What is wrong with which lines of a file, told whole: every line number with its reason.

The first lines one by one; the rest a reason at a time, as ranges, so that the answer to a file of
100,000 wrong lines stays below a megabyte.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

TOLD_ONE_BY_ONE = 100


class Complaints:
    """Lines of one file, each wrong in one way; kept as ranges."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[range]] = {}
        self.count = 0

    def add(self, line: int, reason: str) -> None:
        """Lines of one reason come in their order."""
        self.count += 1
        ranges = self._ranges.setdefault(reason, [])
        if ranges and ranges[-1].stop == line:
            ranges[-1] = range(ranges[-1].start, line + 1)
        else:
            ranges.append(range(line, line + 1))

    def told(self) -> list[dict[str, str]]:
        """Field and message of each, by line."""
        shown = list(islice(self._by_line(), TOLD_ONE_BY_ONE))
        one_by_one = [{"field": f"line {line}", "message": reason} for line, reason in shown]
        if len(shown) == self.count:
            return one_by_one
        return one_by_one + list(self._rest(shown[-1][0]))

    def _by_line(self) -> Iterator[tuple[int, str]]:
        return merge(*(_lines(ranges, reason) for reason, ranges in self._ranges.items()))

    def _rest(self, after: int) -> Iterator[dict[str, str]]:
        for reason, ranges in self._ranges.items():
            left = (range(max(r.start, after + 1), r.stop) for r in ranges if r.stop > after + 1)
            if words := ", ".join(map(_words, left)):
                yield {"field": f"lines {words}", "message": reason}


def _lines(ranges: Iterable[range], reason: str) -> Iterator[tuple[int, str]]:
    return ((line, reason) for lines in ranges for line in lines)


def _words(lines: range) -> str:
    return f"{lines.start}" if len(lines) == 1 else f"{lines.start}-{lines.stop - 1}"
