"""The command `assay` within the test's process: its lines and its exit code, without its imports.

Whatever starts processes, is interrupted or has to leave nothing behind is run as a program.
"""

import signal
import sys
from dataclasses import dataclass

import pytest

from scenarios.cli import main


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a program would have left."""

    returncode: int
    stdout: str
    stderr: str


def assay_here(
    *words: str, patching: pytest.MonkeyPatch, capturing: pytest.CaptureFixture[str]
) -> Done:
    """Run `assay` with these words, to its exit."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    capturing.readouterr()
    patching.setattr(sys, "argv", ["assay", *words])
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert code is None or isinstance(code, int), code
    out, err = capturing.readouterr()
    return Done(returncode=code or 0, stdout=out, stderr=err)
