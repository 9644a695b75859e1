"""The histories that a load's processes write, read while they grow.

A process that dies, or a disk that is full, leaves half a line: what can be read is, and the
history is called partial.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from attacks.history import ENDED

PATTERN = "load*.jsonl"
CHUNK = 1 << 20


@dataclass(kw_only=True)
class Follower:
    """Reads what is new in every history of a folder."""

    folder: Path
    torn: int = 0
    """Lines that cannot be read."""
    _read_to: dict[Path, int] = field(default_factory=dict)
    _half: dict[Path, bytes] = field(default_factory=dict)
    _ended: set[Path] = field(default_factory=set)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(sorted(self.folder.glob(PATTERN)))

    @property
    def finished(self) -> int:
        """How many of them were written to the end, as far as they were read."""
        return len(self._ended)

    def operations(self) -> Iterator[dict[str, Any]]:
        """Those written since the last call, whole lines only."""
        for path in self.files:
            for line in self._lines(path):
                operation = self._operation(path, line)
                if operation is not None:
                    yield operation

    def why_partial(self, processes: int) -> str | None:
        """None when every one of so many processes wrote its history to the end."""
        files = self.files
        torn = self.torn + sum(bool(half.strip()) for half in self._half.values())
        if len(files) < processes:
            return f"only {len(files)} of {processes} Locust processes left a history"
        if torn:
            return f"{torn} of its lines cannot be read"
        if len(self._ended) < len(files):
            return "Locust was ended before it could finish it"
        return None

    def _lines(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(self._read_to.get(path, 0))
            while chunk := file.read(CHUNK):
                self._read_to[path] = file.tell()
                *whole, half = (self._half.get(path, b"") + chunk).split(b"\n")
                self._half[path] = half
                yield from whole

    def _operation(self, path: Path, line: bytes) -> dict[str, Any] | None:
        try:
            record = orjson.loads(line)
            if "operation" in record:
                return dict(record["operation"])
            if record["event"]["text"] == ENDED:
                self._ended.add(path)
        except (ValueError, KeyError, TypeError):
            self.torn += 1
        return None
