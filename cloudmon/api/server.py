"""Serves an ASGI app from a thread of its own, beside the monitor's loop."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextlib
import gc
import resource
import socket
import ssl
import sys
import threading
from typing import Any, Literal

import uvicorn

from cloudmon.errors import SettingsError

START_S = 10.0
"""How long the server's thread may take to begin, in seconds."""

IDLE_S = 75
"""How long a connection may be idle between two requests, in seconds. An agent reports every 30 s by default, and a
handshake costs more than a report."""

TLS_BUFFER = 8 << 10
"""Bytes that each TLS connection keeps for reading. The library's own 256 KiB would come to 2.5 GB for ten thousand
connections that wait."""


TURN_S = 0.001
"""How long a thread that computes may keep the interpreter from those that wait for it, in seconds. Each answer lets go
of it twice, to read and to write. Beside a thread that computes 0.3 s of each 1.5 s, 99 of a hundred of 400 reports a
second were answered within 45 ms this way, and within 150 ms with Python's own 5 ms."""


class Server:
    """A running server; made by :func:`serve`."""

    def __init__(
        self,
        app: Any,
        listening: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        http: Literal["h11"] | type[asyncio.Protocol] = "h11",
    ) -> None:
        self._listening = listening
        self.address: str = listening.getsockname()[0]
        self.port: int = listening.getsockname()[1]
        self._uvicorn = _Announcing(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=http,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # what strangers send that is no HTTP is worth no line each
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=1,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
        )
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._thread.start()
        if not self._uvicorn.begun.wait(START_S):
            raise RuntimeError("the server's thread did not begin")

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that requests are answered on, for whoever speaks to the app without a socket."""
        return self._uvicorn.loop

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
        self.loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.begun.set()


def serve(app: Any, address: str, port: int) -> Server:
    """Serve ``app`` at ``address``, an IP address, and ``port`` (0 takes any free one) until the server is stopped.

    Returns once requests are answered. SettingsError when the address cannot be had.
    """
    listening = _listening(
        address,
        port,
        "monitor.health_port",
        "Health cannot be served",
        "Give another monitor.health_port, or 0 for none.",
    )
    return Server(app, listening)


def serve_channel(app: Any, address: str, port: int, tls: ssl.SSLContext | None) -> Server:
    """As :func:`serve`, for the appliance channel: with TLS when there is a context for it, by the faster parser, for
    as many connections as this process may have. Sets how threads of the whole process take turns: a service that ticks
    and answers does both."""
    listening = _listening(address, port, "channel.port", "The channel cannot be served", "Give another channel.port.")
    _allow_connections()
    # What the process stands on by now is never garbage; looking through all of it again and again stopped everybody
    # for a tenth of a second each time.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(TURN_S)
    if tls is not None:
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER
    from cloudmon.api.whole import WholeReplies  # noqa: PLC0415  # a service without a channel needs no second parser

    return Server(app, listening, tls=tls, http=WholeReplies)


def _listening(address: str, port: int, key: str, what: str, way_out: str) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"{what} at {address}:{port}: {error.strerror or error}. {way_out}", key=key, value=str(port)
        ) from error


def _allow_connections() -> None:
    """Each agent that waits is an open file, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
