"""Named points where a crash is worth testing.

Production code calls :func:`reached` around every step that writes or calls; it does nothing there. The kill matrix
and the simulation install a hook that kills the process, or raises, at a chosen point. The list of names is closed,
so that a test can walk all of them.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS = (
    "observe.before-listing",
    "observe.after-listing",
    "tick.before-changes",
    "tick.after-changes",
    "intents.before-record",
    "intents.after-record",
    "act.before-call",
    "act.after-call",
    "outcome.before-record",
    "outcome.after-record",
    "requests.before-accept",
    "requests.after-accept",
    "wanted.before-generation",
    "wanted.after-generation",
    "store.before-commit",
    "store.after-commit",
    "anchor.before-write",
    "anchor.after-write",
)

_hook: Callable[[str], None] | None = None


def reached(name: str) -> None:
    """Say that the point ``name`` is reached; does nothing unless a test installed a hook."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """Install what is called with each point's name; None removes it."""
    global _hook
    _hook = hook
