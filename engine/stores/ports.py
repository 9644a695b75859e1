"""Free TCP ports on the loopback interface."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
FIRST_PORT = 10_240
TRIES = 50
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class ReservedPort:
    """A port that nobody else is given, also while the server that it is for is down.

    Nothing listens here: whoever connects is refused until that server does, which has to bind the
    port with SO_REUSEPORT and as the same user.
    """

    def __init__(self) -> None:
        """Raises OSError when no port is left."""
        for _ in range(TRIES):
            self._held = socket.socket()
            try:
                self._held.bind((LOOPBACK, free_port()))
            except OSError:  # Somebody was faster.
                self._held.close()
                continue
            # Only now: two that reserve at once must not get the same port.
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.port = int(self._held.getsockname()[1])
            return
        raise OSError(f"no free port on {LOOPBACK}: end some of the servers here")

    def close(self) -> None:
        self._held.close()


def listening_socket(host: str, port: int, *, reserved: bool) -> socket.socket:
    """Bound, for a server to listen on. Raises OSError.

    `reserved` says that a `ReservedPort` of the same user may hold the port.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reserved:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def free_port() -> int:
    """A port that nobody listens on now; whoever binds it must expect to be too late.

    It lies below the range that the kernel gives to outgoing connections: otherwise one of them
    could take the port of a server that is down for a moment and is to come back on it.
    """
    choice = random.SystemRandom()
    for _ in range(TRIES):
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
