"""Which rules count for which appliance, and from whom it is exempted."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Iterable, Sequence

from cloudmon.detection import rules
from cloudmon.detection.judge import Counting
from cloudmon.detection.rules import Ready
from cloudmon.model.policies import Exemption, Policy


class Rulebook:
    """Policies made ready. Raises RuleError for a rule that is wrong."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies: Sequence[Policy] = tuple(policy for policy in policies if policy.enabled)
        self._ready = [
            (policy, tuple(rules.ready(policy.name, rule) for rule in policy.rules)) for policy in self.policies
        ]
        self._exemptions = {policy.name: policy.exemptions for policy in self.policies if policy.exemptions}
        self._of_sets: dict[str, Counting] = {}

    def of_set(self, name: str) -> Counting:
        """The rules that count for a set, in the order of policies and rules."""
        if name not in self._of_sets:
            self._of_sets[name] = Counting(
                [rule for policy, ready in self._ready if counts(policy, name) for rule in ready]
            )
        return self._of_sets[name]

    def exemption(self, rule: Ready, appliance: str, now: dt.datetime) -> Exemption | None:
        """What exempts ``storefront/3`` from a rule at ``now``; None when nothing does."""
        for found in self._exemptions.get(rule.key.partition("/")[0], ()):
            meant = found.rule in ("*", rule.rule.name) and fnmatch.fnmatchcase(appliance, found.target)
            if meant and (found.until is None or now < found.until):
                return found
        return None


def counts(policy: Policy, set_name: str) -> bool:
    """Whether a policy counts for a set."""
    return policy.enabled and any(fnmatch.fnmatchcase(set_name, pattern) for pattern in policy.sets)
