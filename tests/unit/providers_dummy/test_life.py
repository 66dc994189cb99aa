"""A dummy machine's life by the clock: boots, orders, deaths, ends, and when the listing gets to know."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cloudmon.errors import NotFound, Refused
from cloudmon.model.nodes import NodeState
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider


def state(provider: DummyProvider, node_id: str) -> NodeState:
    return provider.get_node(node_id).state


def shown(provider: DummyProvider) -> dict[str, NodeState]:
    return {node.id: node.state for node in provider.list_nodes().nodes}


def test_a_machine_boots_for_as_long_as_it_is_told(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=30)
    made = provider.create_node(ask(provider))
    assert made.state is NodeState.PENDING
    clock.advance(29)
    assert state(provider, made.id) is NodeState.PENDING
    clock.advance(1)
    assert state(provider, made.id) is NodeState.RUNNING


def test_without_delays_a_machine_runs_at_once(cloud: Any, ask: Any) -> None:
    provider = cloud()
    assert provider.create_node(ask(provider)).state is NodeState.RUNNING


def test_a_machine_that_ends_is_shown_as_terminated_for_a_while_and_then_not_at_all(
    cloud: Any, ask: Any, clock: FakeClock
) -> None:
    provider = cloud(terminate_s=10, terminated_shown_s=20)
    made = provider.create_node(ask(provider))
    provider.destroy_node(made.id)
    assert state(provider, made.id) is NodeState.TERMINATING
    clock.advance(10)
    assert shown(provider) == {made.id: NodeState.TERMINATED}
    clock.advance(20)
    assert shown(provider) == {}
    with pytest.raises(NotFound):
        provider.get_node(made.id)
    provider.destroy_node(made.id)


def test_volumes_and_addresses_end_with_the_machine(cloud: Any, ask: Any) -> None:
    provider = cloud()
    made = provider.create_node(ask(provider))
    (before,) = provider.world.ledger()
    assert before.volumes
    assert set(before.addresses) == {*made.public_addresses, *made.private_addresses}
    provider.destroy_node(made.id)
    (after,) = provider.world.ledger()
    assert (after.volumes, after.addresses) == ((), ())
    assert not provider.world.nodes_true()


def test_new_machines_appear_late_and_gone_ones_disappear_late(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(listing_lag_s=60, seed=3)
    ids = [provider.create_node(ask(provider, ordinal)).id for ordinal in range(1, 9)]
    assert len(shown(provider)) < 8
    clock.advance(60)
    assert sorted(shown(provider)) == sorted(ids)
    for node_id in ids:
        provider.world.delete_by_hand(node_id)
    assert not provider.world.nodes_true()
    assert NodeState.RUNNING in shown(provider).values()
    clock.advance(60)
    assert shown(provider) == {}


def test_a_listing_is_late_and_a_direct_look_is_not(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(listing_lag_s=60, seed=3)
    made = provider.create_node(ask(provider))
    clock.advance(60)
    provider.stop_node(made.id)
    assert state(provider, made.id) is NodeState.STOPPED
    assert shown(provider) == {made.id: NodeState.RUNNING}


def test_a_crashed_machine_is_healed_by_a_reboot(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=5)
    made = provider.create_node(ask(provider))
    clock.advance(5)
    provider.world.kill_node(made.id)
    assert state(provider, made.id) is NodeState.ERROR
    provider.reboot_node(made.id)
    assert state(provider, made.id) is NodeState.REBOOTING
    clock.advance(5)
    assert state(provider, made.id) is NodeState.RUNNING


def test_a_broken_machine_is_healed_by_nothing(cloud: Any, ask: Any) -> None:
    provider = cloud()
    made = provider.create_node(ask(provider))
    provider.world.kill_node(made.id, "break")
    provider.reboot_node(made.id)
    assert state(provider, made.id) is NodeState.ERROR
    provider.stop_node(made.id)
    provider.start_node(made.id)
    assert state(provider, made.id) is NodeState.ERROR


def test_a_machine_that_hangs_takes_orders_and_obeys_none_but_destroy(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=5)
    made = provider.create_node(ask(provider))
    clock.advance(5)
    provider.world.hang(made.id)
    assert state(provider, made.id) is NodeState.RUNNING
    provider.reboot_node(made.id)
    clock.advance(3600)
    assert state(provider, made.id) is NodeState.REBOOTING
    provider.destroy_node(made.id)
    assert not provider.world.nodes_true()


def test_a_boot_that_hangs_never_ends(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=5, faults={"boot_hang": 1})
    made = provider.create_node(ask(provider))
    clock.advance(86_400)
    assert state(provider, made.id) is NodeState.PENDING


def test_a_machine_deleted_by_hand_leaves_no_trace(cloud: Any, ask: Any) -> None:
    provider = cloud()
    made = provider.create_node(ask(provider))
    provider.world.delete_by_hand(made.id)
    assert shown(provider) == {}
    with pytest.raises(NotFound):
        provider.get_node(made.id)


@pytest.mark.parametrize("verb", ["start_node", "reboot_node", "suspend_node", "resume_node"], ids=str)
def test_a_wrong_state_is_refused(cloud: Any, ask: Any, clock: FakeClock, verb: str) -> None:
    provider = cloud(terminate_s=60)
    made = provider.create_node(ask(provider))
    provider.destroy_node(made.id)
    with pytest.raises(Refused):
        getattr(provider, verb)(made.id)


def test_machines_die_by_chance_at_the_rate_that_was_asked_for(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(faults={"node_death_per_h": 1})
    for ordinal in range(1, 201):
        provider.create_node(ask(provider, ordinal))
    clock.advance(3600)
    alive = sum(node.state is NodeState.RUNNING for node in provider.world.nodes_true())
    # One death an hour each: 37 of a hundred are expected to live.
    assert 50 < alive < 100
    words = {node.spells[-1].word for node in provider.world.ledger()}
    assert "failed" in words


def test_spot_machines_are_reclaimed_and_others_are_not(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(spot=True, spot_reclaim_per_h=100)
    offers = {offer.spot: offer for offer in provider.list_offers()}
    spot = provider.create_node(ask(provider, 1, offer=offers[True]))
    plain = provider.create_node(ask(provider, 2, offer=offers[False]))
    clock.advance(3600)
    assert [node.id for node in provider.world.nodes_true()] == [plain.id]
    assert spot.id != plain.id


def test_the_ledger_tells_every_spell_to_the_second(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=10, stop_s=5, terminate_s=5)
    began = clock.now()
    made = provider.create_node(ask(provider))
    clock.advance(100)
    provider.stop_node(made.id)
    clock.advance(50)
    provider.start_node(made.id)
    clock.advance(30)
    provider.destroy_node(made.id)
    clock.advance(500)
    (node,) = provider.world.ledger()

    def at(seconds: float) -> dt.datetime:
        return began + dt.timedelta(seconds=seconds)

    assert [(spell.word, spell.start, spell.end) for spell in node.spells] == [
        ("pending", at(0), at(10)),
        ("running", at(10), at(100)),
        ("stopping", at(100), at(105)),
        ("stopped", at(105), at(150)),
        ("pending", at(150), at(160)),
        ("running", at(160), at(180)),
        ("terminating", at(180), at(185)),
    ]
    assert node.ran(clock.now()) == [(at(0), at(105)), (at(150), at(185))]
    assert node.stood(clock.now()) == [(at(105), at(150))]
    assert node.ended_at == at(185)


def test_a_terminated_machine_says_when_it_ended_for_as_long_as_it_is_shown(
    cloud: Any, ask: Any, clock: FakeClock
) -> None:
    provider = cloud(boot_s=10, terminate_s=5, terminated_shown_s=60, listing_lag_s=10)
    made = provider.create_node(ask(provider))
    clock.advance(40)
    provider.destroy_node(made.id)
    ended_at = clock.now() + dt.timedelta(seconds=5)
    assert [node.ended_at for node in provider.list_nodes().nodes] == [None]
    clock.advance(15)
    assert [(node.state, node.ended_at) for node in provider.list_nodes().nodes] == [(NodeState.TERMINATED, ended_at)]
    assert provider.get_node(made.id).ended_at == ended_at


def test_a_clock_that_jumps_back_does_not_make_the_cloud_younger(cloud: Any, ask: Any, clock: FakeClock) -> None:
    provider = cloud(boot_s=30)
    made = provider.create_node(ask(provider))
    clock.advance(30)
    assert state(provider, made.id) is NodeState.RUNNING
    clock.jump(dt.timedelta(hours=-2))
    assert state(provider, made.id) is NodeState.RUNNING
    provider.reboot_node(made.id)
    (node,) = provider.world.nodes_true()
    assert node.spells[-1].start >= node.created_at
