"""The way from guests to a channel in the same process: what a socket and a server would carry is handed over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudmon.channel.channel import Channel
    from cloudmon.channel.gate import Head, Reason
    from cloudmon.channel.replies import Reply


PATIENCE_S = 20.0
"""How long a guest waits for a reply; the shipped agent does as long."""


class Exchange:
    """Carries requests to a channel's own ``answer`` and brings the replies back. Safe to share between threads: what
    several bring at once the channel writes together.

    Arguments:
        channel_of: the channel that answers now; asked for each request, since a monitor may be started again.
        loop: the loop that the channel answers others on, where it does; None: nobody else speaks to it.
    """

    def __init__(self, channel_of: Callable[[], Channel], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._channel_of = channel_of
        self._loop = loop or asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        if loop is None:
            self._thread = threading.Thread(target=self._loop.run_forever, name="exchange", daemon=True)
            self._thread.start()

    def __call__(self, head: Head, content: bytes) -> Reply:
        """The channel's reply. Returns when it is there; TimeoutError, as a socket has it, when it does not come."""

        async def body(most: int) -> bytes | Reason:
            from cloudmon.channel.gate import Reason  # noqa: PLC0415

            return content if len(content) <= most else Reason.OVERSIZE

        return asyncio.run_coroutine_threadsafe(self._channel_of().answer(head, body), self._loop).result(PATIENCE_S)

    def close(self) -> None:
        """Carry nothing more. The channel is closed already, or nobody waits at it."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
