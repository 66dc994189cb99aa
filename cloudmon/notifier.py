"""The contract with whatever tells people and programs.

Docstrings here are promises, and the errors are part of them. A notifier is made with its settings, is used by one
thread at a time, reads no environment and no files, keeps no queue and decides nothing: what is told to whom, when it
is tried again and when no more is decided before it is asked. It lets no exception of its library out, only
:class:`cloudmon.errors.NotifierError` and its kinds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Notice:
    """What is handed over. The same notice is equal in each of its parts, however often and by whatever process it is
    handed over."""

    id: str
    """A uid, for receivers to tell a repetition by."""
    at: dt.datetime
    """When it happened."""
    type: str
    """``finding.opened``, ``finding.worse``, ``finding.ended``, ``finding.called``, ``digest``, ``test``."""
    severity: str
    """``info``, ``warning`` or ``critical``."""
    title: str
    """One line for people, printable."""
    data: Mapping[str, object]
    """JSON values: what programs read. Never a secret."""
    thread: str = ""
    """The same for all that is told of one finding, from its opening to its end; empty where it is about many."""


@runtime_checkable
class Notifier(Protocol):
    """One configured way to tell somebody."""

    name: str
    """Its name in the settings; stands in every error that comes from here."""

    def send(self, notice: Notice) -> str:
        """Hand one notice over.

        Return means that the other side said that it took it: what it remarked, one line, empty for nothing. Nothing is
        taken back, and a notice may come again with the same id, since an answer may be lost.

        ``NotifierUnavailable`` when nobody answered in time, or the other side is not able or not willing to take
        anything now; it may have taken it all the same. ``NoticeRefused`` when the other side answered, and refuses
        this one. Ends within a few times its ``timeout_s``, whatever the other side does.
        """


@runtime_checkable
class Reachable(Protocol):
    """A notifier that can be looked at without anything being handed over: for ``cloudmon doctor``."""

    def reach(self) -> str:
        """Go as far as goes without telling anything: connect, encrypt, log in. How far that was, one line; errors as
        :meth:`Notifier.send`."""


class NotifierFactory(Protocol):
    """What the entry-point group ``cloudmon.notifiers`` names: a class whose instances are notifiers.

    ``settings_model`` is a pydantic model of ``[notify.<name>.options]``; unknown keys there are refused by it. A key
    ``x_file`` reaches it as ``x`` with the file's content. Secrets are of type ``SecretStr``, and so is whatever may
    hold one. A module that also names the model ``settings_model`` lets settings be checked before the factory is made.
    """

    settings_model: type

    def __call__(self, name: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> Notifier:
        """A new notifier for the calling thread; nobody is spoken to yet. ``options`` is an instance of
        ``settings_model``; ``now`` is the clock's; ``timeout_s`` bounds each wait for the other side."""
