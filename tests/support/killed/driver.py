"""One process that tells the story and kills itself at a point: ``python -m killed.driver folder url chapter point n``.

Exits with 3 when the story came to its end without the point being reached so often in that chapter.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cloudmon import faultpoints
from killed.story import Teller

NOT_REACHED = 3


def main() -> int:
    folder, url, chapter, point, number = sys.argv[1:]
    left = int(number)

    def die(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def began(name: str) -> None:
        faultpoints.install(die if name == chapter else None)

    Teller(Path(folder), url, began).tell()
    return NOT_REACHED


if __name__ == "__main__":
    sys.exit(main())
