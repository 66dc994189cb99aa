"""A roll-out over twenty appliances, tick by tick, on a clock that is told the time: good, bad, held, interrupted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from watched import Watched, spec

from cloudmon.model.actions import GUEST_VERBS, OPEN_INTENTS, ActionClass, Intent, IntentState, Verb
from cloudmon.model.changes import Change, IntentUpdate
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import Application, SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.updates import DAYS, Updates, Upkeep, Version, Window
from cloudmon.monitor.insides import Found
from cloudmon.monitor.outside import Unasked
from cloudmon.monitor.tick import View
from cloudmon.reconcile.limits import ClassLimits, Limits
from cloudmon.reconcile.picture import Estate, Inside

COUNT = 20
PLENTY = Limits(first_tick_hold=False, disruptive=ClassLimits(1_000, 1_000, 1_000, 3_600))


def wanted(version: str = "2.0", batch: int = 4, count: int = COUNT, **other: Any) -> SetSpec:
    updates = Updates(canary=2, batch=batch, healthy_s=30, patience_s=60)
    shop = {"shop": Application(start=("shop",), package="shop", version=version)}
    return spec(count, template=Template("web", {"*": "image-1"}, applications=shop, updates=updates), **other)


@dataclass
class Agents:
    """What the agents tell, and what becomes of what they are told; in the place of the monitor's insides."""

    of: Watched
    target: str = "2.0"
    works: Callable[[str, int], bool] = lambda version, ordinal: True
    have: dict[int, str] = field(default_factory=dict)
    up_since: dict[int, dt.datetime] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    deaf: set[int] = field(default_factory=set)
    """Their agents fetch nothing, and are not missed yet."""
    barren: set[int] = field(default_factory=set)
    """Nothing can be installed there."""
    owes: set[int] = field(default_factory=set)
    ordered_off: set[int] = field(default_factory=set)
    reboots: set[int] = field(default_factory=set)
    most_out: int = 0
    done: list[tuple[int, str]] = field(default_factory=list)
    pending: bool = False
    outside: Unasked = field(default_factory=Unasked)

    def look(self, estate: Estate, *_: object, **__: object) -> Found:
        told = {one.id: self._told(one.ordinal, one.incarnation) for one in estate.members if one.node_id}
        heard = [appliance for appliance in told if appliance.ordinal not in self.silent]
        return Found((), Inside(heard=heard, upkeep=told), None)

    def _told(self, ordinal: int, incarnation: int) -> Upkeep:
        have = self.have.setdefault(ordinal, "1.0")
        state = "up" if have and self.works(have, ordinal) else "down"
        if ordinal in self.ordered_off:
            state = "stopped"
        version = Version(
            "shop", self.target, have, self.target, have != self.target, state, self.up_since.get(ordinal),
            ordinal in self.owes,
        )  # fmt: skip
        return Upkeep(incarnation, (version,), ordinal in self.reboots)

    def written(self, found: Found) -> None: ...

    def keep_whole(self, *_: object) -> None: ...

    def is_due(self, now: dt.datetime) -> bool:
        return False

    def answer(self) -> None:
        """The agents do what they were told, as long as what they then have works."""
        commands = [one for one in self.of.memory.intents.open(EVERYONE) if one.verb in GUEST_VERBS]
        self.most_out = max(self.most_out, len(commands))
        for intent in commands:
            if intent.appliance.ordinal not in self.deaf:
                self._perform(intent)

    def _perform(self, intent: Intent) -> None:
        ordinal, now = intent.appliance.ordinal, self.of.clock.now()
        ok = True
        if ordinal in self.barren or (intent.verb is Verb.APP_UPDATE and not self.have[ordinal]):
            ok = False
        elif intent.verb in (Verb.APP_UPDATE, Verb.APP_INSTALL):
            version = intent.arguments["version"]
            self.have[ordinal], self.up_since[ordinal] = version, now
            ok = self.works(version, ordinal)
            self.done.append((ordinal, version))
        else:
            self.owes.discard(ordinal)
        state = IntentState.DONE if ok else IntentState.FAILED
        told = {"attempts": 1, "ended_at": now, "error": "" if ok else "it is down"}
        update = IntentUpdate(intent.id, OPEN_INTENTS, state, told)
        self.of.memory.ledger.write(self.of.owner, [Change("default", intent.appliance, intents=(update,))], now=now)


@dataclass
class Rolled:
    """An estate whose appliances all run, and its agents."""

    of: Watched
    agents: Agents

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.of.tick()
            self.agents.answer()

    def want(self, aset: SetSpec) -> None:
        self.of.monitor.policy = replace(self.of.monitor.policy, view=View("file:shop", (aset,)))

    def incidents(self) -> list[Finding]:
        return [one for one in self.of.memory.findings.open(EVERYONE) if one.kind is FindingKind.INCIDENT]

    def updated(self) -> list[int]:
        return [ordinal for ordinal, version in self.agents.done if version == self.agents.target]

    def restart(self) -> None:
        self.of.restart()
        self.of.monitor.insides = self.agents  # type: ignore[assignment]


def begun(folder: Path, aset: SetSpec, limits: Limits = PLENTY, *, known: Mapping[int, str] | None = None) -> Rolled:
    of = Watched(folder, specs=[replace(aset, template=replace(aset.template, updates=None), maintenance=None)])
    of.policy = replace(of.policy, limits=limits)
    of.monitor.policy = of.policy
    of.tick(3)
    agents = Agents(of)
    agents.have = dict(known or {})
    of.monitor.insides = agents  # type: ignore[assignment]
    rolled = Rolled(of, agents)
    rolled.want(aset)
    of.policy = of.monitor.policy
    return rolled


def test_a_good_version_reaches_all_by_canary_and_batches(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted())
    rolled.tick()
    assert sorted(rolled.updated()) == [1, 2]
    rolled.tick(2)
    assert sorted(rolled.updated()) == [1, 2]
    rolled.tick(30)
    assert sorted(rolled.updated()) == list(range(1, COUNT + 1))
    assert (rolled.agents.most_out, rolled.incidents()) == (4, [])
    verified = len(rolled.agents.done)
    rolled.tick(3)
    assert len(rolled.agents.done) == verified == COUNT


def test_a_bad_version_reaches_the_canaries_only_and_goes_back(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted())
    rolled.agents.works = lambda version, _: version == "1.0"
    rolled.tick(30)
    assert sorted(rolled.updated()) == [1, 2]
    assert set(rolled.agents.have.values()) == {"1.0"}
    (incident,) = rolled.incidents()
    assert "storefront/1: the roll-out of shop 2.0 stopped" in incident.message
    # It is over for people too: another version is rolled out, and the incident ends.
    rolled.agents.target, rolled.agents.works = "2.1", lambda version, _: version != "2.0"
    rolled.want(wanted("2.1"))
    rolled.tick(40)
    assert set(rolled.agents.have.values()) == {"2.1"}
    assert rolled.incidents() == []


def test_the_incident_ends_when_nobody_wants_the_roll_out_any_more(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted(count=3))
    rolled.agents.works = lambda version, _: version == "1.0"
    rolled.tick(20)
    assert len(rolled.incidents()) == 1
    without = wanted(count=3)
    rolled.want(replace(without, template=replace(without.template, updates=None)))
    rolled.of.monitor.insides = None
    rolled.of.tick(2)
    assert rolled.incidents() == []


def test_one_that_goes_bad_in_a_later_batch_takes_all_of_them_back(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted())
    rolled.agents.works = lambda version, ordinal: version == "1.0" or ordinal != 5
    rolled.tick(40)
    assert set(rolled.agents.have.values()) == {"1.0"}
    assert max(rolled.updated()) <= 6
    assert rolled.agents.most_out <= 4
    assert len(rolled.incidents()) == 1


def test_what_is_not_installed_is_installed_by_canary_and_batches(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted(count=8), known=dict.fromkeys(range(1, 9), ""))
    rolled.tick()
    assert sorted(rolled.updated()) == [1, 2]
    rolled.tick(20)
    assert sorted(rolled.updated()) == list(range(1, 9))
    assert (rolled.agents.most_out, rolled.incidents()) == (4, [])
    aset = rolled.of.memory.sets.named(EVERYONE, "storefront")
    assert aset is not None
    told = [one for one in rolled.of.memory.intents.of(EVERYONE, aset.uid) if one.verb in GUEST_VERBS]
    assert {one.verb for one in told} == {Verb.APP_INSTALL}
    assert {one.action_class for one in told} == {ActionClass.DISRUPTIVE}


def test_a_bad_version_that_was_installed_stays_and_the_incident_says_so(tmp_path: Path) -> None:
    """What was there before goes back all the same, though no more than one may be out of service."""
    known = {1: "", 2: "1.0", 3: "1.0", 4: "1.0"}
    rolled = begun(tmp_path, wanted(count=4, batch=1), known=known)
    rolled.agents.works = lambda version, ordinal: version == "1.0" or ordinal != 4
    rolled.tick(60)
    assert rolled.agents.have == {1: "2.0", 2: "1.0", 3: "1.0", 4: "1.0"}
    (incident,) = rolled.incidents()
    assert "but for 1: there was no earlier version" in incident.message
    assert "storefront/4 app_update application=shop version=2.0 restart=yes --reason" in incident.message


def test_one_that_could_not_be_installed_is_to_be_installed_by_hand(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted(count=4), known={1: ""})
    rolled.agents.barren = {1}
    rolled.tick(20)
    (incident,) = rolled.incidents()
    assert "cloudmon act storefront/1 app_install application=shop version=2.0 restart=yes" in incident.message
    assert "but for" not in incident.message


def test_a_roll_out_that_was_put_right_does_not_fail_when_the_application_falls_later(tmp_path: Path) -> None:
    aset = wanted(count=2)
    stopping = Updates(canary=2, batch=2, healthy_s=30, patience_s=60, on_failure="stop")
    rolled = begun(tmp_path, replace(aset, template=replace(aset.template, updates=stopping)))
    rolled.agents.works = lambda version, ordinal: version == "1.0" or ordinal != 1
    rolled.tick(10)
    assert len(rolled.incidents()) == 1
    rolled.agents.works, rolled.agents.up_since[1] = lambda *_: True, rolled.of.clock.now()
    rolled.tick(10)
    assert rolled.incidents() == []
    rolled.of.clock.advance(90)
    rolled.agents.works, rolled.agents.up_since[1] = lambda _, ordinal: ordinal != 1, rolled.of.clock.now()
    rolled.tick(10)
    assert (rolled.incidents(), set(rolled.agents.have.values())) == ([], {"2.0"})


def test_the_monitors_death_changes_nothing(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted())
    for _ in range(35):
        rolled.tick()
        rolled.restart()
    assert sorted(rolled.updated()) == list(range(1, COUNT + 1))
    assert rolled.agents.most_out <= 4


def test_a_breaker_holds_it_like_anything_else(tmp_path: Path) -> None:
    few = replace(PLENTY, disruptive=ClassLimits(3, 50, 50, 3_600))
    rolled = begun(tmp_path, wanted(), few)
    rolled.tick(20)
    assert sorted(rolled.updated()) == [1, 2, 3]
    held = [one for one in rolled.of.memory.findings.open(EVERYONE) if one.kind is FindingKind.HELD]
    assert "budget used up" in held[0].message


@pytest.mark.parametrize("verb", [RequestVerb.PAUSE, RequestVerb.MAINTAIN])
def test_whom_somebody_holds_is_passed_over_until_released(tmp_path: Path, verb: RequestVerb) -> None:
    rolled = begun(tmp_path, wanted(count=4))
    rolled.of.ask(verb, "storefront/1")
    rolled.tick(20)
    assert sorted(rolled.updated()) == [2, 3, 4]
    kind = "pause" if verb is RequestVerb.PAUSE else "maintenance"
    rolled.of.ask(RequestVerb.RELEASE, "storefront/1", kind=kind)
    rolled.tick(5)
    assert sorted(rolled.updated()) == [1, 2, 3, 4]


def test_who_is_silent_is_not_updated_and_a_silent_canary_is_an_incident(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted(count=4))
    rolled.agents.silent = {1}
    rolled.tick()
    assert sorted(rolled.updated()) == [2, 3]
    rolled.agents.silent = {1, 2}
    rolled.tick(12)
    assert len(rolled.incidents()) == 1
    assert 4 not in rolled.updated()


def test_who_fetches_nothing_for_a_while_is_passed_over_and_told_again(tmp_path: Path) -> None:
    """Nothing was done, so nothing has failed: neither the roll-out nor what was updated before."""
    rolled = begun(tmp_path, wanted(count=4))
    rolled.of.clock.advance(wanted().template.boot_timeout_s)
    rolled.tick()
    rolled.agents.deaf = {3}
    rolled.tick(25)
    assert (sorted(rolled.updated()), rolled.incidents()) == ([1, 2, 4], [])
    rolled.agents.deaf = set()
    rolled.tick(50)
    assert (sorted(rolled.updated()), rolled.incidents()) == ([1, 2, 3, 4], [])


def test_what_is_to_go_back_goes_back_though_it_was_not_fetched_at_once(tmp_path: Path) -> None:
    rolled = begun(tmp_path, wanted(count=4))
    rolled.of.clock.advance(wanted().template.boot_timeout_s)
    rolled.agents.works = lambda version, _: version == "1.0"
    rolled.tick()
    assert sorted(rolled.updated()) == [1, 2]
    rolled.agents.deaf = {1}
    rolled.tick(40)
    assert rolled.agents.have[1] == "2.0"
    rolled.agents.deaf = set()
    rolled.tick(50)
    assert set(rolled.agents.have.values()) == {"1.0"}


# --- restarts and reboots ---------------------------------------------------------------------------------------------


def windowed(at_s: int) -> SetSpec:
    return replace(wanted(count=4), maintenance=Window(DAYS, at_s, 1_800))


def effects(rolled: Rolled) -> Collection[Verb]:
    found: Sequence[Intent] = rolled.of.memory.intents.latest(EVERYONE, 100)
    return [one.verb for one in found if one.verb in (Verb.APP_RESTART, Verb.REBOOT)]


def owing(folder: Path, at_s: int) -> Rolled:
    rolled = begun(folder, windowed(at_s), known=dict.fromkeys(range(1, 5), "2.0"))
    rolled.agents.owes, rolled.agents.reboots = {1, 2}, {2}
    return rolled


def test_what_is_owed_is_paid_in_the_window_and_a_member_at_a_time(tmp_path: Path) -> None:
    rolled = owing(tmp_path, 12 * 3_600)
    rolled.tick()
    assert effects(rolled) == [Verb.APP_RESTART]
    rolled.tick(12)
    assert sorted(effects(rolled)) == [Verb.APP_RESTART, Verb.APP_RESTART, Verb.REBOOT]
    appliances = {one.appliance for one in rolled.of.memory.intents.latest(EVERYONE, 3)}
    assert {appliance.ordinal for appliance in appliances} <= {1, 2}


def test_what_was_stopped_by_an_order_is_not_started_because_it_owes_a_restart(tmp_path: Path) -> None:
    rolled = owing(tmp_path, 12 * 3_600)
    rolled.agents.ordered_off, rolled.agents.reboots = {1}, set()
    rolled.tick(12)
    assert effects(rolled) == [Verb.APP_RESTART]
    assert rolled.of.memory.intents.latest(EVERYONE, 1)[0].appliance.ordinal == 2


def test_a_restart_that_nobody_fetched_is_told_again_in_the_same_window(tmp_path: Path) -> None:
    rolled = owing(tmp_path, 12 * 3_600)
    rolled.of.clock.advance(wanted().template.boot_timeout_s)
    rolled.agents.reboots, rolled.agents.deaf = set(), {1}
    rolled.tick(10)
    assert rolled.agents.owes == {1}
    rolled.agents.deaf = set()
    rolled.tick(20)
    assert rolled.agents.owes == set()


def test_outside_the_window_nothing_is_paid(tmp_path: Path) -> None:
    rolled = owing(tmp_path, 20 * 3_600)
    rolled.tick(10)
    assert effects(rolled) == []


def test_a_restart_that_does_not_help_is_not_tried_again_in_the_same_window(tmp_path: Path) -> None:
    rolled = owing(tmp_path, 12 * 3_600)
    rolled.agents.reboots = set()
    forever = rolled.agents.owes
    rolled.agents.owes = type("Forever", (set,), {"discard": lambda *_: None})(forever)
    rolled.tick(20)
    assert effects(rolled) == [Verb.APP_RESTART] * 2


def test_no_fault_is_healed_while_the_window_is_open(tmp_path: Path) -> None:
    rolled = begun(tmp_path, windowed(12 * 3_600), known=dict.fromkeys(range(1, 5), "2.0"))
    rolled.tick()
    first = rolled.of.members()[0]
    aset = rolled.of.memory.sets.named(EVERYONE, "storefront")
    assert aset is not None
    assert ApplianceId(aset.uid, 1) == first.id
    node = rolled.of.east.nodes[first.node_id]
    rolled.of.east.nodes[first.node_id] = node._replace(state=type(node.state).STOPPED)
    rolled.tick(4)
    assert not rolled.of.east.called("start_node")
    rolled.of.clock.advance(1_800)
    rolled.tick(4)
    assert len(rolled.of.east.called("start_node")) == 1
