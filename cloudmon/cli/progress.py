"""Says on stderr how long work goes, while somebody looks; says nothing into pipes and files."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cloudmon.cli.output import printable

if TYPE_CHECKING:
    from rich.status import Status


class Progress:
    """One line with a spinner. A context manager.

    Arguments:
        title: what is being done.
    """

    def __init__(self, title: str) -> None:
        self._title = printable(title)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.markup import escape

            self._status = Console(stderr=True).status(escape(self._title))
            self._status.start()
        return self

    def say(self, what: str) -> None:
        """How far it is."""
        if self._status is not None:
            from rich.markup import escape

            self._status.update(escape(f"{self._title}: {printable(what)}"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
