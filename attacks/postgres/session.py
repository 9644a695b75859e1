"""One connection through the proxy, from its start-up message on: two threads, two sockets.

Without a gate, bytes are passed on first and looked at afterwards. With one, each step waits for
its order, is alone at the server, and its reply waits for the second order.
"""

import socket
import threading

from attacks.postgres.client_side import ClientSide
from attacks.postgres.link import Link, shut
from attacks.postgres.server_side import ServerSide


def serve(link: Link, early: bytes) -> None:
    """Returns when both sides have gone; `early` is what came behind the start-up message.

    The client's socket is left to the caller to be closed.
    """
    server = threading.Thread(
        target=ServerSide(link).run, name=f"assay-server-{link.info.number}", daemon=True
    )
    server.start()
    try:
        ClientSide(link).run(early)
    finally:
        link.finish()
        shut(link.upstream, socket.SHUT_WR)
        server.join()
        link.upstream.close()
