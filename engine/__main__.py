"""`python -m engine`: serve one build, configured by the environment."""

import gc
import sys
from collections.abc import Callable


def imported(*, warm: bool = False) -> Callable[[], int]:
    """`engine.serving.serve`, with everything that it needs imported.

    `warm`: and its models made once, for a process that forks others.
    """
    # Nothing of what loads is garbage: looking through it took a seventh of the start, and then
    # some of every request.
    gc.disable()
    from engine.serving import serve, warm_up  # noqa: PLC0415 - only now

    if warm:
        warm_up()
    gc.freeze()
    gc.enable()
    return serve


if __name__ == "__main__":
    sys.exit(imported()())
