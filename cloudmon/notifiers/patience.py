"""An end to waiting for whoever says a little, now and then: a time-out of a socket counts from the last byte only."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

SHARES = 3
"""Times its time-out that a whole conversation may take."""


@contextlib.contextmanager
def at_most(seconds: float, line: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Cut the line when the block has not ended after so many seconds; whoever reads from it then reads its end."""

    def cut() -> None:
        found = line()
        if found is not None:
            with contextlib.suppress(OSError):
                # Not by the method of a TLS socket: that takes its state away under whoever reads.
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
