"""The groups of the settings file about detection: policies, their rules, and who is exempted from them."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from cloudmon import plugins
from cloudmon.model.policies import Exemption, OnUnknown, Policy, Remedy, Rule
from cloudmon.settings.groups import Group
from cloudmon.settings.values import Instant, Name, WholeSeconds, number

BUILT_IN = "built in"
"""Source of the policy that needs no settings."""

_N_OF_M = re.compile(r"(\d+)\s+of\s+(\d+)")
_MOST = 60
"""Evaluations that ``n_of_m`` may look back."""
_TARGET = re.compile(r"\*|[^/\s]+/(\*|\d+)")


def _n_of_m(value: object) -> object:
    found = _N_OF_M.fullmatch(value.strip()) if isinstance(value, str) else None
    n, m = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= n <= m <= _MOST:
        raise ValueError(f'must be such as "3 of 5", of at most {_MOST}')
    return (n, m)


def _remedy(value: Any) -> Any:
    if isinstance(value, str):
        return {"verb": value}
    if isinstance(value, Mapping):
        given = dict(value)
        return {"verb": given.pop("verb", ""), "arguments": given}
    return value


class RemedySettings(Group):
    """One of ``then``: a control action with its arguments."""

    verb: str
    """What is done."""
    arguments: dict[str, str] = Field(default_factory=dict)
    """With what; ``{item}`` is what the rule stands for."""

    def remedy(self) -> Remedy:
        """The model's remedy."""
        return Remedy(self.verb, dict(self.arguments))


class RuleSettings(Group):
    """``policies.rules``: one ``when … then``."""

    name: Name
    """What it is called in findings, in exemptions and in the log."""
    enabled: bool = True
    """False switches it off."""
    when: str = ""
    """CEL over the facts of an appliance (``cloudmon schema facts``): true means that the condition holds. What it
    needs and is not known makes it unknown, never false."""
    each: str = ""
    """CEL that gives names, such as ``disks`` or ``declared.applications``: the rule then stands for each of them
    apart, as ``item``. Empty: once for the appliance."""
    for_: Annotated[WholeSeconds, Field(alias="for")] = 0
    """Duration that the condition must hold without a break before it is a finding."""
    n_of_m: Annotated[
        tuple[int, int], BeforeValidator(_n_of_m, json_schema_input_type=Annotated[str, Field(pattern=_N_OF_M.pattern)])
    ] = (1, 1)
    """``3 of 5``: of the last five evaluations on new facts three must hold."""
    detector: str = ""
    """Name of an installed detector that finds what no expression can say: the rule then stands for each name that it
    gives apart, as ``item``, and ``when`` and ``each`` are left out. Empty: ``when`` says."""
    on_unknown: Literal["ignore", "clear", "fire"] = "ignore"
    """When facts that it needs are not known: ``ignore`` leaves everything as it stands, ``clear`` takes the condition
    for not holding, ``fire`` for holding."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """How bad it is."""
    message: str = ""
    """For people; ``{item}`` is what it stands for. Empty: the rule's name."""
    then: tuple[
        Annotated[RemedySettings, BeforeValidator(_remedy, json_schema_input_type=str | dict[str, str])], ...
    ] = ()
    """The ladder: one action a try, the last one again until ``max_attempts``. Actions are names (``app_restart``), or
    tables of ``verb`` and its arguments. Empty: the finding is only shown."""
    backoff: Annotated[WholeSeconds, Field(gt=0)] = 60
    """Duration that an action has to show itself before the next one; doubled with each."""
    max_attempts: Annotated[int, BeforeValidator(number), Field(ge=1, le=100)] = 5
    """Actions for one finding before an incident says that nothing helps."""

    def rule(self) -> Rule:
        """The model's rule. SettingsError for a detector that is not installed, or cannot be imported."""
        n, m = self.n_of_m
        return Rule(
            name=self.name,
            when=self.when,
            each=self.each,
            for_s=self.for_,
            n=n,
            m=m,
            on_unknown=OnUnknown(self.on_unknown),
            severity=self.severity,
            message=self.message,
            then=tuple(remedy.remedy() for remedy in self.then),
            backoff_s=self.backoff,
            max_attempts=self.max_attempts,
            detect=plugins.detector(self.detector) if self.detector else None,
        )

    def over(self, below: RuleSettings) -> RuleSettings:
        """The rule ``below`` with what is written here over it."""
        return below.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class ExemptionSettings(Group):
    """``policies.exemptions``: a rule does not count for some appliances, because somebody says so."""

    rule: str = "*"
    """Name of a rule of this policy; ``*`` for all."""
    target: str
    """``storefront/3``, ``storefront/*``, or ``*`` for all."""
    owner: Annotated[str, Field(min_length=1)]
    """Who answers for it."""
    reason: Annotated[str, Field(min_length=1)]
    """Why; it is shown wherever the rule would have been."""
    until: Instant | None = None
    """When it ends. None: never by itself."""

    @field_validator("target")
    @classmethod
    def _names_appliances(cls, target: str) -> str:
        if not _TARGET.fullmatch(target):
            raise ValueError("must be such as storefront/3, storefront/* or *")
        return target

    def exemption(self) -> Exemption:
        """The model's exemption."""
        return Exemption(self.rule, self.target, self.owner, self.reason, self.until)


class PolicySettings(Group):
    """One of ``[[policies]]``: rules that sets are given."""

    name: Name
    """What it is called. ``built-in`` changes the policy of that name that is there without any settings: its rules by
    their name, key by key."""
    sets: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of the sets that it counts for; ``*`` and ``?`` as in file names."""
    enabled: bool = True
    """False switches all of it off."""
    rules: tuple[RuleSettings, ...] = ()
    """Its rules."""
    exemptions: tuple[ExemptionSettings, ...] = ()
    """Who is exempted from which of them."""

    def policy(self, source: str) -> Policy:
        """The model's policy, without the rules that are switched off."""
        return Policy(
            name=self.name,
            rules=tuple(rule.rule() for rule in self.rules if rule.enabled),
            sets=self.sets,
            exemptions=tuple(exemption.exemption() for exemption in self.exemptions),
            enabled=self.enabled,
            source=source,
        )

    def over(self, below: PolicySettings) -> PolicySettings:
        """The policy ``below`` with what is written here over it, rule by rule."""
        rules = {rule.name: rule for rule in below.rules}
        rules |= {rule.name: rule.over(rules[rule.name]) if rule.name in rules else rule for rule in self.rules}
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return below.model_copy(update={**given, "rules": tuple(rules.values())})


@functools.cache
def built_in() -> PolicySettings:
    """The policy that is there without any settings."""
    text = (resources.files("cloudmon") / "detection" / "builtin.toml").read_text(encoding="utf-8")
    return PolicySettings.model_validate(tomllib.loads(text))


def merged(given: Iterable[PolicySettings]) -> tuple[PolicySettings, ...]:
    """The built-in policy, changed as ``given`` says, and the others after it."""
    policies = tuple(given)
    first = built_in()
    for policy in policies:
        if policy.name == first.name:
            first = policy.over(first)
    return (first, *(policy for policy in policies if policy.name != first.name))
