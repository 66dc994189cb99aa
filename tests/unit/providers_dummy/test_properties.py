"""Whatever is done to a dummy cloud in whatever order, it stays a cloud."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import uuid
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudmon.errors import CloudError
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest, NodeState
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings, catalogue, open_world

LAG_S = 40
VERBS = ("start_node", "stop_node", "reboot_node", "suspend_node", "resume_node", "destroy_node")
HANDS = ("kill_node", "delete_by_hand", "stop_by_hand", "hang", "reclaim")

ordinals = st.integers(1, 4)
steps = st.one_of(
    st.tuples(st.just("create"), ordinals),
    st.tuples(st.sampled_from(VERBS + HANDS), ordinals),
    st.tuples(st.just("advance"), st.integers(0, 50)),
    st.tuples(st.just("jump"), st.integers(-5000, 50)),
)
shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1000),
        "boot_s": st.sampled_from([0, 10]),
        "stop_s": st.sampled_from([0, 10]),
        "terminate_s": st.sampled_from([0, 10]),
        "listing_lag_s": st.sampled_from([0, LAG_S]),
        "terminated_shown_s": st.sampled_from([0, 20]),
        "page_size": st.sampled_from([1, 2, 1000]),
        "faults": st.sampled_from([{}, {"node_death_per_h": 60}, {"timeout_after_effect": 0.3, "hang_per_h": 60}]),
    }
)


def request(ordinal: int, incarnation: int, provider: DummyProvider) -> NodeRequest:
    token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", ordinal, incarnation)
    offer = catalogue.offers("east", provider.world.settings, free=lambda _: None, now=FakeClock().now())[0]
    return NodeRequest(
        str(token), f"web-{ordinal}", offer, "img", ownership_tags(token, set_name="web", tenant="default")
    )


def play(provider: DummyProvider, clock: FakeClock, step: tuple[str, Any]) -> None:
    what, value = step
    if what == "advance":
        clock.advance(value)
        return
    if what == "jump":
        clock.jump(dt.timedelta(seconds=value))
        return
    if what == "create":
        provider.create_node(request(value, 1, provider))
        return
    found = [node.id for node in provider.world.ledger() if node.name == f"web-{value}" and node.ended_at is None]
    for node_id in found:
        getattr(provider.world if what in HANDS else provider, what)(node_id)


@settings(max_examples=400, deadline=None)
@given(shape=shapes, story=st.lists(steps, max_size=25))
@example(
    shape={"terminate_s": 10, "faults": {}},
    story=[("create", 1), ("destroy_node", 1), ("hang", 1)],
)
def test_the_truth_stays_true(shape: dict[str, Any], story: list[tuple[str, Any]]) -> None:
    """One machine a token; spells without gaps; and a listing that comes to say what is, once nothing happens."""
    clock = FakeClock()
    options = DummySettings(world=f"memory:{uuid.uuid4()}", **shape)
    world = open_world(options, cloud="east", now=clock.true_now)
    provider = DummyProvider("east", options, now=clock.now, timeout_s=30)
    assert provider.world is world
    for step in story:
        with contextlib.suppress(CloudError):
            play(provider, clock, step)

        ledger = provider.world.ledger()
        assert len({node.id for node in ledger}) == len(ledger)
        assert len({node.token for node in ledger}) == len(ledger)
        for node in ledger:
            assert all(one.end == two.start for one, two in itertools.pairwise(node.spells))
            assert all(spell.end is None or spell.start < spell.end for spell in node.spells)
            if node.spells:
                assert node.spells[0].start == node.created_at
                assert node.spells[-1].end == node.ended_at

    for node in provider.world.nodes_true():
        provider.world.reclaim(node.id)
    clock.advance(LAG_S + 60)
    assert not provider.world.nodes_true()
    listed = [node for page in provider.pages() for node in page] if not shape["faults"] else []
    assert all(node.state is NodeState.TERMINATED for node in listed)
    clock.advance(60)
    if not shape["faults"]:
        assert not provider.list_nodes().nodes
