"""Nodes that exist already become appliances: by id, by tag, with their usage counted once; foreign ones never."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pictures import UID, node, token
from watched import Watched, bare, spec

from cloudmon import faultpoints, metering
from cloudmon.errors import CredentialsRejected, RateLimited, Unreachable
from cloudmon.model.actions import Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN, Token
from cloudmon.model.nodes import Listing, Node, NodeState
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
    of.tick(4)
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
    of.tick(4)
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
    assert of.request(asked).state is RequestState.ACCEPTED


def test_an_adoption_is_not_answered_from_a_view_that_is_older_than_it(watch: Make) -> None:
    """Somebody makes a node, and asks for it, while a listing is under way."""
    of = watch()

    def meanwhile() -> Listing:
        before = Listing("east", (), of.clock.now(), of.clock.now())
        of.east.nodes["i-1"] = bare()
        asked.append(of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront"))
        return before

    asked: list[str] = []
    of.east.play("list_nodes", meanwhile)
    of.tick()
    assert of.request(asked[0]).state is RequestState.PENDING
    of.tick(4)
    assert of.request(asked[0]).state is RequestState.DONE


def test_an_adoption_is_done_once_its_tags_are_written_and_seen(watch: Make) -> None:
    of = watch(bare())
    of.east.play("tag_node", Unreachable("no answer"))
    asked = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    said = [(found.state, found.outcome) for found in (of.tick() and of.request(asked) for _ in range(5))]
    assert said[:4] == [(RequestState.ACCEPTED, "being adopted as storefront/1")] * 4
    assert said[4] == (RequestState.DONE, "adopted as storefront/1")


@pytest.mark.parametrize("tries", [1, 6], ids=["refused for good", "never answered"])
def test_an_adoption_whose_tags_cannot_be_written_fails_and_can_be_asked_for_again(watch: Make, tries: int) -> None:
    """The appliance has its node, known by its id alone, and whoever asked is told."""
    of = watch(bare())
    no = CredentialsRejected("no right to write tags") if tries == 1 else Unreachable("no answer")
    of.east.play("tag_node", *[no] * tries)
    asked = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.tick(50)
    assert len(of.east.called("tag_node")) == tries
    assert of.request(asked).state is RequestState.FAILED
    said = of.request(asked).outcome
    assert said.startswith("adoption of i-1 as storefront/1 failed: its tags cannot be written (")
    assert said.endswith(f"{no.message}); storefront/1 has it without them; adopt it again once they can be written")
    assert [(m.node_id, m.state) for m in of.members()] == [("i-1", ApplianceState.RUNNING)]
    again = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.tick(4)
    assert (of.request(again).state, of.request(again).outcome) == (RequestState.DONE, "adopted as storefront/1")
    assert of.east.nodes["i-1"].tags[TAG_TOKEN] == of.members()[0].token
    assert len(of.memory.sets.generations(EVERYONE, of.members()[0].set_uid)) == 2


def test_a_throttled_adoption_is_not_given_up(watch: Make) -> None:
    of = watch(bare())
    of.east.play("tag_node", *[RateLimited("slower", retry_after_s=5)] * 9)
    asked = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
    of.tick(20)
    assert of.request(asked).state is RequestState.DONE


def an_orphan(of: Watched) -> Node:
    return bare("i-7")._replace(
        token=str(Token(of.memory.estate, UID, 9, 4)), estate=of.memory.estate, created_at=of.clock.now()
    )


@pytest.mark.parametrize("tries", [1, 6], ids=["refused for good", "never answered"])
def test_an_orphan_whose_tags_cannot_be_written_stays_an_orphan_and_is_counted_once(watch: Make, tries: int) -> None:
    """Its tags go on saying what it was. Nothing is launched in its place, and no second is lost or counted twice."""
    of = watch()
    of.east.nodes["i-7"] = orphan = an_orphan(of)
    of.tick(2)
    no = CredentialsRejected("no right to write tags") if tries == 1 else Unreachable("no answer")
    of.east.play("tag_node", *[no] * tries)
    asked = of.ask(RequestVerb.ADOPT, "east:i-7", set="storefront")
    of.tick(60)
    assert of.request(asked).state is RequestState.FAILED
    assert "it stays what it was, and storefront/1 without a node until somebody starts it" in of.request(asked).outcome
    assert [f.subject for f in of.memory.findings.open(EVERYONE)] == ["node:east:i-7"]
    assert [(m.node_id, m.state) for m in of.members()] == [("", ApplianceState.REQUESTED)]
    assert of.east.nodes == {"i-7": orphan}
    assert of.east.called("create_node") == of.east.called("destroy_node") == []
    found = sorted(intervals(of, "i-7"), key=lambda one: one.start)
    assert [number for number, _ in itertools.groupby(found, key=lambda one: one.incarnation)] == [4, 1, 4]
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert sum(one.seconds for one in found) == (of.clock.now() - found[0].start).total_seconds()
    again = of.ask(RequestVerb.ADOPT, "east:i-7", set="storefront")
    of.tick(4)
    assert of.request(again).outcome == "adopted as storefront/1"
    assert [m.incarnation for m in of.members()] == [2]


# --- kills ------------------------------------------------------------------------------------------------------------


class _Killed(BaseException):
    """The process is no more."""


REACHED = [point for point in faultpoints.POINTS if not point.startswith(("wanted.", "anchor.", "requests."))]
"""An adoption waits for a view, and writes its set's generation with its answer; a store in memory has no anchors."""


def _adopt_and_die(of: Watched, point: str, number: int) -> bool:
    """Whether the process died when ``point`` was reached for the ``number``-th time in an adoption."""
    left = number

    def die(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            faultpoints.install(None)
            raise _Killed(point)

    faultpoints.install(die)
    try:
        of.tick(5)
    except _Killed:
        return True
    finally:
        faultpoints.install(None)
    return False


@pytest.mark.parametrize("point", REACHED)
def test_killed_at_any_point_an_adoption_grows_its_set_once_and_takes_the_node_once(watch: Make, point: str) -> None:
    """Wherever the process dies, and though its successor does not see the cloud at first."""
    for number in itertools.count(1):
        of = watch(bare("i-1"))
        asked = of.ask(RequestVerb.ADOPT, "east:i-1", set="storefront")
        if not _adopt_and_die(of, point, number):
            assert number > 1, f"{point} is not reached in an adoption"
            return
        of.restart()
        of.east.play("list_nodes", *[RuntimeError("not seen")] * 3)
        of.tick(30)
        assert (of.request(asked).state, of.request(asked).outcome) == (RequestState.DONE, "adopted as storefront/1")
        assert [(m.ordinal, m.node_id, m.incarnation, m.state) for m in of.members()] == [
            (1, "i-1", 1, ApplianceState.RUNNING)
        ]
        (aset,) = of.memory.sets.active(EVERYONE)
        assert [spec.count for _, _, spec, _ in of.memory.sets.generations(EVERYONE, aset.uid)] == [0, 1]
        assert [one.verb for one in of.memory.intents.of(EVERYONE, aset.uid)] == [Verb.ADOPT]
        assert of.memory.findings.open(EVERYONE) == []
        assert of.memory.log.verify(EVERYONE) == []


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
    of.east.nodes["i-7"] = an_orphan(of)
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


@pytest.mark.parametrize("state", [NodeState.RUNNING, NodeState.STOPPED], ids=["running", "stopped"])
def test_a_node_that_is_what_it_says_needs_no_tags_and_is_counted_on(watch: Make, state: NodeState) -> None:
    """Where the store forgot it: its incarnation and its usage go on, on a cloud that cannot tag as well."""
    of = watch(count=1)
    of.east._lacking = frozenset({"tag_node"})
    (member,) = of.members()
    own = str(Token(of.memory.estate, member.set_uid, 1, 7))
    of.east.nodes = {"i-7": bare("i-7", state)._replace(token=own, estate=of.memory.estate, created_at=of.clock.now())}
    of.tick(20)
    assert of.members()[0].state is ApplianceState.REQUESTED
    asked = of.ask(RequestVerb.ADOPT, "east:i-7", set="storefront")
    adopted_at = of.clock.now()
    of.tick(4)
    assert of.request(asked).outcome == "adopted as storefront/1"
    assert [(m.node_id, m.incarnation, m.token) for m in of.members()] == [("i-7", 7, own)]
    found = intervals(of, "i-7")
    assert {one.incarnation for one in found} == {7}
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    after = {one.dimension for one in found if one.start >= adopted_at}
    assert after <= {Dimension.NODE_RUNNING if state is NodeState.RUNNING else Dimension.NODE_STOPPED}


def test_adoption_writes_nothing_by_itself(watch: Make) -> None:
    """Without a request no node of no estate is touched, however often it is seen."""
    of = watch(bare())
    of.tick(3)
    assert {made.verb for made in of.east.calls} == {"list_nodes", "list_peers"}
