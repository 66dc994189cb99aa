"""What is bad in one member is looked for in the others of its set: once in each, and not where it is out of place."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pictures import NOW, UID, ago, aset, case, control, intent, member, node

from cloudmon.model.actions import ActionClass, Intent, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change, Timer, TimerClear, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.sets import ControlKind
from cloudmon.reconcile import searching
from cloudmon.reconcile.picture import Inside
from cloudmon.reconcile.plan import Step


def bad(ordinal: int = 1, rule: str = "malware", signature: str = "Eicar.Test", at: dt.datetime = NOW) -> Finding:
    facts = {'malware["/srv/x"].signature': signature} if signature else {}
    subject = f"{UID}/{ordinal}:built-in/{rule}//srv/x"
    return Finding(FindingKind.DETECTED, subject, "default", "critical", "malware in /srv/x", {"facts": facts}, at)


def due(*findings: Finding, of: Any = None, searched: Any = None, **other: Any) -> list[Step | Change]:
    members = [member(ordinal=at) for at in (1, 2, 3)] if of is None else of
    timers = {(UID, at): {TimerKind.SEARCHED: since} for at, since in (searched or {}).items()}
    sight = searching.Sight(
        findings,
        other.pop("recent", ()),
        other.pop("sets", {UID: aset()}),
        {UID: members},
        timers,
        other.pop("commands", {}),
        other.pop("inside", Inside(heard=frozenset(one.id for one in members))),
        other.pop("taken", ()),
        lambda one: case(one, node()),
        NOW,
    )
    return list(searching.due(sight))


def asked(*findings: Finding, **other: Any) -> list[int]:
    return [found.intent.appliance.ordinal for found in due(*findings, **other) if isinstance(found, Step)]


def test_the_others_are_asked_to_look_for_it_and_why_stands_with_it() -> None:
    """An action like any other: safe, and written with the memory that it was asked for."""
    found = [one for one in due(bad(at=ago(5))) if isinstance(one, Step)]
    assert [one.intent.appliance.ordinal for one in found] == [2, 3]
    one: Intent = found[0].intent
    assert (one.verb, one.action_class, one.origin) == (Verb.SCAN, ActionClass.SAFE, Origin.OBSERVATION)
    assert one.arguments == {"signature": "Eicar.Test"}
    assert one.reason == "Eicar.Test was found in storefront/1 (/srv/x); looked for in its set"
    assert found[0].change.timers == (Timer(UID, 2, TimerKind.SEARCHED, ago(5)),)
    assert found[0].change.opens_intent == one


@pytest.mark.parametrize(
    ("since", "expected"),
    [(None, [2, 3]), (ago(5), [3]), (ago(6), [2, 3])],
    ids=["never", "for this already", "for something before"],
)
def test_nobody_is_asked_twice_for_one_finding(since: dt.datetime | None, expected: list[int]) -> None:
    assert asked(bad(at=ago(5)), searched={2: since} if since else {}) == expected


def test_what_is_looked_for_now_is_remembered_in_the_place_of_what_was_before() -> None:
    """Of two instants the store would keep the earlier, and it would be looked for again and again."""
    found = [one for one in due(bad(at=ago(5)), searched={2: ago(60)}) if isinstance(one, Step)]
    timers = {one.intent.appliance.ordinal: one.change.timers for one in found}
    place = (UID, 2, TimerKind.SEARCHED)
    assert timers[2] == (TimerClear(*place), Timer(*place, ago(5)))
    assert timers[3] == (Timer(UID, 3, TimerKind.SEARCHED, ago(5)),)


def test_of_several_all_are_looked_for() -> None:
    (found,) = due(bad(1), bad(2, signature="Other"), of=[member(ordinal=at) for at in (1, 2, 3)])
    assert isinstance(found, Step)
    assert (found.intent.appliance.ordinal, found.intent.arguments) == (3, {})
    assert "and 1 more" in found.intent.reason


@pytest.mark.parametrize(
    "other",
    [
        {"of": [member(ordinal=1), member(ApplianceState.STOPPED, 2)]},
        {"inside": Inside()},
        {"inside": Inside(heard=frozenset({member(ordinal=2).id}), abilities=lambda _: ("job_run",))},
        {"taken": {member(ordinal=at).id for at in (2, 3)}},
        {"commands": {member(ordinal=at).id: [intent(Verb.SCAN)] for at in (2, 3)}},
        {"sets": {UID: aset(controls=(control(ControlKind.PAUSE),))}},
        {"sets": {UID: aset(retiring_since=NOW)}},
        {"sets": {}},
    ],
    ids=["off", "nobody listens", "cannot", "has to do", "looks already", "paused", "set retires", "set is gone"],
)
def test_who_cannot_or_shall_not_is_not_asked(other: dict[str, Any]) -> None:
    assert asked(bad(), **other) == []


def test_what_was_put_away_before_anybody_looked_is_looked_for_too() -> None:
    """Once: a finding and what was done about it are one."""
    facts = {'malware["/srv/x"].signature': "Eicar.Test"}
    evidence = {"rule": "built-in/malware//srv/x", "since": ago(5).isoformat(), "facts": facts}
    away = intent(Verb.QUARANTINE, origin=Origin.OBSERVATION, evidence=evidence, created_at=ago(3))
    (first, _) = due(recent=[away])
    assert isinstance(first, Step)
    assert first.intent.arguments == {"signature": "Eicar.Test"}
    assert first.change.timers == (Timer(UID, 2, TimerKind.SEARCHED, ago(5)),)
    assert asked(bad(at=ago(5)), recent=[away], searched={2: ago(5)}) == [3]
    by_hand = intent(Verb.QUARANTINE, origin=Origin.REQUEST, evidence=evidence)
    assert due(recent=[by_hand]) == []


def test_other_findings_are_not_looked_for() -> None:
    stray = Finding(FindingKind.FAULT, f"{UID}/1", "default", "critical", "down", {}, NOW)
    assert due(bad(rule="file-changed"), stray) == []


def test_so_many_at_a_time_and_the_others_later() -> None:
    many: list[Member] = [member(ordinal=at) for at in range(1, 150)]
    first = asked(bad(at=ago(5)), of=many, sets={UID: aset(count=150)})
    assert len(first) == searching.MOST_AT_ONCE
    later = asked(bad(at=ago(5)), of=many, sets={UID: aset(count=150)}, searched=dict.fromkeys(first, ago(5)))
    assert sorted([1, *first, *later]) == list(range(1, 150))


def test_when_nothing_is_bad_any_more_that_it_was_searched_for_is_forgotten() -> None:
    """A quiet set costs nothing."""
    (found,) = due(searched={2: ago(5)})
    assert isinstance(found, Change)
    assert found.timers == (TimerClear(UID, 2, TimerKind.SEARCHED),)
    assert due(bad(), searched={1: ago(5), 2: NOW, 3: NOW}) == []
