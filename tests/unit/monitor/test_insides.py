"""What agents say reaches the rules, and what rules want reaches the agents: whom the monitor looks at, when, and with
what knowledge."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from watched import POLL_S, Watched, spec

from cloudmon.errors import Fenced, StoreUnavailable
from cloudmon.model import states
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.grants import fingerprint
from cloudmon.model.guests import Agent, Enrolment, Report, ReportKind, Result, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import OnUnknown, Policy, Remedy, Rule
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import Application, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import hearing
from cloudmon.monitor import insides as inside
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides
from cloudmon.settings import policies as policy_settings
from cloudmon.testing.guest_words import KEY

TEMPLATE = Template("web", {"*": "image-1"}, applications={"shop": Application(match="shop")}, report_interval_s=30)
DOWN = Rule("down", 'applications["shop"].state == "down"', message="the shop is down", then=(
    Remedy("app_restart", {"application": "shop"}),
))  # fmt: skip
SLOW = replace(DOWN, name="slow", for_s=20)
SILENT = Rule("silent", "report.age_s > 100", message="it is silent")
NO_AGENT = Rule("no-agent", 'appliance.state == "running"', message="it runs")


def up(state: str = "up", **more: Mapping[str, object]) -> Sections:
    return {"applications": {"shop": {"state": state}}, **{name: {"now": dict(facts)} for name, facts in more.items()}}


class Line:
    """Notes what the monitor tells the channel."""

    def __init__(self) -> None:
        self.rung: list[ApplianceId] = []
        self.full: list[ApplianceId] = []

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        self.rung += appliances

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """Nobody is served here."""

    def retell(self, set_uids: Iterable[str]) -> None: ...

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        self.full += appliances


class Inhabited(Watched):
    """Two appliances that run, each with an agent that speaks when it is told to."""

    def __init__(self, folder: Path, *rules: Rule) -> None:
        super().__init__(folder, specs=[spec(2, template=TEMPLATE)])
        self.rules = rules
        self.seqs: dict[int, int] = {}
        self.last: dict[int, Sections] = {}
        self.monitor = self.inhabited()
        self.tick(3)
        for ordinal in (1, 2):
            self.enrol(ordinal)

    def inhabited(self) -> object:
        monitor = self._made()
        monitor.insides = Insides(Hearing(self.store), [Policy("ours", tuple(self.rules))])  # type: ignore[arg-type]
        self.line = Line()
        monitor.line = monitor.insides.hearing.line = self.line
        return monitor

    @property
    def insides(self) -> Insides:
        assert self.monitor.insides is not None
        return self.monitor.insides

    def id(self, ordinal: int) -> ApplianceId:
        return self.members()[ordinal - 1].id

    def enrol(self, ordinal: int) -> None:
        member, now = self.members()[ordinal - 1], self.clock.now()
        agent = Agent(member.id, "default", member.incarnation, f"{ordinal:032x}", "1.0", now, 1)
        token = Enrolment(
            f"m-{ordinal}-{member.incarnation}", member.id, "default", member.incarnation, "ann", now, now
        )
        assert self.memory.agents.enrol(self.owner, agent, enrolment=token, now=now)

    def report(self, ordinal: int, sections: Sections, *results: Result, diff: bool = False) -> Report:
        """Its next report; what a store takes and nobody has heard of yet."""
        member, now = self.members()[ordinal - 1], self.clock.now()
        self.seqs[ordinal] = seq = self.seqs.get(ordinal, 0) + 1
        before = self.last.get(ordinal, {})
        self.last[ordinal] = sections
        kind = ReportKind.DIFF if diff else ReportKind.FULL
        return Report(
            member.id, "default", member.incarnation, f"{ordinal:032x}", "b1", seq, kind,
            states.state_hash(before) if diff else "", states.state_hash(sections), "interval", now, now,
            states.difference(before, sections) if diff else sections, results, "1.0",
        )  # fmt: skip

    def say(self, ordinal: int, sections: Sections, *results: Result, diff: bool = False) -> None:
        """A report comes, as the channel takes it and hands it on."""
        report = self.report(ordinal, sections, *results, diff=diff)
        assert self.memory.reports.take(self.owner, [report], now=self.clock.now()) == [True]
        self.insides.heard([report])

    def found(self) -> list[str]:
        return [finding.message for finding in self.detected()]

    def detected(self) -> list[Finding]:
        return [one for one in self.memory.findings.open(EVERYONE) if one.kind is FindingKind.DETECTED]

    def commands(self, ordinal: int = 1) -> list[Intent]:
        found = self.memory.intents.of(EVERYONE, self.id(ordinal).set_uid, ordinal)
        return [one for one in found if one.verb is Verb.APP_RESTART]

    def done(self, intent: Intent, *, ok: bool = True) -> Result:
        return Result(intent.id, ok, 0, "", "" if ok else "it did not work", self.clock.now())


@pytest.fixture
def of(tmp_path: Path) -> Inhabited:
    return Inhabited(tmp_path, DOWN)


# --- between ticks ----------------------------------------------------------------------------------------------------


def test_a_report_that_shows_a_fault_is_acted_on_without_a_tick(of: Inhabited) -> None:
    of.say(1, up("down"))
    assert of.monitor.attend() == 1
    (command,) = of.commands()
    assert (command.state, command.arguments) == (IntentState.RECORDED, {"application": "shop"})
    assert of.found() == ["storefront/1: the shop is down"]
    assert of.line.rung == [of.id(1)]
    assert (of.commands(2), of.monitor.attend()) == ([], 0)


def test_what_was_put_right_ends_its_finding_with_the_report_that_shows_it(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(1)
    of.say(1, up(), of.done(of.commands()[0]), diff=True)
    assert of.monitor.attend() == 0
    assert of.found() == []
    assert [one.state for one in of.commands()] == [IntentState.DONE]


def test_a_rung_that_did_not_help_is_followed_by_another_after_its_pause(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(1)
    of.say(1, up("down"), of.done(of.commands()[0], ok=False))
    assert of.monitor.attend() == 0
    of.clock.advance(DOWN.backoff_s)
    of.tick()
    assert sorted(one.state for one in of.commands()) == [IntentState.FAILED, IntentState.RECORDED]


def test_nothing_is_done_before_the_clouds_were_seen_once(of: Inhabited) -> None:
    of.monitor = of.inhabited()  # type: ignore[assignment]
    of.say(1, up("down"))
    assert of.monitor.attend() == 0
    of.tick()
    assert len(of.commands()) == 1


def test_what_falls_due_is_looked_at_when_it_does(tmp_path: Path) -> None:
    of = Inhabited(tmp_path, SLOW)
    of.say(1, up("down"))
    assert of.monitor.attend() == 0
    of.clock.advance(19)
    assert (of.monitor.attend(), of.found()) == (0, [])
    of.clock.advance(1)
    assert (of.monitor.attend(), of.found()) == (1, ["storefront/1: the shop is down"])


def test_a_store_that_is_away_loses_no_report(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.store.away = True
    with pytest.raises(StoreUnavailable):
        of.monitor.attend()
    of.store.away = False
    assert of.monitor.attend() == 1


def test_a_monitor_that_was_replaced_attends_to_nothing(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.memory.monitors.begin(host="there", pid=2, now=of.clock.now())
    with pytest.raises(Fenced):
        of.monitor.attend()
    assert (of.commands(), of.found()) == ([], [])


# --- whom -------------------------------------------------------------------------------------------------------------


def test_who_says_nothing_new_is_not_looked_at_again(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    of.say(1, up())
    of.tick(2)
    looked: list[object] = []
    monkeypatch.setattr(of.insides.detector, "look", lambda *_, **__: looked.append(1))
    of.tick(2)
    assert looked == []


def test_people_s_rules_count_for_appliances_that_say_nothing(tmp_path: Path) -> None:
    of = Inhabited(tmp_path, NO_AGENT)
    of.tick()
    assert of.found() == ["storefront/1: it runs", "storefront/2: it runs"]


def test_an_agent_that_falls_silent_is_found_by_its_age_and_asked_nothing(tmp_path: Path) -> None:
    """And what it said before counts no more: an application that was down when it fell silent is not restarted."""
    of = Inhabited(tmp_path, SILENT, SLOW)
    of.say(1, up())
    of.tick()
    of.clock.advance(200)
    of.tick()
    assert of.found() == ["storefront/1: it is silent"]
    of.say(2, up("down"))
    of.monitor.attend()
    of.clock.advance(200)
    of.tick()
    assert of.commands(2) == []


def test_other_rules_are_tried_on_what_is_known(of: Inhabited) -> None:
    of.say(1, up(load={"one": 9.0}))
    of.tick()
    busy = Rule("busy", "load.one > 5.0", message="it is busy")
    of.insides.judged_by([Policy("ours", (busy,))])
    of.tick()
    assert of.found() == ["storefront/1: it is busy"]
    of.insides.judged_by([])
    of.tick()
    assert of.found() == []


def test_a_look_takes_so_many_and_the_next_the_others(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "MOST_LOOKS", 1)
    of.say(1, up("down"))
    of.say(2, up("down"))
    assert of.monitor.attend() + of.monitor.attend() == 2
    assert sorted(of.found()) == ["storefront/1: the shop is down", "storefront/2: the shop is down"]


def test_a_revoked_agent_s_word_counts_no_more_and_it_is_asked_nothing(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.memory.agents.revoke(of.owner, of.id(1), now=of.clock.now(), author="ann", reason="lost")
    of.insides.forget([of.id(1)])
    assert of.monitor.attend() == 0
    assert of.commands() == []


def test_an_agent_of_a_node_that_was_replaced_is_heard_no_more(of: Inhabited) -> None:
    """What was found there ends with it, and opens anew if the next one's agent says so."""
    of.say(1, up("down"))
    old = of.report(1, up("down"))
    asked = of.ask(RequestVerb.REPLACE, "storefront/1")
    of.tick(8)
    assert of.request(asked).state is RequestState.DONE
    assert of.members()[0].incarnation == 2
    before = len(of.commands())
    of.insides.heard([old])
    of.tick(2)
    assert len(of.commands()) == before
    assert of.found() == []
    of.enrol(1)
    of.say(1, up("down"))
    of.tick()
    assert of.found() == ["storefront/1: the shop is down"]


@pytest.mark.parametrize("on_unknown", [OnUnknown.IGNORE, OnUnknown.FIRE, OnUnknown.CLEAR])
def test_what_is_not_known_is_as_the_rule_says(tmp_path: Path, on_unknown: OnUnknown) -> None:
    of = Inhabited(tmp_path, replace(DOWN, on_unknown=on_unknown))
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(1)
    of.say(1, {"load": {"now": {"one": 0.1}}})
    of.monitor.attend()
    found = {OnUnknown.IGNORE: 1, OnUnknown.FIRE: 2, OnUnknown.CLEAR: 0}[on_unknown]
    assert sorted(of.found()) == ["storefront/1: the shop is down", "storefront/2: the shop is down"][:found]


# --- what is known ----------------------------------------------------------------------------------------------------


def test_a_successor_knows_what_was_said_before(of: Inhabited) -> None:
    of.say(1, up())
    of.tick()
    of.owner = of.memory.monitors.begin(host="here", pid=2, now=of.clock.now())
    of.monitor = of.inhabited()  # type: ignore[assignment]
    of.tick()
    of.say(1, up("down"), diff=True)
    assert of.monitor.attend() == 1


def test_states_that_are_kept_no_more_are_read_again(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are due at once: a look with half of what is known would take the rest for unknown."""
    monkeypatch.setattr(hearing, "KEPT", 1)
    of.say(1, up())
    of.say(2, up())
    of.tick()
    of.say(1, up("down"), diff=True)
    of.say(2, up("down"), diff=True)
    assert of.monitor.attend() == 2


def test_what_was_told_by_many_differences_is_kept_whole(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "WHOLE_AFTER", 3)
    of.say(1, up(load={"one": 0.0}))
    for turn in range(1, 5):
        of.clock.advance(1)
        of.say(1, up(load={"one": turn / 10}), diff=True)
    of.tick()
    found = of.memory.reports.state(EVERYONE, of.id(1))
    assert found is not None
    assert found.sections["load"] == {"now": {"one": 0.4}}
    # What came before the whole one may be forgotten now.
    assert of.memory.reports.prune(of.owner, before=of.clock.now() + dt.timedelta(days=1)) > 0
    assert of.memory.reports.state(EVERYONE, of.id(1)) == found


def test_what_does_not_add_up_is_asked_for_anew(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    of.say(1, up())
    of.tick()
    of.monitor = of.inhabited()  # type: ignore[assignment]
    monkeypatch.setattr(of.memory.reports, "states", lambda *_: {})
    of.tick()
    assert of.line.full == [of.id(1)]


def test_a_quiet_tick_writes_nothing_about_insides(of: Inhabited) -> None:
    of.say(1, up())
    of.tick(2)
    assert of.tick().changes == 0


# --- people -----------------------------------------------------------------------------------------------------------


def test_people_ask_an_agent_and_are_told_how_it_went(of: Inhabited) -> None:
    of.say(1, up())
    asked = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "app_restart", "application": "shop"})
    of.tick()
    assert of.request(asked).state is RequestState.ACCEPTED
    (command,) = of.commands()
    assert command.request_id == asked
    of.say(1, up(), of.done(command))
    of.tick()
    assert of.request(asked).state is RequestState.DONE


def test_what_an_agent_could_not_do_is_told(of: Inhabited) -> None:
    of.say(1, up())
    asked = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "app_restart", "application": "shop"})
    of.tick()
    of.say(1, up(), of.done(of.commands()[0], ok=False))
    of.tick()
    assert of.request(asked).state is RequestState.FAILED
    assert "it did not work" in of.request(asked).outcome


def test_a_command_that_nobody_fetches_ends_as_failed_and_says_so(of: Inhabited) -> None:
    """Law 5: every intent ends."""
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(600)
    of.tick(2)
    (command,) = of.commands()
    assert (command.state, command.error) == (IntentState.FAILED, "no agent fetched it in time")


def test_commands_for_the_same_appliance_wait_for_each_other(of: Inhabited) -> None:
    of.say(1, up("down"))
    of.monitor.attend()
    of.clock.advance(POLL_S)
    of.say(1, up("down"))
    of.tick(2)
    assert len(of.commands()) == 1


# --- accounts ---------------------------------------------------------------------------------------------------------

HAS = {"managed": True, "keys": [fingerprint(KEY)], "groups": ["wheel"], "locked": True}
NONE: Sections = {"accounts": {}}


@pytest.fixture
def granting(tmp_path: Path) -> Inhabited:
    """Under the rules that are built in; both members have said that they have no account."""
    of = Inhabited(tmp_path)
    of.insides.judged_by([policy_settings.built_in().policy("built in")])
    for ordinal in (1, 2):
        of.say(ordinal, NONE)
    of.tick()
    return of


def orders(of: Inhabited, verb: Verb) -> list[tuple[int, str]]:
    found = of.memory.intents.of(EVERYONE, of.id(1).set_uid)
    return sorted((one.appliance.ordinal, one.arguments["user"]) for one in found if one.verb is verb)


def test_a_grant_reaches_all_members_with_the_next_tick_and_its_end_does_too(granting: Inhabited) -> None:
    of = granting
    until = of.clock.now() + dt.timedelta(seconds=60)
    asked = of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY, rights="sudo", until=until.isoformat())
    of.tick()
    assert of.request(asked).state is RequestState.DONE
    assert orders(of, Verb.ACCOUNT_GRANT) == [(1, "ada"), (2, "ada")]
    for intent in of.memory.intents.open(EVERYONE):
        of.say(intent.appliance.ordinal, {"accounts": {"ada": HAS}}, of.done(intent))
    of.tick()
    assert of.found() == []
    of.clock.advance(60)
    of.tick()
    assert orders(of, Verb.ACCOUNT_REVOKE) == [(1, "ada"), (2, "ada")]
    assert orders(of, Verb.ACCOUNT_GRANT) == [(1, "ada"), (2, "ada")]


def test_a_member_of_which_nothing_is_known_is_left_alone(granting: Inhabited) -> None:
    of = granting
    of.say(2, up())
    of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY)
    of.tick()
    assert orders(of, Verb.ACCOUNT_GRANT) == [(1, "ada")]


def test_an_account_of_somebody_else_is_shown_and_left_alone(granting: Inhabited) -> None:
    of = granting
    of.say(1, {"accounts": {"ada": {"keys": [], "groups": []}}})
    of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY)
    of.tick(2)
    assert orders(of, Verb.ACCOUNT_GRANT) == [(2, "ada")]
    assert any("an account ada that cloudmon did not make" in one for one in of.found())


def test_a_granted_account_is_not_ended_by_a_command(granting: Inhabited) -> None:
    of = granting
    of.ask(RequestVerb.GRANT, "storefront", user="ada", keys=KEY)
    ends = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "account_revoke", "user": "ada"})
    of.tick()
    assert of.request(ends).state is RequestState.REFUSED
    assert "`cloudmon accounts revoke storefront ada`" in of.request(ends).outcome
