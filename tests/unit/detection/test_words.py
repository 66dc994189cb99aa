"""What is written for people about rules is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examined import subject, verdict

from cloudmon import settings
from cloudmon.detection import checking

ROOT = Path(__file__).resolve().parents[3]
RULES = (ROOT / "cloudmon/detection/RULES.md").read_text(encoding="utf-8")


def test_the_example_can_be_used_as_it_is(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", RULES, re.DOTALL)
    (tmp_path / "shop.toml").write_text(example, encoding="utf-8")
    built_in, shop = settings.load(tmp_path / "shop.toml").rulebook()
    assert [rule.name for rule in shop.rules] == ["busy", "no-swap"]
    assert {rule.name: rule.for_s for rule in built_in.rules}["disk-nearly-full"] == 60


@pytest.mark.parametrize(
    ("when", "changes", "expected"),
    [
        ("load.one > 9.0 && memory.total_mib > 1.0", {"memory": None}, "unknown"),
        ('processes.exists(p, p.name == "x" && p.cpu > 0.9)', {"processes": {"1": {"name": "y"}}}, "does not hold"),
        ('processes.exists(p, p.name == "x" && p.cpu > 0.9)', {"processes": {"1": {"name": "x"}}}, "unknown"),
        ('"nginx" in packages && packages.nginx.version != "1"', {}, "does not hold"),
        ('packages.nginx.version != "1"', {}, "unknown"),
    ],
)
def test_what_is_said_of_the_unknown_is_so(when: str, changes: dict[str, object], expected: str) -> None:
    assert when in RULES
    assert verdict(when, subject(changes)) == expected


def test_every_function_that_is_named_is_there_and_the_other_way_round() -> None:
    said = RULES.partition("and the functions ")[2].partition(".\n")[0]
    known = {"size", *checking.FUNCTIONS}
    assert set(re.findall(r"`(\w+)`", said)) == known


def test_the_number_of_rules_is_true() -> None:
    assert "Seventeen rules are there without any settings" in RULES
    assert len(settings.policies.built_in().rules) == 17
