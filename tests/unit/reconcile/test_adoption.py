"""Where there is room for nodes that exist already, when an adoption has ended, and when a node is given back."""

from __future__ import annotations

from typing import Any

import pytest
from pictures import NOW, UID, ago, aset, case, intent, member, node, request, token, unseen, view

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, IncarnationState, Power
from cloudmon.model.changes import Change
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import NodeState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.usage import Mark
from cloudmon.reconcile import adoption, decide
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.picture import Condition
from cloudmon.reconcile.plan import Waiting
from cloudmon.reconcile.settle import settle

REQUESTED, RUNNING, RETIRED = ApplianceState.REQUESTED, ApplianceState.RUNNING, ApplianceState.RETIRED
LAUNCHING, RETIRING = ApplianceState.LAUNCHING, ApplianceState.RETIRING


# --- room -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "states", "ordinal", "wanted", "grown"),
    [
        (2, [RUNNING, REQUESTED], None, [(2, 1)], None),
        (2, [RUNNING, RUNNING], None, [(3, 0)], 3),
        (2, [REQUESTED, RUNNING], None, [(1, 1), (3, 0)], 3),
        (0, [], None, [(1, 0), (2, 0)], 2),
        (1, [RUNNING, RETIRED], None, [(2, 1), (3, 0)], 3),
        (1, [RUNNING, REQUESTED], None, [(2, 1)], 2),
        (2, [REQUESTED, REQUESTED], 2, [(2, 1)], None),
    ],
    ids=["a free place", "one more place", "a free place and one more", "the first places",
         "one that has retired comes back", "one that was on its way out comes back", "the place that was named"],
)  # fmt: skip
def test_nodes_take_places_that_are_free_and_then_places_that_the_set_grows_by(
    count: int, states: list[ApplianceState], ordinal: int | None, wanted: list[tuple[int, int]], grown: int | None
) -> None:
    rows = [member(state, number) for number, state in enumerate(states, 1)]
    nodes = [node(f"i-{number}", of="") for number in range(len(wanted))]
    found = adoption.room(aset(count), rows, nodes, ordinal, "ann")
    assert [(m.ordinal, m.incarnation) for m in found.members] == wanted
    assert {(m.state, m.wanted) for m in found.members} == {(REQUESTED, Power.RUNNING)}
    assert (found.generation.spec.count if found.generation is not None else None) == grown
    assert found.generation is None or (found.generation.follows, found.generation.author) == (1, "ann")
    assert found.refusal == ""


@pytest.mark.parametrize(
    ("count", "states", "ordinal", "why"),
    [
        (1, [RUNNING], 1, "storefront has no free appliance with that ordinal; leave the ordinal out"),
        (1, [RUNNING, REQUESTED], 2, "storefront has no free appliance with that ordinal; leave the ordinal out"),
        (1, [RUNNING, RETIRING], None, "storefront would grow by storefront/2, which is still retiring; ask again"),
        (1, [RUNNING, RUNNING], None, "storefront would grow by storefront/2, which is still running; ask again"),
    ],
    ids=["taken", "surplus", "still retiring", "protected from its end"],
)
def test_where_there_is_no_room_nothing_grows(
    count: int, states: list[ApplianceState], ordinal: int | None, why: str
) -> None:
    rows = [member(state, number) for number, state in enumerate(states, 1)]
    found = adoption.room(aset(count), rows, [node("i-1", of="")], ordinal, "ann")
    assert (list(found.members), found.generation) == ([], None)
    assert found.refusal.startswith(why)


def test_a_node_that_says_which_one_it_is_becomes_that_one_again_where_it_is_free() -> None:
    rows = [member(REQUESTED, 1), member(RUNNING, 2), member(REQUESTED, 3)]
    tokens = [token(4, 1), token(3, 2), token(2, 2), token(1, 2), token(1, 3), token(5, 1, uid="another")]
    nodes = [node(f"i-{at}", of=carried) for at, carried in enumerate(tokens, 1)]
    found = adoption.room(aset(3), rows, nodes, None, "ann")
    assert [m.ordinal for m in found.members] == [4, 3, 5, 1, 6, 7]


@pytest.mark.parametrize(
    ("carries", "others", "number"),
    [
        ("", [], 2),
        (token(1, 5), [], 5),
        (token(1, 1), [], 2),
        (token(2, 5), [], 2),
        ("", [token(1, 2), token(1, 4), token(2, 9)], 5),
        (token(1, 5), [token(1, 7)], 5),
    ],
    ids=["none of ours", "a later one of its own", "one that is over", "of another one", "others are there",
         "its own among others"],
)  # fmt: skip
def test_an_adopted_node_is_an_incarnation_that_no_other_node_says_it_is(
    carries: str, others: list[str], number: int
) -> None:
    """Two nodes of one token would be one too many, and one of them ended."""
    nodes = [node(f"i-{at}", of=other) for at, other in enumerate(others, 2)]
    assert adoption.number(member(REQUESTED), node("i-1", of=carries), nodes) == number


# --- its end ----------------------------------------------------------------------------------------------------------


def _adopting(ordinal: int, state: IntentState, **other: Any) -> Any:
    return intent(Verb.ADOPT, state, appliance=ApplianceId(UID, ordinal), **other)


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        ([IntentState.DONE, IntentState.RECORDED], None),
        ([IntentState.FAILED, IntentState.PERFORMED], None),
        ([IntentState.DONE, IntentState.DONE], (RequestState.DONE, "adopted as storefront/1, storefront/2")),
        (
            [IntentState.DONE, IntentState.FAILED],
            (RequestState.FAILED, "adopted as storefront/1; adoption of n-2 as storefront/2 failed: no right"),
        ),
        ([], None),
    ],
    ids=["one is to be written", "one is to be seen", "both are done", "one failed", "none is known"],
)
def test_an_adoption_ends_when_the_last_of_its_nodes_has_its_tags_or_cannot_have_them(
    states: list[IntentState], answer: Any
) -> None:
    asked = request(RequestVerb.ADOPT, "east:*", arguments={"set": "storefront", "tag": "role=web"})
    intents = [_adopting(number, state, error="no right") for number, state in enumerate(states, 1)]
    found = adoption.progress(asked, intents[::-1])
    assert (None if found is None else (found.state, found.outcome)) == answer


def test_an_adoption_is_done_as_soon_as_its_node_is_seen_though_it_still_boots() -> None:
    booting = member(LAUNCHING, since=ago(60))
    found = settle(case(booting, node(state=NodeState.PENDING), intent=_adopting(1, IntentState.PERFORMED)))
    assert isinstance(found, Change)
    assert [update.state for update in found.intents] == [IntentState.DONE]


@pytest.mark.parametrize("verb", [Verb.ADOPT, Verb.REBOOT, Verb.STOP])
def test_an_action_is_not_said_to_show_no_effect_while_its_cloud_is_not_seen(verb: Verb) -> None:
    of = intent(verb, IntentState.PERFORMED, created_at=ago(9_999))
    found = decide.decide(
        case(member(), Condition.UNKNOWN, view=unseen(), intent=of), Market("x", {}), None, open_incarnations=False
    )
    assert isinstance(found, Waiting)
    assert found.reason == f"{verb} was accepted, and cloud east is not seen"


# --- given back -------------------------------------------------------------------------------------------------------

STRAY = node("n-1", of=token(9, 4))


def _taking(since_s: float = 3_600, **other: Any) -> Any:
    return case(member(LAUNCHING, since=ago(since_s)), Condition.GONE, view=view(STRAY), **other)


def test_a_node_that_kept_its_tags_goes_on_as_what_it_was() -> None:
    """Metered without a gap and never twice; nothing is launched in its place."""
    found = settle(_taking())
    assert isinstance(found, Change)
    assert found.member == {"state": REQUESTED, "since": NOW, "node_id": "", "wanted": Power.STOPPED}
    assert [update.values["state"] for update in found.incarnations] == [IncarnationState.ENDED]
    said = [(event.ordinal, event.incarnation, event.mark, event.at) for event in found.usage]
    assert said == [(1, 1, Mark.ENDED, NOW), (1, 1, Mark.ENDED, NOW), (9, 4, Mark.BEGAN, NOW)]


def test_it_is_not_given_back_while_its_tags_are_being_written() -> None:
    assert settle(_taking(intent=_adopting(1, IntentState.RECORDED))) is None
    assert settle(_taking(intent=_adopting(1, IntentState.PERFORMED))) is None


def test_it_is_not_given_back_before_a_listing_could_show_its_tags() -> None:
    assert settle(_taking(since_s=59)) is None
    assert isinstance(settle(_taking(since_s=60)), Change)


def test_it_is_not_given_back_once_it_is_no_more() -> None:
    gone = STRAY._replace(state=NodeState.TERMINATED)
    found = settle(case(member(LAUNCHING), Condition.GONE, view=view(gone)))
    assert isinstance(found, Change)
    assert {event.ordinal for event in found.usage} == {1}


def test_a_launch_whose_id_was_given_to_somebody_else_is_no_adoption() -> None:
    found = settle(_taking(intent=intent(Verb.LAUNCH, IntentState.PERFORMED)))
    assert isinstance(found, Change)
    assert "wanted" not in found.member
    assert found.member["attempts"] == 1
