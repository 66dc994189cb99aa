"""What agents say reaches the rules, and what rules want reaches the agents: whom the monitor looks at, when, and with
what knowledge."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from inhabited import DOWN, NO_AGENT, SILENT, SLOW, Inhabited, up

from cloudmon.errors import Fenced, StoreUnavailable
from cloudmon.model.actions import IntentState
from cloudmon.model.policies import OnUnknown, Policy, Rule
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import hearing
from cloudmon.monitor import insides as inside


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


def test_whoever_is_gone_keeps_nobody_waiting(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "URGENT_LOOKS", 1)
    nobody = of.id(1)._replace(ordinal=99)
    of.insides.answered([nobody])
    assert of.monitor.attend() == 0
    of.say(1, up("down"))
    assert of.monitor.attend() == 1
