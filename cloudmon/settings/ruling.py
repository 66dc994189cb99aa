"""Faults of policies: rules that cannot be used, remedies that nobody can perform, names that name nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cloudmon import plugins
from cloudmon.errors import SettingsError
from cloudmon.model import commands
from cloudmon.model.actions import GUEST_VERBS, Verb
from cloudmon.plugins import nearest
from cloudmon.settings import policies, sources
from cloudmon.settings.policies import PolicySettings, RemedySettings, RuleSettings
from cloudmon.settings.sentences import Key, Source

if TYPE_CHECKING:
    from cloudmon.detection.rules import RuleError
    from cloudmon.settings.root import Settings
    from cloudmon.settings.wanted import TemplateSettings

ON_NODES = (Verb.SNAPSHOT, Verb.STOP, Verb.SUSPEND, Verb.ISOLATE, Verb.REBOOT)
"""What a rule may have done to the node of an appliance."""
REPLACE = "replace"
"""And this: a new node in the place of the old one."""
NOTIFY = "notify"
"""And this: somebody is told, and the next rung follows at once."""
EVERYBODY = "*"
"""All notifiers: whom ``notify`` means that names nobody."""
GRANTED = "granted.accounts"
"""What a rule stands for that may have accounts made."""
ITEM = "{item}"
"""Stands in an argument for what the rule was found for."""
VERBS = (*ON_NODES, REPLACE, NOTIFY, *commands.OFFERED)
"""Everything that may stand in ``then``."""


class Around(NamedTuple):
    """What else the settings name, that remedies speak of."""

    notifiers: Collection[str]
    sets: Mapping[str, str]
    """Name of its template by set."""
    templates: Mapping[str, TemplateSettings]

    @classmethod
    def of(cls, settings: Settings) -> Around:
        """What these settings name."""
        sets = {name: one.template for name, one in settings.sets.items()}
        return cls(tuple(settings.notify), sets, settings.templates)

    def declared(self, kind: str, patterns: Sequence[str]) -> list[str] | None:
        """Jobs or applications that the templates of these sets declare; None where nobody knows which those are."""
        named = {self.sets[name] for name in self.sets if any(fnmatchcase(name, one) for one in patterns)}
        found = [self.templates[name] for name in named & self.templates.keys()]
        return sorted({name for template in found for name in getattr(template, kind)}) if found else None


def faults(given: tuple[PolicySettings, ...], source: Source, path: Path, around: Around) -> Iterator[SettingsError]:
    """Everything that is wrong with the policies of the settings file at ``path``, whose rules are compiled for it."""
    if not given:
        return
    for name, count in Counter(policy.name for policy in given).items():
        if count > 1:
            yield source.problem(("policies", name), f"is there {count} times; keep one", with_value=False)
    effective = {policy.name: policy for policy in policies.merged(given)}
    for policy in given:
        key: Key = ("policies", policy.name)
        for name, count in Counter(rule.name for rule in policy.rules).items():
            if count > 1:
                yield source.problem((*key, "rules", name), f"is there {count} times; keep one", with_value=False)
        rules = {rule.name: rule for rule in effective[policy.name].rules}
        for rule in policy.rules:
            here = (*key, "rules", rule.name)
            yield from _of_rule(policy, rules[rule.name], here, source, path)
            yield from _of_telling(rules[rule.name], here, source, around.notifiers)
            yield from _of_names(effective[policy.name], rules[rule.name], here, source, around)
        for exemption in policy.exemptions:
            if exemption.rule not in ("*", *rules):
                what = f"names no rule of this policy{nearest(exemption.rule, list(rules))}"
                yield source.problem((*key, "exemptions", "rule"), what, value=exemption.rule)


def _of_rule(
    policy: PolicySettings, rule: RuleSettings, key: Key, source: Source, path: Path
) -> Iterator[SettingsError]:
    from cloudmon.detection import rules  # noqa: PLC0415  # brings CEL along: only where there are rules

    if not rule.enabled:
        return
    if rule.detector and (rule.when or rule.each):
        what = "has both detector and when or each; a detector gives the names itself"
        yield source.problem(key, what, with_value=False)
        return
    if not rule.detector and not rule.when.strip():
        yield source.problem((*key, "when"), "is missing", with_value=False)
        return
    try:
        rules.ready(policy.name, rule.rule())
    except SettingsError as error:
        yield _of_detector(rule.detector, error, key, source)
    except rules.RuleError as error:
        yield _sentence(error, rule, key, source, path)
    for remedy in rule.then:
        what = _unable(remedy, rule)
        if what:
            yield source.problem((*key, "then"), what, value=remedy.verb)


def _of_detector(name: str, error: SettingsError, key: Key, source: Source) -> SettingsError:
    known = plugins.detectors()
    what = f"cannot be used: {error.message}" if name in known else f"is no installed detector{nearest(name, known)}"
    return source.problem((*key, "detector"), what, value=name)


def _of_telling(rule: RuleSettings, key: Key, source: Source, notifiers: Collection[str]) -> Iterator[SettingsError]:
    """Rungs that tell somebody who is not there."""
    for remedy in rule.then if rule.enabled else ():
        to = remedy.arguments.get("to", EVERYBODY)
        if remedy.verb != NOTIFY:
            continue
        if not notifiers:
            what = "tells nobody: no notifier is configured; [notify.<name>] is one"
            yield source.problem((*key, "then"), what, value=NOTIFY)
        elif to not in (EVERYBODY, *notifiers):
            what = f"names no notifier{nearest(to, list(notifiers))}"
            yield source.problem((*key, "then", "to"), what, value=to)


def _of_names(
    policy: PolicySettings, rule: RuleSettings, key: Key, source: Source, around: Around
) -> Iterator[SettingsError]:
    """Rungs that name a job or an application which no template of the policy's sets declares."""
    for remedy in rule.then if rule.enabled and policy.enabled else ():
        for argument, kind in (("job", "jobs"), ("application", "applications")):
            name, known = remedy.arguments.get(argument, ITEM), around.declared(kind, policy.sets)
            if known is not None and ITEM not in name and name not in known:
                what = f"is no {argument} that a template of its sets declares{nearest(name, known)}"
                yield source.problem((*key, "then", argument), what, value=name)


def _sentence(error: RuleError, rule: RuleSettings, key: Key, source: Source, path: Path) -> SettingsError:
    here = (*key, error.part)
    value = {
        "when": rule.when, "each": rule.each, "message": rule.message, "detector": rule.detector
    }.get(error.part)  # fmt: skip
    if error.at is None:
        return source.problem(here, error.what, value=value, with_value=value is not None)
    return source.problem(here, f"is wrong at {_place(error, path)}: it {error.what}", value=value)


def _place(error: RuleError, path: Path) -> str:
    """Line and column in the file, where the expression stands in it once and as it is; else in the expression."""
    from cloudmon.detection import syntax  # noqa: PLC0415  # with the rules

    text = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = sources.Files().text(path)
    at = error.at or 0
    if text.count(error.text) == 1:
        line, column = syntax.place(text, text.index(error.text) + at)
        return f"line {line}, column {column}"
    line, column = syntax.place(error.text, at)
    return f"line {line}, column {column} of the expression"


def _unable(remedy: RemedySettings, rule: RuleSettings) -> str:
    """Why a remedy cannot be; empty when it can."""
    if remedy.verb == Verb.ACCOUNT_GRANT and rule.each == GRANTED:
        return "takes no arguments: what is granted says them" if remedy.arguments else ""
    if remedy.verb not in VERBS:
        return f"is no action that a rule can take{nearest(remedy.verb, [str(verb) for verb in VERBS])}"
    if remedy.verb == NOTIFY:
        return "takes no argument but to, the name of a notifier" if remedy.arguments.keys() - {"to"} else ""
    if remedy.verb == REPLACE or Verb(remedy.verb) not in GUEST_VERBS:
        return "takes no arguments" if remedy.arguments else ""
    what = commands.problem(Verb(remedy.verb), {*remedy.arguments, *_own(remedy, rule)})
    said = {name: value for name, value in remedy.arguments.items() if ITEM not in value}
    what = what or commands.wrong_values(Verb(remedy.verb), said)
    return f"cannot be done: {what}" if what else ""


def _own(remedy: RemedySettings, rule: RuleSettings) -> Collection[str]:
    """Arguments that a rule has by itself: one that stands for each application, or for each account, means that."""
    if not rule.each and not rule.detector:
        return ()
    if remedy.verb == Verb.ACCOUNT_REVOKE:
        return ("user",)
    return ("application",) if remedy.verb.startswith("app_") else ()
