"""The rest of a forked process's life, and its end."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn


def live_and_end(life: Callable[[], int]) -> NoReturn:
    """End this process with the exit code that `life` answers, or that it raises SystemExit with.

    It ends as the interpreter ends a program, but never goes back into the code that forked it:
    what that one would still do (its `finally`s, its exit handlers) is its own to do.
    """
    status = 1
    try:
        status = life()
    except SystemExit as ended:
        status = _code_of(ended)
    except BaseException:  # noqa: BLE001 - what an interpreter does at the end of its program
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # Nobody may read it any more.
                stream.flush()
        os._exit(status)


def _code_of(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    sys.stderr.write(f"{ended.code}\n")
    return 1
