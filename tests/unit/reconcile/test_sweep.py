"""Nodes that no row explains: found first, metered, and ended where policy or a person says so; wild ones never."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pictures import (
    ESTATE,
    NOW,
    OTHER_UID,
    UID,
    ago,
    ahead,
    aset,
    control,
    estate,
    finding,
    incarnation,
    intent,
    member,
    moment,
    node,
    token,
    view,
)

from cloudmon.model.actions import ActionClass, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, Incarnation, IncarnationState
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.sets import ControlKind
from cloudmon.model.usage import Mark
from cloudmon.reconcile import sweep
from cloudmon.reconcile.limits import Limits
from cloudmon.reconcile.plan import Step

STRAY = node("n-9", of=token(1, 1))
"""A second node of the first incarnation of storefront/1."""
ORPHAN = node("n-8", of=token(9, 3, uid=OTHER_UID))
OF_ANOTHER_ESTATE = node("n-7", of=token(1, 1, estate="elsewhereaaa"))
ENDED = incarnation(state=IncarnationState.ENDED, until=ago(300), cause=Cause.COMMANDED)


def swept(
    stray: Node = STRAY, row: Incarnation | None = None, *, found: bool = True, asked: bool = False, **other: Any
) -> list[Any]:
    """What becomes of one stray whose token's row is ``row``; ``found``: its finding is open."""
    known = {row.token: row} if row is not None else {}
    limits = other.pop("limits", Limits())
    sets = other.pop("sets", None)
    kind = FindingKind.DUPLICATE if row is not None else FindingKind.ORPHAN
    subject = f"node:east:{stray.id}"
    findings = [finding(kind, subject, token=stray.token)] if found else []
    of = estate([member()], known=known, findings=findings, sets=sets, **other)
    named = sweep.classify(stray, "east", of)
    assert named.kind is kind
    orphans = frozenset({subject}) if asked else frozenset()
    return list(sweep.sweep([named], of, moment(limits=limits), orphans))


LIVE = incarnation(state=IncarnationState.LIVE)


# --- what is unexplained ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "members", "rows", "unexplained"),
    [
        ([node("n-1")], [member()], [], []),
        ([node("n-1"), STRAY], [member()], [], ["n-9"]),
        ([node("n-1")], [member(ApplianceState.LAUNCHING, node_id="")], [], []),
        ([node("n-1"), STRAY], [member(ApplianceState.LAUNCHING, node_id="")], [], ["n-9"]),
        ([node("n-1")], [member(ApplianceState.RETIRED)], [], ["n-1"]),
        ([node("n-1")], [member(ApplianceState.REQUESTED)], [], ["n-1"]),
        ([node("n-1"), STRAY], [member(ApplianceState.REQUESTED)], [incarnation()], ["n-9"]),
        ([node("n-1")], [], [incarnation()], []),
        ([node("n-1")], [], [incarnation(node_id="")], []),
        ([ORPHAN], [member()], [], ["n-8"]),
        ([node("n-5", of="")], [member()], [], []),
        ([OF_ANOTHER_ESTATE], [member()], [], []),
        ([ORPHAN._replace(state=NodeState.TERMINATED)], [member()], [], []),
        ([ORPHAN._replace(state=NodeState.TERMINATING)], [member()], [], ["n-8"]),
    ],
    ids=[
        "a member's node", "a second node of a member", "the token of a launch", "a second node of a launch",
        "what a retired one left",
        "what one that has none left", "a second one beside its former node",
        "the node of an ending", "the token of an ending", "no row at all", "of no estate", "of another estate",
        "one that has ended", "one that is ending",
    ],
)  # fmt: skip
def test_a_node_of_ours_is_explained_by_a_row_or_not(
    nodes: list[Node], members: list[Any], rows: list[Any], unexplained: list[str]
) -> None:
    found = sweep.unexplained(view(*nodes), ESTATE, members, rows)
    assert [one.id for one in found] == unexplained


# --- what becomes of them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [None, LIVE, ENDED], ids=["orphan", "second node", "leftover"])
def test_a_stray_is_found_and_metered_before_anything_is_done_about_it(row: Incarnation | None) -> None:
    (found,) = swept(row=row, found=False, limits=Limits(end_orphans=True))
    assert isinstance(found, Change)
    (said,) = found.findings
    assert isinstance(said, Finding)
    assert said.subject == "node:east:n-9"
    assert [(event.mark, event.node_id, event.at) for event in found.usage] == [(Mark.BEGAN, "n-9", ago(3_600))]


def test_a_leftover_is_metered_from_where_its_row_stopped() -> None:
    """A beginning before that end would be lost in it, and the time since would be counted by nobody."""
    row = replace(ENDED, node_id="n-9")
    (found,) = swept(row=row, found=False)
    assert [event.at for event in found.usage] == [ago(300)]


def test_an_orphan_is_only_shown_by_default() -> None:
    assert swept(ORPHAN) == []


@pytest.mark.parametrize(
    ("stray", "row", "other", "origin", "action_class"),
    [
        (ORPHAN, None, {"limits": Limits(end_orphans=True)}, Origin.OBSERVATION, ActionClass.DESTRUCTIVE),
        (ORPHAN, None, {"asked": True}, Origin.REQUEST, ActionClass.DESTRUCTIVE),
        (STRAY, LIVE, {}, Origin.OBSERVATION, ActionClass.DESTRUCTIVE),
        (STRAY, replace(ENDED, node_id=""), {}, Origin.WANTED, ActionClass.RETIREMENT),
        (STRAY, replace(ENDED, node_id="n-9"), {}, Origin.WANTED, ActionClass.RETIREMENT),
        (STRAY, replace(ENDED, node_id="n-9", cause=Cause.FAULT), {}, Origin.OBSERVATION, ActionClass.DESTRUCTIVE),
        (STRAY, ENDED, {}, Origin.OBSERVATION, ActionClass.DESTRUCTIVE),
    ],
    ids=[
        "an orphan where the policy says so", "an orphan that somebody wants ended", "a second node",
        "what a retired launch left", "what a retirement left", "what a replacement left", "a second one of a retired",
    ],
)  # fmt: skip
def test_a_stray_is_ended_under_its_own_budget(
    stray: Node, row: Incarnation | None, other: dict[str, Any], origin: Origin, action_class: ActionClass
) -> None:
    (found,) = swept(stray, row, **other)
    assert isinstance(found, Step)
    intent = found.intent
    assert (intent.verb, intent.node_id, intent.origin) == (Verb.TERMINATE, stray.id, origin)
    assert intent.action_class is action_class
    assert found.change.appliance is None


@pytest.mark.parametrize(
    ("row", "other"),
    [
        (LIVE, {"limits": Limits(end_duplicates=False)}),
        (LIVE, {"sets": [aset(controls=(control(ControlKind.PAUSE),))]}),
        (LIVE, {"sets": [aset(controls=(control(ControlKind.PROTECT, 1),))]}),
        (LIVE, {"sets": [aset(controls=(control(ControlKind.PROTECT),))], "asked": True}),
    ],
    ids=["the policy only shows them", "its set is paused", "its appliance is protected", "protected, whoever asks"],
)
def test_a_duplicate_is_left_alone(row: Incarnation, other: dict[str, Any]) -> None:
    assert swept(STRAY, row, **other) == []


def test_what_leaves_by_itself_is_not_ended_again() -> None:
    assert swept(STRAY._replace(state=NodeState.TERMINATING), LIVE) == []


def test_a_pause_does_not_keep_the_leftover_of_a_retirement() -> None:
    assert len(swept(STRAY, replace(ENDED, node_id="n-9"), sets=[aset(controls=(control(ControlKind.PAUSE),))])) == 1


def ending(**other: Any) -> Intent:
    return intent(Verb.TERMINATE, other.pop("state", IntentState.PERFORMED), node_id="n-9", **other)


@pytest.mark.parametrize(
    ("open_intent", "again"),
    [
        (ending(created_at=ago(59)), False),
        (ending(created_at=ago(60)), True),
        (ending(created_at=ago(179), attempts=1), False),
        (ending(created_at=ago(180), attempts=1), True),
        (ending(state=IntentState.RECORDED), True),
        (ending(state=IntentState.RECORDED, retry_at=ahead(1)), False),
        (ending(state=IntentState.RECORDED, retry_at=NOW), True),
        (ending(state=IntentState.INCIDENT, attempts=9, created_at=ago(5_000)), False),
        (ending(state=IntentState.INCIDENT, attempts=9, created_at=ago(9_000)), True),
        (ending(state=IntentState.INCIDENT, attempts=9, retry_at=NOW, error="Refused: no"), True),
    ],
    ids=[
        "accepted a moment ago", "accepted long ago", "tried again a moment ago", "tried again long ago", "interrupted",
        "its pause is not over", "its pause is over", "an incident, accepted a moment ago",
        "an incident, accepted long ago", "an incident, refused",
    ],
)  # fmt: skip
def test_the_end_of_a_stray_is_tried_again_with_pauses(open_intent: Intent, again: bool) -> None:
    found = swept(STRAY, LIVE, intents=[open_intent])
    assert [(one.again, one.intent.id) for one in found] == ([(True, "intent-0")] if again else [])


def test_the_end_of_a_stray_that_takes_many_tries_is_an_incident() -> None:
    (found,) = swept(STRAY, LIVE, intents=[ending(attempts=4, created_at=ago(9_000))])
    assert [update.state for update in found.change.intents] == [IntentState.INCIDENT]
    assert found.intent.state is IntentState.INCIDENT
    (said,) = found.change.findings
    assert isinstance(said, Finding)
    assert (said.kind, said.subject) == (FindingKind.INCIDENT, "intent:intent-0")
    assert [entry.kind for entry in found.change.log] == ["intent.incident"]


@pytest.mark.parametrize(
    ("other", "closed"),
    [
        ({}, True),
        ({"findings": [finding(FindingKind.DUPLICATE, "node:east:n-9")]}, False),
        ({"incarnations": [incarnation(node_id="n-9")]}, False),
        ({"incarnations": [incarnation(node_id="")]}, False),
        ({"incarnations": [incarnation(node_id="n-1")]}, True),
        ({"incarnations": [incarnation(node_id="n-9", state=IncarnationState.OPENING)]}, True),
        ({"incarnations": [incarnation(2, node_id="n-9")]}, True),
    ],
    ids=[
        "it is nobody's", "it is a stray's", "its incarnation is to end", "that may have any node",
        "that has another node", "that is opening", "another one is to end",
    ],
)  # fmt: skip
def test_a_termination_that_nobody_pursues_any_more_does_not_stay_open(other: dict[str, Any], closed: bool) -> None:
    """Its node was adopted, or a row explains it now. It must not be tried on as the end of another node's row."""
    found = list(sweep.unclaimed(estate([member()], intents=[ending()], **other), moment()))
    assert [update.state for change in found for update in change.intents] == [IntentState.FAILED] * closed


def test_a_call_that_is_on_its_way_is_not_overtaken() -> None:
    of = estate([member()], intents=[ending()])
    assert list(sweep.unclaimed(of, moment(in_flight=frozenset({"intent-0"})))) == []


# --- when they are no more --------------------------------------------------------------------------------------------


def ended(seen: Any, **other: Any) -> list[Change]:
    known = finding(FindingKind.DUPLICATE, "node:east:n-9", token=token())
    of = estate([member()], findings=[known], **other)
    return list(sweep.ended(of, {"east": seen}, {}, moment()))


def test_a_stray_that_its_cloud_denies_has_ended_with_its_usage_and_intent() -> None:
    (found,) = ended(view(denied=frozenset({"n-9"})), intents=[ending()])
    assert {(event.mark, event.node_id, event.set_uid, event.incarnation) for event in found.usage} == {
        (Mark.ENDED, "n-9", UID, 1)
    }
    assert [update.state for update in found.intents] == [IntentState.DONE]
    assert FindingEnd(FindingKind.DUPLICATE, "node:east:n-9") in found.findings
    assert FindingEnd(FindingKind.INCIDENT, "intent:intent-0") in found.findings
    assert [entry.kind for entry in found.log] == ["duplicate.ended", "intent.done"]


def test_a_stray_that_a_row_explains_now_is_no_stray_and_goes_on_being_metered() -> None:
    (found,) = ended(view(node("n-9")))
    assert found.usage == ()
    assert found.findings == (FindingEnd(FindingKind.DUPLICATE, "node:east:n-9"),)


@pytest.mark.parametrize(
    "seen",
    [view(), view(denied=frozenset({"n-9"}), suspicious="half is missing"), view(healthy=False)],
    ids=["only not listed", "denied in a doubted view", "not seen"],
)
def test_a_stray_that_nobody_denies_is_still_one(seen: Any) -> None:
    assert ended(seen) == []


# --- the wild ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "known", "count"),
    [
        ([node("n-1"), OF_ANOTHER_ESTATE, node("n-5", of="")], None, 2),
        ([OF_ANOTHER_ESTATE], 1, None),
        ([OF_ANOTHER_ESTATE._replace(state=NodeState.TERMINATED)], 1, 0),
        ([node("n-1")], None, None),
    ],
    ids=["they are counted", "the same number is no news", "the last one went", "none"],
)
def test_wild_nodes_are_counted(nodes: list[Node], known: int | None, count: int | None) -> None:
    opened = {} if known is None else {(FindingKind.WILD, "cloud:east"): finding(FindingKind.WILD, "x", nodes=known)}
    found = sweep.wild(view(*nodes), ESTATE, opened, NOW)
    if count is None:
        assert found is None
    elif count == 0:
        assert found is not None
        assert found.findings == (FindingEnd(FindingKind.WILD, "cloud:east"),)
    else:
        assert found is not None
        (said,) = found.findings
        assert isinstance(said, Finding)
        assert said.evidence == {"nodes": count}
