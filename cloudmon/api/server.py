"""Serves an ASGI app from a thread of its own, beside the monitor's loop."""

from __future__ import annotations

import socket
import threading
from typing import Any

import uvicorn

from cloudmon.errors import SettingsError

START_S = 10.0
"""How long the server's thread may take to begin, in seconds."""


class Server:
    """A running server; made by :func:`serve`."""

    def __init__(self, app: Any, listening: socket.socket) -> None:
        self._listening = listening
        self.address: str = listening.getsockname()[0]
        self.port: int = listening.getsockname()[1]
        self._uvicorn = _Announcing(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._thread.start()
        if not self._uvicorn.begun.wait(START_S):
            raise RuntimeError("the server's thread did not begin")

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Take no more requests, let those under way end within a second, and end. A second call is quiet."""
        self._uvicorn.should_exit = True
        self._thread.join(timeout_s)
        self._listening.close()

    def _run(self) -> None:
        self._uvicorn.run([self._listening])


class _Announcing(uvicorn.Server):
    """Says when it has begun to serve."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()


def serve(app: Any, address: str, port: int) -> Server:
    """Serve ``app`` at ``address``, an IP address, and ``port`` (0 takes any free one) until the server is stopped.

    Returns once requests are answered. SettingsError when the address cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = socket.create_server((address, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"Health cannot be served at {address}:{port}: {error.strerror or error}. Give another "
            "monitor.health_port, or 0 for none.",
            key="monitor.health_port",
            value=str(port),
        ) from error
    return Server(app, listening)
