"""``cloudmon policy``: which rules there are, and what they come to on recorded facts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, Output, Tenant
from cloudmon.cli.output import Column, Row
from cloudmon.errors import RequestRefused

if TYPE_CHECKING:
    from cloudmon.detection.detector import Detector
    from cloudmon.detection.facts import Subject
    from cloudmon.detection.judge import Judged
    from cloudmon.model.policies import Policy, Remedy, Rule

WOULD_FIRE = 2
"""Exit code of a test in which a rule would fire."""

LIST = (
    Column("policy", "POLICY"),
    Column("rule", "RULE"),
    Column("severity", "SEVERITY"),
    Column("sets", "SETS"),
    Column("for_s", "FOR", lambda row: output.duration(float(str(row["for_s"]))) if row["for_s"] else "", right=True),
    Column("n_of_m", "N OF M"),
    Column("then", "THEN"),
    Column("source", "SOURCE", table=False),
    Column("enabled", "ENABLED"),
)
_WHOLE = ("each", "when", "on_unknown", "message", "backoff_s", "max_attempts")
SHOW = (*LIST[:-1], *(Column(key, key.upper().replace("_", " ")) for key in _WHOLE))
TEST = (
    Column("appliance", "APPLIANCE"),
    Column("rule", "RULE"),
    Column("item", "ITEM", table=False),
    Column("verdict", "VERDICT"),
    Column("severity", "SEVERITY", table=False),
    Column("why", "WHY"),
    Column("facts", "FACTS", lambda row: output.pairs(row["facts"])),
    Column("done", "WOULD BE DONE"),
    Column("fires", "FIRES", table=False),
)

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """List and show the rules that are in force, and try them on recorded facts."""


@app.command("list")
def listing(config: Config = None, form: Output = Format.TABLE) -> None:
    """Show the rules of all policies, those that need no settings first."""
    from cloudmon.cli import opening
    from cloudmon.settings import load

    policies = load(opening.settings_path(config)).rulebook()
    output.emit([_row(policy, rule) for policy in policies for rule in policy.rules], LIST, form, empty="no rules")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A policy (built-in), or one of its rules (built-in/node-down).")],
    config: Config = None,
    form: Output = Format.TABLE,
) -> None:
    """Show a policy or a rule with its conditions, and who is exempted from it."""
    from cloudmon.cli import opening
    from cloudmon.settings import load

    policies = {policy.name: policy for policy in load(opening.settings_path(config)).rulebook()}
    policy_name, _, rule_name = name.partition("/")
    policy = policies.get(policy_name)
    rules = [rule for rule in policy.rules if rule_name in ("", rule.name)] if policy is not None else []
    if policy is None or (rule_name and not rules):
        raise RequestRefused(f"there is no policy or rule {name}; `cloudmon policy list` shows those that are")
    output.emit([_row(policy, rule) for rule in rules], SHOW, form, empty=f"{policy.name} has no rules")
    for exemption in policy.exemptions:
        if rule_name in ("", exemption.rule) or exemption.rule == "*":
            until = f" until {output.moment(exemption.until)}" if exemption.until is not None else ""
            output.note(
                f"note: {exemption.target} is exempted from {exemption.rule} by {exemption.owner}{until}: "
                f"{exemption.reason}"
            )


@app.command("test")
def try_out(
    target: Annotated[
        str | None,
        typer.Argument(help="An appliance (storefront/3) or a whole set; with --facts, a set.", show_default=False),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            "--facts",
            help="JSON file with the sections of a report, and probes, in place of the store.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show what every rule comes to on recorded facts, what it looked at, and what would be done. Changes nothing.

    The facts are a file's, or what the appliance reported last. Exit code 2 when a rule would fire, 0 when none would,
    1 on an error.
    """
    from cloudmon.cli import opening, recorded
    from cloudmon.detection.detector import Detector
    from cloudmon.settings import load

    settings = load(opening.settings_path(config))
    detector = Detector(settings.rulebook())
    if facts is not None:
        now = opening.clock().now()
        subjects = [recorded.subject(settings, target, facts, now)]
    elif target is None:
        raise RequestRefused("say whose facts are meant: an appliance (storefront/3), or --facts FILE")
    else:
        now, subjects = _reported(config, tenant, target)
    rows = [row for subject in subjects for row in _verdicts(detector, subject, now)]
    output.emit(rows, TEST, form, empty="no rule counts for it")
    if any(row["fires"] for row in rows):
        raise typer.Exit(WOULD_FIRE)


def _row(policy: Policy, rule: Rule) -> Row:
    return {
        "policy": policy.name,
        "rule": rule.name,
        "severity": rule.severity,
        "sets": list(policy.sets),
        "for_s": rule.for_s,
        "n_of_m": f"{rule.n} of {rule.m}" if rule.m > 1 else "",
        "then": [_remedy(remedy) for remedy in rule.then],
        "backoff_s": rule.backoff_s,
        "max_attempts": rule.max_attempts,
        "source": policy.source,
        "enabled": policy.enabled,
        "each": rule.each,
        "when": " ".join(rule.when.split()) or f"what {getattr(rule.detect, '__name__', 'its detector')} finds",
        "on_unknown": str(rule.on_unknown),
        "message": rule.message,
    }


def _remedy(remedy: Remedy) -> str:
    """``job_run job=tidy``."""
    return " ".join([remedy.verb, *(f"{name}={value}" for name, value in remedy.arguments.items())])


def _verdicts(detector: Detector, subject: Subject, now: dt.datetime) -> Iterator[dict[str, Any]]:
    from cloudmon.detection.judge import Verdict
    from cloudmon.model.policies import OnUnknown

    name = f"{subject.set_name}/{subject.member.ordinal}"
    for judged in detector.judge(subject, now):
        exemption = detector.rules.exemption(judged.ready, name, now)
        rule = judged.ready.rule
        unknown_fires = judged.verdict is Verdict.UNKNOWN and rule.on_unknown is OnUnknown.FIRE
        fires = exemption is None and (judged.verdict is Verdict.HOLDS or unknown_fires)
        why = judged.why or (judged.ready.message(judged.item) if judged.verdict is Verdict.HOLDS else "")
        yield {
            "appliance": name,
            "rule": judged.key if judged.item else judged.ready.key,
            "item": judged.item,
            "verdict": str(judged.verdict),
            "severity": rule.severity,
            "why": f"exempted by {exemption.owner}: {exemption.reason}" if exemption is not None else why,
            "facts": {path: output.counted(value) for path, value in (judged.facts or {}).items()},
            "done": _done(judged) if fires else "",
            "fires": fires,
        }


def _done(judged: Judged) -> str:
    """What would come of it: the ladder, and what is waited for before its first rung."""
    rule = judged.ready.rule
    waits = [f"for {output.duration(rule.for_s)}"] if rule.for_s else []
    waits += [f"{rule.n} of {rule.m}"] if rule.m > 1 else []
    ladder = ", then ".join(_remedy(remedy) for remedy in rule.then) or "shown"
    return f"{ladder} (when it holds {', '.join(waits)})" if waits else ladder


# --- whose facts ------------------------------------------------------------------------------------------------------


def _reported(config: Path | None, tenant: str | None, text: str) -> tuple[dt.datetime, list[Subject]]:
    """What the store knows of an appliance, or of all of a set."""
    from cloudmon.cli import opening
    from cloudmon.detection.facts import Subject
    from cloudmon.reconcile import accounts

    with opening.opened(config, tenant) as at:
        target = opening.find(at.store, at.scope, text)
        members = [
            member
            for member in at.store.members.of_set(at.scope, target.aset.uid)
            if target.ordinal in (None, member.ordinal)
        ]
        subjects = [
            Subject(
                member,
                target.aset.name,
                target.aset.spec.template,
                agent=at.store.agents.get(at.scope, member.id),
                state=at.store.reports.state(at.scope, member.id),
                accounts=accounts.wanted(target.aset, at.now),
            )
            for member in members
        ]
        return at.now, subjects
