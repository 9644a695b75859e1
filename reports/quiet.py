"""Whether a machine had the quiet that figures need."""

BUSY = "busy with other work"
AGAIN = f"{BUSY}: measure again on a quiet one"


def is_busy(load_before: float, cores: int) -> bool:
    """`load_before`: processes that wanted to run in the minute before (the load average)."""
    return load_before > cores / 2
