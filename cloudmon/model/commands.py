"""Control actions inside an appliance: what each needs to be told, and how long it may take.

One table for everybody who writes a command, hands it out or offers it to people. A command names things that the
appliance's template declares, or that a report has shown; it is never a line for a shell.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cloudmon.model.actions import CLASS_OF, GUEST_VERBS, ActionClass, Intent, IntentState, Verb

FETCH_S = 120.0
"""Seconds that an agent is given to fetch a command: a few intervals of its report, or a long poll that was cut."""


class Terms(NamedTuple):
    """What one verb asks for."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    timeout_s: float = 60.0
    """How long it may take in the appliance, in seconds."""


TERMS: Mapping[Verb, Terms] = {
    Verb.REPORT_NOW: Terms(),
    Verb.APP_INSTALL: Terms(("application",), ("version", "restart"), 900.0),
    Verb.APP_REMOVE: Terms(("application",), (), 600.0),
    Verb.APP_RESTART: Terms(("application",), (), 120.0),
    Verb.APP_STOP: Terms(("application",)),
    Verb.APP_SUSPEND: Terms(("application",)),
    Verb.APP_RESUME: Terms(("application",)),
    Verb.APP_UPDATE: Terms(("application",), ("version", "restart"), 900.0),
    Verb.JOB_RUN: Terms(("job",), (), 3_600.0),
    Verb.PROCESS_END: Terms(("pid", "name")),
    Verb.SCAN: Terms((), ("path", "signature"), 1_800.0),
    Verb.QUARANTINE: Terms(("path",), (), 120.0),
    Verb.ACCOUNT_GRANT: Terms(("user", "key"), ("rights",)),
    Verb.ACCOUNT_REVOKE: Terms(("user",), ("only_made",)),
    Verb.AGENT_UPGRADE: Terms((), (), 300.0),
}
"""Every verb of :data:`~cloudmon.model.actions.GUEST_VERBS`."""

STANDING = frozenset({Verb.ACCOUNT_GRANT})
"""Verbs that follow from what is wanted of a set, and are not asked for one by one."""

OFFERED = tuple(sorted(GUEST_VERBS - STANDING))
"""Verbs that can be asked for, in order."""


def class_of(verb: Verb, arguments: Mapping[str, str]) -> ActionClass:
    """How much a command can hurt: an account that was made for somebody is taken back at no cost to others; to install
    something disturbs nobody, as long as nothing is started again for it."""
    if verb is Verb.ACCOUNT_REVOKE and arguments.get("only_made") == "yes":
        return ActionClass.SAFE
    if verb is Verb.APP_INSTALL and arguments.get("restart") == "yes":
        return ActionClass.DISRUPTIVE
    return CLASS_OF[verb]


def fetch_by(intent: Intent) -> dt.datetime:
    """The instant from which a command is not begun any more that nobody has fetched: until its deadline there is time
    left for it."""
    return intent.deadline - dt.timedelta(seconds=TERMS[intent.verb].timeout_s)


def unfetched(intent: Intent) -> bool:
    """Whether a command ended because nobody fetched it: nothing was done by it, and nothing has failed."""
    ended = intent.verb in GUEST_VERBS and intent.state is IntentState.FAILED
    return ended and not intent.attempts and not intent.result


def problem(verb: Verb, names: Iterable[str]) -> str:
    """What is wrong with these argument names for ``verb``, as a sentence that says what to do; empty when nothing."""
    terms, given = TERMS[verb], set(names)
    missing = [name for name in terms.required if name not in given]
    if missing:
        return f"{verb} needs {', '.join(f'{name}=…' for name in missing)}"
    unknown = sorted(given - {*terms.required, *terms.optional})
    if unknown:
        known = ", ".join([*terms.required, *terms.optional]) or "none"
        return f"{verb} takes no {unknown[0]!r}; what it takes: {known}"
    return ""


LONGEST: Mapping[str, int] = {"key": 16_384, "path": 4_096}
"""Characters of an argument that may be longer than the 256 of others: several keys, one a line."""
_SHORT = 256
_ANSWERS = ("yes", "no")


def fault(verb: Verb, arguments: Mapping[str, str]) -> str:
    """What is wrong with what ``verb`` is told, its values too, as a sentence that says what to do; empty when nothing
    is. What an agent would refuse is refused before it waits for one."""
    return problem(verb, arguments) or wrong_values(verb, arguments)


def wrong_values(verb: Verb, arguments: Mapping[str, str]) -> str:
    """As :func:`fault`, of the values that are given alone."""
    for name, value in arguments.items():
        what = _wrong(name, value, needed=name in TERMS[verb].required)
        if what:
            return f"{name}={value[:80]!r} {what}"
    return ""


def _wrong(name: str, value: str, *, needed: bool) -> str:
    if needed and not value:
        return "says nothing"
    if len(value) > LONGEST.get(name, _SHORT):
        return f"is longer than {LONGEST.get(name, _SHORT)} characters"
    if "\0" in value:
        return "has a NUL in it"
    if name == "path" and value and not value.startswith("/"):
        return "must begin with /"
    if name == "pid" and not (value.isascii() and value.isdigit() and 0 < int(value) < 10**9):
        return "is no number of a process"
    if name in ("restart", "only_made") and value not in _ANSWERS:
        return "must be yes or no"
    return ""
