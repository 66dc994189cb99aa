"""``cloudmon findings``: what is wrong now, and what is done about it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Tenant
from cloudmon.cli.output import Column

if TYPE_CHECKING:
    from cloudmon.cli.opening import Names, Opened
    from cloudmon.model.actions import Intent
    from cloudmon.model.findings import Finding
    from cloudmon.model.policies import Rule, RuleState

COLUMNS = (
    Column("opened_at", "SINCE"),
    Column("subject", "SUBJECT"),
    Column("tenant", "TENANT", table=False),
    Column("kind", "KIND"),
    Column("severity", "SEVERITY"),
    Column("rule", "RULE"),
    Column("message", "WHAT"),
    Column("done", "WHAT IS DONE"),
    Column("tried", "TRIED", table=False),
    Column("retry_at", "AGAIN AT", table=False),
    Column("evidence", "EVIDENCE", table=False),
)


class Severity(enum.StrEnum):
    """How bad what was found is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


def findings(  # one option each
    target: Annotated[
        str | None, typer.Argument(help="A set, or one appliance (storefront/3); all if left out.", show_default=False)
    ] = None,
    severity: Annotated[Severity, typer.Option("--severity", help="Only what is as bad as this or worse.")] = (
        Severity.INFO
    ),
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show what is wrong now, oldest first: what rules found, faults, incidents, what is held back, clouds that do not
    answer, orphans, leases that end soon; and what is done about each. What has ended `cloudmon why` tells."""
    from cloudmon.cli import opening
    from cloudmon.model.messages import at_least

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target) if target is not None else None
        about = _About(at)
        rows = []
        for finding in about.open:
            uid, ordinal = about.appliance(finding)
            if named is not None and (uid != named.aset.uid or named.ordinal not in (None, ordinal)):
                continue
            if not at_least(finding.severity, severity):
                continue
            state = about.state(finding)
            rows.append(
                {
                    "opened_at": finding.opened_at,
                    "subject": about.names.appliance((uid, ordinal)) or finding.subject,
                    "tenant": finding.tenant,
                    "kind": finding.kind,
                    "severity": finding.severity,
                    "rule": finding.evidence.get("rule", ""),
                    "message": finding.message,
                    "done": about.done(finding),
                    "tried": state.rung if state is not None else 0,
                    "retry_at": state.retry_at if state is not None else None,
                    "evidence": finding.evidence,
                }
            )
    output.emit(rows, COLUMNS, form, empty="nothing is wrong")


class _About:
    """Everything that the store knows of open findings, each part of it read once."""

    def __init__(self, at: Opened) -> None:
        from cloudmon.cli.opening import Names

        self._now = at.now
        self.open: list[Finding] = at.store.findings.open(at.scope)
        self.names: Names = Names(at.store, at.scope)
        self._by_kind = {(one.kind, one.subject): one for one in self.open}
        self._intents: dict[str, Intent] = {one.id: one for one in at.store.intents.open(at.scope)}
        self._under_way = {tuple(one.appliance): one for one in self._intents.values()}
        self._states = {(*one.appliance, one.rule): one for one in at.store.rules.all(at.scope)}
        self._rules: dict[str, Rule] = {
            f"{policy.name}/{rule.name}": rule for policy in at.settings.rulebook() for rule in policy.rules
        }

    def appliance(self, finding: Finding) -> tuple[str, int]:
        """Whom it is about: 0 for a whole set, no uid for what is no set's."""
        head, _, rest = finding.subject.partition(":")
        if head == "intent":
            intent = self._intents.get(rest)
            return (*intent.appliance,) if intent is not None else ("", 0)
        uid, _, ordinal = head.partition("/")
        return (uid, int(ordinal or 0)) if uid in self.names.sets else ("", 0)

    def state(self, finding: Finding) -> RuleState | None:
        """What is remembered of the rule that found it."""
        return self._states.get((*self.appliance(finding), str(finding.evidence.get("rule", ""))))

    def done(self, finding: Finding) -> str:
        """What is done about it, what holds that, or for what it waits; empty where nobody knows of anything."""
        from cloudmon.cli import watching
        from cloudmon.model.findings import FindingKind

        uid, ordinal = self.appliance(finding)
        if not uid or finding.kind in (FindingKind.HELD, FindingKind.LEASE):
            return ""
        if finding.kind is not FindingKind.DETECTED:
            # An incident of a rule is that nothing more is tried.
            intent = self._under_way.get((uid, ordinal)) if not finding.evidence.get("rule") else None
            return watching.under_way(intent) if intent is not None else ""
        if (FindingKind.INCIDENT, finding.subject) in self._by_kind:
            return "an incident is open: nothing more is tried"
        key, state = str(finding.evidence.get("rule", "")), self.state(finding)
        intent = self._intents.get(state.intent_id) if state is not None else None
        if intent is not None:
            return watching.under_way(intent)
        rule = self._rules.get("/".join(key.split("/", 2)[:2]))
        if rule is not None and not rule.then:
            return "shown only"
        held = self._held(uid, ordinal, key)
        if held:
            return held
        if state is None or not state.rung:
            return f"waits for {rule.then[0].verb}" if rule is not None else ""
        again = f"; not again before {output.moment(state.retry_at)}" if self._later(state) else ""
        return f"{state.rung} tried{again}"

    def _held(self, uid: str, ordinal: int, key: str) -> str:
        """What keeps the next rung back."""
        from cloudmon.model.findings import FindingKind
        from cloudmon.model.sets import ControlKind

        for kind in (ControlKind.PAUSE, ControlKind.MAINTENANCE):
            control = self.names.sets[uid].control(kind, ordinal, self._now)
            if control is not None:
                return f"held by {kind} of {control.owner}"
        held = self._by_kind.get((FindingKind.HELD, f"{uid}/{ordinal}"))
        reason = str(held.evidence.get("reason", "")) if held is not None else ""
        return held.message if held is not None and reason.startswith(f"{key}:") else ""

    def _later(self, state: RuleState) -> bool:
        return state.retry_at is not None and state.retry_at > self._now
