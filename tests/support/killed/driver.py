"""What a process does that tells the story and kills itself at a point."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from cloudmon import faultpoints
from killed.story import Teller


def tell(folder: Path, url: str, chapter: str, point: str, number: int) -> None:
    """Tell the story, and die at the ``number``-th time that ``point`` is reached in ``chapter``. Returns when the
    story came to its end without that."""
    left = number

    def die(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def began(name: str) -> None:
        faultpoints.install(die if name == chapter else None)

    Teller(folder, url, began).tell()
