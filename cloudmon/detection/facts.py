"""What is known of one appliance at one moment, as rules speak of it.

Of what an appliance said, only what still counts: said by its present node, since it came into its present state, and
not too long ago. All else is not known, so that no rule fires because an appliance fell silent; that it did, the
``report`` group tells.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudmon.detection import versions
from cloudmon.detection.needs import Need, project
from cloudmon.detection.schema import FACTS
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.grants import SUDO, Access, fingerprint
from cloudmon.model.guests import Agent, GuestState, Sections
from cloudmon.model.nodes import Node
from cloudmon.model.probes import ProbeResult
from cloudmon.model.sets import Template

INTERVALS = 3
"""Reports that may be missing …"""
PATIENCE_S = 60.0
"""… and seconds beyond, before what an appliance said last counts no more."""
MOST_INTERVAL_S = 86_400
"""An agent that says that it reports less often than this is not believed: it could hide behind its silence."""

_NO_LOGIN = frozenset({"nologin", "false", "sync", "shutdown", "halt"})
"""Programs that let nobody in."""
_ALWAYS = "root"
"""The account that every machine has."""
_SUDO = frozenset({SUDO, "wheel"})
"""Groups of those who may become root; a system has one or the other."""
_AGENT = "cloudmon-agent"
"""In the command line of the agent, which belongs wherever it runs."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that the monitor knows of one appliance."""

    member: Member
    set_name: str
    template: Template
    node: Node | None = None
    """Its node as the cloud reported it last; None when it was not seen, or not lately."""
    agent: Agent | None = None
    """The agent that speaks for it; None when none ever did."""
    state: GuestState | None = None
    """What it said of itself; None when nothing, or nothing that adds up."""
    probes: Mapping[str, ProbeResult] = field(default_factory=dict)
    """What its probes came to last, by name, as far as they were ever asked."""
    accounts: Mapping[str, Access] = field(default_factory=dict)
    """The accounts that are granted on it now, by user."""
    listened_since: dt.datetime | None = None
    """Since when its agent could have been heard, had it been there: the monitor's start. None: always."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one appliance at one moment. Made cheaply: a group is put together when it is needed."""

    subject: Subject
    now: dt.datetime
    sections: Sections
    """What still counts of what it said."""
    stale_at: dt.datetime | None
    """When that will count no more, if nothing comes; None when nothing counts now."""
    awaited: bool | None
    """Whether a report of its agent is missing that never told anything; None: it is too soon to tell."""
    told_at: dt.datetime | None
    """When it, or how long the agent has been silent, will not be too soon to tell any more."""
    _put: dict[str, Mapping[str, object] | None] = field(default_factory=dict, repr=False, compare=False)
    """Groups that were put together already."""

    def groups(self, need: Need, items: frozenset[str] = frozenset()) -> dict[str, Any]:
        """What is needed of them, by group; groups of which nothing is known are not there."""
        now_s = self.now.timestamp()
        found: dict[str, Any] = {}
        for name, below in need.fields.items():
            told = self._told(name)
            if told is None:
                continue
            value = project(FACTS.fields[name].shape, below, told, items, now_s)
            if value is not None:
                found[name] = value
        return found

    def _told(self, group: str) -> Mapping[str, object] | None:
        if group not in self._put:
            section = self.sections.get(group)
            if group in _MADE:
                self._put[group] = _MADE[group](self)
            elif section is not None and group in _SHAPED:
                self._put[group] = _SHAPED[group](section, self)
            else:
                self._put[group] = section
        return self._put[group]


def known(subject: Subject, now: dt.datetime) -> Facts:
    """The facts of an appliance at ``now``."""
    member, state = subject.member, subject.state
    heard_at = _heard_at(subject)
    awaited, told_at = _awaited(subject, now)
    told_at = told_at or _told_at(subject, heard_at, now)
    asked_until = min((one.stale_at for one in _answers(subject, now).values()), default=None)
    if state is None or heard_at is None or state.incarnation != member.incarnation:
        return Facts(subject, now, {}, asked_until, awaited, told_at)
    stale_at = heard_at + _patience(subject)
    counts = member.state is ApplianceState.RUNNING and heard_at >= member.since and now <= stale_at
    told = {name: section for name, section in state.sections.items() if isinstance(section, Mapping)} if counts else {}
    until = (stale_at if counts else None, asked_until)
    return Facts(subject, now, told, min(filter(None, until), default=None), awaited, told_at)


def _answers(subject: Subject, now: dt.datetime) -> dict[str, ProbeResult]:
    """What probes of its present node came to, since it came into its present state and not too long ago."""
    member = subject.member
    if member.state is not ApplianceState.RUNNING:
        return {}
    return {
        name: one
        for name, one in subject.probes.items()
        if one.incarnation == member.incarnation and member.since <= one.at and now <= one.stale_at
    }


def _heard_at(subject: Subject) -> dt.datetime | None:
    """When its present node was heard last."""
    incarnation = subject.member.incarnation
    heard = [
        said.received_at
        for said in (subject.agent, subject.state)
        if said is not None and said.incarnation == incarnation and said.received_at is not None
    ]
    return max(heard, default=None)


def _awaited(subject: Subject, now: dt.datetime) -> tuple[bool | None, dt.datetime | None]:
    """Whether the first report of its present node is still to come; and when that can be told, where it cannot yet.

    Nobody waits for an agent that was revoked. One that could not be heard before, since no monitor was there or since
    it has only just enrolled, is given the time in which any other would have to report.
    """
    agent = subject.agent
    own = agent if agent is not None and agent.incarnation == subject.member.incarnation else None
    revoked = own is not None and own.revoked_at is not None
    if not subject.template.agent or revoked or _heard_at(subject) is not None:
        return False, None
    starts = (subject.listened_since, own.enrolled_at if own is not None else None)
    since = max(filter(None, starts), default=None)
    if since is not None and now <= since + _patience(subject):
        return None, since + _patience(subject)
    return True, None


def _told_at(subject: Subject, heard_at: dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    """When the silence of an agent can be told that was heard by an earlier monitor last, where it cannot yet."""
    since = subject.listened_since
    early = heard_at is not None and since is not None and heard_at < since and now <= since + _patience(subject)
    return since + _patience(subject) if early and since is not None else None


def _patience(subject: Subject) -> dt.timedelta:
    """How long an agent may say nothing."""
    return dt.timedelta(seconds=INTERVALS * _interval_s(subject) + PATIENCE_S)


def _interval_s(subject: Subject) -> int:
    """Seconds between two reports: what the template says, or what the agent says that it keeps, if that is longer."""
    kept: object = subject.state.sections if subject.state is not None else None
    for name in ("system", "agent", "interval_s"):
        kept = kept.get(name) if isinstance(kept, Mapping) else None
    least = subject.template.report_interval_s
    return max(least, min(kept, MOST_INTERVAL_S)) if isinstance(kept, int) else least


def granted_well(facts: Facts) -> list[str]:
    """Users whose granted account is known to be as it was granted."""
    found = _granted(facts)["accounts"]
    items = found.items() if isinstance(found, Mapping) else ()
    return [user for user, one in items if isinstance(one, Mapping) and one.get("state") == "right"]


# --- groups that the monitor makes ------------------------------------------------------------------------------------


def _appliance(facts: Facts) -> Mapping[str, object]:
    subject, member = facts.subject, facts.subject.member
    return {
        "set": subject.set_name,
        "ordinal": member.ordinal,
        "tenant": member.tenant,
        "template": subject.template.name,
        "incarnation": member.incarnation,
        "state": str(member.state),
        "wanted": str(member.wanted),
        "state_s": _seconds(facts.now - member.since),
    }


def _node(facts: Facts) -> Mapping[str, object] | None:
    node = facts.subject.node
    if node is None:
        return None
    found: dict[str, object] = {
        "state": str(node.state),
        "cloud": facts.subject.member.cloud,
        "size": node.size,
        "location": node.location,
    }
    if node.created_at is not None:
        found["age_s"] = _seconds(facts.now - node.created_at)
    return {name: value for name, value in found.items() if value != ""}


def _report(facts: Facts) -> Mapping[str, object]:
    subject = facts.subject
    heard_at = _heard_at(subject)
    found: dict[str, object] = {"interval_s": _interval_s(subject)}
    if facts.awaited is not None:
        found["awaited"] = facts.awaited
    if heard_at is None:
        return found
    found["age_s"] = _seconds(facts.now - heard_at)
    if _told_at(subject, heard_at, facts.now) is None:
        found["silent_s"] = _seconds(facts.now - max(heard_at, subject.listened_since or heard_at))
    agent, state = subject.agent, subject.state
    if agent is not None and agent.boot and agent.incarnation == subject.member.incarnation:
        found |= {"seq": agent.seq, "boot": agent.boot, "offset_s": agent.offset_s, "version": agent.version}
    elif state is not None:
        found |= {"seq": state.seq, "boot": state.boot}
    return found


def _declared(facts: Facts) -> Mapping[str, object]:
    template = facts.subject.template
    found: dict[str, object] = {
        "applications": {
            name: {"package": one.package, "version": one.version, "service": one.service}
            for name, one in template.applications.items()
        },
        "packages": {one.package: one.version for one in template.applications.values() if one.package and one.version},
        "files": template.files,
        "file_hashes": template.file_hashes,
        "boot_timeout_s": template.boot_timeout_s,
        "jobs": tuple(template.jobs),
        "probes": tuple(template.probes),
        "certificates": tuple(name for name, one in template.probes.items() if one.tls is not None),
    }
    if template.accounts is not None:
        found["accounts"] = template.accounts
    if template.processes is not None:
        found["processes"] = template.processes
    return found


def _probes(facts: Facts) -> Mapping[str, object]:
    """Every declared one; of those that were not asked lately, nothing is known."""
    found: dict[str, object] = dict.fromkeys(facts.subject.template.probes)
    for name, one in _answers(facts.subject, facts.now).items():
        if name in found:
            said: dict[str, object] = {
                "ok": one.ok,
                "error": one.error,
                "at": one.at.timestamp(),
                "since": one.since.timestamp(),
                "address": one.address,
            }
            if one.certificate_until is not None:
                said["certificate_until"] = one.certificate_until.timestamp()
            found[name] = said
    return found


def _versions(facts: Facts) -> Mapping[str, object] | None:
    packages, told = facts.sections.get("packages"), facts.sections.get("applications", {})
    if packages is None:
        return None
    found = (
        (one.package, versions.standing(one.version, packages, one.package, told.get(name)))
        for name, one in facts.subject.template.applications.items()
        if one.package and one.version
    )
    return {package: {key: value for key, value in said.items() if value is not None} for package, said in found}


def _unexpected(facts: Facts) -> Mapping[str, object]:
    template = facts.subject.template
    accounts, processes = facts.sections.get("accounts"), facts.sections.get("processes")
    found: dict[str, object] = {}
    if template.accounts is not None and accounts is not None:
        found["accounts"] = _strays((name for name, one in accounts.items() if _unasked(one)), template.accounts)
    if template.processes is not None and processes is not None:
        found["processes"] = _strays(_names(processes), template.processes)
    return found


def _granted(facts: Facts) -> Mapping[str, object]:
    """How each granted account stands; nothing is known of any where the appliance's accounts are not."""
    told, granted = facts.sections.get("accounts"), facts.subject.accounts
    found: dict[str, object] = {"accounts": dict.fromkeys(granted)}
    if told is None:
        return found
    found["accounts"] = {user: _standing(told.get(user), access) for user, access in granted.items()}
    made = (name for name, one in told.items() if isinstance(one, Mapping) and one.get("managed") is True)
    found["left"] = sorted(set(made) - granted.keys())
    return found


def _standing(told: object, access: Access) -> Mapping[str, object]:
    if not isinstance(told, Mapping):
        return {"state": "missing"}
    if told.get("managed") is not True:
        return {"state": "foreign"}
    keys, groups = told.get("keys"), told.get("groups")
    if told.get("locked") is False:
        return {"state": "password"}
    if isinstance(groups, list) and {_right(one) for one in groups} != set(access.rights):
        return {"state": "groups"}
    if isinstance(keys, list) and sorted(map(str, keys)) != sorted({fingerprint(key) for key in access.keys}):
        return {"state": "keys"}
    return {"state": "right"} if isinstance(keys, list) and isinstance(groups, list) else {}


def _right(group: object) -> str:
    return SUDO if group in _SUDO else str(group)


def _strays(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    covered = _covering(tuple(patterns))
    return sorted({name for name in names if name != _ALWAYS and not covered(name)})


@functools.lru_cache(maxsize=256)
def _covering(patterns: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)").match


def _unasked(account: object) -> bool:
    if not isinstance(account, dict):
        return True
    if account.get("managed") is True:
        return False  # made because it was granted, and gone when it is not any more
    shell = account.get("shell")
    return bool(account.get("keys")) or not isinstance(shell, str) or shell.rpartition("/")[2] not in _NO_LOGIN


def _names(processes: Mapping[str, object]) -> Iterable[str]:
    """Of processes that are programs: the kernel's own have no command line."""
    for process in processes.values():
        if isinstance(process, dict):
            name, command = process.get("name"), process.get("command")
            if isinstance(name, str) and command != "" and not (isinstance(command, str) and _AGENT in command):
                yield name


_MADE: Mapping[str, Callable[[Facts], Mapping[str, object] | None]] = {
    "appliance": _appliance,
    "node": _node,
    "report": _report,
    "probes": _probes,
    "declared": _declared,
    "unexpected": _unexpected,
    "versions": _versions,
    "granted": _granted,
}


# --- sections that are told otherwise than rules speak of them --------------------------------------------------------


def _now(section: Mapping[str, object], _: Facts) -> Mapping[str, object] | None:
    found = section.get("now")
    return found if isinstance(found, Mapping) else None


def _files(section: Mapping[str, object], _: Facts) -> Mapping[str, object]:
    return {
        path: ({**one, "sha256": ""} if one.get("missing") is True else {"missing": False, **one})
        if isinstance(one, Mapping)
        else one
        for path, one in section.items()
    }


def _applications(section: Mapping[str, object], facts: Facts) -> Mapping[str, object]:
    """With every declared one, with the start of its process, and without a state that says that nobody knows it."""
    found: dict[str, object] = dict.fromkeys(facts.subject.template.applications)
    processes = facts.sections.get("processes", {})
    for name, one in section.items():
        if not isinstance(one, Mapping) or one.get("state") == "unknown":
            rest = one.items() if isinstance(one, Mapping) else ()
            found[name] = {key: value for key, value in rest if key not in ("state", "since")}
            continue
        first = one if one.get("state") in ("down", "stopped") else processes.get(str(one.get("pid")))
        started = first.get("since") if isinstance(first, Mapping) else None
        found[name] = {**one, "started": started}
    return found


_SHAPED: Mapping[str, Callable[[Mapping[str, object], Facts], Mapping[str, object] | None]] = {
    "load": _now,
    "memory": _now,
    "files": _files,
    "applications": _applications,
}


def _seconds(since: dt.timedelta) -> float:
    return max(0.0, since.total_seconds())
