"""Installed detectors: asked in the place of a condition, all else is the rule's; never asked of what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from examined import NOW, detector, later, subject

from cloudmon.detection import rules
from cloudmon.detection.detector import Detector as Looking
from cloudmon.detection.judge import Verdict
from cloudmon.detection.rules import RuleError
from cloudmon.detector import Detector
from cloudmon.model.changes import FindingEnd
from cloudmon.model.findings import Finding
from cloudmon.model.policies import Remedy, Rule


class Shells:
    """Accounts that may log in with a shell, but root."""

    needs: Sequence[str] = ("accounts", "load")

    def __init__(self) -> None:
        self.given: list[Mapping[str, Any]] = []

    def __call__(self, facts: Mapping[str, Any]) -> Iterable[str]:
        self.given.append(facts)
        return (name for name, one in facts["accounts"].items() if name != "root" and one["shell"].endswith("sh"))


SHELLS = Shells()
RULE = Rule("shells", "", detect=SHELLS, message="{item} may log in", severity="critical")


def looking(rule: Rule = RULE) -> Looking:
    return detector(rule)


def test_each_name_that_it_gives_is_a_finding_of_its_own() -> None:
    """With the rule's words, severity and ladder."""
    found = looking().look(subject(), NOW, states={}, opened={})
    assert found.change is not None
    (opened,) = found.change.findings
    assert isinstance(opened, Finding)
    assert opened.subject.endswith(":p/shells/www-data")
    assert (opened.severity, opened.message) == ("critical", "storefront/3: www-data may log in")
    assert [one.item for one in found.symptoms] == ["www-data"]


def test_it_is_given_its_groups_whole_and_nothing_else() -> None:
    """As plain values."""
    before = len(SHELLS.given)
    looking().look(subject(), NOW, states={}, opened={})
    given = SHELLS.given[-1]
    assert len(SHELLS.given) > before
    assert set(given) == {"accounts", "load"}
    assert given["load"] == {"one": 0.2, "five": 0.1, "fifteen": 0.1, "cpus": 2}
    assert set(given["accounts"]) == {"root", "www-data", "daemon"}


def test_a_name_that_it_gives_no_more_has_ended() -> None:
    """The same name is the same finding."""
    found = looking()
    first = found.look(subject(), NOW, states={}, opened={})
    states = {one.rule: one for one in first.change.rules}  # type: ignore[union-attr]
    opened = {"p/shells/www-data": 1}
    again = found.look(subject(), later(5), states=states, opened=opened)  # type: ignore[arg-type]
    assert again.change is None
    well = subject({"accounts": {"root": {"uid": 0, "gid": 0, "shell": "/bin/bash"}}})
    ended = found.look(well, later(10), states=states, opened=opened)  # type: ignore[arg-type]
    assert ended.change is not None
    assert [one.kind for one in ended.change.findings if isinstance(one, FindingEnd)] == ["detected", "incident"]


def test_while_a_group_is_not_known_it_is_not_asked_and_nothing_ends() -> None:
    """Unknown is neither well nor ill."""
    found = looking()
    first = found.look(subject(), NOW, states={}, opened={})
    states = {one.rule: one for one in first.change.rules}  # type: ignore[union-attr]
    before = len(SHELLS.given)
    silent = found.look(subject({"load": None}), later(5), states=states, opened={"p/shells/www-data": 1})  # type: ignore[arg-type]
    assert len(SHELLS.given) == before
    assert silent.change is None or not silent.change.findings
    (judged,) = found.judge(subject({"load": None}), later(5))
    assert (judged.verdict, judged.why) == (Verdict.UNKNOWN, "load is not known")


class Breaks:
    """One that breaks on real appliances."""

    needs = ("packages",)

    def __call__(self, facts: Mapping[str, Any]) -> Iterable[str]:
        if "shop" in facts["packages"]:
            raise ValueError("oh dear")
        return ()


def test_what_it_raises_makes_its_rule_unknown_and_no_other() -> None:
    """Other rules are judged all the same."""
    other = Rule("old", "node.age_s > 1.0")
    found = detector(Rule("breaks", "", detect=Breaks()), other)
    verdicts = {one.ready.rule.name: (one.verdict, one.why) for one in found.judge(subject(), NOW)}
    assert verdicts["breaks"] == (Verdict.UNKNOWN, "oh dear")
    assert verdicts["old"][0] is Verdict.HOLDS


def of(needs: Any, told: Any) -> Detector:
    def found(facts: Mapping[str, Any]) -> Any:
        if isinstance(told, Exception):
            raise told
        return told

    found.needs = needs  # type: ignore[attr-defined]
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("detect", "why"),
    [
        pytest.param(of((), []), "does not say which groups", id="no needs"),
        pytest.param(of("packages", []), "does not say which groups", id="text in place of a list"),
        pytest.param(of(("packages", "packges"), []), "needs 'packges', which is no group of facts", id="no group"),
        pytest.param(of(("packages",), KeyError("x")), "fails where everything is known: KeyError", id="it breaks"),
        pytest.param(of(("packages",), "text"), "something else than names", id="text in place of names"),
        pytest.param(of(("packages",), [1]), "something else than names", id="numbers"),
        pytest.param(of(("packages",), None), "fails where everything is known: TypeError", id="nothing"),
    ],
)
def test_one_that_could_not_work_is_refused_when_its_rule_is_loaded(detect: Detector, why: str) -> None:
    """Tried where everything is known, as expressions are."""
    with pytest.raises(RuleError, match=why) as raised:
        rules.ready("p", Rule("r", "", detect=detect))
    assert raised.value.part == "detector"


def test_arguments_of_its_ladder_may_name_what_it_found() -> None:
    """As where a rule has items."""
    remedy = Remedy("process_end", {"name": "{item}"})
    found = rules.ready("p", Rule("r", "", detect=SHELLS, then=(remedy,), message="{item}!"))
    assert found.message("www-data") == "www-data!"
    with pytest.raises(RuleError, match="placeholder"):
        rules.ready("p", Rule("r", "", detect=SHELLS, message="{name}"))
