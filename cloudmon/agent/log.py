"""What the agent says of itself: one line each on standard error, which its supervisor keeps."""

from __future__ import annotations

import sys
import threading

MOST_ONCE = 500


class Log:
    """Lines for people. No secret and no output of a program goes in."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        try:
            sys.stderr.write(line.replace("\n", " ") + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody listens any more; the agent's work is not to talk

    def once(self, about: str, line: str) -> None:
        """Say it unless it was the last thing said about the same."""
        with self._lock:
            if self._said.get(about) == line:
                return
            if len(self._said) >= MOST_ONCE:
                self._said.clear()
            self._said[about] = line
        self.say(f"{about}: {line}")

    def well(self, about: str) -> None:
        """What was said about this is over; the next trouble is said again."""
        with self._lock:
            self._said.pop(about, None)
