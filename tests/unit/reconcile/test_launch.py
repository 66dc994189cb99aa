"""Which offer next, and what becomes of a launch whose answer was lost."""

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
    case,
    choices,
    intent,
    member,
    moment,
    offer,
    token,
    unseen,
)

from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState
from cloudmon.model.changes import Change
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.offers import Choice
from cloudmon.model.sets import Template
from cloudmon.reconcile import launch
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.picture import Condition
from cloudmon.reconcile.plan import Step, Waiting

REQUESTED = member(ApplianceState.REQUESTED, incarnation=0)
LAUNCHING = member(ApplianceState.LAUNCHING, node_id="", since=ago(10))
SMALL, LARGE = offer("small"), offer("large")


def failed(error: str, **other: Any) -> Intent:
    return intent(Verb.LAUNCH, IntentState.FAILED, error=error, **other)


@pytest.mark.parametrize(
    ("recent", "barred"),
    [
        (failed("OutOfCapacity: full"), {"east/here-1/small"}),
        (failed("Refused: bad parameter"), {"east/here-1/small"}),
        (failed("Unreachable: no answer"), {"east/here-1/small"}),
        (failed("UnexpectedAnswer: nonsense"), {"east/here-1/small"}),
        (failed("QuotaExceeded: 6 of 6"), {"east/"}),
        (failed("CredentialsRejected: no"), {"east/"}),
        (failed("NotFound: no such image"), {"east/"}),
        (failed("Unsupported: cannot"), {"east/"}),
        (failed("RateLimited: slower"), set()),
        (failed("its node did not run within 600 s"), set()),
        (failed(""), set()),
        (failed("OutOfCapacity: full", created_at=ago(3_601)), set()),
        (failed("OutOfCapacity: full", appliance=ApplianceId(OTHER_UID, 1)), set()),
        (replace(failed("OutOfCapacity: full"), state=IntentState.DONE), set()),
        (replace(failed("OutOfCapacity: full"), verb=Verb.START), set()),
    ],
    ids=[
        "no room bars the offer", "a refusal bars the offer", "no answer bars the offer", "nonsense bars the offer",
        "a quota bars the cloud", "credentials bar the cloud", "a missing image bars the cloud",
        "what it cannot do bars the cloud", "throttling bars nothing", "a slow boot bars nothing",
        "no reason bars nothing", "long ago", "another set's", "one that did not fail", "another verb",
    ],
)  # fmt: skip
def test_what_failed_lately_is_not_taken_again(recent: Intent, barred: set[str]) -> None:
    assert set(launch.excluded([recent], UID, ago(3_600), 1)) == barred


@pytest.mark.parametrize(("generation", "barred"), [(1, {"east/"}), (2, set())])
def test_a_cloud_without_the_image_may_have_that_of_another_generation(generation: int, barred: set[str]) -> None:
    missing = failed("NotFound: no image image-9", evidence={"generation": 1})
    assert set(launch.excluded([missing], UID, ago(3_600), generation)) == barred


# --- taking -----------------------------------------------------------------------------------------------------------


def market(*offers: Any, room: int = 9, recent: Any = ()) -> Market:
    return Market(ESTATE, {UID: choices(*offers)}, {one.key: one for one in offers}, recent=recent, room=room)


def test_the_best_offer_is_taken_until_its_capacity_is() -> None:
    of = market(offer("small", capacity=2), LARGE)
    taken = [of.take(UID) for _ in range(4)]
    assert [one.size for one in taken if one is not None] == ["small", "small", "large", "large"]


def test_an_offer_that_does_not_fit_is_never_taken() -> None:
    of = Market(ESTATE, {UID: [Choice(SMALL, False, "too small")]})
    found = launch.launch(case(REQUESTED), of)
    assert isinstance(found, Waiting)
    assert found.reason == "no offer fits: too small"


def test_a_launch_says_that_no_offers_are_known() -> None:
    found = launch.launch(case(REQUESTED), Market(ESTATE, {}))
    assert isinstance(found, Waiting)
    assert "no offers are known" in found.reason


def test_a_launch_that_finds_no_offer_waits_until_one_may_be_tried_again() -> None:
    recent = [failed("OutOfCapacity: x", created_at=ago(age)) for age in (10, 3_000, 4_000)]
    found = launch.launch(case(REQUESTED), market(offer("small", capacity=0), recent=recent))
    assert isinstance(found, Waiting)
    assert found.until == ahead(600)


def test_a_tick_decides_about_so_many_launches_and_leaves_the_rest_to_the_next() -> None:
    of = market(SMALL, room=2)
    found = [launch.launch(case(member(ApplianceState.REQUESTED, n)), of) for n in (1, 2, 3)]
    assert [type(one) for one in found] == [Step, Step, Waiting]


def test_a_launch_opens_the_next_incarnation_on_its_offer() -> None:
    found = launch.launch(case(member(ApplianceState.REQUESTED, incarnation=2, retry_at=ago(1))), market(SMALL))
    assert isinstance(found, Step)
    row, made = found.change.opens_incarnation, found.intent
    assert row is not None
    assert (row.number, row.token, row.state) == (3, token(1, 3), IncarnationState.OPENING)
    assert (made.token, made.offer, made.node_id) == (row.token, "east/here-1/small", "")
    assert row.offer == {
        "key": "east/here-1/small", "spot": "no", "price_per_hour": "0.10", "currency": "USD", "source": "dummy",
        "dated": "2026-01-01",
    }  # fmt: skip
    assert row.last_call_at == NOW
    assert found.change.member["retry_at"] is None
    assert found.change.member["state"] is ApplianceState.LAUNCHING


@pytest.mark.parametrize(
    ("images", "image"),
    [({"*": "any", "east": "own"}, "own"), ({"*": "any"}, "any"), ({"west": "other"}, "")],
    ids=["the cloud's own", "the one for all clouds", "none"],
)
def test_the_image_is_the_clouds_own_before_the_one_for_all(images: dict[str, str], image: str) -> None:
    found = launch.launch(case(REQUESTED, aset=aset(template=Template("web", images))), market(SMALL))
    assert isinstance(found, Step)
    assert found.change.opens_incarnation is not None
    assert found.change.opens_incarnation.image == image


# --- when the answer was lost -----------------------------------------------------------------------------------------


def pursue(open_intent: Intent, of: Market | None = None, **other: Any) -> Any:
    found = case(LAUNCHING, Condition.UNSEEN, intent=open_intent, **other)
    return launch.pursue(found, of or market(SMALL))


@pytest.mark.parametrize(
    ("open_intent", "other"),
    [
        (intent(state=IntentState.PERFORMED), {}),
        (intent(), {"moment": moment(in_flight=frozenset({"intent-0"}))}),
    ],
    ids=["it was accepted", "its call has not come back"],
)
def test_a_launch_is_waited_for(open_intent: Intent, other: dict[str, Any]) -> None:
    assert isinstance(pursue(open_intent, **other), Waiting)


def test_a_launch_whose_node_is_known_is_neither_asked_again_nor_given_up_however_long_its_cloud_is_away() -> None:
    """Its answer was lost, a listing named the node, and then nothing was seen any more."""
    known = member(ApplianceState.LAUNCHING, since=ago(5_000))
    of = case(known, Condition.UNKNOWN, intent=intent(created_at=ago(5_000)), view=unseen())
    assert isinstance(launch.pursue(of, market(SMALL)), Waiting)


def test_a_launch_without_an_answer_is_asked_again_with_the_same_token() -> None:
    found = pursue(intent(attempts=1))
    assert isinstance(found, Step)
    assert found.again
    assert (found.intent.token, found.offer) == (token(), SMALL)
    assert found.change.opens_incarnation is None
    assert found.change.incarnations[0].values == {"last_call_at": NOW}
    assert found.change.intents[0].values["attempts"] == 2


@pytest.mark.parametrize(
    ("open_intent", "of"),
    [(intent(created_at=ago(600), error="Unreachable: x"), None), (intent(error="Unreachable: x"), market(LARGE))],
    ids=["no answer within the time a boot may take", "its offer is not known any more"],
)
def test_a_launch_is_given_up_and_its_incarnation_ended_if_ever_found(open_intent: Intent, of: Market | None) -> None:
    found = pursue(open_intent, of)
    assert isinstance(found, Change)
    assert found.member["state"] is ApplianceState.REQUESTED
    assert (found.member["attempts"], found.member["retry_at"]) == (1, ahead(60))
    assert found.incarnations[0].values == {"state": IncarnationState.ENDING, "cause": Cause.CLOUD_OUTAGE}
    assert found.intents[0].state is IntentState.FAILED
    assert str(found.intents[0].values["error"]).startswith("Unreachable: ")
    assert found.findings == ()


def test_launches_that_are_given_up_again_and_again_pause_and_are_an_incident() -> None:
    """By the same rule as launches that are refused."""
    late = intent(created_at=ago(600), error="Unreachable: x")
    found = launch.pursue(case(LAUNCHING._replace(attempts=4), Condition.UNSEEN, intent=late), market(SMALL))
    assert isinstance(found, Change)
    assert (found.member["attempts"], found.member["retry_at"]) == (5, ahead(3_600))
    (said,) = found.findings
    assert isinstance(said, Finding)
    assert said.kind is FindingKind.INCIDENT
    assert said.message.startswith(
        "storefront/1: 5 launches failed, the last with Unreachable: no answer to its launch"
    )
