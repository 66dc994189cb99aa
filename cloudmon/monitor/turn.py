"""Whose turn it is to read, decide and write, and what becomes of a decision that somebody overtook."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Container, Iterable
from types import TracebackType

from cloudmon.model.changes import Change
from cloudmon.model.identity import ApplianceId
from cloudmon.reconcile.plan import Plan


class Turn:
    """One thread at a time, in the order in which they came. Not to be entered again by the thread that has it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        """Threads: the one that has the turn comes first, those that wait after it."""

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._changed:
            if me in self._queue:
                raise AssertionError("this thread has the turn already")
            self._queue.append(me)
            try:
                self._changed.wait_for(lambda: self._queue[0] == me)
            except BaseException:  # interrupted: nobody must wait for one that does not come
                self._leave(me)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._leave(threading.get_ident())

    def give_way(self) -> None:
        """For the thread that has it: those that wait now come first. Returns at once where none does."""
        with self._changed:
            if len(self._queue) == 1:
                return
            self._leave(threading.get_ident())
        self.__enter__()

    def _leave(self, thread: int) -> None:
        if thread in self._queue:  # one that was interrupted while it gave way has left already
            self._queue.remove(thread)
            self._changed.notify_all()


Touched = Container[ApplianceId | None]
"""About whom somebody wrote while a decision was made; None for what belongs to no appliance."""


def not_overtaken(changes: Iterable[Change], touched: Touched) -> list[Change]:
    """Those that say nothing of whom somebody else wrote meanwhile."""
    return [change for change in changes if change.appliance not in touched]


def keep(plan: Plan, touched: Iterable[ApplianceId | None]) -> bool:
    """Leave out of a plan what was decided from a state that is no longer so; True when something was left out.

    Of a set of whose members one was touched no action is begun: how many may be away at once, and whose turn it is,
    was counted without it.
    """
    whom = frozenset(touched)
    sets = {one.set_uid for one in whom if one is not None}
    steps = [step for step in plan.steps if step.intent.appliance.set_uid not in sets and None not in whom]
    changes = not_overtaken(plan.changes, whom)
    less = len(steps) < len(plan.steps) or len(changes) < len(plan.changes)
    plan.steps, plan.changes = steps, changes
    return less
