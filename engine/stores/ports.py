"""Free TCP ports on the loopback interface."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
FIRST_PORT = 10_240
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that nobody listens on now; whoever binds it must expect to be too late.

    It lies below the range that the kernel gives to outgoing connections: otherwise one of them
    could take the port of a server that is down for a moment and is to come back on it.
    """
    choice = random.SystemRandom()
    for _ in range(50):
        port = choice.randrange(FIRST_PORT, _first_outgoing_port())
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _first_outgoing_port() -> int:
    try:
        first = int(OUTGOING_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return max(first, FIRST_PORT + 1_000)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
