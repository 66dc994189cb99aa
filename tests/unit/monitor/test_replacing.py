"""A changed image over ten appliances, tick by tick, on a clock that is told the time: good, bad, held, interrupted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from watched import Watched, spec

from cloudmon.model.actions import Intent, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import ApplianceSet, SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.updates import Updates, Upkeep, Version
from cloudmon.monitor import standing
from cloudmon.monitor.insides import Found
from cloudmon.monitor.outside import Unasked
from cloudmon.monitor.tick import View
from cloudmon.reconcile.limits import ClassLimits, Limits
from cloudmon.reconcile.picture import Estate, Inside
from cloudmon.testing import ScriptedProvider

COUNT = 10
PLENTY = Limits(destructive=ClassLimits(1_000, 1_000, 1_000, 3_600))
REPLACED = Updates(canary=1, batch=3, healthy_s=30, patience_s=60, method="replace")


def wanted(image: str = "image-2", updates: Updates | None = REPLACED, count: int = COUNT, **other: str) -> SetSpec:
    return spec(count, template=Template("web", {"*": image}, updates=updates, boot_timeout_s=60, **other))  # type: ignore[arg-type]


@dataclass
class Agents:
    """What is heard from inside: whether what a node's image serves is up; in the place of the monitor's insides."""

    east: ScriptedProvider
    works: Callable[[str, int], bool] = lambda image, ordinal: True
    pending: bool = False
    outside: Unasked = field(default_factory=Unasked)

    def look(self, estate: Estate, *_: object, **__: object) -> Found:
        told = {}
        for one in estate.members:
            node = self.east.nodes.get(one.node_id)
            if node is not None:
                state = "up" if self.works(str(node.image), one.ordinal) else "down"
                told[one.id] = Upkeep(one.incarnation, (Version("shop", state=state, since=one.since),))
        return Found((), Inside(heard=list(told), upkeep=told), None)

    def written(self, found: Found) -> None: ...

    def keep_whole(self, *_: object) -> None: ...

    def is_due(self, now: dt.datetime) -> bool:
        return False


@dataclass
class Rolled:
    """An estate whose appliances all run, and its agents."""

    of: Watched
    agents: Agents
    most_out: int = 0

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.of.tick()
            running = [one for one in self.of.members() if one.state is ApplianceState.RUNNING]
            self.most_out = max(self.most_out, len(self.of.members()) - len(running))

    def want(self, aset: SetSpec) -> None:
        self.of.monitor.policy = replace(self.of.monitor.policy, view=View("file:shop", (aset,)))
        self.of.policy = self.of.monitor.policy

    @property
    def aset(self) -> ApplianceSet:
        found = self.of.memory.sets.named(EVERYONE, "storefront")
        assert found is not None
        return found

    def images(self) -> dict[int, str]:
        """By ordinal, what runs."""
        nodes = self.of.east.nodes
        return {one.ordinal: str(nodes[one.node_id].image) for one in self.of.members() if one.node_id}

    def on(self, image: str) -> list[int]:
        return [ordinal for ordinal, has in self.images().items() if has == image]

    def ended(self) -> list[Intent]:
        found = self.of.memory.intents.of(EVERYONE, self.aset.uid)
        return [one for one in reversed(found) if one.verb is Verb.TERMINATE]

    def incidents(self) -> list[Finding]:
        return [one for one in self.of.memory.findings.open(EVERYONE) if one.kind is FindingKind.INCIDENT]

    def state(self) -> str:
        (found,) = standing.of_set(self.of.memory, EVERYONE, self.aset, self.of.clock.now())
        return found.state

    def restart(self) -> None:
        self.of.restart()
        self.of.monitor.insides = self.agents  # type: ignore[assignment]


@pytest.fixture
def rolled(tmp_path: Path) -> Rolled:
    """Ten that run image-1, of which nothing is to be replaced yet."""
    of = Watched(tmp_path, specs=[wanted("image-1")])
    of.policy = replace(of.policy, limits=PLENTY)
    of.monitor.policy = of.policy
    agents = Agents(of.east)
    of.monitor.insides = agents  # type: ignore[assignment]
    of.tick(4)
    made = Rolled(of, agents)
    assert made.on("image-1") == list(range(1, COUNT + 1))
    return made


def test_a_good_image_reaches_all_by_canary_and_batches(rolled: Rolled) -> None:
    rolled.want(wanted())
    rolled.tick(4)
    assert set(rolled.on("image-1")) == set(range(2, COUNT + 1))
    rolled.tick(30)
    assert rolled.on("image-2") == list(range(1, COUNT + 1))
    assert (rolled.most_out, rolled.incidents(), len(rolled.ended())) == (3, [], COUNT)
    assert rolled.state() == "done"
    assert {timer.kind for timer in rolled.of.memory.timers.all()} == set()
    calls = len(rolled.of.east.called("destroy_node"))
    rolled.tick(3)
    assert len(rolled.of.east.called("destroy_node")) == calls == COUNT


def test_a_bad_image_reaches_the_canary_only_and_the_set_goes_back(rolled: Rolled) -> None:
    rolled.agents.works = lambda image, _: image != "image-2"
    rolled.want(wanted())
    rolled.tick(40)
    assert rolled.on("image-1") == list(range(1, COUNT + 1))
    assert [one.appliance.ordinal for one in rolled.ended()] == [1, 1]
    (incident,) = rolled.incidents()
    assert "storefront/1: the roll-out of image-2 stopped" in incident.message
    assert "the set goes back to image-1" in incident.message
    assert (rolled.state(), rolled.aset.author) == ("rolled back", "cloudmon")
    # The file goes on saying the same, and changes nothing; another image is rolled out, and the incident ends.
    rolled.want(wanted("image-3"))
    rolled.tick(40)
    assert rolled.on("image-3") == list(range(1, COUNT + 1))
    assert rolled.incidents() == []


def test_who_wants_it_left_has_it_left_and_whatever_else_changes_does_not_try_it_again(rolled: Rolled) -> None:
    stopping = replace(REPLACED, on_failure="stop")
    rolled.agents.works = lambda image, _: image != "image-2"
    rolled.want(wanted(updates=stopping))
    rolled.tick(30)
    rolled.want(wanted(updates=stopping, count=COUNT + 1))
    rolled.tick(30)
    assert [one.appliance.ordinal for one in rolled.ended()] == [1]
    (incident,) = rolled.incidents()
    assert "nothing is taken back; name another image" in incident.message
    assert rolled.state() == "failed"
    # What is named again as it was before is a way back like any other.
    rolled.want(wanted("image-1", updates=stopping, count=COUNT + 1))
    rolled.tick(20)
    assert rolled.on("image-1") == list(range(1, COUNT + 2))
    assert rolled.incidents() == []


def test_one_that_goes_bad_in_a_later_batch_takes_all_of_them_back(rolled: Rolled) -> None:
    rolled.agents.works = lambda image, ordinal: image != "image-2" or ordinal != 3
    rolled.want(wanted())
    rolled.tick(60)
    assert rolled.on("image-1") == list(range(1, COUNT + 1))
    assert max(one.appliance.ordinal for one in rolled.ended()) <= 6
    assert rolled.most_out <= 3
    assert len(rolled.incidents()) == 1


def test_a_way_back_that_fails_too_goes_nowhere_else(rolled: Rolled) -> None:
    rolled.want(wanted())
    rolled.agents.works = lambda _, ordinal: ordinal != 1
    rolled.tick(60)
    ends = len(rolled.ended())
    rolled.tick(30)
    assert len(rolled.ended()) == ends == 2
    assert any("it was the way back already" in one.message for one in rolled.incidents())


def test_the_monitors_death_changes_nothing(rolled: Rolled) -> None:
    rolled.want(wanted())
    for _ in range(40):
        rolled.tick()
        rolled.restart()
    assert rolled.on("image-2") == list(range(1, COUNT + 1))
    assert (rolled.most_out, len(rolled.ended()), rolled.incidents()) == (3, COUNT, [])


def test_time_in_which_no_monitor_looked_does_not_count_against_anybody(rolled: Rolled) -> None:
    rolled.want(wanted())
    rolled.tick(2)
    rolled.of.clock.advance(7_200)
    rolled.restart()
    rolled.tick(40)
    assert rolled.incidents() == []
    assert rolled.on("image-2") == list(range(1, COUNT + 1))


def test_without_the_method_a_changed_image_changes_nothing_that_runs(rolled: Rolled) -> None:
    for updates in (None, replace(REPLACED, method="package")):
        rolled.want(wanted(updates=updates))
        rolled.tick(10)
    assert (rolled.ended(), rolled.on("image-1")) == ([], list(range(1, COUNT + 1)))


def test_changed_user_data_is_rolled_out_like_an_image(rolled: Rolled) -> None:
    rolled.want(wanted("image-1", user_data="I am the new {appliance}"))
    rolled.tick(40)
    assert len(rolled.ended()) == COUNT
    assert "was launched with image-1 with other user data; image-1 is wanted" in rolled.ended()[0].reason
    assert rolled.state() == "done"


def test_the_destructive_budget_holds_it_like_anything_else(rolled: Rolled) -> None:
    few = replace(PLENTY, destructive=ClassLimits(2, 50, 50, 3_600))
    rolled.of.monitor.policy = replace(rolled.of.policy, limits=few)
    rolled.want(wanted())
    rolled.tick(30)
    assert len(rolled.ended()) == 2
    held = [one for one in rolled.of.memory.findings.open(EVERYONE) if one.kind is FindingKind.HELD]
    assert {one.message for one in held} == {"terminate is held back: budget used up: 2 destructive per set in 3600 s"}


@pytest.mark.parametrize("verb", [RequestVerb.PAUSE, RequestVerb.MAINTAIN, RequestVerb.PROTECT])
def test_whom_somebody_holds_is_passed_over_until_released(rolled: Rolled, verb: RequestVerb) -> None:
    rolled.of.ask(verb, "storefront/1")
    rolled.tick(2)
    rolled.want(wanted())
    rolled.tick(40)
    assert rolled.on("image-1") == [1]
    assert rolled.state() == "held"
    kind = {"pause": "pause", "maintain": "maintenance", "protect": "protect"}[verb]
    rolled.of.ask(RequestVerb.RELEASE, "storefront/1", kind=kind)
    rolled.tick(8)
    assert rolled.on("image-1") == []
    assert rolled.state() == "done"
