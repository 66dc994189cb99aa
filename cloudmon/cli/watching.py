"""The appliance state table for people: rows with the quality of what is known, and a view that follows them."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cloudmon.cli import output
from cloudmon.cli.opening import Freshness, Names
from cloudmon.cli.output import Column, Row, moment
from cloudmon.clock import Clock
from cloudmon.model.actions import GUEST_VERBS, Intent, IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId, Token
from cloudmon.model.sets import ApplianceSet, ControlKind
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.settings import Settings
from cloudmon.store import Store

if TYPE_CHECKING:
    from rich.live import Live as RichLive

WITHOUT_NODE = frozenset({ApplianceState.REQUESTED, ApplianceState.RETIRED})
REACHED: Mapping[Power, frozenset[ApplianceState]] = {
    Power.RUNNING: frozenset({ApplianceState.RUNNING}),
    # One that never had a node is as off as can be; a cloud that cannot suspend stops, or isolates.
    Power.STOPPED: frozenset({ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.REQUESTED}),
    Power.SUSPENDED: frozenset(
        {ApplianceState.SUSPENDED, ApplianceState.STOPPED, ApplianceState.ISOLATED, ApplianceState.REQUESTED}
    ),
    Power.ISOLATED: frozenset({ApplianceState.ISOLATED, ApplianceState.STOPPED, ApplianceState.SUSPENDED}),
}


def state_shown(row: Row) -> str:
    if not row["stale"]:
        return str(row["state"])
    seen = row["seen_at"]
    return (
        f"{row['state']} (stale since {moment(seen)})" if isinstance(seen, dt.datetime) else f"{row['state']} (unseen)"
    )


COLUMNS = (
    Column("appliance", "APPLIANCE"),
    Column("tenant", "TENANT", table=False),
    Column("state", "STATE", state_shown),
    Column("stale", "STALE", table=False),
    Column("seen_at", "SEEN AT", table=False),
    Column("since", "SINCE"),
    Column("wanted", "WANTED"),
    Column("incarnation", "INC", right=True),
    Column("cloud", "CLOUD"),
    Column("location", "LOCATION", table=False),
    Column("node", "NODE"),
    Column("waits_for", "WAITS FOR"),
)


@dataclass(frozen=True, slots=True)
class View:
    """Where rows are read from."""

    store: Store
    settings: Settings
    now: dt.datetime
    scope: Scope = EVERYONE


def rows(view: View, aset: ApplianceSet | None = None, ordinal: int | None = None) -> Sequence[Row]:
    """One row an appliance, of one set or of all that are not retired."""
    store, scope = view.store, view.scope
    names = Names(store, scope)
    fresh = Freshness(store.spans.latest(), view.settings, view.now)
    members = store.members.all(scope) if aset is None else store.members.of_set(scope, aset.uid)
    if aset is not None and aset.retired_at is None:
        members = [member for member in members if member.state is not ApplianceState.RETIRED]
    members = sorted(members, key=lambda member: (names.set(member.set_uid), member.tenant, member.ordinal))
    reasons = Reasons(store, scope, names, view.now)
    shown = [
        member
        for member in members
        if ordinal in (None, member.ordinal) and (aset is not None or member.state is not ApplianceState.RETIRED)
    ]
    owed = _debts(view, aset, shown) if aset is not None else {}
    return [_row(member, names, fresh, reasons, owed.get(member.id, "")) for member in shown]


def _debts(view: View, aset: ApplianceSet, members: Sequence[Member]) -> Mapping[ApplianceId, str]:
    """Of one set alone: it takes all that its agents told."""
    from cloudmon.monitor import standing

    return standing.debts(view.store, view.scope, aset, members, view.now)


def _row(member: Member, names: Names, fresh: Freshness, reasons: Reasons, owed: str) -> Row:
    has_node = bool(member.cloud) and member.state not in WITHOUT_NODE
    return {
        "appliance": names.appliance(member.id),
        "tenant": member.tenant,
        "state": member.state,
        "stale": has_node and fresh.stale(member.cloud),
        "seen_at": fresh.since(member.cloud) if has_node else None,
        "since": member.since,
        "wanted": member.wanted,
        "incarnation": member.incarnation,
        "cloud": member.cloud if has_node else "",
        "location": member.location if has_node else "",
        "node": (member.node_id or reasons.ending(member)) if has_node else "",
        "waits_for": "; ".join(filter(None, (reasons.of(member), owed))),
    }


class Reasons:
    """Why an appliance waits: what is under way, what is wrong, who holds it, until when."""

    def __init__(self, store: Store, scope: Scope, names: Names, now: dt.datetime) -> None:
        self._sets = names.sets
        self._now = now
        self._intents: dict[tuple[str, int], Intent] = {i.appliance: i for i in store.intents.open(scope)}
        self._findings: dict[str, list[Finding]] = {}
        self._orphans: dict[tuple[str, int], Finding] = {}
        for finding in store.findings.open(scope):
            self._findings.setdefault(finding.subject, []).append(finding)
            token = Token.parse(str(finding.evidence.get("token", "")))
            if finding.kind is FindingKind.ORPHAN and token is not None:
                self._orphans[token.appliance] = finding

    def ending(self, member: Member) -> str:
        """The node that was given up and is there until it is seen to have ended; empty text for none."""
        intent = self._intents.get(member.id)
        return intent.node_id if intent is not None and intent.verb is Verb.TERMINATE else ""

    def of(self, member: Member) -> str:
        """In one line; empty for one that waits for nothing."""
        return "; ".join(self._all(member))

    def _all(self, member: Member) -> list[str]:
        found = []
        intent = self._intents.get(member.id)
        if intent is not None:
            found.append(under_way(intent))
        found += [finding.message for finding in self._findings.get(f"{member.set_uid}/{member.ordinal}", ())]
        aset = self._sets.get(member.set_uid)
        if aset is not None:
            found += [f"{kind}d" if kind is ControlKind.PAUSE else f"in {kind}" if kind is ControlKind.MAINTENANCE
                      else f"{kind}ed" for kind in ControlKind
                      if aset.control(kind, member.ordinal, self._now)]  # fmt: skip
        if member.retry_at is not None and member.retry_at > self._now:
            found.append(f"tries again at {moment(member.retry_at)}")
        orphan = self._orphans.get(member.id)
        if orphan is not None and member.state is ApplianceState.REQUESTED:
            found.append(f"{orphan.message}: adopt it, or end it")
        if member.state is ApplianceState.REQUESTED and member.wanted is Power.RUNNING and not found:
            start = aset.spec.lease.start if aset is not None else None
            later = start is not None and start > self._now
            found.append(f"its lease, which begins {moment(start)}" if start is not None and later else "its launch")
        if member.cloud:
            of_cloud = self._findings.get(f"cloud:{member.cloud}", ())
            found += [f.message for f in of_cloud if f.kind in (FindingKind.UNREACHABLE, FindingKind.SUSPICIOUS)]
        return found


def under_way(intent: Intent) -> str:
    """An open intent in words."""
    if intent.state is IntentState.INCIDENT:
        return f"{intent.verb}, which does not come to its end (last try: {intent.error or 'accepted, without effect'})"
    if intent.verb in GUEST_VERBS:
        how = _awaited_inside(intent)
    else:
        how = "to be seen" if intent.state is IntentState.PERFORMED else "the cloud's answer"
    error = f" (last try: {intent.error})" if intent.error else ""
    return f"{intent.verb}, {how}{error}"


def _awaited_inside(command: Intent) -> str:
    from cloudmon.reconcile import remote

    if remote.by_cloud(command):
        return "the cloud's answer"
    return "its agent's answer" if command.state is IntentState.PERFORMED else "to be fetched"


class Live:
    """A table on stderr that follows the store while somebody looks; lines of what changed where nobody does.

    A context manager. On stderr, so that stdout carries the result alone.

    Arguments:
        look: reads the rows as they are now.
        clock: what tells the time.
        until: how long at most; None for as long as somebody looks.
    """

    def __init__(self, look: Callable[[], Sequence[Row]], clock: Clock, until: dt.datetime | None = None) -> None:
        self._look = look
        self._clock = clock
        self._bound = f"looks until {moment(until)} at most" if until is not None else ""
        self._live: RichLive | None = None
        self._known: dict[str, str] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live as RichLive

            self._live = RichLive(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        return self

    def refresh(self) -> None:
        """Show how things stand now."""
        found = self._look()
        if self._live is not None:
            table = output.as_rich(found, COLUMNS)
            table.caption = self._bound
            self._live.update(table, refresh=True)
            return
        if self._known and self._bound:
            output.note(f"{moment(self._clock.now())} {self._bound}")
            self._bound = ""
        for row in found:
            name, state = str(row["appliance"]), state_shown(row)
            if self._known.get(name) != state:
                self._known[name] = state
                why = f": {row['waits_for']}" if row["waits_for"] else ""
                output.note(f"{moment(self._clock.now())} {name} is {state}{why}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
