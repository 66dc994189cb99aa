"""A way to a PostgreSQL server that can be cut, and opened again."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import parse_qs, urlsplit


class Proxy:
    """Listens on loopback and passes everything on to the server of ``url``, which listens on a socket file.

    ``url`` of the proxy names the same database by another way.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        self._open = threading.Event()
        self._open.set()
        self._ended = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones are closed at once."""
        with self._lock:
            self._open.clear()
            pairs, self._pairs = self._pairs, []
        for one in (one for pair in pairs for one in pair):
            _end(one)

    def restore(self) -> None:
        """Let new connections through."""
        self._open.set()

    def close(self) -> None:
        self._ended = True
        self.cut()
        _end(self._listening)

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                if not self._open.is_set():
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                server.connect(self._target)
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65_536):
            sink.sendall(part)
    _end(source)
    _end(sink)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
