"""Something small that answers when it is asked over the network."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def answering(
    *answers: bytes | None, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """A port that gives one answer a connection, the last again and again (None: none ever), and what it was asked."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    heard: list[bytes] = []
    held: list[socket.socket] = []

    def serve() -> None:
        left = list(answers)
        while True:
            try:
                talking, _ = listening.accept()
            except OSError:
                return
            answer = left.pop(0) if len(left) > 1 else left[0]
            if tls is not None:
                try:
                    talking = tls.wrap_socket(talking, server_side=True)
                except OSError:
                    continue  # whoever asked did not believe
            heard.append(talking.recv(4_096))
            if answer is None:
                held.append(talking)
                continue
            with talking, contextlib.suppress(OSError):
                talking.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in held:
            one.close()
