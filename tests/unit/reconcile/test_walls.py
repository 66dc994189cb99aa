"""Groups of peers: what is due for them, when it counts as done, and when it is given up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pictures import ESTATE, OTHER_UID, UID, ago, ahead, aset, estate, member, moment, node, plan, token, unseen, view

from cloudmon.model.actions import Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.identity import TAG_ESTATE, TAG_SET, TAG_TENANT, ApplianceId
from cloudmon.model.nodes import PEERS_PREFIX, NodeState, PeerGroup
from cloudmon.model.sets import ApplianceSet, Peers, Template
from cloudmon.reconcile import walls
from cloudmon.reconcile.picture import CloudView
from cloudmon.reconcile.plan import Plan
from cloudmon.reconcile.walls import Wish

NAME = PEERS_PREFIX + UID
TAGS = {TAG_ESTATE: ESTATE, TAG_SET: "storefront", TAG_TENANT: "default"}
GROUP = PeerGroup(NAME, (5432,), TAGS)
TWO = [member(), member(ordinal=2)]


def joined(ports: tuple[int, ...] = (5432,), *, firewall: bool = True, **other: Any) -> ApplianceSet:
    template = Template("db", {"*": "image-1"}, peers=Peers(ports, firewall=firewall))
    found: ApplianceSet = aset(2, template=template, **other)
    return found


def seen(first: str | None, second: str | None, *groups: PeerGroup, **other: Any) -> CloudView:
    """Two nodes, the groups that they are in, and all that there are."""
    return view(node("n-1", peers=first), node("n-2", peers=second), **{"groups": groups, **other})


def decided(of: ApplianceSet, at: CloudView, members: Sequence[Member] = TWO, *intents: Intent) -> Plan:
    return plan(estate(members, sets=[of], intents=intents), at)


def asked(wish: Wish, state: IntentState = IntentState.RECORDED, **other: Any) -> Intent:
    """The intent that this wish becomes, of ten seconds ago."""
    values: dict[str, Any] = {
        "id": "intent-0", "appliance": ApplianceId(UID, 0), "tenant": "default",
        "verb": Verb.PEERS_CLOSE if wish.close else Verb.PEERS_OPEN, "action_class": "safe", "origin": Origin.WANTED,
        "incarnation": 0, "token": "", "cloud": "east", "node_id": "", "reason": wish.reason, "evidence": {},
        "created_at": ago(10), "deadline": ahead(50), "epoch": 7, "state": state, "arguments": walls.told(wish),
    }  # fmt: skip
    return Intent(**{**values, **other})


# --- what is due ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "at", "wish"),
    [
        pytest.param(joined(), seen("", ""), Wish(GROUP, ("n-1", "n-2")), id="nobody is in it yet"),
        pytest.param(joined(), seen(NAME, "", GROUP), Wish(GROUP, ("n-2",)), id="one is not in it yet"),
        pytest.param(joined(), seen(NAME, "another", GROUP), Wish(GROUP, ("n-2",)), id="one is in another"),
        pytest.param(joined(), seen(NAME, NAME, GROUP), None, id="all are in it"),
        pytest.param(joined(), seen(NAME, None, GROUP), None, id="of one the cloud does not say"),
        pytest.param(
            joined((80, 5432)), seen(NAME, NAME, GROUP), Wish(PeerGroup(NAME, (80, 5432), TAGS)), id="other ports"
        ),
        pytest.param(joined(), seen(NAME, NAME, PeerGroup(NAME, (), TAGS)), Wish(GROUP), id="its rules were changed"),
        pytest.param(
            joined(firewall=False), seen(NAME, NAME, GROUP), Wish(GROUP, (), ("n-1", "n-2")), id="not wanted any more"
        ),
        pytest.param(joined(firewall=False), seen("", None, GROUP), Wish(GROUP, close=True), id="nobody is in it"),
        pytest.param(joined(firewall=False), seen("", ""), None, id="never wanted"),
        pytest.param(
            joined(retiring_since=ago(60)), seen(NAME, NAME, GROUP), None, id="its set retires"
        ),
        pytest.param(
            joined(firewall=False), seen("", "", PeerGroup(NAME, (5432,), {TAG_ESTATE: "otherestate1"})), None,
            id="another estate's",
        ),
        pytest.param(joined(), seen("", "", groups=None), None, id="groups that are not known"),
        pytest.param(joined(), seen("", "", verbs=frozenset()), None, id="a cloud without a firewall"),
        pytest.param(joined(), unseen(), None, id="a cloud that is not seen"),
    ],
)  # fmt: skip
def test_what_is_due_is_what_differs(of: ApplianceSet, at: CloudView, wish: Wish | None) -> None:
    steps = [step for step in decided(of, at).steps if step.intent.verb in walls.VERBS]
    assert [(step.intent.cloud, step.intent.arguments) for step in steps] == (
        [("east", walls.told(wish))] if wish is not None else []
    )
    assert {step.intent.appliance for step in steps} <= {ApplianceId(UID, 0)}


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(member(ApplianceState.RETIRING), id="on its way out"),
        pytest.param(member(cloud="west"), id="in another cloud"),
        pytest.param(member(token=token(1, 2), incarnation=2), id="the node of a former incarnation"),
    ],
)
def test_only_the_present_nodes_of_members_join(gone: Member) -> None:
    steps = [step for step in decided(joined(), seen("", ""), [gone, TWO[1]]).steps if step.intent.verb in walls.VERBS]
    assert [step.intent.arguments["joining"] for step in steps] == ["n-2"]


def test_a_group_whose_set_is_no_more_is_closed_for_its_tenant() -> None:
    tags = {TAG_ESTATE: ESTATE, TAG_SET: "ledger", TAG_TENANT: "acme"}
    left = PeerGroup(PEERS_PREFIX + OTHER_UID, (80,), tags)
    (step,) = decided(joined(), seen(NAME, NAME, GROUP, left)).steps
    assert (step.intent.verb, step.intent.tenant) == (Verb.PEERS_CLOSE, "acme")
    assert step.intent.appliance == ApplianceId(OTHER_UID, 0)


def test_a_group_is_not_closed_while_a_node_is_in_it_and_is_when_that_has_ended() -> None:
    left = PeerGroup(PEERS_PREFIX + OTHER_UID, (80,), TAGS)
    for state, due in ((NodeState.TERMINATING, []), (NodeState.TERMINATED, [Verb.PEERS_CLOSE])):
        last = node("n-9", state, of=token(1, uid=OTHER_UID), peers=left.name)
        found = plan(estate((), sets=[joined()]), view(last, groups=(left,)))
        assert [step.intent.verb for step in found.steps if step.intent.verb in walls.VERBS] == due


def test_many_join_a_part_at_a_time() -> None:
    many = [member(ordinal=number) for number in range(1, 51)]
    at = view(*(node(f"n-{number}", peers="") for number in range(1, 51)), groups=())
    (step,) = plan(estate(many, sets=[joined()]), at).steps[-1:]
    assert len(step.intent.arguments["joining"].split()) == walls.AT_ONCE


def test_a_cloud_that_cannot_is_said_once_for_each_set() -> None:
    found = decided(joined(clouds=("east",)), seen("", "", verbs=frozenset()))
    assert found.notes == ["storefront: cloud east has no firewall that could let its members talk to each other"]
    assert decided(joined(firewall=False), seen("", "", verbs=frozenset())).notes == []


# --- what is under way ------------------------------------------------------------------------------------------------

OPEN = Wish(GROUP, ("n-1", "n-2"))
CLOSE = Wish(GROUP, close=True)
CLOSED = joined(firewall=False)


@pytest.mark.parametrize("state", [IntentState.RECORDED, IntentState.PERFORMED, IntentState.INCIDENT], ids=str)
@pytest.mark.parametrize(
    ("of", "wish", "at", "done"),
    [
        pytest.param(joined(), OPEN, seen(NAME, NAME, GROUP), True, id="all joined"),
        pytest.param(joined(), OPEN, seen(NAME, "", GROUP), False, id="one has not joined"),
        pytest.param(joined(), OPEN, seen(NAME, None, GROUP), True, id="one was isolated meanwhile"),
        pytest.param(joined(), OPEN, seen(NAME, NAME, PeerGroup(NAME, (80,), TAGS)), False, id="other ports"),
        pytest.param(joined(), OPEN, view(node("n-1", peers=NAME), groups=(GROUP,)), True, id="one is gone"),
        pytest.param(CLOSED, Wish(GROUP, (), ("n-1",)), seen("", NAME, GROUP), True, id="it left"),
        pytest.param(CLOSED, CLOSE, seen("", ""), True, id="closed"),
        pytest.param(CLOSED, CLOSE, seen("", "", GROUP), False, id="not closed"),
    ],
)
def test_only_what_is_seen_counts_as_done(
    of: ApplianceSet, wish: Wish, at: CloudView, done: bool, state: IntentState
) -> None:
    found = decided(of, at, TWO, asked(wish, state, retry_at=ahead(60), error="Unreachable: no answer"))
    closed = [update.state for change in found.changes for update in change.intents]
    assert closed == ([IntentState.DONE] if done else [])


@pytest.mark.parametrize(
    ("under_way", "other", "what"),
    [
        pytest.param(asked(OPEN, retry_at=ahead(5)), {}, [], id="its time has not come"),
        pytest.param(asked(OPEN), {"in_flight": frozenset({"intent-0"})}, [], id="its call has not come back"),
        pytest.param(asked(OPEN, IntentState.PERFORMED), {}, [], id="it was accepted just now"),
        pytest.param(asked(OPEN, IntentState.PERFORMED, created_at=ago(61)), {}, ["again"], id="it shows no effect"),
        pytest.param(asked(OPEN, retry_at=ago(1), error="QuotaExceeded: x"), {}, ["again"], id="it failed"),
        pytest.param(asked(OPEN), {}, ["again"], id="nobody knows what became of it"),
        pytest.param(
            asked(Wish(GROUP, ("n-1",))), {}, [IntentState.FAILED, "anew"], id="something else is wanted by now"
        ),
    ],
)
def test_what_is_not_seen_is_tried_again_in_its_time(under_way: Intent, other: dict[str, Any], what: list[Any]) -> None:
    found = plan(estate(TWO, sets=[joined()], intents=[under_way]), seen("", ""), at=moment(**other))
    closed: list[Any] = [update.state for change in found.changes for update in change.intents]
    assert closed + ["again" if step.again else "anew" for step in found.steps] == what


def test_what_does_not_come_to_be_is_an_incident_that_ends_with_it() -> None:
    failing = asked(OPEN, attempts=4, error="QuotaExceeded: five groups an interface")
    (step,) = decided(joined(), seen("", ""), TWO, failing).steps
    (finding,) = step.change.findings
    assert "storefront: its peers in cloud east are not let talk" in finding.message  # type: ignore[union-attr]
    assert step.change.intents[0].state is IntentState.INCIDENT
    (change,) = decided(joined(), seen(NAME, NAME, GROUP), TWO, asked(OPEN, IntentState.INCIDENT)).changes
    assert [one.subject for one in change.findings] == ["intent:intent-0"]


def test_the_end_of_a_set_that_is_no_more_is_brought_to_its_end() -> None:
    last = asked(CLOSE, IntentState.PERFORMED)
    (change,) = plan(estate((), sets=[], intents=[last]), view(groups=())).changes
    assert [update.state for update in change.intents] == [IntentState.DONE]


def test_what_an_intent_is_told_is_all_that_its_call_needs() -> None:
    tags = {**TAGS, TAG_SET: "a b=c"}
    wish = Wish(PeerGroup(NAME, (80, 5432), tags), ("n-1", "n-2"), ("n-3",))
    assert walls.of(asked(wish)) == (wish.group, ["n-1", "n-2"], ["n-3"])
    assert walls.of(asked(Wish(GROUP, close=True))) == (GROUP, [], [])


def test_clouds_are_asked_for_their_groups_where_members_are_to_be_let_talk() -> None:
    members = [member(), member(ordinal=2, cloud="west"), member(set_uid=OTHER_UID, cloud="north")]
    others = aset(uid=OTHER_UID, name="ledger")
    assert walls.clouds(estate(members, sets=[joined(), others])) == {"east", "west"}
    assert walls.clouds(estate(members, sets=[joined(firewall=False), others])) == frozenset()
    assert walls.clouds(estate((), sets=[], intents=[asked(CLOSE)])) == {"east"}
