"""`cloudmon policy` shows which rules there are and what they come to on recorded facts."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from cloudmon.cli import schema
from cloudmon.detection import specimen
from cloudmon.detection.detector import Detector
from cloudmon.detection.facts import Subject
from cloudmon.model import states
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import Agent, Enrolment, Report, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import load
from cloudmon.store import Ownership, Store

if TYPE_CHECKING:
    from cloudmon.testing.clock import FakeClock

POLICIES = """
[[policies]]
name = "shop"
sets = ["store*"]
[[policies.rules]]
name = "tight"
when = "memory.available_mib < 100.0"
for = "2m"
n_of_m = "2 of 3"
message = "memory is tight"
then = ["reboot", "replace"]
[[policies.rules]]
name = "blind"
when = "load.five > 9.0"
on_unknown = "fire"
[[policies.exemptions]]
rule = "blind"
target = "storefront/2"
owner = "ada"
reason = "it has no load"
[[policies]]
name = "built-in"
enabled = false
"""
TIGHT = {"memory": {"now": {"total_mib": 2048, "available_mib": 64}}}


@pytest.fixture
def shop(cli: Any) -> Any:
    cli.config.write_text(cli.config.read_text(encoding="utf-8") + POLICIES, encoding="utf-8")
    return cli


def recorded(tmp_path: Path, told: object) -> str:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return str(path)


def test_every_rule_is_listed_with_its_policy(shop: Any) -> None:
    rows = shop.json("policy", "list")
    assert [(row["policy"], row["rule"]) for row in rows][-2:] == [("shop", "tight"), ("shop", "blind")]
    assert {row["enabled"] for row in rows if row["policy"] == "built-in"} == {False}
    tight = rows[-2]
    assert (tight["for_s"], tight["n_of_m"], tight["then"]) == (120, "2 of 3", ["reboot", "replace"])
    assert (tight["sets"], tight["source"]) == (["store*"], "file:shop")


def test_a_policy_and_a_rule_are_shown_with_their_conditions_and_exemptions(shop: Any) -> None:
    found = shop("policy", "show", "shop", "-o", "json")
    assert [row["when"] for row in json.loads(found.stdout)] == ["memory.available_mib < 100.0", "load.five > 9.0"]
    assert "storefront/2 is exempted from blind by ada: it has no load" in found.stderr
    (row,) = shop.json("policy", "show", "built-in/node-down")
    assert row["rule"] == "node-down"
    assert "exempted" not in shop("policy", "show", "shop/tight").stderr


@pytest.mark.parametrize("name", ["shp", "shop/tigt"])
def test_what_is_not_there_is_said(shop: Any, name: str) -> None:
    assert f"there is no policy or rule {name}" in shop("policy", "show", name, code=1).stderr


def test_recorded_facts_show_what_would_fire_and_be_done(shop: Any, tmp_path: Path) -> None:
    path = recorded(tmp_path, {"sections": {**TIGHT, "load": {"now": {"five": 1.0}}}})
    tight, blind = shop.json("policy", "test", "--facts", path, code=2)
    assert (tight["appliance"], tight["rule"], tight["verdict"]) == ("storefront/1", "shop/tight", "holds")
    assert tight["facts"] == {"memory.available_mib": 64.0}
    assert tight["done"] == "reboot, then replace (when it holds for 2m, 2 of 3)"
    assert (blind["verdict"], blind["fires"], blind["done"]) == ("does not hold", False, "")


def test_a_file_can_say_what_probes_came_to(shop: Any, tmp_path: Path) -> None:
    probed = """
[templates.web.probes]
site = { https = "https://{address}/" }
[[policies]]
name = "outside"
[[policies.rules]]
name = "answers"
when = "!probes.site.ok && probes.site.state_s > 60.0"
[[policies.rules]]
name = "certificate"
when = "probes.site.certificate_left_s < 86400.0"
"""
    shop.config.write_text(shop.config.read_text(encoding="utf-8") + probed, encoding="utf-8")

    def verdicts(said: object) -> list[str]:
        path = recorded(tmp_path, {"probes": {"site": said}})
        code = 2  # "blind" fires on what is not known
        return [row["verdict"] for row in shop.json("policy", "test", "--facts", path, code=code)][-2:]

    assert verdicts({"ok": False, "state_s": 90}) == ["holds", "unknown"]
    assert verdicts({"ok": True, "certificate_left_s": 3600}) == ["does not hold", "holds"]
    for said, sentence in (
        ({"error": "x"}, "probes.site: does not say whether it was ok"),
        ({"ok": 1}, "probes.site.ok = 1: is not what a probe comes to (ok, error,"),
        ({"ok": True, "state_s": True}, "probes.site.state_s = true: is not what a probe comes to"),
        ({"ok": True, "latency": 1}, "probes.site.latency = 1: is not what a probe comes to"),
    ):
        path = recorded(tmp_path, {"probes": {"site": said}})
        assert sentence in shop("policy", "test", "--facts", path, code=1).stderr
    path = recorded(tmp_path, {"probes": {"web": {"ok": True}}})
    assert "has no such probe; it has site" in shop("policy", "test", "--facts", path, code=1).stderr


def test_what_is_not_known_is_said_and_fires_only_where_its_rule_says_so(shop: Any, tmp_path: Path) -> None:
    path = recorded(tmp_path, {"memory": {"now": {"total_mib": 2048}}})
    tight, blind = shop.json("policy", "test", "storefront/1", "--facts", path, code=2)
    assert (tight["verdict"], tight["why"], tight["fires"]) == ("unknown", "memory.available_mib is not known", False)
    assert (blind["verdict"], blind["fires"], blind["done"]) == ("unknown", True, "shown")
    _, exempted = shop.json("policy", "test", "storefront/2", "--facts", path)
    assert (exempted["why"], exempted["fires"]) == ("exempted by ada: it has no load", False)


@pytest.mark.parametrize(
    ("arguments", "told", "sentence"),
    [
        ((), None, "say whose facts are meant"),
        (("nobody", "--facts", "FILE"), {}, "say whose policies count: a set of the settings (storefront)"),
        (("--facts", "/nowhere.json"), None, "/nowhere.json: cannot be read"),
        (("--facts", "FILE"), [1], "holds no sections"),
        (("--facts", "FILE"), {"memory": 3}, "holds no sections"),
        (("--facts", "FILE"), {"sections": {}, "probes": 3}, "probes is no object of objects"),
    ],
)
def test_a_test_of_nothing_says_what_is_missing(
    shop: Any, tmp_path: Path, arguments: tuple[str, ...], told: object, sentence: str
) -> None:
    path = recorded(tmp_path, told)
    found = shop("policy", "test", *(path if one == "FILE" else one for one in arguments), code=1)
    assert sentence in found.stderr


def test_a_file_that_is_no_json_is_said(shop: Any, tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text("memory: 3", encoding="utf-8")
    assert "is no JSON" in shop("policy", "test", "--facts", str(tmp_path / "facts.json"), code=1).stderr


def report(store: Store, owner: Ownership, now: dt.datetime) -> ApplianceId:
    """storefront/1 has an agent, and it said that memory is tight."""
    (aset,) = [found for found in store.sets.all(EVERYONE) if found.name == "storefront"]
    appliance = ApplianceId(aset.uid, 1)
    agent = Agent(appliance, "default", 1, "i1", "1", now, 0)
    token = Enrolment("m-1", appliance, "default", 1, "ada", now, now + dt.timedelta(minutes=15))
    store.agents.offer(owner, token)
    assert store.agents.enrol(owner, agent, enrolment=token, now=now)
    told = Report(
        appliance, "default", 1, "i1", "b1", 1, ReportKind.FULL, "", states.state_hash(TIGHT), "start", now, now, TIGHT
    )
    assert store.reports.take(owner, [told], now=now) == [True]
    return appliance


def test_what_appliances_reported_last_is_judged(shop: Any, estate: Store, owner: Ownership, clock: FakeClock) -> None:
    report(estate, owner, clock.now() - dt.timedelta(seconds=30))
    tight, _ = shop.json("policy", "test", "storefront/1", code=2)
    assert (tight["verdict"], tight["facts"]) == ("holds", {"memory.available_mib": 64.0})
    every = shop.json("policy", "test", "storefront", code=2)
    assert [(row["appliance"], row["verdict"]) for row in every if row["rule"] == "shop/tight"] == [
        ("storefront/1", "holds"),
        ("storefront/2", "unknown"),
        ("storefront/3", "unknown"),
    ]
    clock.advance(600)
    tight, _ = shop.json("policy", "test", "storefront/1", code=2)
    assert tight["verdict"] == "unknown"


def test_what_a_look_finds_is_written_and_ended_in_the_store(
    shop: Any, estate: Store, owner: Ownership, clock: FakeClock
) -> None:
    """Exactly as a monitor would."""
    appliance = report(estate, owner, clock.now())
    member = estate.members.get(EVERYONE, appliance)
    state = estate.reports.state(EVERYONE, appliance)
    assert member is not None
    policies = [policy for policy in load(shop.config).rulebook() if policy.name == "shop"]
    spec = estate.sets.all(EVERYONE)[0].spec
    about = Subject(member, "storefront", spec.template, agent=estate.agents.get(EVERYONE, appliance), state=state)

    def look(found: Detector, about: Subject, after_s: float) -> None:
        remembered = {one.rule: one for one in estate.rules.all(EVERYONE)}
        opened = {one.subject.partition(":")[2]: 1 for one in estate.findings.open(EVERYONE) if ":" in one.subject}
        now = clock.now() + dt.timedelta(seconds=after_s)
        change = found.look(about, now, states=remembered, opened=opened).change
        if change is not None:
            assert estate.ledger.write(owner, [change], now=now) == [True]

    def detected() -> list[str]:
        return sorted(one.subject for one in estate.findings.open(EVERYONE) if one.kind is FindingKind.DETECTED)

    detector = Detector(policies)
    for after_s in (0, 1, 119):
        look(detector, about, after_s)
    # The one that fires on what is not known is there at once.
    assert detected() == [f"{appliance.set_uid}/1:shop/blind"]
    look(detector, about, 122)
    assert detected() == [f"{appliance.set_uid}/1:shop/blind", f"{appliance.set_uid}/1:shop/tight"]
    look(Detector([]), about, 123)
    assert detected() == []
    assert estate.rules.all(EVERYONE) == []


def test_the_schema_of_facts_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    schema.schema(schema.Subject.FACTS)
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(found).validate(specimen.facts())
