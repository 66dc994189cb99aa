"""Nodes that exist already become appliances: by id, by tag, with their usage counted once; foreign ones never."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pictures import UID, node, token
from watched import Watched, bare, spec

from cloudmon import metering
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN, Token
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Interval

Make = Callable[..., Watched]


@pytest.fixture
def watch(tmp_path: Path) -> Make:
    """An estate whose set has no appliances yet, beside nodes of no estate."""

    def make(*nodes: Node, count: int = 0) -> Watched:
        found = Watched(tmp_path, specs=[spec(count)])
        found.east.nodes |= {one.id: one for one in nodes}
        found.tick()
        return found

    return make


def intervals(of: Watched, node_id: str) -> list[Interval]:
    spans = of.memory.spans.of(EVERYONE, "east")
    events = of.memory.usage.events(EVERYONE)
    return [one for one in metering.fold(events, lambda _: spans, now=of.clock.now()) if one.node_id == node_id]


def test_a_node_is_adopted_by_its_id_and_the_set_grows(watch: Make) -> None:
    of = watch(bare("i-1"))
    asked = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.tick(3)
    (member,) = of.members()
    assert (member.node_id, member.state) == ("i-1", ApplianceState.RUNNING)
    assert of.request(asked).outcome == "adopted as storefront/1"
    tags = of.east.nodes["i-1"].tags
    assert (tags[TAG_ESTATE], tags[TAG_TOKEN]) == (of.memory.estate, member.token)
    assert of.memory.intents.open(EVERYONE) == []
    assert of.east.called("create_node") == []


def test_a_member_without_a_node_takes_it(watch: Make) -> None:
    of = watch(bare("i-1"))
    of.east.offers = ()
    of.memory.offers.replace("east", [], of.clock.now())
    of.monitor.policy = replace(of.policy, view=replace(of.policy.view, specs=(spec(2),)))  # type: ignore[type-var]
    of.tick()
    of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront", ordinal="2")
    of.tick(3)
    assert [(m.ordinal, m.node_id) for m in of.members()] == [(1, ""), (2, "i-1")]


def test_all_that_carry_a_tag_and_are_nobodys_are_adopted_together(watch: Make) -> None:
    of = watch(bare("i-1", role="web"), bare("i-2", role="db"), bare("i-3", role="web"))
    of.east.play("tag_node", *[lambda *_: None] * 9)
    of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.tick()
    asked = of.ask(RequestVerb.ADOPT, "east:*", set="storefront", tag="role=web")
    of.tick(2)
    assert of.request(asked).outcome == "adopted as storefront/2"
    assert sorted(m.node_id for m in of.members()) == ["i-1", "i-3"]


@pytest.mark.parametrize(
    ("nodes", "target", "arguments", "why"),
    [
        ([], "east:i-1", {"set": "storefront"}, "shows no such node"),
        ([bare(state=NodeState.TERMINATING)], "east:i-1", {"set": "storefront"}, "shows no such node"),
        ([bare()], "east:*", {"set": "storefront", "tag": "role=web"}, "shows no such node"),
        ([bare()], "east:i-1", {"set": "shop"}, "no active set named shop"),
        ([bare()], "west:i-1", {"set": "storefront"}, "no cloud named west is configured"),
        ([bare()], "east:i-1", {"set": "storefront", "ordinal": "7"}, "no free appliance with that ordinal"),
        ([bare()], "east:i-1", {"set": "storefront", "ordinal": "last"}, "'last' is no ordinal"),
        (
            [node("i-1", of=token(estate="elsewhereaaa"))], "east:i-1", {"set": "storefront"},
            "belongs to estate elsewhereaaa",
        ),
    ],
    ids=["not there", "on its way out", "no such tag", "no such set", "no such cloud", "no such appliance",
         "no ordinal", "of another estate"],
)  # fmt: skip
def test_an_adoption_is_refused_with_a_sentence(
    watch: Make, nodes: list[Node], target: str, arguments: dict[str, str], why: str
) -> None:
    of = watch(*nodes)
    before = dict(of.east.nodes)
    asked = of.ask(RequestVerb.ADOPT, target, **arguments)
    of.tick(2)
    assert of.request(asked).state is RequestState.REFUSED
    assert why in of.request(asked).outcome
    assert of.east.nodes == before
    assert of.members() == []


def test_a_node_is_adopted_once(watch: Make) -> None:
    of = watch(bare())
    of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    again = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.tick(2)
    assert of.request(again).state is RequestState.REFUSED
    assert len(of.members()) == 1


def test_what_is_to_end_is_not_adopted(watch: Make) -> None:
    """Its termination would go on, and take the appliance with it."""
    of = watch(count=1)
    of.tick(2)
    of.east.play("destroy_node", *[lambda *_: None] * 9)
    of.ask(RequestVerb.REPLACE, "storefront/1")
    of.tick()
    asked = of.ask(RequestVerb.ADOPT, "east:node-1", set="storefront")
    of.tick()
    assert "is appliance" in of.request(asked).outcome


def test_an_adoption_waits_for_a_cloud_that_is_not_seen(watch: Make) -> None:
    of = watch(bare())
    asked = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.east.play("list_nodes", RuntimeError("broken"))
    of.tick()
    assert of.request(asked).state is RequestState.PENDING
    of.tick()
    assert of.request(asked).state is RequestState.DONE


@pytest.mark.parametrize(
    ("state", "dimension"),
    [(NodeState.RUNNING, Dimension.NODE_RUNNING), (NodeState.STOPPED, Dimension.NODE_STOPPED)],
    ids=["running", "stopped"],
)
def test_an_adopted_node_is_metered_from_its_adoption_as_what_it_is(
    watch: Make, state: NodeState, dimension: Dimension
) -> None:
    of = watch(bare(state=state))
    of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    began = of.clock.now()
    of.tick()
    first = intervals(of, "i-1")[0]
    assert (first.dimension, first.start) == (dimension, began)


def test_an_orphan_that_is_adopted_is_counted_once(watch: Make) -> None:
    """Its usage as an orphan ends where its usage as an appliance begins."""
    of = watch()
    orphan = bare("i-7")._replace(
        token=str(Token(of.memory.estate, UID, 9, 4)), estate=of.memory.estate, created_at=of.clock.now()
    )
    of.east.nodes["i-7"] = orphan
    of.east.play("tag_node", lambda node_id, tags: of.east.nodes.update({
        "i-7": orphan._replace(token=tags[TAG_TOKEN], tags=dict(tags))
    }))  # fmt: skip
    of.tick(2)
    assert [f.kind for f in of.memory.findings.open(EVERYONE)] == [FindingKind.ORPHAN]
    of.ask(RequestVerb.ADOPT, "east:i-7", set="storefront")
    of.tick(4)
    assert of.members()[0].state is ApplianceState.RUNNING
    assert of.memory.findings.open(EVERYONE) == []
    found = sorted(intervals(of, "i-7"), key=lambda one: one.start)
    assert {(one.set_uid, one.incarnation) for one in found} == {(UID, 4), (of.members()[0].set_uid, 1)}
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert sum(one.seconds for one in found) == (of.clock.now() - found[0].start).total_seconds()


def test_a_node_whose_tags_cannot_be_changed_keeps_the_identity_they_say(watch: Make) -> None:
    of = watch()
    of.east._lacking = frozenset({"tag_node"})
    of.east.nodes["i-7"] = bare("i-7")._replace(token=str(Token(of.memory.estate, UID, 9, 4)), estate=of.memory.estate)
    of.tick()
    asked = of.ask(RequestVerb.ADOPT, "east:i-7", set="storefront")
    of.tick()
    assert "carries tags of this estate that cloud east cannot change" in of.request(asked).outcome


def test_adoption_writes_nothing_by_itself(watch: Make) -> None:
    """Without a request no node of no estate is touched, however often it is seen."""
    of = watch(bare())
    of.tick(3)
    assert {made.verb for made in of.east.calls} == {"list_nodes"}
