"""When a node ended: by its cloud's own word where that can be true, else when it was seen to be no more."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pictures import NOW, ago, ahead, case, estate, finding, incarnation, member, node, plan, token, view

from cloudmon.model.appliances import ApplianceState, IncarnationState
from cloudmon.model.changes import Change, TimerKind
from cloudmon.model.findings import FindingKind
from cloudmon.model.nodes import NodeState
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.reconcile.settle import settle

RUN = Dimension.NODE_RUNNING


def _gone(ended_at: dt.datetime | None, **other: Any) -> Any:
    return node(state=NodeState.TERMINATED, ended_at=ended_at, **other)


def _ends(events: Any) -> list[tuple[dt.datetime, object, object]]:
    """Instant, source and vouched beginning of each end of its running."""
    found: list[UsageEvent] = [event for event in events if event.mark is Mark.ENDED and event.dimension is RUN]
    return [(event.at, event.evidence["source"], event.evidence.get("began_at")) for event in found]


BEGAN = ago(3_600).isoformat()


@pytest.mark.parametrize(
    ("ended_at", "until", "ends"),
    [
        (ago(500), ago(500), [(ago(500), "cloud", BEGAN), (NOW, "absence", None)]),
        (NOW, NOW, [(NOW, "cloud", BEGAN)]),
        (ago(3_600), ago(3_600), [(ago(3_600), "cloud", BEGAN), (NOW, "absence", None)]),
        (ago(3_601), NOW, [(NOW, "absence", None)]),
        (ahead(1), NOW, [(NOW, "absence", None)]),
        (None, NOW, [(NOW, "absence", None)]),
    ],
    ids=["in between", "just now", "as it began", "before it began", "after it was seen", "unsaid"],
)
def test_a_node_that_is_no_more_ended_when_its_cloud_says_so(
    ended_at: dt.datetime | None, until: dt.datetime, ends: list[Any]
) -> None:
    """The end that was seen stands behind it: it ends what was seen to begin after the cloud's word."""
    found = settle(case(member(), _gone(ended_at)))
    assert isinstance(found, Change)
    assert found.incarnations[0].values["until"] == until
    assert _ends(found.usage) == ends


def test_where_the_cloud_does_not_say_when_it_began_its_end_vouches_for_nothing() -> None:
    found = settle(case(member(since=ago(900)), _gone(ago(500), created_at=None)))
    assert isinstance(found, Change)
    assert _ends(found.usage) == [(ago(500), "cloud", None), (NOW, "absence", None)]
    found = settle(case(member(since=ago(400)), _gone(ago(500), created_at=None)))
    assert isinstance(found, Change)
    assert _ends(found.usage) == [(NOW, "absence", None)]


def test_the_clouds_word_is_better_than_when_it_was_missed() -> None:
    timers = {TimerKind.ABSENT: ago(800)}
    found = settle(case(member(), _gone(ago(500)), timers=timers))
    assert isinstance(found, Change)
    assert _ends(found.usage)[0] == (ago(500), "cloud", BEGAN)
    assert not any("missed_at" in event.evidence for event in found.usage)


def _written(of: Any, *seen: Any) -> Change:
    (found,) = [change for change in plan(of, view(*seen)).changes if change.usage]
    return found


@pytest.mark.parametrize("learned", ["n-1", ""], ids=["its id was known", "the answer to its launch was lost"])
def test_an_incarnation_that_ends_ended_when_its_cloud_says_so(learned: str) -> None:
    """One that came and went before anybody saw it was paid for all the same."""
    row = incarnation(node_id=learned, since=ago(3_600) if learned else None)
    found = _written(estate([member(ApplianceState.RETIRING)], incarnations=[row]), _gone(ago(500)))
    values = found.incarnations[0].values
    assert (values["state"], values["until"]) == (IncarnationState.ENDED, ago(500))
    assert _ends(found.usage)[0] == (ago(500), "cloud", BEGAN)
    began = [(event.at, event.node_id) for event in found.usage if event.mark is Mark.BEGAN]
    assert began == ([] if learned else [(ago(3_600), "n-1")])
    assert values.get("node_id", learned) == "n-1"


def test_a_launch_that_came_and_went_before_anybody_saw_it_is_metered() -> None:
    launching = member(ApplianceState.LAUNCHING, node_id="", since=ago(3_600))
    found = settle(case(launching, _gone(ago(500))))
    assert isinstance(found, Change)
    assert [(event.at, event.node_id) for event in found.usage if event.mark is Mark.BEGAN] == [(ago(3_600), "n-1")]
    assert _ends(found.usage)[0] == (ago(500), "cloud", BEGAN)
    values = found.incarnations[0].values
    assert (values["node_id"], values["since"], values["until"]) == ("n-1", ago(3_600), ago(500))


def test_an_orphan_ended_when_its_cloud_says_so() -> None:
    orphan = finding(FindingKind.ORPHAN, "node:east:n-9", token=token(9, 4))
    gone = node("n-9", NodeState.TERMINATED, of=token(9, 4), ended_at=ago(500))
    found = _written(estate([member()], findings=[orphan]), node(), gone)
    assert _ends(found.usage) == [(ago(500), "cloud", BEGAN), (NOW, "absence", None)]
    assert {(event.ordinal, event.incarnation) for event in found.usage} == {(9, 4)}
